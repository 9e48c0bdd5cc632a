// The directory of snapshots: the promises of read, newest, release and close on real files; saving.test.ts has the
// rest.

import fs from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { FileSystemError } from "../disk/file-system.ts";
import { nodeFileSystem } from "../disk/node-file-system.ts";
import { removeTemporary, temporary, text, unsynced, watched } from "../disk/testing.ts";
import { chunksOf, closeStores, collect, confState, filesIn, metadataAt, nameAt, noise, openStore } from "./testing.ts";
import { pieceBytes, syncBytes } from "./write.ts";

afterEach(closeStores);
afterAll(removeTemporary);

/** Spoils one byte in the middle of a file. */
function spoil(file: string): void {
  const bytes = fs.readFileSync(file);
  const middle = Math.floor(bytes.length / 2);
  bytes[middle] = (bytes[middle] as number) ^ 0x10;
  fs.writeFileSync(file, bytes);
}

describe("a snapshot that Snapshotter.save wrote", () => {
  test.each([
    [0, 1],
    [1, 1],
    [300, 7],
    [pieceBytes, pieceBytes],
    [5_000_000, 77_777],
    [5_000_000, 5_000_000],
    [2 * syncBytes, 1_000_003],
  ])("of %i bytes, given in chunks of %i, is read as it was given", async (size, chunkSize) => {
    const { store, directory } = await openStore();
    const data = noise(size);
    await store.save(metadataAt(1000, 7), chunksOf(data, chunkSize));
    expect(filesIn(directory)).toEqual(["0000000000000007-00000000000003e8.snap"]);
    expect((await collect(store.read({ index: 1000, term: 7 }))).equals(data)).toBe(true);
    expect(await store.verify({ index: 1000, term: 7 })).toEqual({ index: 1000, term: 7, confState });
    expect(await store.readMetadata({ index: 1000, term: 7 })).toEqual({ index: 1000, term: 7, confState });
  });

  test("may have any data in any chunks, and any position and members below 2^53", async () => {
    const { store } = await openStore({ fileSystem: unsynced });
    const ids = fc.array(fc.maxSafeNat(), { maxLength: 5 });
    const property = fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }),
      fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      fc.maxSafeNat(),
      fc.record({ voters: ids, learners: ids, votersOutgoing: ids, learnersNext: ids, autoLeave: fc.boolean() }),
      async (chunks, index, term, members) => {
        const source = async function* () {
          yield* chunks;
        };
        await store.save({ index, term, confState: members }, source());
        expect((await collect(store.read({ index, term }))).equals(Buffer.concat(chunks))).toBe(true);
        expect(await store.newest([{ index, term }])).toEqual({ index, term, confState: members });
      },
    );
    await fc.assert(property, { numRuns: 300 });
  });

  test("replaces one with the same index and term, and a read of the old one goes on", async () => {
    const { store, directory } = await openStore();
    const [old, young] = [noise(600_000, 1), noise(600_000, 2)];
    await store.save(metadataAt(5), chunksOf(old));
    const reading = store.read({ index: 5, term: 1 });
    const first = (await reading.next()).value as Uint8Array;
    await store.save(metadataAt(5), chunksOf(young));
    expect(Buffer.concat([first, await collect(reading)]).equals(old)).toBe(true);
    expect((await collect(store.read({ index: 5, term: 1 }))).equals(young)).toBe(true);
    expect(filesIn(directory)).toHaveLength(1);
  });

  test("is readable by its owner alone", async () => {
    const { store, directory } = await openStore();
    await store.save(metadataAt(5), chunksOf(text("state")));
    expect(fs.statSync(path.join(directory, nameAt(5))).mode & 0o777).toBe(0o600);
  });

  test("must have an index above 0", async () => {
    const { store } = await openStore();
    await expect(store.save(metadataAt(0), chunksOf(text("state")))).rejects.toThrow("stands for no entry");
  });

  test("is not found under another index or term", async () => {
    const { store } = await openStore();
    await store.save(metadataAt(5, 2), chunksOf(text("state")));
    for (const position of [
      { index: 6, term: 2 },
      { index: 5, term: 3 },
    ]) {
      await expect(collect(store.read(position))).rejects.toMatchObject({ name: "SnapError", code: "NOT_FOUND" });
      await expect(store.verify(position)).rejects.toMatchObject({ code: "NOT_FOUND" });
    }
  });
});

