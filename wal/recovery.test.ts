import fs from "node:fs";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { nodeFileSystem, Wal } from "./index.ts";
import { entries, entry, hardState, removeTemporary, segmentsOf, temporary, watched } from "./testing.ts";

afterAll(removeTemporary);

const metadata = Uint8Array.of(0x08, 1, 0x10, 2);
const confState = { voters: [1], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
const fileSystem = nodeFileSystem;
const fresh = (): string => path.join(temporary(), "wal");
const create = (directory: string, segmentBytes = 4096): Promise<Wal> =>
  Wal.create({ fileSystem, directory, metadata, segmentBytes });
const reopened = async (directory: string) => {
  const { wal, recovered } = await Wal.open({ fileSystem, directory });
  await wal.close();
  return recovered;
};

describe("opening", () => {
  it("syncs the names and each file before it reads it, and writes nothing where nothing is wrong", async () => {
    const directory = fresh();
    const wal = await create(directory, 400);
    for (let i = 1; i <= 8; i++) await wal.save(hardState(1, 1, i - 1), [entry(i)], true);
    await wal.close();
    const calls: string[] = [];
    const disk = watched((call, file) => calls.push(`${call} ${path.basename(file)}`));
    const { wal: again } = await Wal.open({ fileSystem: disk, directory, segmentBytes: 400 });
    const opened = calls.splice(0);
    const files = segmentsOf(directory).map((file) => path.basename(file));
    expect(files.length).toBeGreaterThan(1);
    expect(opened.filter((call) => !call.startsWith("list"))).toEqual([
      "lock wal",
      "syncDirectory wal",
      `syncDirectory ${path.basename(path.dirname(directory))}`,
      ...files.flatMap((file) => [`open ${file}`, `datasync ${file}`, `read ${file}`]),
    ]);
    await again.close();
  });

  it("removes what a cut that was interrupted left", async () => {
    const directory = fresh();
    await (await create(directory)).close();
    fs.writeFileSync(path.join(directory, "0000000000000001-0000000000000001.wal.tmp"), "half");
    await reopened(directory);
    expect(fs.readdirSync(directory)).toHaveLength(1);
  });
});

describe("snapshots", () => {
  it("are recorded, and one whose index was never committed does not count", async () => {
    const directory = fresh();
    const wal = await create(directory);
    await wal.save(hardState(1, 1, 5), entries(1, 9), true);
    await wal.saveSnapshot({ index: 5, term: 1, confState });
    await wal.saveSnapshot({ index: 7, term: 1, confState });
    await expect(wal.saveSnapshot({ index: 8, term: 1, confState: undefined })).rejects.toThrow(/ConfState/);
    await wal.close().catch(() => undefined);
    const recovered = await reopened(directory);
    expect(recovered.snapshots).toEqual([
      { index: 0, term: 0, confState: undefined },
      { index: 5, term: 1, confState },
    ]);
  });

  it("are where reading can start: only later entries come back, only needed segments are read", async () => {
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

  it("of a leader may jump ahead of the log", async () => {
    const directory = fresh();
    const wal = await create(directory);
    await wal.save(hardState(1, 1, 2), entries(1, 4), true);
    await wal.saveSnapshot({ index: 100, term: 2, confState });
    await wal.save(hardState(2, 1, 101), [entry(101, 2)], true);
    await wal.close();
    const { wal: again, recovered } = await Wal.open({ fileSystem, directory, startAt: { index: 100, term: 2 } });
    expect(recovered.entries).toEqual([entry(101, 2)]);
    await again.close();
  });
});
