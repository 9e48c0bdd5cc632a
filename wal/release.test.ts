import fs from "node:fs";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { nodeFileSystem } from "../disk/index.ts";
import { removeTemporary, temporary, watched } from "../disk/testing.ts";
import { readRecords, validSnapshots, Wal } from "./index.ts";
import { parseSegmentName } from "./names.ts";
import { copyOf, entries, entry, hardState, readAsEtcd, segmentsOf } from "./testing.ts";

afterAll(removeTemporary);

const metadata = Uint8Array.of(0x08, 1, 0x10, 2);
const confState = { voters: [1], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
const segmentBytes = 400;

/** Entries 1 to 30 over many segments, and snapshots of 10 and 20. */
async function filled(fileSystem = nodeFileSystem): Promise<{ wal: Wal; directory: string }> {
  const directory = path.join(temporary(), "wal");
  const wal = await Wal.create({ fileSystem, directory, metadata, segmentBytes });
  for (let i = 1; i <= 30; i++) {
    await wal.save(hardState(1, 1, i), [entry(i)], false);
    if (i % 10 === 5 && i > 10) await wal.saveSnapshot({ index: i - 5, term: 1, confState });
  }
  return { wal, directory };
}

const openedAt = async (directory: string, index: number) => {
  const options = { fileSystem: nodeFileSystem, directory: copyOf(directory), segmentBytes };
  const { wal, recovered } = await Wal.open({ ...options, startAt: { index, term: 1 } });
  await wal.close();
  return recovered;
};

const firstIndexes = (directory: string): number[] =>
  segmentsOf(directory).map((file) => parseSegmentName(path.basename(file))?.firstIndex as number);

describe("Wal.release", () => {
  test("keeps the segment that holds the index, and all later ones", async () => {
    const { wal, directory } = await filled();
    const before = firstIndexes(directory);
    await wal.release(10);
    const needed = before.findLast((firstIndex) => firstIndex <= 10) as number;
    expect(firstIndexes(directory)).toEqual(before.filter((firstIndex) => firstIndex >= needed));
    expect(needed).toBeGreaterThan(0);
    expect((await openedAt(directory, 10)).entries).toEqual(entries(11, 31));
    expect((await openedAt(directory, 20)).entries).toEqual(entries(21, 31));
    await expect(openedAt(directory, 0)).rejects.toMatchObject({ code: "NOT_FOUND" });
    await wal.close();
  });

  test("keeps a segment that begins with exactly the index, and none before it", async () => {
    const { wal, directory } = await filled();
    const index = firstIndexes(directory).findLast((firstIndex) => firstIndex <= 20) as number;
    await wal.release(index);
    expect(firstIndexes(directory)[0]).toBe(index);
    await wal.close();
  });

  test("deletes no file twice, and none for an index before the remaining segments", async () => {
    const { wal, directory } = await filled();
    await wal.release(20);
    const left = fs.readdirSync(directory);
    await wal.release(20);
    await wal.release(10);
    await wal.release(0);
    expect(fs.readdirSync(directory)).toEqual(left);
    await wal.close();
  });

  test("lets the log go on, and be cut and released again; each segment can be read by itself", async () => {
    const { wal, directory } = await filled();
    await wal.release(20);
    for (let i = 31; i <= 50; i++) await wal.save(hardState(1, 1, i), [entry(i)], true);
    await wal.saveSnapshot({ index: 45, term: 1, confState });
    await wal.release(45);
    await wal.save(hardState(2, 1, 50), [entry(51, 2)], true);
    const recovered = await openedAt(directory, 45);
    expect(recovered).toMatchObject({ metadata, hardState: hardState(2, 1, 50) });
    expect(recovered.entries).toEqual([...entries(46, 51), entry(51, 2)]);
    expect((await validSnapshots(nodeFileSystem, directory)).map(({ index }) => index)).toEqual([0, 45]);
    // etcd's rules hold from the first remaining segment on: it begins with the chain, the metadata and the hard state.
    expect(
      readAsEtcd(segmentsOf(directory))
        .slice(0, 3)
        .map(({ type }) => type),
    ).toEqual([4, 1, 3]);
    await wal.close();
    for await (const item of readRecords(nodeFileSystem, directory)) expect(item.kind).toBe("record");
  });

  test("keeps the tail, whatever its name", async () => {
    const { wal, directory } = await filled();
    await wal.saveSnapshot({ index: 1000, term: 2, confState });
    await wal.save(hardState(2, 0, 1000), [], true);
    await wal.release(1000);
    expect(segmentsOf(directory)).toHaveLength(1);
    await wal.save(undefined, entries(1001, 1020, 2), true);
    await wal.close();
    const { wal: again, recovered } = await Wal.open({
      fileSystem: nodeFileSystem,
      directory,
      startAt: { index: 1000, term: 2 },
    });
    expect(recovered.entries).toEqual(entries(1001, 1020, 2));
    await again.close();
  });

  test("refuses an index that no committed snapshot reaches", async () => {
    for (const committed of [true, false]) {
      const { wal, directory } = await filled();
      const before = fs.readdirSync(directory);
      if (!committed) await wal.saveSnapshot({ index: 40, term: 2, confState });
      await expect(wal.release(21)).rejects.toThrow(/no snapshot of index 21/);
      expect(fs.readdirSync(directory)).toEqual(before);
      await wal.close().catch(() => undefined);
    }
  });

  test("leaves a log that opens, without a gap, wherever a crash or a failing disk interrupts it", async () => {
    for (let failing = 1; ; failing++) {
      let calls = Number.NEGATIVE_INFINITY;
      const disk = watched((call) => {
        if (++calls === failing) throw new Error(`EIO: ${call}`);
      });
      const { wal, directory } = await filled(disk);
      calls = 0;
      const outcome = await wal.release(20).catch((error: Error) => error);
      for (const index of [20]) expect((await openedAt(directory, index)).entries).toEqual(entries(index + 1, 31));
      expect((await validSnapshots(nodeFileSystem, directory)).at(-1)?.index).toBe(20);
      calls = Number.NEGATIVE_INFINITY;
      if (outcome === undefined) {
        await wal.close();
        expect(failing).toBeGreaterThan(5); // every call has had its turn
        break;
      }
      expect(outcome).toMatchObject({ code: "FAILED" });
      await expect(wal.save(undefined, [entry(31)], true)).rejects.toBe(outcome);
      await expect(wal.close()).rejects.toBe(outcome);
    }
  });

  test("makes each deletion durable before the next, the oldest first", async () => {
    const calls: string[] = [];
    const { wal, directory } = await filled(watched((call, file) => calls.push(`${call} ${path.basename(file)}`)));
    const before = segmentsOf(directory).map((file) => path.basename(file));
    calls.splice(0);
    await wal.release(20);
    const left = new Set(segmentsOf(directory).map((file) => path.basename(file)));
    const gone = before.filter((name) => !left.has(name));
    expect(gone.length).toBeGreaterThan(1);
    expect(calls).toEqual(["list wal", ...gone.flatMap((name) => [`unlink ${name}`, "syncDirectory wal"])]);
    await wal.close();
  });
});