describe("Snapshotter.newest", () => {
  const confirmed = [
    { index: 0, term: 0 },
    { index: 10, term: 1 },
    { index: 20, term: 1 },
    { index: 30, term: 2 },
  ];
  const three = async () => {
    const opened = await openStore();
    await opened.store.save(metadataAt(20), chunksOf(text("twenty")));
    await opened.store.save(metadataAt(10), chunksOf(text("ten")));
    await opened.store.save(metadataAt(30, 2), chunksOf(text("thirty")));
    return opened;
  };

  test("finds the confirmed snapshot of the highest index, whatever other files there are", async () => {
    const { store, directory, warnings } = await three();
    await store.save(metadataAt(40, 2), chunksOf(text("not confirmed")));
    await store.save(metadataAt(30, 3), chunksOf(text("of another term")));
    for (const name of ["db", "0000000000000005.snap.db", "lock"]) fs.writeFileSync(path.join(directory, name), "x");
    spoil(path.join(directory, nameAt(40, 2)));
    const before = filesIn(directory);
    expect(await store.newest(confirmed)).toEqual({ index: 30, term: 2, confState });
    expect(filesIn(directory)).toEqual(before);
    expect(warnings).toEqual([]);
    expect(await store.list()).toEqual([
      { index: 10, term: 1 },
      { index: 20, term: 1 },
      { index: 30, term: 2 },
      { index: 40, term: 2 },
      { index: 30, term: 3 },
    ]);
  });

  test("sets a file with a flipped bit aside, warns with the reason, and finds the next older one", async () => {
    const { store, directory, warnings } = await three();
    const bad = path.join(directory, nameAt(30, 2));
    spoil(bad);
    const spoilt = fs.readFileSync(bad);
    expect(await store.newest(confirmed)).toEqual({ index: 20, term: 1, confState });
    expect(filesIn(directory)).toEqual([nameAt(10), nameAt(20), `${nameAt(30, 2)}.broken`]);
    expect(fs.readFileSync(`${bad}.broken`).equals(spoilt)).toBe(true);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/its checksum is [0-9a-f]{8}, and should be [0-9a-f]{8}/);
    expect(warnings[0]).toContain(`${bad}.broken`);
  });

  test("finds none if all are bad, and sets all aside", async () => {
    const { store, directory, warnings } = await three();
    fs.truncateSync(path.join(directory, nameAt(10)), 0);
    fs.truncateSync(path.join(directory, nameAt(20)), 9);
    spoil(path.join(directory, nameAt(30, 2)));
    expect(await store.newest(confirmed)).toBeUndefined();
    expect(filesIn(directory)).toEqual([nameAt(10), nameAt(20), nameAt(30, 2)].map((name) => `${name}.broken`));
    expect(warnings.map((line) => /not a sound snapshot: ([^.]*)/.exec(line)?.[1]?.slice(0, 12))).toEqual([
      "its checksum",
      "a number bef",
      "it is empty",
    ]);
    expect(await store.list()).toEqual([]);
  });

  test("finds none in an empty directory, and where none is confirmed", async () => {
    expect(await (await openStore()).store.newest(confirmed)).toBeUndefined();
    const { store, directory } = await three();
    expect(await store.newest([{ index: 30, term: 1 }])).toBeUndefined();
    expect(filesIn(directory)).toHaveLength(3);
  });

  test("does not accept a file that has the name of another", async () => {
    const { store, directory, warnings } = await three();
    fs.copyFileSync(path.join(directory, nameAt(10)), path.join(directory, nameAt(30, 2)));
    expect(await store.newest(confirmed)).toMatchObject({ index: 20 });
    expect(warnings[0]).toContain("it is the snapshot of index 10 and term 1");
  });

  test("stops at a disk that cannot be read, and sets nothing aside", async () => {
    const { store, directory } = await three();
    await store.close();
    const fileSystem = watched((call, file) => {
      if (call === "read" && file.includes(nameAt(30, 2))) throw new FileSystemError(call, file, "EIO", "bad sector");
    });
    const again = await openStore({ directory, fileSystem });
    await expect(again.store.newest(confirmed)).rejects.toMatchObject({ code: "DISK_FAILED", cause: { code: "EIO" } });
    expect(filesIn(directory)).toEqual([nameAt(10), nameAt(20), nameAt(30, 2)]);
  });
});

describe("Snapshotter.discardUnconfirmed", () => {
  test("deletes the snapshots that the log has no record of, and no others", async () => {
    const { store, directory } = await openStore();
    for (const index of [10, 20, 30]) await store.save(metadataAt(index), chunksOf(text("state")));
    await store.close();
    fs.writeFileSync(path.join(directory, `${nameAt(5)}.broken`), "x");
    const again = await openStore({ directory });
    expect(await again.store.discardUnconfirmed([{ index: 20, term: 1 }])).toBe(2);
    expect(filesIn(directory)).toEqual([`${nameAt(5)}.broken`, nameAt(20)]);
    expect(await again.store.discardUnconfirmed([{ index: 20, term: 1 }])).toBe(0);
  });

  test("refuses once a snapshot has been saved that cannot be confirmed yet", async () => {
    const { store } = await openStore();
    await store.save(metadataAt(10), chunksOf(text("state")));
    await expect(store.discardUnconfirmed([])).rejects.toThrow("before the first save");
    expect(await store.list()).toHaveLength(1);
  });
});

