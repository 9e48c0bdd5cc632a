// Damage: every bit of a closed log and of a snapshot is flipped once, and every file cut off at every length.
//
// What a start gives then is what was written, or a refusal that names the file and where in it; or, of the one record
// that closes a log, which repeats the one before it, a tail that is cut with a copy kept. Never anything else. No read
// asks for more memory than the file has bytes.

import { beforeAll, describe, expect, test } from "vitest";
import type { File, FileSystem } from "../../disk/index.ts";
import { makeSnapshot } from "../../raft/raftpb/index.ts";
import { FakeDisk } from "../../sim/disk.ts";
import { SnapError, Snapshotter, snapshotName } from "../../snap/index.ts";
import { Wal, WalError } from "../../wal/index.ts";
import { confState, createWal, entry, hardState, metadata, noise, snap, textOf, walFile } from "./member.ts";

const segmentBytes = 1024;
const newDisk = (): FakeDisk => new FakeDisk({ random: () => 0 });

/** Refuses reads into more bytes than the file has. */
function sparing(disk: FakeDisk): FileSystem {
  const file = async (opened: Promise<File>): Promise<File> => {
    const real = await opened;
    const read = async (into: Uint8Array, offset: number): Promise<number> => {
      const size = await real.size();
      if (into.buffer.byteLength > size) throw new Error(`a buffer of ${into.buffer.byteLength} bytes for ${size}`);
      return real.read(into, offset);
    };
    return { ...real, read };
  };
  return {
    open: (path, mode) => file(disk.open(path, mode)),
    rename: (from, to) => disk.rename(from, to),
    unlink: (path) => disk.unlink(path),
    list: (directory) => disk.list(directory),
    makeDirectory: (directory) => disk.makeDirectory(directory),
    syncDirectory: (directory) => disk.syncDirectory(directory),
    lock: (directory) => disk.lock(directory),
  };
}

/** The same bytes with one bit flipped. */
function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const spoilt = bytes.slice();
  spoilt[bit >> 3]! ^= 1 << (bit & 7);
  return spoilt;
}

describe("a closed log of three segments", () => {
  const pristine = new Map<string, Uint8Array>();
  const counts = { exact: 0, refused: 0, cut: 0 };
  let contents: string;
  /** Where the record begins that closes the log. */
  let closing: number;
  let last: string;

  beforeAll(async () => {
    const disk = newDisk();
    const wal = await createWal(disk, segmentBytes);
    for (let i = 1; i <= 14; i++) await wal.save(hardState(1, 1, i - 1), [entry(i, 1, 90)], true);
    last = [...disk.files().keys()].at(-1) as string;
    closing = usedOf(disk.files().get(last) as Uint8Array);
    await wal.close();
    for (const [path, bytes] of disk.files()) pristine.set(path, bytes);
    expect(pristine.size).toBe(3);
    contents = (await outcome(last, pristine.get(last) as Uint8Array)).contents as string;
    counts.exact = 0;
  });

  function usedOf(bytes: Uint8Array): number {
    let used = bytes.length;
    while (used > 0 && bytes[used - 1] === 0) used--;
    return Math.ceil(used / 8) * 8;
  }

  async function outcome(path: string, bytes: Uint8Array): Promise<{ contents?: string; refusal?: WalError }> {
    const disk = newDisk();
    for (const [name, sound] of pristine) disk.put(name, name === path ? bytes : sound);
    try {
      const { wal, recovered } = await Wal.open({ fileSystem: sparing(disk), directory: walFile, segmentBytes });
      await wal.close();
      expect(recovered.metadata).toEqual(metadata);
      if (recovered.repaired === undefined) counts.exact++;
      else {
        counts.cut++;
        const backup = disk.files().get(recovered.repaired.backup) as Uint8Array;
        expect(Buffer.compare(backup, bytes.subarray(0, backup.length))).toBe(0);
        expect(backup.length).toBeGreaterThanOrEqual(usedOf(bytes) - 8);
      }
      return { contents: textOf("none", recovered.hardState, recovered.entries) };
    } catch (error) {
      if (!(error instanceof WalError)) throw error;
      counts.refused++;
      expect(Buffer.compare(disk.files().get(path) as Uint8Array, bytes)).toBe(0);
      return { refusal: error };
    }
  }

  /**
   * Either the exact contents, or a refusal of this file at an offset not behind the damage, or of the one that follows
   * it.
   */
  async function check(path: string, bytes: Uint8Array, damagedAt: number): Promise<void> {
    const result = await outcome(path, bytes);
    if (result.contents !== undefined) {
      expect(result.contents, `${path} damaged at ${damagedAt}`).toBe(contents);
      if (path !== last || damagedAt < closing) throw new Error(`${path}: damage at ${damagedAt} passes unnoticed`);
      return;
    }
    const { code, file, offset, message } = result.refusal as WalError;
    expect(code).toBe("DAMAGED");
    expect(message).toContain(`${file}: damaged at offset ${offset}`);
    expect(file).toBe(path);
    expect(offset).toBeLessThanOrEqual(damagedAt);
  }

  test("with any bit flipped gives what was written, or is refused with file and offset", {
    timeout: 300_000,
  }, async () => {
    let bits = 0;
    for (const [path, bytes] of pristine) {
      expect(bytes.length).toBeLessThanOrEqual(8192);
      for (let bit = 0; bit < 8 * bytes.length; bit++, bits++) await check(path, flipped(bytes, bit), bit >> 3);
    }
    console.log(`log: ${bits} bits flipped: ${JSON.stringify(counts)}`);
    expect(counts.cut).toBeGreaterThan(0);
    expect(counts.refused).toBeGreaterThan(8 * closing);
  });

  test("with any file cut off at any length is refused with file and offset", { timeout: 300_000 }, async () => {
    Object.assign(counts, { exact: 0, refused: 0, cut: 0 });
    let cuts = 0;
    for (const [path, bytes] of pristine) {
      for (let size = 0; size < bytes.length; size++, cuts++) {
        const { refusal, contents: found } = await outcome(path, bytes.subarray(0, size));
        expect(found, `${path} cut off at ${size}`).toBeUndefined();
        expect(refusal).toMatchObject({ code: "DAMAGED", file: expect.any(String), offset: expect.any(Number) });
      }
    }
    console.log(`log: ${cuts} times cut off: ${JSON.stringify(counts)}`);
    expect(counts).toEqual({ exact: 0, refused: cuts, cut: 0 });
  });
});

