import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { nodeFileSystem } from "../disk/index.ts";
import { removeTemporary } from "../disk/testing.ts";
import { type Entry, makeConfState, makeSnapshot } from "../raft/index.ts";
import { Snapshotter } from "../snap/index.ts";
import { encodeMetadata, Wal } from "../wal/index.ts";
import { continuedByEtcd, copyOf, segmentsOf } from "../wal/testing.ts";
import { inProcess } from "./testing.ts";

const made: string[] = [];
afterAll(() => {
  removeTemporary();
  for (const directory of made) fs.rmSync(directory, { recursive: true });
});

const confState = makeConfState({ voters: [1] });
const entry = (index: number, term = 1): Entry => ({
  type: 0,
  term,
  index,
  data: new TextEncoder().encode(`entry ${index}`),
});

/** A member's data directory: entries 1 to 30 in many segments, and the snapshots of these indexes, recorded and saved. */
async function makeMember(indexes: readonly number[] = []) {
  const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), "readyloop-verify-"));
  made.push(dataDir);
  const member = path.join(dataDir, "member");
  fs.mkdirSync(member);
  const snapshots = await Snapshotter.open({ fileSystem: nodeFileSystem, directory: path.join(member, "snap") });
  const metadata = encodeMetadata({ nodeId: 1, clusterId: 34 });
  const directory = path.join(member, "wal");
  const wal = await Wal.create({ fileSystem: nodeFileSystem, directory, metadata, segmentBytes: 500 });
  const save = async (index: number, term = 1): Promise<void> => {
    await snapshots.save(makeSnapshot(index, term, confState).metadata, dataOf(index));
    await wal.saveSnapshot({ index, term, confState });
  };
  for (let i = 1; i <= 30; i++) {
    await wal.save({ term: 1, vote: 1, commit: i }, [entry(i)], false);
    if (indexes.includes(i)) await save(i);
  }
  return {
    dataDir,
    wal,
    save,
    file: (index: number, term = 1) => snapshotFile(member, index, term),
    segments: () => fs.readdirSync(directory).map((name) => path.join(directory, name)),
    close: async (): Promise<void> => {
      await wal.close();
      await snapshots.close();
    },
  };
}

async function* dataOf(index: number): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(`state of ${index}`);
}

const snapshotFile = (member: string, index: number, term: number): string => {
  const hex = (n: number): string => n.toString(16).padStart(16, "0");
  return path.join(member, "snap", `${hex(term)}-${hex(index)}.snap`);
};

function flip(file: string, offset: number): void {
  const bytes = fs.readFileSync(file);
  bytes[offset]! ^= 1;
  fs.writeFileSync(file, bytes);
}

async function verify(dataDir: string) {
  const { code, stdout, stderr } = await inProcess("wal", "verify", `--data-dir=${dataDir}`);
  const lines = stdout.trimEnd().split("\n");
  return { code, stdout, stderr, report: Object.fromEntries(lines.map((line) => line.split(/ {2,}/))) };
}

test("a sound log is reported in a few lines, while its member runs", async () => {
  const member = await makeMember([10, 20]);
  const { code, stderr, report, stdout } = await verify(member.dataDir);
  expect([code, stderr]).toEqual([0, ""]);
  expect(report).toMatchObject({
    segments: String(member.segments().length),
    entries: "1 to 30, last term 1",
    commit: "30",
    start: "from the snapshot of index 20",
    end: "clean",
    reaches: "index 30, term 1",
    result: "sound",
  });
  expect(stdout).toMatch(/snapshot +index 10, term 1: sound\nsnapshot +index 20, term 1: sound\n/);
  await member.close();
});

test("a log of which the first segments were released is sound as long as it has its snapshot", async () => {
  const member = await makeMember([20]);
  await member.wal.release(20);
  await member.close();
  expect(await verify(member.dataDir)).toMatchObject({ code: 0, report: { result: "sound" } });
  fs.unlinkSync(member.file(20));
  const { code, stderr } = await verify(member.dataDir);
  expect(code).toBe(1);
  expect(stderr).toMatch(/does not reach back to its beginning.*put it back.*replace this one/);
});

test("a torn tail is reported, and the log is sound", async () => {
  const member = await makeMember();
  await member.wal.save(undefined, [entry(31)], false);
  const last = member.segments().at(-1) as string;
  const bytes = fs.readFileSync(last);
  await member.close();
  const at = bytes.indexOf("entry 31");
  bytes.fill(0, at);
  fs.writeFileSync(last, bytes);
  const { code, stderr, report } = await verify(member.dataDir);
  expect([code, stderr]).toEqual([0, ""]);
  expect(report.end).toMatch(/^torn tail of \d+ bytes from offset \d+ of .*\.wal on/);
  expect(report).toMatchObject({ entries: "1 to 30, last term 1", result: "sound" });
});

