import fs from "node:fs";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { nodeFileSystem } from "../disk/index.ts";
import { removeTemporary, temporary, watched } from "../disk/testing.ts";
import { validSnapshots, Wal } from "./index.ts";
import { copyOf, entries, entry, hardState, lastOf, readAsEtcd, segmentsOf } from "./testing.ts";

afterAll(removeTemporary);

const metadata = Uint8Array.of(0x08, 1, 0x10, 2);
const confState = { voters: [1], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
const fileSystem = nodeFileSystem;
const fresh = (): string => path.join(temporary(), "wal");
const create = (directory: string, segmentBytes = 4096): Promise<Wal> =>
  Wal.create({ fileSystem, directory, metadata, segmentBytes });
const inodeOf = (directory: string): number => fs.statSync(lastOf(directory)).ino;
const reopened = async (directory: string) => {
  const { wal, recovered } = await Wal.open({ fileSystem, directory });
  await wal.close();
  return recovered;
};

describe("Wal.open", () => {
  test("syncs the names and each file before it reads it, and rewrites only the record that closed the log", async () => {
    const directory = fresh();
    const wal = await create(directory, 400);
    for (let i = 1; i <= 8; i++) await wal.save(hardState(1, 1, i - 1), [entry(i)], true);
    await wal.close();
    const before = copyOf(directory);
    const calls: string[] = [];
    const disk = watched((call, file) => calls.push(`${call} ${path.basename(file)}`));
    const { wal: again } = await Wal.open({ fileSystem: disk, directory, segmentBytes: 400 });
    const opened = calls.splice(0);
    const files = segmentsOf(directory).map((file) => path.basename(file));
    expect(files.length).toBeGreaterThan(1);
    for (const name of files) {
      expect(fs.readFileSync(path.join(directory, name))).toEqual(fs.readFileSync(path.join(before, name)));
    }
    const last = files.at(-1);
    expect(opened.filter((call) => !call.startsWith("list"))).toEqual([
      "lock wal",
      "syncDirectory wal",
      `syncDirectory ${path.basename(path.dirname(directory))}`,
      ...files.flatMap((file) => [`open ${file}`, `datasync ${file}`, `read ${file}`]),
      ...[`read ${last}`, `writeAt ${last}`, `datasync ${last}`],
    ]);
    await again.close();
  });

  test("writes the last segment anew if the log was not closed: its end may not have reached the disk", async () => {
    const directory = fresh();
    const wal = await create(directory);
    await wal.save(hardState(1, 1, 0), entries(1, 4), true);
    const crashed = copyOf(directory);
    await wal.close();
    const [copied] = segmentsOf(crashed) as [string];
    const bytes = fs.readFileSync(copied);
    const before = inodeOf(crashed);
    const calls: string[] = [];
    const disk = watched((call, path) => path.startsWith(copied) && calls.push(`${call} ${path.slice(copied.length)}`));
    const { wal: again, recovered } = await Wal.open({ fileSystem: disk, directory: crashed });
    expect(recovered).toMatchObject({ entries: entries(1, 4), repaired: undefined });
    expect(calls.slice(calls.indexOf("open .tmp"))).toEqual([
      ...["open .tmp", "read ", "writeAt .tmp", "writeAt .tmp", "datasync .tmp", "read .tmp"],
      ...["rename .tmp", "open "],
    ]);
    expect(inodeOf(crashed)).not.toBe(before);
    expect(fs.readFileSync(copied)).toEqual(bytes);
    await again.save(undefined, [entry(4)], true);
    expect((await openedAt(crashed, 0, 0)).entries).toEqual(entries(1, 5));
    await again.close();
  });

  test("also writes a hard state anew that is no repetition: a caller may have relied on it", async () => {
    const directory = fresh();
    const wal = await create(directory);
    await wal.save(hardState(1, 1, 0), entries(1, 3), true);
    await wal.save(hardState(2, 2, 0), [], true);
    const crashed = copyOf(directory);
    const before = inodeOf(crashed);
    await wal.close();
    expect((await reopened(crashed)).hardState).toEqual(hardState(2, 2, 0));
    expect(inodeOf(crashed)).not.toBe(before);
  });

  test("leaves a last segment unchanged that has only its head: it was durable before the file got its name", async () => {
    const directory = fresh();
    const wal = await create(directory);
    const crashed = copyOf(directory);
    await wal.close();
    const calls: string[] = [];
    const { wal: opened } = await Wal.open({ fileSystem: watched((call) => calls.push(call)), directory: crashed });
    expect(calls).not.toContain("rename");
    expect(calls).not.toContain("writeAt");
    await opened.close();
  });

  test("removes the file of an interrupted cut", async () => {
    const directory = fresh();
    await (await create(directory)).close();
    fs.writeFileSync(path.join(directory, "0000000000000001-0000000000000001.wal.tmp"), "half");
    await reopened(directory);
    expect(fs.readdirSync(directory)).toHaveLength(1);
  });
});

/** Opens a copy of the directory at a snapshot, as after a crash at this moment. */
async function openedAt(directory: string, index: number, term: number) {
  const { wal, recovered } = await Wal.open({ fileSystem, directory: copyOf(directory), startAt: { index, term } });
  await wal.close();
  return recovered;
}

describe("a segment that ends within its head", () => {
  test("is damaged, since it got its name when the head was durable", async () => {
    const directory = fresh();
    const wal = await create(directory, 400);
    for (let i = 1; i <= 12; i++) await wal.save(hardState(1, 1, i), [entry(i)], true);
    await wal.close();
    const [first, second, last] = [segmentsOf(directory)[0], segmentsOf(directory)[1], lastOf(directory)];
    expect(last).not.toBe(second);
    for (const file of [first, second, last] as string[]) {
      for (const size of [0, readAsEtcd([file])[1]?.offset]) {
        const spoilt = copyOf(directory);
        fs.truncateSync(path.join(spoilt, path.basename(file)), size);
        await expect(Wal.open({ fileSystem, directory: spoilt })).rejects.toMatchObject({
          code: "DAMAGED",
          offset: size,
        });
        await expect(validSnapshots(fileSystem, spoilt)).rejects.toMatchObject({ code: "DAMAGED", offset: size });
      }
    }
  });
});

describe("snapshots in a log", () => {
  test("are found by validSnapshots if they are recorded and committed, each once, after the empty log's own", async () => {
    const directory = fresh();
    const wal = await create(directory);
    await wal.save(hardState(1, 1, 5), entries(1, 9), true);
    for (const index of [5, 3, 5]) await wal.saveSnapshot({ index, term: 1, confState });
    await wal.saveSnapshot({ index: 12, term: 2, confState });
    const expected = [
      { index: 0, term: 0, confState: undefined },
      { index: 3, term: 1, confState },
      { index: 5, term: 1, confState },
    ];
    expect(await validSnapshots(fileSystem, directory)).toEqual(expected); // the log is open, and stays so
    await wal.save(hardState(2, 1, 12), [], false);
    expect(await validSnapshots(fileSystem, directory)).toEqual([...expected, { index: 12, term: 2, confState }]);
    await wal.close();
  });

  test("are found by validSnapshots up to a torn tail, which stays unchanged; damage is refused", async () => {
    const directory = fresh();
    const wal = await create(directory);
    await wal.save(hardState(1, 1, 2), entries(1, 3), true);
    await wal.saveSnapshot({ index: 2, term: 1, confState });
    await wal.save(undefined, [entry(3)], false);
    const torn = copyOf(directory);
    await wal.close();
    const spoil = (file: string, offset: number): Buffer => {
      const bytes = fs.readFileSync(file);
      bytes[offset + 20]! ^= 1;
      fs.writeFileSync(file, bytes);
      return bytes;
    };
    const last = readAsEtcd(segmentsOf(torn)).at(-1)?.offset as number;
    const before = spoil(lastOf(torn), last);
    expect((await validSnapshots(fileSystem, torn)).map(({ index }) => index)).toEqual([0, 2]);
    expect(fs.readFileSync(lastOf(torn)).equals(before)).toBe(true);
    spoil(lastOf(directory), last);
    await expect(validSnapshots(fileSystem, directory)).rejects.toMatchObject({ code: "DAMAGED", offset: last });
  });

  test("need a ConfState, except for that of the empty log", async () => {
    const wal = await create(fresh());
    await expect(wal.saveSnapshot({ index: 8, term: 1, confState: undefined })).rejects.toThrow(/ConfState/);
    await expect(wal.close()).rejects.toMatchObject({ code: "FAILED" });
  });

  test("may start a reading: only later entries come back, only needed segments are read", async () => {
    const directory = fresh();
    const wal = await create(directory, 400);
    for (let i = 1; i <= 12; i++) await wal.save(hardState(1, 1, i - 1), [entry(i)], true);
    await wal.saveSnapshot({ index: 11, term: 1, confState });
    for (let i = 13; i <= 15; i++) await wal.save(hardState(1, 1, i - 1), [entry(i)], true);
    await wal.close();
    fs.unlinkSync(segmentsOf(directory)[0] as string);
    const at = (index: number, term: number) =>
      Wal.open({ fileSystem, directory, segmentBytes: 400, startAt: { index, term } });
    const { wal: again, recovered } = await at(11, 1);
    expect(recovered.entries).toEqual(entries(12, 16));
    await again.save(hardState(1, 1, 15), [entry(16)], true);
    await again.close();
    await expect(at(11, 2)).rejects.toMatchObject({ code: "SNAPSHOT_MISMATCH" });
    await expect(at(9, 1)).rejects.toMatchObject({ code: "SNAPSHOT_NOT_FOUND" });
    await expect(at(0, 0)).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("leave the entries beyond them in the log if they are of the member's own state", async () => {
    const directory = fresh();
    const wal = await create(directory);
    await wal.save(hardState(1, 1, 6), entries(1, 9), true);
    await wal.saveSnapshot({ index: 5, term: 1, confState });
    expect((await openedAt(directory, 5, 1)).entries).toEqual(entries(6, 9));
    await wal.save(hardState(2, 1, 6), entries(7, 9, 2), true);
    await wal.saveSnapshot({ index: 5, term: 1, confState }); // once more
    expect((await openedAt(directory, 5, 1)).entries).toEqual([entry(6), ...entries(7, 9, 2)]);
    await wal.close();
  });

  test("do not bring back entries that were overwritten before them", async () => {
    const directory = fresh();
    const wal = await create(directory);
    await wal.save(hardState(1, 1, 3), entries(1, 10), true);
    await wal.save(hardState(2, 1, 6), entries(5, 7, 2), true); // 7 to 9 are gone
    await wal.saveSnapshot({ index: 6, term: 2, confState });
    expect((await openedAt(directory, 6, 2)).entries).toEqual([]);
    await wal.close();
  });
});

describe("a log with a snapshot that the leader sent", () => {
  test("goes on after a snapshot that jumps ahead of it", async () => {
    const directory = fresh();
    const wal = await create(directory);
    await wal.save(hardState(1, 1, 2), entries(1, 4), true);
    await wal.saveSnapshot({ index: 100, term: 2, confState });
    await wal.save(hardState(2, 1, 101), [entry(101, 2)], true);
    await wal.saveSnapshot({ index: 100, term: 2, confState }); // once more
    await wal.close();
    const recovered = await openedAt(directory, 100, 2);
    expect(recovered).toMatchObject({ hardState: hardState(2, 1, 101), entries: [entry(101, 2)] });
    await expect(openedAt(directory, 0, 0)).rejects.toMatchObject({ code: "SNAPSHOT_NEEDED" });
  });

  test("is replaced: no earlier entry comes back, and Wal.open cannot read it from further back", async () => {
    const directory = fresh();
    const wal = await create(directory);
    await wal.save(hardState(1, 1, 4), entries(1, 21), true);
    await wal.saveSnapshot({ index: 4, term: 1, confState });
    await wal.saveSnapshot({ index: 10, term: 3, confState }); // entry 10 has term 1
    await wal.save(hardState(3, 0, 10), [], true);
    expect(await openedAt(directory, 10, 3)).toMatchObject({ hardState: hardState(3, 0, 10), entries: [] });
    await wal.save(undefined, entries(11, 13, 3), true);
    expect((await openedAt(directory, 10, 3)).entries).toEqual(entries(11, 13, 3));
    for (const [index, term] of [[0, 0] as const, [4, 1] as const]) {
      await expect(openedAt(directory, index, term)).rejects.toMatchObject({
        code: "SNAPSHOT_NEEDED",
        message: /index 10 and term 3.*put it back/,
      });
    }
    await wal.close();
  });

  test("stays in force, and may go on, until a hard state commits the snapshot", async () => {
    const directory = fresh();
    const first = await create(directory);
    await first.save(hardState(1, 1, 4), entries(1, 21), true);
    await first.saveSnapshot({ index: 10, term: 3, confState });
    await first.close();
    expect((await validSnapshots(fileSystem, directory)).map(({ index }) => index)).toEqual([0]);
    const { wal, recovered } = await Wal.open({ fileSystem, directory });
    expect(recovered.entries).toEqual(entries(1, 21));
    await wal.save(undefined, [entry(21)], true); // from the old leader
    expect((await openedAt(directory, 0, 0)).entries).toEqual(entries(1, 22));
    await wal.save(hardState(3, 1, 12), entries(8, 15, 3), true); // the new leader sent the entries after all
    const expected = [...entries(1, 8), ...entries(8, 15, 3)];
    expect((await openedAt(directory, 0, 0)).entries).toEqual(expected);
    // Now it is committed, and the log holds it: reading can start there.
    expect((await openedAt(directory, 10, 3)).entries).toEqual(entries(11, 15, 3));
    await wal.close();
  });

  test("may record it again after a crash", async () => {
    const directory = fresh();
    const first = await create(directory);
    await first.save(hardState(1, 1, 4), entries(1, 21), true);
    await first.saveSnapshot({ index: 10, term: 3, confState });
    await first.close();
    const { wal } = await Wal.open({ fileSystem, directory });
    await wal.saveSnapshot({ index: 10, term: 3, confState });
    await wal.save(hardState(3, 0, 11), [entry(11, 3)], true);
    expect((await openedAt(directory, 10, 3)).entries).toEqual([entry(11, 3)]);
    await wal.close();
  });

  test("has the commit in the file before the entries that follow, wherever a crash cuts their save", async () => {
    const directory = fresh();
    const wal = await create(directory);
    await wal.save(hardState(1, 1, 4), entries(1, 21), true);
    await wal.saveSnapshot({ index: 10, term: 3, confState });
    const before = readAsEtcd(segmentsOf(directory)).length;
    await wal.save(hardState(3, 2, 12), entries(11, 14, 3), true);
    const written = readAsEtcd(segmentsOf(directory)).slice(before);
    expect(written.map(({ type }) => type)).toEqual([3, 2, 2, 2, 3]);
    const bytes = fs.readFileSync(lastOf(directory));
    for (const [n, { offset }] of written.entries()) {
      const torn = copyOf(directory);
      fs.writeFileSync(lastOf(torn), Buffer.from(bytes).fill(0, offset + 12));
      const found = (await validSnapshots(fileSystem, torn)).map(({ index }) => index);
      expect(found).toEqual(n === 0 ? [0] : [0, 10]);
      if (n === 0) expect((await openedAt(torn, 0, 0)).entries).toEqual(entries(1, 21));
      else {
        const recovered = await openedAt(torn, 10, 3);
        expect(recovered).toMatchObject({ hardState: hardState(3, 2, 10), entries: entries(11, 10 + n, 3) });
      }
    }
    await wal.close();
  });

  test("syncs the hard state that commits it, asked for or not", async () => {
    const calls: string[] = [];
    const disk = watched((call) => calls.push(call));
    const wal = await Wal.create({ fileSystem: disk, directory: fresh(), metadata });
    await wal.save(hardState(1, 1, 2), entries(1, 4), true);
    await wal.saveSnapshot({ index: 100, term: 1, confState });
    calls.splice(0);
    await wal.save(hardState(1, 1, 100), [], false);
    expect(calls).toEqual(["writeAt", "datasync"]);
    await wal.save(hardState(1, 1, 101), [], false);
    expect(calls).toEqual(["writeAt", "datasync", "writeAt"]);
    await wal.close();
  });

  test("refuses entries after it without the hard state that commits it", async () => {
    for (const state of [undefined, hardState(2, 1, 99)]) {
      const wal = await create(fresh());
      await wal.save(hardState(1, 1, 2), entries(1, 4), true);
      await wal.saveSnapshot({ index: 100, term: 2, confState });
      await expect(wal.save(state, [entry(101, 2)], true)).rejects.toThrow(/no hard state that commits it/);
      await expect(wal.close()).rejects.toMatchObject({ code: "FAILED" });
    }
  });

  test("can be opened at it without the hard state, which is then made up", async () => {
    const directory = fresh();
    const wal = await create(directory);
    await wal.save(hardState(1, 7, 4), entries(1, 21), true);
    await wal.saveSnapshot({ index: 10, term: 3, confState });
    await wal.close();
    // In term 3 it has not voted, or the hard state would have the vote.
    expect(await openedAt(directory, 10, 3)).toMatchObject({ hardState: hardState(3, 0, 10), entries: [] });
    const empty = fresh();
    const other = await create(empty);
    await other.saveSnapshot({ index: 10, term: 3, confState });
    await other.close();
    expect(await openedAt(empty, 10, 3)).toMatchObject({ hardState: hardState(3, 0, 10), entries: [] });
  });
});
