// Opening a member's data directory: what counts as its past, and what does not.

import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { nodeFileSystem } from "../disk/index.ts";
import { type Entry, type HardState, type Logger, makeConfState, makeEntry } from "../raft/index.ts";
import { makeLog, openDataDirectory, readMetadata } from "./data-directory.ts";

let dataDir: string;
beforeEach(async () => {
  dataDir = await fs.mkdtemp(path.join(os.tmpdir(), "readyloop-directory-"));
});
afterEach(() => fs.rm(dataDir, { recursive: true }));

const identity = { nodeId: 1, clusterId: 7, incarnation: 11 };
const where = () => ({ fileSystem: nodeFileSystem, path: dataDir, id: 1, segmentBytes: 4096 });

test("entries without a hard state, which a torn first save leaves, are no past: the member begins again and writes over them", async () => {
  const first = await openDataDirectory(where());
  const { wal } = await makeLog(where(), identity, undefined);
  await wal.save(undefined, [makeEntry(0, 1, 1, undefined), makeEntry(0, 1, 2, undefined)], true);
  await wal.close();
  await first.snapshots.close();

  const { log, snapshots } = await openDataDirectory(where());
  expect(log).toMatchObject({ clusterId: 7, incarnation: 11, recovered: undefined });
  await log?.wal.save({ term: 1, vote: 0, commit: 1 }, [makeEntry(0, 1, 1, Uint8Array.of(9))], true);
  await log?.wal.close();
  await snapshots.close();

  const again = await openDataDirectory(where());
  expect(again.log?.recovered).toMatchObject({
    hardState: { commit: 1 },
    entries: [{ index: 1, data: Uint8Array.of(9) }],
  });
  await again.log?.wal.close();
  await again.snapshots.close();
});

test("a snapshot that the log has no record of is not started from, and stays", async () => {
  const { snapshots } = await openDataDirectory(where());
  const { wal } = await makeLog(where(), identity, undefined);
  await wal.save({ term: 1, vote: 0, commit: 1 }, [makeEntry(0, 1, 1, undefined)], true);
  async function* chunks() {
    yield Uint8Array.of(1, 2, 3);
  }
  await snapshots.save({ index: 9, term: 1, confState: makeConfState({ voters: [1] }) }, chunks());
  await wal.close();
  await snapshots.close();

  const again = await openDataDirectory(where());
  expect(again.log?.recovered).toMatchObject({ snapshot: undefined, entries: [{ index: 1 }] });
  expect(await again.snapshots.list()).toEqual([{ index: 9, term: 1 }]);
  await again.log?.wal.close();
  await again.snapshots.close();
});