describe("Snapshotter.release", () => {
  test("deletes files of a lower index, broken ones too, and no others", async () => {
    const { store, directory } = await openStore();
    for (const index of [10, 20, 30, 40]) await store.save(metadataAt(index), chunksOf(text("state")));
    const others = [
      `${nameAt(5)}.broken`,
      `${nameAt(35)}.broken`,
      `${nameAt(7)}.9.tmp`,
      "0000000000000005.snap.db",
      "x.snap",
    ];
    for (const name of others) fs.writeFileSync(path.join(directory, name), "x");
    await store.release(30);
    expect(filesIn(directory)).toEqual(
      [
        nameAt(30),
        nameAt(40),
        `${nameAt(35)}.broken`,
        `${nameAt(7)}.9.tmp`,
        "0000000000000005.snap.db",
        "x.snap",
      ].sort(),
    );
    await store.release(30);
    await store.release(0);
    expect(await store.list()).toEqual([30, 40].map((index) => ({ index, term: 1 })));
  });

  test("begins with the oldest and ends with a sync of the directory", async () => {
    const calls: string[] = [];
    const { store } = await openStore({
      fileSystem: watched((call, file) => void calls.push(`${call} ${path.basename(file)}`)),
    });
    for (const index of [20, 10, 30]) await store.save(metadataAt(index), chunksOf(text("state")));
    calls.length = 0;
    await store.release(30);
    expect(calls).toEqual(["list snap", `unlink ${nameAt(10)}`, `unlink ${nameAt(20)}`, "syncDirectory snap"]);
  });

  test("does not disturb a read that has begun", async () => {
    const { store } = await openStore();
    const data = noise(600_000);
    await store.save(metadataAt(10), chunksOf(data));
    const reading = store.read({ index: 10, term: 1 });
    const first = (await reading.next()).value as Uint8Array;
    await store.release(20);
    expect(Buffer.concat([first, await collect(reading)]).equals(data)).toBe(true);
    await expect(collect(store.read({ index: 10, term: 1 }))).rejects.toMatchObject({ code: "NOT_FOUND" });
  });
});

describe("Snapshotter.open and Snapshotter.close", () => {
  test("create the directory with its parents, for the owner alone, and make their names durable", async () => {
    const directory = path.join(temporary(), "member", "snap");
    const synced: string[] = [];
    const fileSystem = watched((call, file) => void (call === "syncDirectory" && synced.push(file)));
    await openStore({ directory: `${directory}/`, fileSystem });
    expect(fs.statSync(directory).mode & 0o777).toBe(0o700);
    expect(synced).toEqual([directory, path.dirname(directory)]);
  });

  test("remove temporary files, and warn of names that may be a snapshot's", async () => {
    const directory = temporary();
    for (const name of [`${nameAt(5)}.3.tmp`, "notes", "old.snap", nameAt(4)]) {
      fs.writeFileSync(path.join(directory, name), "x");
    }
    const { warnings } = await openStore({ directory });
    expect(filesIn(directory)).toEqual([nameAt(4), "notes", "old.snap"]);
    expect(warnings).toEqual([`${directory}/old.snap: not the name of a snapshot; it is not looked at`]);
  });

  test("lock the directory: a second store is refused until the first is closed", async () => {
    const { store, directory } = await openStore();
    const refused = await openStore({ directory }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ name: "SnapError", code: "LOCKED", file: directory });
    expect((refused as Error).message).toContain("has this directory open");
    await store.close();
    await store.close();
    await openStore({ directory });
  });

  test("unlock the directory if it cannot be opened", async () => {
    const directory = temporary();
    const fileSystem = watched((call, file) => {
      if (call === "syncDirectory") throw new FileSystemError(call, file, "EIO", "input/output error");
    });
    await expect(openStore({ directory, fileSystem })).rejects.toMatchObject({ code: "DISK_FAILED" });
    await openStore({ directory });
  });

  test("end a running save and its source, remove its file, and wait for that", async () => {
    const { store, directory } = await openStore();
    let ended = false;
    let asked = (): void => undefined;
    const began = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const source = async function* () {
      try {
        for (;;) {
          asked();
          yield noise(1000);
        }
      } finally {
        ended = true;
      }
    };
    const saving = store.save(metadataAt(5), source()).catch((error: unknown) => error);
    await began;
    await store.close();
    expect(await saving).toMatchObject({ code: "CLOSED" });
    expect(ended).toBe(true);
    expect(filesIn(directory)).toEqual([]);
    await (await nodeFileSystem.lock(directory)).release();
  });

  test("refuse calls after close, and end the source of a refused save", async () => {
    const { store } = await openStore();
    await store.save(metadataAt(5), chunksOf(text("state")));
    await store.close();
    const source = chunksOf(text("state"));
    const calls = [
      () => store.save(metadataAt(6), source),
      () => collect(store.read({ index: 5, term: 1 })),
      () => store.readMetadata({ index: 5, term: 1 }),
      () => store.verify({ index: 5, term: 1 }),
      () => store.newest([]),
      () => store.list(),
      () => store.release(9),
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject({ code: "CLOSED" });
    expect((await source.next()).done).toBe(true);
  });
});
