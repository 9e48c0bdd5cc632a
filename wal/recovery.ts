// Opening a log: reading it from disk and making its end fit to be appended to. inspect.ts looks at one without that.
//
// A second crash can take back nothing that opening returns, though the page cache may show bytes that never reached
// the disk: not written yet, or never to be written, after a failed sync. A sync mends the first case, so the names and
// each file are synced before they are read. No sync mends the second: the records of the last segment that no record
// states durable are written anew, to another file, before any caller relies on them. Every earlier segment was durable
// when the next got its name.
//
// Opening checks every reason to refuse before it changes anything, so that a refused log stays as it was found.
// index.ts has the steps in order.
//
// Ports openAtIndex and the reading side of wal.go.

import { type File, type FileSystem, parentOf, removeLeftovers } from "../disk/file-system.ts";
import type { Logger } from "../raft/logger.ts";
import type { Entry, HardState } from "../raft/raftpb/index.ts";
import { copyTo } from "./copy.ts";
import { Decoder } from "./decoder.ts";
import { otherBytes, refusal } from "./errors.ts";
import { listSegments, type SegmentName, segmentsFrom } from "./names.ts";
import { ReadAll, type StartAt } from "./read-all.ts";
import { frameSize, RecordType, readFrame, readLengthWord } from "./record.ts";
import { type Ending, judgeEnd, keepBroken, type Repaired } from "./repair.ts";

/** What a log held when it was opened. */
export interface Recovered {
  readonly metadata: Uint8Array;
  /** Undefined if none was ever saved. Its commit is not below the start. */
  readonly hardState: HardState | undefined;
  /** Contiguous, from the index after the start on. */
  readonly entries: readonly Entry[];
  /** Set if the last segment ended in a torn write, which has been cut off. */
  readonly repaired: Repaired | undefined;
}

/** The segment that new records go to. */
export interface Tail {
  readonly file: File;
  readonly sequence: number;
  /** Where the next record goes; everything below is durable, everything above is zero. */
  readonly offset: number;
  /** Size of the file. */
  readonly size: number;
  /** The file must not become shorter than this. */
  readonly allotted: number;
  readonly chain: number;
  readonly salt: number;
}

interface Segment {
  readonly file: File;
  readonly chain: number | undefined;
  readonly salt: number;
  readonly ending: Ending;
  /** Where the last record begins, if it repeats the hard state before it. */
  readonly repeat: number | undefined;
}