describe("a directory in which nothing was ever saved", () => {
  /** As a first start leaves it that failed, or ended, before it saved anything. */
  async function begun(made = identity): Promise<Map<string, Buffer>> {
    const { snapshots } = await openDataDirectory({ ...where(), id: made.nodeId });
    await (await makeLog({ ...where(), id: made.nodeId }, made, undefined)).wal.close();
    await snapshots.close();
    return contents();
  }

  async function contents(): Promise<Map<string, Buffer>> {
    const names = await fs.readdir(dataDir, { recursive: true, withFileTypes: true });
    const files = names.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
    return new Map(await Promise.all(files.map(async (file) => [file, await fs.readFile(file)] as const)));
  }

  async function start(asked: typeof identity, logger: Logger = {}) {
    const options = { ...where(), id: asked.nodeId, logger };
    const { snapshots, log, begun: found } = await openDataDirectory(options);
    expect(log).toBeUndefined();
    const made = await makeLog(options, asked, found);
    await made.wal.save({ term: 1, vote: 0, commit: 0 }, [], true);
    await made.wal.close();
    await snapshots.close();
    return made;
  }

  test("makeLog makes it anew for another cluster and for another member, keeps its incarnation, and says why", async () => {
    for (const asked of [
      { nodeId: 1, clusterId: 8, incarnation: 12 },
      { nodeId: 2, clusterId: 7, incarnation: 12 },
    ]) {
      await begun();
      const lines: string[] = [];
      const made = await start(asked, { info: (line) => lines.push(line) });
      expect(made).toMatchObject({ clusterId: asked.clusterId, incarnation: 11, recovered: undefined });
      expect(lines).toContain(
        `${dataDir} was begun for member 1 of cluster 7, and nothing was ever saved in it: it is made anew for member ${asked.nodeId} of ` +
          `cluster ${asked.clusterId}`,
      );
      expect(await readMetadata(nodeFileSystem, dataDir)).toEqual({ ...asked, incarnation: 11, isSaved: true });
      await fs.rm(path.join(dataDir, "member"), { recursive: true });
    }
  });

  test("makeLog draws the incarnation of a log that has none, as etcd makes it", async () => {
    await begun({ ...identity, incarnation: 0 });
    expect(await start({ nodeId: 1, clusterId: 8, incarnation: 12 })).toMatchObject({ incarnation: 12 });
  });

  test("makeLog opens it for the same member and cluster, and makes nothing anew", async () => {
    const before = await begun();
    const { snapshots, begun: found } = await openDataDirectory(where());
    const made = await makeLog(where(), { ...identity, incarnation: 12 }, found);
    expect(made).toMatchObject({ clusterId: 7, incarnation: 11, recovered: undefined });
    await made.wal.close();
    await snapshots.close();
    for (const [file, bytes] of await contents()) {
      const used = bytes.findLastIndex((byte) => byte !== 0) + 1;
      expect(bytes.subarray(0, 100)).toEqual(before.get(file)?.subarray(0, 100));
      expect(used).toBeGreaterThanOrEqual(100);
    }
  });

  test.each<[string, HardState | undefined, Entry[]]>([
    ["a vote alone", { term: 2, vote: 3, commit: 0 }, []],
    ["a term alone", { term: 2, vote: 0, commit: 0 }, []],
    ["a bootstrap", { term: 1, vote: 0, commit: 1 }, [makeEntry(1, 1, 1, undefined)]],
    ["entries without a hard state", undefined, [makeEntry(0, 1, 1, undefined)]],
  ])(
    "is one no more with %s, and openDataDirectory refuses it to another member and changes nothing",
    async (_what, state, entries) => {
      const { snapshots } = await openDataDirectory(where());
      const { wal } = await makeLog(where(), identity, undefined);
      await wal.save(state, entries, true);
      await wal.close();
      await snapshots.close();
      expect(await readMetadata(nodeFileSystem, dataDir)).toEqual({ ...identity, isSaved: true });
      const before = await contents();
      await expect(openDataDirectory({ ...where(), id: 2 })).rejects.toMatchObject({
        code: "OTHER_MEMBER",
        message: `${dataDir} holds the log of member 1, not of member 2: start with --id=1, or with another --data-dir`,
      });
      expect(await contents()).toEqual(before);
      const { log, snapshots: again } = await openDataDirectory(where());
      expect(log).toMatchObject({ clusterId: 7 });
      await log?.wal.close();
      await again.close();
    },
  );

  test("is no longer one with a snapshot that the log has no record of", async () => {
    await begun();
    const { snapshots, begun: found } = await openDataDirectory(where());
    expect(found).toMatchObject(identity);
    async function* chunks() {
      yield Uint8Array.of(1, 2, 3);
    }
    await snapshots.save({ index: 9, term: 1, confState: makeConfState({ voters: [1] }) }, chunks());
    await snapshots.close();
    const again = await openDataDirectory(where());
    expect(again).toMatchObject({ begun: undefined, log: { clusterId: 7, recovered: undefined } });
    await again.log?.wal.close();
    await again.snapshots.close();
  });
});

describe("the directory of the log may be", () => {
  async function startsTwice(): Promise<void> {
    const first = await openDataDirectory(where());
    const { wal } = await makeLog(where(), identity, first.begun);
    await wal.save({ term: 1, vote: 0, commit: 1 }, [makeEntry(0, 1, 1, undefined)], true);
    await wal.close();
    await first.snapshots.close();
    const { log, snapshots } = await openDataDirectory(where());
    expect(log?.recovered).toMatchObject({ entries: [{ index: 1 }] });
    await log?.wal.close();
    await snapshots.close();
  }

  test("a link to an empty directory, as may be that of the snapshots", async () => {
    for (const name of ["wal", "snap"]) {
      await fs.mkdir(path.join(dataDir, `elsewhere-${name}`));
      await fs.mkdir(path.join(dataDir, "member"), { recursive: true });
      await fs.symlink(path.join(dataDir, `elsewhere-${name}`), path.join(dataDir, "member", name));
    }
    await startsTwice();
    expect(await fs.readdir(path.join(dataDir, "elsewhere-wal"))).toEqual(["0000000000000000-0000000000000000.wal"]);
  });

  test("a file system of its own, with nothing in it but lost+found", async () => {
    await fs.mkdir(path.join(dataDir, "member", "wal", "lost+found"), { recursive: true });
    await startsTwice();
  });

  test.each<[string, (file: string) => Promise<void>]>([
    ["a file", (file) => fs.writeFile(file, "")],
    ["a link to nowhere", (file) => fs.symlink("nowhere", file)],
    ["a link to a file", (file) => fs.writeFile(`${file}.txt`, "").then(() => fs.symlink(`${file}.txt`, file))],
    ["a link to itself", (file) => fs.symlink(file, file)],
  ])("but not %s: the error names the path and says what to do, for each directory", async (_what, put) => {
    for (const at of ["", "member", "member/snap", "member/wal"]) {
      const root = path.join(dataDir, `root-${at.replace("/", "-")}`);
      await fs.mkdir(path.dirname(path.join(root, at)), { recursive: true });
      await put(path.join(root, at));
      const options = { ...where(), path: root };
      const starting = async () => {
        const { snapshots, begun } = await openDataDirectory(options);
        await makeLog(options, identity, begun).finally(() => snapshots.close());
      };
      const error = await starting().catch((caught: Error) => caught);
      expect(error?.message).toContain(path.join(root, at));
      expect(error?.message).toMatch(/(move it away|mend them), or choose another directory$/);
    }
  });
});
