// The log as a target: damaged segments, opened as a start opens them.
//
// The oracle:
//   - reading and opening end well or with a WalError that names a file; a refused log is left as it was found, and
//     refused again in the same words;
//   - a record that is given out is one that was written, with its bytes, at its place, behind the records that were
//     written before it. (In a log of etcd's format the checksums say less: there the data must be what was written, in
//     order);
//   - bytes that an intact record of the same segment states durable are not missing;
//   - entries and hard state are those of the records that were given out;
//   - verifying comes to the same as opening, and opening again to the same as opening once;
//   - no buffer is allocated that is larger than the log and the 1 MiB that the log uses anyway.

import type { FileSystem } from "../../disk/index.ts";
import { decodeEntry, decodeHardState, type Entry } from "../../raft/raftpb/index.ts";
import { FakeDisk } from "../../sim/disk.ts";
import { RecordType, readRecords, validSnapshots, verifyFrom, Wal, WalError } from "../../wal/index.ts";
import type { StartAt } from "../../wal/read-all.ts";
import { AllocationWatch } from "./allocations.ts";
import { type LogFiles, unpackLog } from "./log-files.ts";
import { expect, type Session, type Target } from "./target.ts";

export const walDirectory = "/data/wal";
export const segmentBytes = 1024;
const largestBuffer = 1024 * 1024;

/** A record as it was handed out. */
interface Handed {
  readonly file: string;
  readonly offset: number;
  readonly type: number;
  readonly durable: number | undefined;
  readonly data: Buffer;
  /** All of it as text, but for the file's name. */
  readonly text: string;
}

/** A log that was written. */
interface Written {
  readonly records: readonly Handed[];
  readonly files: LogFiles;
  /** With the fields that etcd's records lack. */
  readonly isOurs: boolean;
}

const diskOf = (files: LogFiles): FakeDisk => {
  const disk = new FakeDisk({ random: () => 0 });
  for (const [name, bytes] of files) disk.put(`${walDirectory}/${name}`, bytes);
  return disk;
};

/** The records that can be read, and why there are no more. */
async function readAll(fileSystem: FileSystem): Promise<{ records: Handed[]; end: string }> {
  const records: Handed[] = [];
  try {
    for await (const item of readRecords(fileSystem, walDirectory)) {
      if (item.kind !== "record") return { records, end: item.kind };
      const { type, crc, durable } = item.record;
      const data = Buffer.from(item.record.data);
      const text = `${item.offset} ${type} ${crc} ${durable} ${data.toString("latin1")}`;
      records.push({ file: item.file.slice(walDirectory.length + 1), offset: item.offset, type, durable, data, text });
    }
    return { records, end: "end" };
  } catch (error) {
    return { records, end: refusalOf(error).code };
  }
}

function refusalOf(error: unknown): WalError {
  if (!(error instanceof WalError)) throw error;
  expect(error.file !== undefined, `a WalError ${error.code} without a file`);
  if (error.code === "DAMAGED") expect(error.offset !== undefined, "damage without an offset");
  return error;
}

class WalSession implements Session {
  readonly #written: readonly Written[];
  readonly #allocations = new AllocationWatch();

  constructor(written: readonly Written[]) {
    this.#written = written;
  }

  async run(input: Uint8Array): Promise<string> {
    const files = unpackLog(input);
    const disk = diskOf(files);
    this.#allocations.take();
    const { records } = await readAll(disk);
    const written = this.#checkRecords(records);
    const startAt = await newestStart(disk);
    const outcome =
      startAt instanceof WalError
        ? `refused ${startAt.code}`
        : await this.#open(disk, startAt, { files, records, written });
    const largest = this.#allocations.take();
    expect(largest <= Math.max(largestBuffer, input.length), `a buffer of ${largest} bytes for ${input.length}`);
    return outcome;
  }

  async close(): Promise<void> {
    this.#allocations.close();
  }

  /** Returns the log that the records are of; undefined if there are none, or if etcd wrote them. */
  #checkRecords(records: readonly Handed[]): Written | undefined {
    if (records.length === 0) return undefined;
    const written = this.#written.find((log) => log.isOurs && isRun(records, log));
    if (written !== undefined) return written;
    expect(
      records.some((record) => record.durable === undefined),
      `a record that was never written: ${describeFirstStrange(records, this.#written)}`,
    );
    const data = dataOf(records);
    expect(
      this.#written.some((log) => !log.isOurs && dataOf(log.records).startsWith(data)),
      "data that was never written, in etcd's format",
    );
    return undefined;
  }

  async #open(
    disk: FakeDisk,
    startAt: StartAt,
    found: { files: LogFiles; records: readonly Handed[]; written: Written | undefined },
  ): Promise<string> {
    const options = { fileSystem: disk, directory: walDirectory, segmentBytes, startAt };
    const verdict = await verifyFrom(options.fileSystem, walDirectory, startAt).then(() => undefined, refusalOf);
    const opened = await Wal.open(options).catch(refusalOf);
    if (opened instanceof WalError) {
      expect(verdict?.message === opened.message, `opening says ${opened.message}, verifying ${verdict?.message}`);
      expect(sameFiles(disk, found.files), "a refused log was changed");
      const again = await Wal.open(options).then(() => undefined, refusalOf);
      expect(again?.message === opened.message, "refused again in other words");
      return `refused ${opened.code}`;
    }
    expect(verdict === undefined, `opened, though verifying says ${verdict?.message}`);
    const { wal, recovered } = opened;
    await wal.close();
    checkEntries(recovered.entries, startAt, found.records);
    if (startAt.index === 0) checkHardState(recovered.hardState, found.records);
    if (found.written !== undefined) checkVouchedFor(found.files, found.records, found.written);
    const again = await Wal.open(options).catch(refusalOf);
    expect(!(again instanceof WalError), `opened once, and refused then: ${(again as WalError).message}`);
    await again.wal.close();
    const texts = [recovered, again.recovered].map(({ hardState, entries }) => JSON.stringify([hardState, entries]));
    expect(texts[0] === texts[1], "opened again, it holds something else");
    expect(again.recovered.repaired === undefined, "what was repaired needs it again");
    return recovered.repaired === undefined ? "accepted" : "cut";
  }
}