describe("a snapshot", () => {
  const position = { index: 77, term: 3 };
  const path = `${snap}/${snapshotName(position)}`;
  const data = noise(1500, 5);
  let pristine: Uint8Array;

  beforeAll(async () => {
    const disk = newDisk();
    const store = await Snapshotter.open({ fileSystem: disk, directory: snap });
    async function* chunks(): AsyncGenerator<Uint8Array, void, void> {
      yield data;
    }
    await store.save(makeSnapshot(position.index, position.term, confState).metadata, chunks());
    pristine = disk.files().get(path) as Uint8Array;
    expect(pristine.length).toBeLessThanOrEqual(8192);
  });

  async function read(bytes: Uint8Array): Promise<Uint8Array> {
    const disk = newDisk();
    disk.put(path, bytes);
    const store = await Snapshotter.open({ fileSystem: sparing(disk), directory: snap });
    const all: Uint8Array[] = [];
    for await (const chunk of store.read(position)) all.push(chunk);
    return Buffer.concat(all);
  }

  async function refusal(bytes: Uint8Array): Promise<void> {
    const error: unknown = await read(bytes).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(SnapError);
    expect(error).toMatchObject({ code: "DAMAGED", file: path, message: expect.stringContaining(path) });
  }

  test("with any bit flipped, or cut off at any length, is refused with its file", { timeout: 300_000 }, async () => {
    expect(Buffer.compare(await read(pristine), data)).toBe(0);
    for (let bit = 0; bit < 8 * pristine.length; bit++) await refusal(flipped(pristine, bit));
    for (let size = 0; size < pristine.length; size++) await refusal(pristine.subarray(0, size));
    console.log(`snapshot: ${8 * pristine.length} bits flipped, ${pristine.length} times cut off: all refused`);
  });

  test("with any bit flipped is set aside by a start, which takes the one before it", {
    timeout: 300_000,
  }, async () => {
    const older = { index: 5, term: 1 };
    const disk = newDisk();
    const store = await Snapshotter.open({ fileSystem: disk, directory: snap });
    async function* chunks(): AsyncGenerator<Uint8Array, void, void> {
      yield data.subarray(0, 20);
    }
    await store.save(makeSnapshot(older.index, older.term, confState).metadata, chunks());
    await store.close();
    for (let bit = 0; bit < 8 * pristine.length; bit += 37) {
      const damaged = disk.fork();
      damaged.put(path, flipped(pristine, bit));
      const start = await Snapshotter.open({ fileSystem: damaged, directory: snap });
      expect(await start.newest([older, position])).toMatchObject(older);
      expect([...damaged.files().keys()]).toContain(`${path}.broken`);
    }
  });
});
