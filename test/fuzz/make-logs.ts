// Logs and snapshot files for the corpora, written by the log and the snapshotter themselves on a disk in memory; and
// one log as etcd writes it, by a few lines of our own, for its format is read as well.
//
// Each log is of another member, so that a record that is found in the wrong one is known for what it is. Segments are
// of 1 KiB: small enough that a change meets a record and not the zeros behind it, and that three of them make a small
// file.

import fs from "node:fs";
import { crc32c } from "../../disk/index.ts";
import { encodeEntry, encodeHardState, makeConfState, makeEntry, makeHardState } from "../../raft/raftpb/index.ts";
import { FakeDisk } from "../../sim/disk.ts";
import { Random } from "../../sim/random.ts";
import { Snapshotter } from "../../snap/index.ts";
import { encodeMetadata, RecordType, Wal } from "../../wal/index.ts";
import { encodeSnapshotRecord } from "../../wal/record.ts";
import { type LogFiles, packLog } from "./log-files.ts";
import { joined } from "./mutate.ts";
import { segmentBytes, walDirectory } from "./wal.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
export const confState = makeConfState({ voters: [1, 2, 3], learners: [4] });
const entry = (index: number, term = 1, size = 20) =>
  makeEntry(undefined, term, index, utf8(`entry ${index} of term ${term} `.padEnd(size, "x")));

const newDisk = (): FakeDisk => new FakeDisk({ random: () => 0 });

/** Has a new log written, and gives its segments; without `close` as a crash leaves it. */
async function log(member: number, write: (wal: Wal) => Promise<void>, close = true): Promise<Uint8Array> {
  const disk = newDisk();
  const metadata = encodeMetadata({ nodeId: member, clusterId: 7, incarnation: 1000 + member });
  const salts = new Random(member);
  const random = (n: number): number => salts.below(n);
  const wal = await Wal.create({ fileSystem: disk, directory: walDirectory, metadata, segmentBytes, random });
  await write(wal);
  if (close) await wal.close();
  return packLog(filesOf(disk, walDirectory));
}

function filesOf(disk: FakeDisk, directory: string): LogFiles {
  return new Map([...disk.files()].map(([path, bytes]) => [path.slice(directory.length + 1), bytes]));
}

async function append(wal: Wal, lo: number, hi: number, size: number, sync = true): Promise<void> {
  for (let i = lo; i < hi; i++) await wal.save(makeHardState(1, 1, i - 1), [entry(i, 1, size)], sync);
}

export async function walFiles(): Promise<Record<string, Uint8Array>> {
  return {
    "new-and-closed": await log(1, async () => {}),
    "five-entries": await log(2, (wal) => append(wal, 1, 6, 20)),
    "five-entries-as-a-crash-leaves-it": await log(3, (wal) => append(wal, 1, 6, 20), false),
    "a-tail-that-was-not-synced": await log(
      4,
      async (wal) => {
        await append(wal, 1, 4, 40);
        await append(wal, 4, 8, 40, false);
      },
      false,
    ),
    "three-segments": await log(5, (wal) => append(wal, 1, 15, 90)),
    "an-overwritten-end": await log(6, async (wal) => {
      await append(wal, 1, 7, 20);
      await wal.save(makeHardState(2, 3, 3), [entry(4, 2), entry(5, 2)], true);
    }),
    "a-snapshot-of-its-own": await log(7, async (wal) => {
      await append(wal, 1, 12, 90);
      await wal.saveSnapshot({ index: 8, term: 1, confState });
      await append(wal, 12, 18, 90);
      await wal.release(8);
    }),
    "a-snapshot-from-the-leader": await log(8, async (wal) => {
      await append(wal, 1, 4, 20);
      await wal.saveSnapshot({ index: 20, term: 2, confState });
      await wal.save(makeHardState(2, 0, 20), [entry(21, 2)], true);
    }),
    "written-by-an-earlier-version": packLog(unsalted()),
    "written-by-etcd": packLog(new Map([["0000000000000000-0000000000000000.wal", etcdSegment()]])),
  };
}

/** The log that the tests of wal/ keep, whose segments have no salt. */
function unsalted(): LogFiles {
  const directory = new URL("../../wal/unsalted/", import.meta.url);
  return new Map(fs.readdirSync(directory).map((name) => [name, fs.readFileSync(new URL(name, directory))]));
}

/** Frames with etcd's three fields, as its encoder writes them. */
function etcdSegment(): Uint8Array {
  let chain = 0;
  const frame = (type: number, data: Uint8Array | undefined): Uint8Array => {
    if (data !== undefined) chain = crc32c(data, chain);
    const body = data === undefined ? noBytes : joined(Uint8Array.of(0x1a, data.length), data);
    const record = joined(Uint8Array.of(0x08, type, 0x10), varint(chain), body);
    const padding = (8 - (record.length % 8)) % 8;
    const word = Uint8Array.of(record.length, 0, 0, 0, 0, 0, 0, padding === 0 ? 0 : 0x80 | padding);
    return joined(word, record, new Uint8Array(padding));
  };
  const { crc, metadata, snapshot, entry: entryType, state } = RecordType;
  return joined(
    frame(crc, undefined),
    frame(metadata, encodeMetadata({ nodeId: 1, clusterId: 7 })),
    frame(snapshot, encodeSnapshotRecord({ index: 0, term: 0, confState: undefined })),
    ...[1, 2, 3].flatMap((i) => [
      frame(entryType, encodeEntry(entry(i))),
      frame(state, encodeHardState(makeHardState(1, 1, i - 1))),
    ]),
    new Uint8Array(256),
  );
}
const noBytes = new Uint8Array(0);

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Uint8Array.from([...bytes, rest]);
}

export async function snapFiles(): Promise<Record<string, Uint8Array>> {
  const disk = newDisk();
  const store = await Snapshotter.open({ fileSystem: disk, directory: "/data/snap", pause: async () => {} });
  const sizes = { "without-data": 0, "of-some-bytes": 100, "of-some-more": 3000 };
  const made: Record<string, Uint8Array> = {};
  for (const [i, [name, size]] of Object.entries(sizes).entries()) {
    const index = 500 + i;
    const data = utf8(`state at ${index} `.padEnd(size, "x")).subarray(0, size);
    await store.save({ index, term: 4, confState }, one(data));
    const [path, bytes] = [...disk.files()].at(-1) as [string, Uint8Array];
    made[name] = joined(utf8(`${path.slice("/data/snap/".length)}\n`), bytes);
  }
  await store.close();
  return made;
}

async function* one(data: Uint8Array): AsyncGenerator<Uint8Array> {
  if (data.length > 0) yield data;
}