test("damage is reported with file and offset, and what to do next", async () => {
  const member = await makeMember();
  await member.close();
  const second = member.segments()[1] as string;
  flip(second, fs.readFileSync(second).indexOf("entry"));
  const { code, stderr, report } = await verify(member.dataDir);
  expect(code).toBe(1);
  expect(report.end).toMatch(/^damaged at offset \d+ in .*\.wal$/);
  expect(report.result).toBe("damaged");
  expect(stderr).toMatch(/^readyloop: .*\.wal: damaged at offset \d+: .*checksum.*replace this one: remove it/);
  expect(stderr).toContain(second);
});

test("a log that etcd has continued is called another program's, and not damaged", async () => {
  const member = await makeMember();
  const left = copyOf(path.dirname(member.segments()[0] as string)); // as a crash leaves it: there is room behind the end
  await member.close();
  const { bytes, start } = continuedByEtcd(segmentsOf(left));
  for (const file of segmentsOf(left))
    fs.copyFileSync(file, path.join(member.dataDir, "member", "wal", path.basename(file)));
  fs.writeFileSync(member.segments().at(-1) as string, bytes);
  const { code, stderr, report } = await verify(member.dataDir);
  expect(code).toBe(1);
  expect(report.end).toMatch(new RegExp(`^another program's from offset ${start} on in .*\\.wal$`));
  expect(report.result).toBe("sound, and another program's");
  expect(stderr).toMatch(/another program's, such as etcd's.*Go on with that program/);
  expect(stderr).not.toMatch(/damaged at/);
});

test("a lost end is found although every record that is left is sound", async () => {
  const member = await makeMember([20]);
  await member.close();
  const directory = path.dirname(member.segments()[0] as string);
  const other = path.join(path.dirname(directory), "other");
  const metadata = encodeMetadata({ nodeId: 1, clusterId: 34 });
  const wal = await Wal.create({ fileSystem: nodeFileSystem, directory: other, metadata });
  await wal.save({ term: 1, vote: 1, commit: 9 }, [entry(1)], true);
  await wal.close();
  fs.rmSync(directory, { recursive: true });
  fs.renameSync(other, directory);
  const { code, stderr, report } = await verify(member.dataDir);
  expect(report).toMatchObject({ end: "clean", reaches: "index 1, term 1", result: "damaged" });
  expect(stderr).toMatch(/index 9 was committed, but the log ends at 1/);
  expect(code).toBe(1);
});

test("a damaged snapshot is reported; the start is from the one before it", async () => {
  const member = await makeMember([10, 20]);
  await member.close();
  flip(member.file(20), fs.readFileSync(member.file(20)).indexOf("state of"));
  const { code, stderr, report } = await verify(member.dataDir);
  expect(code).toBe(1);
  expect(stderr).toMatch(/0000000000000014\.snap: not a sound snapshot: its checksum/);
  expect(report).toMatchObject({ start: "from the snapshot of index 10", result: "damaged" });
});

test("a snapshot that the log does not confirm is not used, sound or not", async () => {
  const member = await makeMember([10]);
  await member.save(40, 2); // from the leader, and no hard state yet
  await member.close();
  for (const change of [() => undefined, () => flip(member.file(40, 2), 30)]) {
    change();
    const { code, stdout, report } = await verify(member.dataDir);
    expect(code).toBe(0);
    expect(stdout).toMatch(/index 40, term 2: the log does not confirm it/);
    expect(report).toMatchObject({ start: "from the snapshot of index 10", reaches: "index 30, term 1" });
  }
});

test("a log that a snapshot of the leader replaced needs that snapshot", async () => {
  const member = await makeMember([10]);
  await member.save(40, 2);
  await member.wal.save({ term: 2, vote: 0, commit: 41 }, [entry(41, 2)], true);
  await member.close();
  expect(await verify(member.dataDir)).toMatchObject({
    code: 0,
    report: { start: "from the snapshot of index 40", reaches: "index 41, term 2" },
  });
  fs.unlinkSync(member.file(40, 2));
  const { code, stderr } = await verify(member.dataDir);
  expect(code).toBe(1);
  expect(stderr).toMatch(/goes on from a snapshot of index 40 and term 2 that the leader sent/);
});
