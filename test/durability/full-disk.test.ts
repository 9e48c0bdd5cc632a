// A real file system that is really full: a tmpfs of one MiB, where this user may mount one; elsewhere these tests are
// skipped.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { nodeFileSystem } from "../../disk/index.ts";
import { makeSnapshot } from "../../raft/raftpb/index.ts";
import { Snapshotter } from "../../snap/index.ts";
import { Wal } from "../../wal/index.ts";
import { confState, entry, hardState, metadata, noise } from "./member.ts";

const mountPoint = fs.mkdtempSync(path.join(os.tmpdir(), "readyloop-full-"));
const isMounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", mountPoint]).status === 0;
if (!isMounted) console.log("full disk: skipped, as no tmpfs can be mounted here");

afterAll(() => {
  if (isMounted) spawnSync("umount", [mountPoint]);
  fs.rmdirSync(mountPoint);
});

describe.skipIf(!isMounted)("a file system that is full", () => {
  const filler = path.join(mountPoint, "filler");
  const options = { fileSystem: nodeFileSystem, directory: path.join(mountPoint, "wal"), segmentBytes: 64 * 1024 };

  beforeEach(() => {
    for (const name of fs.readdirSync(mountPoint)) fs.rmSync(path.join(mountPoint, name), { recursive: true });
  });

  function fill(): void {
    const fd = fs.openSync(filler, "w");
    try {
      for (const size of [65536, 4096]) for (;;) if (fs.writeSync(fd, Buffer.alloc(size)) < size) break;
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe("ENOSPC");
    } finally {
      fs.closeSync(fd);
    }
  }

  test("stops the log with a message; with room again it has all that it acknowledged, and goes on", async () => {
    const wal = await Wal.create({ ...options, metadata });
    fs.writeFileSync(filler, Buffer.alloc(400 * 1024));
    let acknowledged = 0;
    const error: unknown = await (async () => {
      for (let i = 1; i < 10_000; i++) {
        await wal.save(hardState(1, 1, i - 1), [entry(i, 1, 900)], true);
        acknowledged = i;
      }
    })().catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: "FAILED",
      message: expect.stringMatching(/\.wal.*(no space left|bytes were written)/s),
    });
    expect((error as Error).message).toMatch(/make room/);
    await expect(wal.save(undefined, [entry(acknowledged + 1, 1, 10)], true)).rejects.toBe(error);
    await expect(wal.close()).rejects.toBe(error);
    expect(acknowledged).toBeGreaterThan(100);

    fs.unlinkSync(filler);
    const again = await Wal.open(options);
    const { entries } = again.recovered;
    expect(entries.length).toBeGreaterThanOrEqual(acknowledged);
    for (const [i, e] of entries.entries()) expect(e).toEqual(entry(i + 1, 1, 900));
    await again.wal.save(undefined, [entry(entries.length + 1, 1, 10)], true);
    await again.wal.close();
  });

  test("makes no half log", async () => {
    fill();
    await expect(Wal.create({ ...options, metadata })).rejects.toThrow(/no space left|bytes were written/);
    expect(fs.existsSync(options.directory)).toBe(false);
    fs.unlinkSync(filler);
    await (await Wal.create({ ...options, metadata })).close();
  });

  test("refuses a snapshot, leaves nothing of it, and takes the next one when there is room", async () => {
    const store = await Snapshotter.open({ fileSystem: nodeFileSystem, directory: path.join(mountPoint, "snap") });
    async function* chunks(): AsyncGenerator<Uint8Array, void, void> {
      for (let i = 0; i < 6; i++) yield noise(64 * 1024, i);
    }
    fs.writeFileSync(filler, Buffer.alloc(800 * 1024));
    const snapshot = makeSnapshot(5, 1, confState).metadata;
    const refused = { code: "DISK_FAILED", message: expect.stringMatching(/make room/) };
    await expect(store.save(snapshot, chunks())).rejects.toMatchObject(refused);
    expect(fs.readdirSync(path.join(mountPoint, "snap"))).toEqual([]);
    fs.unlinkSync(filler);
    await store.save(snapshot, chunks());
    expect(await store.verify(snapshot)).toEqual(snapshot);
    await store.close();
  });
});