/** Whether the records are some of the log's, without a gap, from the beginning of a segment on. */
function isRun(records: readonly Handed[], log: Written): boolean {
  return log.records.some(
    ({ offset }, from) => offset === 0 && records.every((record, i) => log.records[from + i]?.text === record.text),
  );
}

const dataOf = (records: readonly Handed[]): string =>
  records
    .filter(({ type }) => type !== RecordType.crc)
    .map(({ data }) => data.toString("latin1"))
    .join("");

function describeFirstStrange(records: readonly Handed[], written: readonly Written[]): string {
  const known = new Set(written.flatMap((log) => log.records.map(({ text }) => text)));
  const strange = records.find(({ text }) => !known.has(text));
  return strange === undefined ? "they are not in their order" : `${strange.file} at ${strange.offset}`;
}

/** The newest snapshot that the log confirms, as at a start. */
async function newestStart(fileSystem: FileSystem): Promise<StartAt | WalError> {
  try {
    const { index, term } = (await validSnapshots(fileSystem, walDirectory)).at(-1) as StartAt;
    return { index, term };
  } catch (error) {
    return refusalOf(error);
  }
}

const sameFiles = (disk: FakeDisk, files: LogFiles): boolean => {
  const now = disk.files();
  return (
    now.size === files.size &&
    [...files].every(([name, bytes]) => Buffer.compare(now.get(`${walDirectory}/${name}`) ?? noBytes, bytes) === 0)
  );
};
const noBytes = new Uint8Array(0);

/** Each entry is the last one of its index that was handed out. */
function checkEntries(entries: readonly Entry[], startAt: StartAt, records: readonly Handed[]): void {
  const last = new Map<number, string>();
  for (const { type, data } of records) {
    if (type !== RecordType.entry) continue;
    const e = decodeEntry(data);
    last.set(e.index, textOf(e));
  }
  for (const [i, e] of entries.entries()) {
    expect(e.index === startAt.index + 1 + i, `entry ${e.index} where ${startAt.index + 1 + i} follows`);
    expect(last.get(e.index) === textOf(e), `entry ${e.index} is not what was written`);
  }
}

const textOf = (e: Entry): string => `${e.type} ${e.term} ${Buffer.from(e.data ?? []).toString("latin1")}`;

function checkHardState(state: { term: number; vote: number; commit: number } | undefined, records: readonly Handed[]) {
  const record = records.findLast(({ type }) => type === RecordType.state);
  const { term, vote, commit } = record === undefined ? none : decodeHardState(record.data);
  const now = state ?? none;
  expect(now.term === term && now.vote === vote && now.commit === commit, "the hard state is not what was written");
}
const none = { term: 0, vote: 0, commit: 0 };

/** No record is missing that an intact one of the same file states to have been durable. */
function checkVouchedFor(files: LogFiles, records: readonly Handed[], written: Written): void {
  const last = records.at(-1) as Handed;
  const own = written.records.filter(({ file }) => file === last.file);
  const sound = written.files.get(last.file);
  const now = files.get(last.file);
  if (sound === undefined || now === undefined) return; // another name than it was written under
  const missing = own.filter(({ offset }) => offset > last.offset);
  for (const [i, { offset, durable = 0 }] of missing.entries()) {
    const end = missing[i + 1]?.offset ?? sound.length;
    const isIntact = Buffer.compare(sound.subarray(offset, end), now.subarray(offset, end)) === 0;
    const lost = missing.find((record) => record.offset < durable);
    expect(
      !isIntact || lost === undefined,
      `the record at ${lost?.offset} is lost, and one at ${offset} vouches for it`,
    );
  }
}

async function parse(input: Uint8Array): Promise<Written> {
  const files = unpackLog(input);
  const { records } = await readAll(diskOf(files));
  return { files, records, isOurs: records.every(({ durable }) => durable !== undefined) };
}

export const walTarget: Target = {
  name: "wal",
  about: "segments of the log, opened as at a start",
  lanes: 1,
  open: async (corpus) => new WalSession(await Promise.all(corpus.map(parse))),
};
