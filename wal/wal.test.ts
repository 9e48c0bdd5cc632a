import fs from "node:fs";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { nodeFileSystem } from "../disk/index.ts";
import { removeTemporary, temporary, text, watched } from "../disk/testing.ts";
import { encodeEntry, encodeHardState } from "../raft/raftpb/index.ts";
import type { LogStore } from "../server/interfaces.ts";
import { type LogItem, readRecords, Wal } from "./index.ts";
import { copyOf, entries, entry, hardState, lastOf, readAsEtcd, segmentsOf } from "./testing.ts";

afterAll(removeTemporary);

const metadata = Uint8Array.of(0x08, 1, 0x10, 2);
const confState = { voters: [1], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
const fileSystem = nodeFileSystem;
const fresh = (): string => path.join(temporary(), "wal");
const create = (directory: string, segmentBytes = 4096, on = fileSystem): Promise<Wal> =>
  Wal.create({ fileSystem: on, directory, metadata, segmentBytes });
const open = (directory: string, segmentBytes = 4096): ReturnType<typeof Wal.open> =>
  Wal.open({ fileSystem, directory, segmentBytes });
const reopened = async (directory: string) => {
  const { wal, recovered } = await open(directory);
  await wal.close();
  return recovered;
};

describe("Wal.create", () => {
  test("writes crc, metadata and the empty snapshot, in frames that etcd reads, into a file of mode 0600", async () => {
    const directory = fresh();
    const random = (): number => 0; // the salt is 2^48 then
    const wal = await Wal.create({ fileSystem, directory, metadata, segmentBytes: 4096, random });
    const file = path.join(directory, "0000000000000000-0000000000000000.wal");
    expect(fs.readdirSync(directory)).toEqual(["0000000000000000-0000000000000000.wal"]);
    expect(fs.statSync(file).mode & 0o777).toBe(0o600);
    expect(fs.statSync(directory).mode & 0o777).toBe(0o700);
    const bytes = fs.readFileSync(file);
    const head = [
      "1100000000000087 08041000 7080808080808040 7d........ 00000000000000", // crc 0
      "1b00000000000085 0801 10.......... 1a04 08011002 7080a08080808040 7d........ 0000000000", // metadata; size: 4096
      "1b00000000000085 0805 10.......... 1a04 08001000 7080808080808040 7d........ 0000000000", // snapshot 0/0
      "0000000000000000",
    ];
    expect(bytes.toString("hex")).toMatch(new RegExp(`^${head.join("").replaceAll(" ", "")}`));
    const records = readAsEtcd([file]);
    expect(records.map(({ type, data }) => [type, [...data]])).toEqual([
      [4, []],
      [1, [...metadata]],
      [5, [8, 0, 16, 0]],
    ]);
    expect(records.every(({ unknown }) => unknown.join() === "14,15")).toBe(true);
    await wal.close();
  });

  test("refuses a directory that holds a log, or any other file", async () => {
    const directory = fresh();
    await (await create(directory)).close();
    await expect(create(directory)).rejects.toMatchObject({ code: "EXISTS" });
    const other = temporary();
    fs.writeFileSync(path.join(other, "notes.txt"), "mine");
    await expect(create(other)).rejects.toMatchObject({ code: "EXISTS", message: /notes\.txt/ });
    expect(fs.readdirSync(other)).toEqual(["notes.txt"]);
  });

  test("takes an empty directory, and one whose path ends in a slash", async () => {
    const directory = temporary();
    await (await create(`${directory}/`)).close();
    expect(segmentsOf(directory)).toHaveLength(1);
  });

  test("leaves no log or a whole one, whichever call fails, and the next attempt succeeds", async () => {
    for (let failing = 1; ; failing++) {
      const directory = fresh();
      let calls = 0;
      const broken = watched((call, file) => {
        if (++calls === failing) throw new Error(`EIO: ${call} ${file}`);
      });
      const outcome = await create(directory, 4096, broken).catch((error: Error) => error);
      if (!(outcome instanceof Error)) {
        expect(failing).toBeGreaterThan(10); // every call has had its turn
        calls = Number.NEGATIVE_INFINITY;
        await outcome.close();
        break;
      }
      expect(outcome.message).toMatch(/^EIO/);
      if (fs.existsSync(directory)) expect((await reopened(directory)).metadata).toEqual(metadata);
      else await (await create(directory)).close();
    }
  });

  test("replaces the files of an interrupted creation", async () => {
    const directory = fresh();
    fs.mkdirSync(`${directory}.tmp`);
    fs.writeFileSync(path.join(`${directory}.tmp`, "0000000000000000-0000000000000000.wal"), "half");
    await (await create(directory)).close();
    expect((await reopened(directory)).metadata).toEqual(metadata);
    expect(fs.existsSync(`${directory}.tmp`)).toBe(false);
  });
});

describe("Wal.save", () => {
  test("writes entries and hard states that Wal.open returns; the last hard state wins", async () => {
    const directory = fresh();
    const wal = await create(directory);
    const store: LogStore = wal; // what server/ asks for
    await store.save(hardState(1, 1, 0), entries(1, 4), true);
    await store.save(hardState(2, 3, 2), entries(4, 6, 2), true);
    await store.save(hardState(2, 3, 5), [], false);
    await wal.close();
    const recovered = await reopened(directory);
    expect(recovered).toEqual({
      metadata,
      hardState: hardState(2, 3, 5),
      entries: [...entries(1, 4), ...entries(4, 6, 2)],
      repaired: undefined,
    });
  });

  test("has written the bytes when the call returns, before the sync", async () => {
    const directory = fresh();
    const wal = await create(directory);
    const saved = wal.save(hardState(1, 1, 0), [entry(1)], true);
    const written = readAsEtcd(segmentsOf(directory));
    expect(written.slice(3).map(({ type, data }) => [type, [...data]])).toEqual([
      [2, [...encodeEntry(entry(1))]],
      [3, [...encodeHardState(hardState(1, 1, 0))]],
    ]);
    await saved;
    await wal.close();
  });

  test("writes once and syncs once, neither without need, and for a new commit index alone only on demand", async () => {
    const calls: string[] = [];
    const directory = fresh();
    const wal = await create(
      directory,
      4096,
      watched((call) => calls.push(call)),
    );
    const during = async (work: Promise<void>): Promise<string[]> => {
      await work;
      return calls.splice(0);
    };
    calls.splice(0);
    expect((await during(wal.save(hardState(1, 1, 0), entries(1, 9), true))).slice(-2)).toEqual([
      "writeAt",
      "datasync",
    ]);
    expect(await during(wal.save(undefined, [], true))).toEqual([]);
    expect(await during(wal.save(hardState(0, 0, 0), [], true))).toEqual([]);
    expect(await during(wal.save(hardState(1, 1, 8), [], false))).toEqual(["writeAt"]);
    // Nothing to write, but a commit index from before to sync.
    expect(await during(wal.save(undefined, [], true))).toEqual(["datasync"]);
    expect(await during(wal.save(undefined, [], true))).toEqual([]);
    expect(await during(wal.save(hardState(1, 1, 8), [], false))).toEqual(["writeAt"]);
    expect(await during(wal.save(undefined, entries(9, 12), true))).toEqual(["writeAt", "datasync"]);
    expect(await during(wal.saveSnapshot({ index: 8, term: 1, confState }))).toEqual(["writeAt", "datasync"]);
    await wal.close();
  });

  test("writes zeros ahead, so that a save inside them does not grow the file", async () => {
    const directory = fresh();
    const wal = await create(directory, 64_000_000);
    expect(fs.statSync(lastOf(directory)).size).toBe(1024 * 1024);
    await wal.save(undefined, [entry(1)], true);
    expect(fs.statSync(lastOf(directory)).size).toBe(1024 * 1024);
    await wal.save(undefined, [entry(2, 1, "x".repeat(1024 * 1024))], true);
    expect(fs.statSync(lastOf(directory)).size).toBe(2 * 1024 * 1024);
    await wal.close();
    expect((await reopened(directory)).entries).toHaveLength(2);
  });

  test("replaces entries by later ones of the same index, and drops what followed", async () => {
    const directory = fresh();
    const wal = await create(directory);
    await wal.save(hardState(1, 1, 0), entries(1, 10), true);
    await wal.save(hardState(2, 2, 4), entries(5, 7, 2), true);
    await wal.save(hardState(2, 2, 6), [entry(7, 2)], true);
    await wal.close();
    expect((await reopened(directory)).entries).toEqual([...entries(1, 5), ...entries(5, 8, 2)]);
  });

  test("keeps an entry without data, one with empty data and a conf change apart", async () => {
    const directory = fresh();
    const wal = await create(directory);
    const odd = [
      { type: undefined, term: 1, index: 1, data: undefined },
      { type: 0 as const, term: 1, index: 2, data: new Uint8Array(0) },
      { type: 2 as const, term: 1, index: 3, data: text("change") },
    ];
    await wal.save(undefined, odd, true);
    await wal.close();
    expect((await reopened(directory)).entries).toEqual(odd);
  });

  test("refuses entries that leave a gap, and a second call while the first is running", async () => {
    const wal = await create(fresh());
    const first = wal.save(hardState(1, 1, 0), [entry(1)], true);
    await expect(wal.save(undefined, [entry(2)], true)).rejects.toThrow(/one call at a time/);
    await first;
    await expect(wal.save(undefined, [entry(3)], true)).rejects.toThrow(/entry 3 does not continue/);
    await expect(wal.close()).rejects.toMatchObject({ code: "FAILED" });
  });

  test("rejects after Wal.close", async () => {
    const wal = await create(fresh());
    await wal.close();
    await wal.close();
    await expect(wal.save(hardState(1, 1, 0), [], true)).rejects.toMatchObject({ code: "CLOSED" });
  });

  test("is followed by a repeated hard state on Wal.close, with all bytes before it stated durable", async () => {
    const directory = fresh();
    const wal = await create(directory);
    await wal.save(hardState(3, 1, 1), [entry(1)], false);
    await wal.close();
    const items: LogItem[] = [];
    for await (const item of readRecords(fileSystem, directory)) items.push(item);
    const last = items.at(-1);
    expect(last).toMatchObject({ kind: "record", record: { type: 3, durable: last?.offset } });
  });
});

describe("the cut of Wal", () => {
  test("carries chain, metadata and hard state into a segment named after the next index", async () => {
    const directory = fresh();
    const wal = await create(directory, 400);
    for (let i = 1; i <= 20; i++) await wal.save(hardState(1, 1, i - 1), [entry(i)], true);
    const names = segmentsOf(directory).map((file) => path.basename(file));
    expect(names.length).toBeGreaterThan(3);
    const records = readAsEtcd(segmentsOf(directory)); // throws if the chain is broken
    const heads = records.flatMap((record, i) => (record.offset === 0 ? [records.slice(i, i + 3)] : []));
    expect(heads.map((head) => head.map(({ type }) => type))).toEqual(names.map((_, i) => [4, 1, i === 0 ? 5 : 3]));
    for (const [i, name] of names.entries()) {
      const firstEntry = readAsEtcd(segmentsOf(directory).slice(0, i)).filter(({ type }) => type === 2).length + 1;
      const index = i === 0 ? 0 : firstEntry;
      expect(name).toBe(`${i.toString(16).padStart(16, "0")}-${index.toString(16).padStart(16, "0")}.wal`);
    }
    await wal.close();
    const recovered = await reopened(directory);
    expect(recovered.entries).toEqual(entries(1, 21));
    expect(recovered.hardState).toEqual(hardState(1, 1, 19));
  });

  test("leaves full segments without a tail of zeros", async () => {
    const directory = fresh();
    const wal = await create(directory, 400);
    for (let i = 1; i <= 6; i++) await wal.save(undefined, [entry(i)], true);
    await wal.close();
    for (const file of segmentsOf(directory).slice(0, -1)) {
      const last = readAsEtcd([file]).at(-1);
      expect(last?.offset).toBeGreaterThan(fs.statSync(file).size - 100);
    }
  });

  test("holds an entry larger than a segment", async () => {
    const directory = fresh();
    const wal = await create(directory, 4096);
    const large = entry(1, 1, "x".repeat(3_000_000));
    await wal.save(hardState(1, 1, 0), [large, entry(2)], true);
    await wal.save(hardState(1, 1, 2), [entry(3)], true);
    await wal.close();
    expect(segmentsOf(directory)).toHaveLength(2);
    const [first, ...others] = (await reopened(directory)).entries;
    expect(Buffer.compare(first?.data as Uint8Array, large.data as Uint8Array)).toBe(0);
    expect(others).toEqual([entry(2), entry(3)]);
  });

  test("does not give out the buffer that it reads into", async () => {
    const directory = fresh();
    const wal = await create(directory, 64_000_000);
    const many = Array.from({ length: 3000 }, (_, i) => entry(i + 1, 1, `${i} `.repeat(200)));
    many.push(entry(3001, 1, "x".repeat(20_000)), entry(3002, 1, "y".repeat(2_000_000)));
    await wal.save(hardState(1, 1, 0), many, true);
    await wal.close();
    const read = (await reopened(directory)).entries;
    const different = many.filter((e, i) => !Buffer.from(e.data ?? []).equals(read[i]?.data ?? new Uint8Array(0)));
    expect([read.length, different]).toEqual([3002, []]);
  });

  test("goes on over many openings", async () => {
    const directory = fresh();
    await (await create(directory, 300)).close();
    for (let i = 1; i <= 15; i++) {
      const { wal, recovered } = await open(directory, 300);
      expect(recovered.entries).toEqual(entries(1, i));
      await wal.save(hardState(1, 1, i), [entry(i)], true);
      await wal.close();
    }
    expect(readAsEtcd(segmentsOf(directory)).filter(({ type }) => type === 2)).toHaveLength(15);
  });

  test("loses nothing that was acknowledged, whichever of its calls fails", async () => {
    for (let failing = 1; ; failing++) {
      const directory = fresh();
      let calls = Number.NEGATIVE_INFINITY;
      const broken = watched((call) => {
        if (++calls === failing) throw new Error(`EIO: ${call}`);
      });
      const wal = await create(directory, 400, broken);
      await wal.save(hardState(1, 1, 0), entries(1, 3), true);
      calls = 0;
      const outcome = await wal.save(hardState(1, 1, 2), entries(3, 9), true).catch((error: Error) => error);
      const crashed = await reopened(copyOf(directory));
      expect(crashed.entries.slice(0, 2)).toEqual(entries(1, 3));
      if (outcome === undefined) {
        calls = Number.NEGATIVE_INFINITY;
        await wal.close();
        expect(crashed.entries).toEqual(entries(1, 9));
        expect(failing).toBeGreaterThan(7);
        break;
      }
      expect(outcome).toMatchObject({ code: "FAILED" });
      await expect(wal.close()).rejects.toBe(outcome);
    }
  });
});

describe("Wal, after a failure of the disk,", () => {
  test("rejects every later call with the same error, and retries nothing", async () => {
    const calls: string[] = [];
    let failing = "";
    const disk = watched((call) => {
      calls.push(call);
      if (call === failing) throw new Error("EIO: i/o error");
    });
    for (const call of ["datasync", "writeAt"]) {
      failing = "";
      const directory = fresh();
      const wal = await create(directory, 4096, disk);
      await wal.save(hardState(1, 1, 0), [entry(1)], true);
      failing = call;
      const error = await wal.save(hardState(1, 1, 1), [entry(2)], true).catch((e: unknown) => e);
      expect(error).toMatchObject({ code: "FAILED", message: /EIO.*restart/, cause: { message: "EIO: i/o error" } });
      failing = "";
      calls.splice(0);
      await expect(wal.save(hardState(1, 1, 1), [entry(2)], true)).rejects.toBe(error);
      await expect(wal.save(undefined, [], false)).rejects.toBe(error);
      await expect(wal.saveSnapshot({ index: 1, term: 1, confState })).rejects.toBe(error);
      await expect(wal.close()).rejects.toBe(error);
      expect(calls).toEqual([]);
      expect((await reopened(directory)).entries[0]).toEqual(entry(1)); // the directory is free again
    }
  });
});
