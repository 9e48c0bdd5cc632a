// Saving: the order of its calls, what it leaves behind when the source or the disk fails, and that other work gets its
// turn.

import { afterAll, afterEach, describe, expect, test } from "vitest";
import { FileSystemError } from "../disk/file-system.ts";
import { removeTemporary, text, unsynced, watched } from "../disk/testing.ts";
import { makeConfState } from "../raft/raftpb/index.ts";
import { SnapError } from "./index.ts";
import { chunksOf, closeStores, collect, filesIn, metadataAt, nameAt, noise, openStore } from "./testing.ts";
import { pieceBytes, syncBytes } from "./write.ts";

afterEach(closeStores);
afterAll(removeTemporary);

describe("Snapshotter.save", () => {
  test("asks for a chunk only when the one before is in the file, and yields after each piece", async () => {
    const events: string[] = [];
    const fileSystem = watched((call) => void (call === "writeAt" && events.push("write")));
    const pause = async () => void events.push("turn");
    const { store } = await openStore({ fileSystem, pause });
    const source = async function* () {
      for (let i = 0; i < 3; i++) {
        events.push("asked");
        yield new Uint8Array(2 * pieceBytes - 1);
      }
      events.push("asked");
    };
    await store.save(metadataAt(5), source());
    const chunk = ["asked", "write", "turn", "write", "turn"];
    expect(events).toEqual([...chunk, ...chunk, ...chunk, "asked", "write", "write"]);
  });

  test("lets timers and sockets run while one big chunk is written", async () => {
    const { store } = await openStore({ fileSystem: unsynced });
    let turns = 0;
    let saving = true;
    const count = () => {
      turns++;
      if (saving) setImmediate(count);
    };
    setImmediate(count);
    await store.save(metadataAt(5), chunksOf(new Uint8Array(20 * pieceBytes), 20 * pieceBytes));
    saving = false;
    expect(turns).toBeGreaterThanOrEqual(20);
  });

  test("syncs every few MiB, then the whole, then gives the file its name, then syncs the name", async () => {
    const calls: string[] = [];
    let unsyncedWrites = 0;
    const fileSystem = watched((call) => {
      if (call === "writeAt") unsyncedWrites++;
      else calls.push(`${call} after ${unsyncedWrites}`);
      if (call === "datasync") unsyncedWrites = 0;
    });
    const { store } = await openStore({ fileSystem });
    calls.length = 0;
    await store.save(metadataAt(5), chunksOf(new Uint8Array(2 * syncBytes + 10), pieceBytes));
    const each = syncBytes / pieceBytes;
    expect(calls).toEqual([
      "open after 0",
      `datasync after ${each}`,
      `datasync after ${each}`,
      "datasync after 3", // the last bytes, the metadata, the head
      "rename after 0",
      "syncDirectory after 0",
    ]);
  });

  test("throws the source's own error and leaves nothing", async () => {
    const { store, directory } = await openStore();
    const error = new Error("the peer is gone");
    const source = async function* () {
      yield noise(300_000);
      throw error;
    };
    await expect(store.save(metadataAt(5), source())).rejects.toBe(error);
    expect(filesIn(directory)).toEqual([]);
  });

  test("throws a disk error of the source unchanged", async () => {
    const { store, directory } = await openStore();
    const error = new FileSystemError("read", "/elsewhere", "EIO", "bad sector");
    const source = async function* () {
      yield noise(300);
      throw error;
    };
    await expect(store.save(metadataAt(5), source())).rejects.toBe(error);
    expect(filesIn(directory)).toEqual([]);
  });

  test.each(["open", "writeAt", "datasync", "rename"])(
    "leaves nothing when the disk fails %s, tells so, ends the source, and can be tried again",
    async (failing) => {
      let broken = false;
      const fileSystem = watched((call, file) => {
        if (broken && call === failing) throw new FileSystemError(call, file, "ENOSPC", "no space left on device");
      });
      const { store, directory, warnings } = await openStore({ fileSystem });
      let ended = 0;
      const source = (data: Uint8Array): AsyncIterable<Uint8Array> => {
        const chunks = chunksOf(data);
        const end = (): Promise<IteratorResult<Uint8Array>> => {
          ended++;
          return chunks.return();
        };
        return { [Symbol.asyncIterator]: () => ({ next: () => chunks.next(), return: end }) };
      };
      await store.save(metadataAt(4), source(text("before")));
      broken = true;
      const failure = await store.save(metadataAt(5), source(noise(3000))).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(SnapError);
      expect(failure).toMatchObject({ code: "DISK_FAILED", cause: { code: "ENOSPC" } });
      expect((failure as Error).message).toContain("no space left on device");
      expect(ended).toBe(1);
      expect(filesIn(directory)).toEqual([nameAt(4)]);
      expect(warnings).toEqual([]);
      broken = false;
      await store.save(metadataAt(5), source(text("after")));
      expect((await collect(store.read({ index: 5, term: 1 }))).toString()).toBe("after");
    },
  );

  test("leaves a whole, unconfirmed file when only its name cannot be made durable", async () => {
    let broken = false;
    const fileSystem = watched((call, file) => {
      if (broken && call === "syncDirectory") throw new FileSystemError(call, file, "EIO", "input/output error");
    });
    const { store } = await openStore({ fileSystem });
    await store.save(metadataAt(4), chunksOf(text("old")));
    broken = true;
    await expect(store.save(metadataAt(4), chunksOf(text("new")))).rejects.toMatchObject({ code: "DISK_FAILED" });
    expect((await collect(store.read({ index: 4, term: 1 }))).toString()).toBe("new");
  });

  test("warns of a temporary file that it cannot remove, and the next start removes it", async () => {
    const fileSystem = watched((call, file) => {
      if (call === "unlink") throw new FileSystemError(call, file, "EIO", "input/output error");
    });
    const { store, directory, warnings } = await openStore({ fileSystem });
    const source = async function* (): AsyncGenerator<Uint8Array> {
      yield text("state");
      throw new Error("the peer is gone");
    };
    for (let i = 0; i < 2; i++) await expect(store.save(metadataAt(5), source())).rejects.toThrow("the peer is gone");
    expect(filesIn(directory)).toEqual([`${nameAt(5)}.1.tmp`, `${nameAt(5)}.2.tmp`]);
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toContain(`${directory}/${nameAt(5)}.1.tmp: left behind`);
    await store.close();
    await openStore({ directory });
    expect(filesIn(directory)).toEqual([]);
  });

  test("may run several times at once, for the same snapshot too", async () => {
    const { store, directory } = await openStore();
    const [a, b] = [noise(700_000, 1), noise(700_000, 2)];
    await Promise.all([
      store.save(metadataAt(5), chunksOf(a, 10_000)),
      store.save(metadataAt(5), chunksOf(b, 9_999)),
      store.save(metadataAt(6), chunksOf(a, 11_111)),
    ]);
    expect(filesIn(directory)).toEqual([nameAt(5), nameAt(6)]);
    const five = await collect(store.read({ index: 5, term: 1 }));
    expect(five.equals(a) || five.equals(b)).toBe(true);
    expect((await collect(store.read({ index: 6, term: 1 }))).equals(a)).toBe(true);
  });

  test("refuses data beyond the limit of a file before it writes it", async () => {
    const { store, directory } = await openStore();
    const endless = { length: 2 ** 36, subarray: () => ({ length: 2 ** 36 }) } as unknown as Uint8Array;
    const source = async function* () {
      yield noise(1000);
      yield endless;
    };
    await expect(store.save(metadataAt(5), source())).rejects.toMatchObject({ code: "TOO_LARGE" });
    expect(filesIn(directory)).toEqual([]);
  });

  test("refuses members that cannot be encoded before it asks for a chunk", async () => {
    const { store, directory } = await openStore();
    let asked = false;
    const source = async function* () {
      asked = true;
      yield text("state");
    };
    const members = makeConfState({ voters: [2 ** 53] });
    await expect(store.save({ index: 5, term: 1, confState: members }, source())).rejects.toThrow(RangeError);
    expect(asked).toBe(false);
    expect(filesIn(directory)).toEqual([]);
  });
});