/** Reads the log and makes its end fit to be appended to. Throws WalError, FileSystemError. */
export async function recover(
  fileSystem: FileSystem,
  directory: string,
  startAt: StartAt,
  logger: Logger,
): Promise<{ recovered: Recovered; tail: Tail }> {
  const segments = segmentsFrom(await listSegments(fileSystem, directory), startAt.index, directory);
  await syncNames(fileSystem, directory);
  const all = new ReadAll(startAt);
  let chain: number | undefined;
  for (const { name } of segments.slice(0, -1)) {
    const segment = await readSegment(fileSystem, `${directory}/${name}`, chain, false, all);
    await segment.file.close();
    chain = segment.chain;
  }
  const last = segments.at(-1) as SegmentName;
  const tail = await readSegment(fileSystem, `${directory}/${last.name}`, chain, true, all);
  let { file } = tail;
  try {
    const { path } = file;
    const { bad, offset, used, allotted } = tail.ending;
    const metadata = all.finish(directory);
    await removeLeftovers(fileSystem, directory);
    let repaired: Repaired | undefined;
    if (bad !== undefined) {
      const backup = await keepBroken(fileSystem, directory, last.name, file, used);
      repaired = { file: path, offset, backup, reason: bad.reason };
      logger.warning?.(
        `${path}: cut a torn write at offset ${offset} (${bad.reason}); a copy of the file is kept in ${backup}`,
      );
    }
    if (wasClosed(tail)) await writeAgain(file, tail.repeat, offset, tail);
    else if (bad !== undefined || tail.ending.vouched < offset) {
      const start = chain;
      await copyTo(fileSystem, directory, path, file, offset, Math.max(offset, allotted), async (copy) => {
        if (!(await leadsTo(copy, start, offset, tail.chain))) throw otherBytes(path);
      });
      const old = file;
      file = await fileSystem.open(path, "write");
      await old.close();
      logger.info?.(
        `${path}: written anew, ${offset} bytes: the log was not closed, and its end may not have been on disk`,
      );
    }
    const { hardState, entries } = all;
    const size = await file.size();
    const { salt } = tail;
    return {
      recovered: { metadata, hardState, entries, repaired },
      tail: { file, sequence: last.sequence, offset, size, allotted, chain: tail.chain ?? 0, salt },
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Whether only the segment's last record is unsure, and that one says nothing new: a closed log ends like this. */
function wasClosed(segment: Segment): segment is Segment & { repeat: number } {
  const { repeat, ending } = segment;
  return ending.bad === undefined && repeat !== undefined && repeat === ending.vouched;
}

/**
 * Writes the record in [start, end), a hard state that leads to the segment's chain, once more in place, and syncs. A
 * power cut in between may spoil it: so only for a record that says nothing new. Throws WalError OTHER_BYTES if it has
 * changed.
 */
async function writeAgain(file: File, start: number, end: number, { chain, salt }: Segment): Promise<void> {
  const bytes = new Uint8Array(end - start);
  const isWhole = (await file.read(bytes, start)) === bytes.length;
  const recordSize = readLengthWord(bytes, 0) ?? 0;
  const record = isWhole && frameSize(recordSize) === bytes.length ? readFrame(bytes, 0, start, recordSize, salt) : "";
  if (typeof record === "string" || record.type !== RecordType.state || record.crc !== chain) {
    throw otherBytes(file.path);
  }
  file.writeAt(bytes, start);
  await file.datasync();
}

/** Whether the records of a segment that begins with one chain end at `offset` with the other. */
async function leadsTo(
  file: File,
  from: number | undefined,
  offset: number,
  chain: number | undefined,
): Promise<boolean> {
  const decoder = new Decoder(file, await file.size(), from);
  for (;;) {
    const step = await decoder.next();
    if (step.kind !== "record") return step.kind === "end" && step.offset === offset && decoder.chain === chain;
  }
}

/** Reads one segment into `all`; on success its file is left open. */
async function readSegment(
  fileSystem: FileSystem,
  path: string,
  chain: number | undefined,
  isLast: boolean,
  all: ReadAll,
): Promise<Segment> {
  const file = await fileSystem.open(path, "write");
  try {
    await file.datasync();
    const decoder = new Decoder(file, await file.size(), chain);
    let repeat: number | undefined;
    for (;;) {
      const step = await decoder.next();
      if (step.kind === "record") {
        const before = all.hardState;
        all.add(step.record, path, step.offset);
        repeat = step.record.type === RecordType.state && same(before, all.hardState) ? step.offset : undefined;
        continue;
      }
      const ending = await judgeEnd(decoder, step, isLast);
      const { offset, damage: reason, isForeign } = ending;
      if (reason !== undefined) throw refusal({ file: path, offset, reason, isForeign });
      return { file, chain: decoder.chain, salt: decoder.salt, ending, repeat };
    }
  } catch (error) {
    await file.close();
    throw error;
  }
}

const same = (a: HardState | undefined, b: HardState | undefined): boolean =>
  a?.term === b?.term && a?.vote === b?.vote && a?.commit === b?.commit;

/** The new name of a renamed file may not be durable either. */
async function syncNames(fileSystem: FileSystem, directory: string): Promise<void> {
  await fileSystem.syncDirectory(directory);
  await fileSystem.syncDirectory(parentOf(directory));
}
