// Reading a log from disk: for good, when it is opened to be appended to, or just to look at it.
//
// Opening decides nothing on bytes that a second crash could take back: the files and the directory are synced before they are
// read, because what the page cache shows may never have reached the disk. And it changes nothing before every reason to refuse
// has been looked at, so that a refused log stays as it was found. index.ts tells the steps in order.
//
// Ports openAtIndex and the reading side of wal.go.

import type { Logger } from "../raft/logger.ts";
import type { Entry, HardState } from "../raft/raftpb/index.ts";
import { type BadFrame, Decoder } from "./decoder.ts";
import { damaged } from "./errors.ts";
import type { File, FileSystem } from "./file-system.ts";
import { ReadAll, type StartAt } from "./read-all.ts";
import type { WalRecord, WalSnapshot } from "./record.ts";
import { cutTail, type Repaired, type Rest, searchRest, whyDamaged } from "./repair.ts";
import { listSegments, type SegmentName, segmentsFrom } from "./util.ts";

/** What a log held when it was opened. */
export interface Recovered {
  readonly metadata: Uint8Array;
  /** Undefined if none was ever saved. */
  readonly hardState: HardState | undefined;
  /** Contiguous, from the index after the start on. */
  readonly entries: readonly Entry[];
  /** Records of snapshots whose index was committed, oldest first. */
  readonly snapshots: readonly WalSnapshot[];
  /** Set if the last segment ended in a torn write that has been cut off. */
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
  readonly chain: number;
}

interface Segment {
  readonly file: File;
  readonly decoder: Decoder;
  readonly bad: BadFrame | undefined;
  /** Where the sound records end. */
  readonly offset: number;
  readonly rest: Rest;
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
    const segment = await readSegment(fileSystem, `${directory}/${name}`, chain, all);
    await segment.file.close();
    if (segment.bad !== undefined) throw damaged(segment.file.path, segment.offset, segment.bad.reason);
    chain = segment.decoder.chain;
  }
  const last = segments.at(-1) as SegmentName;
  const segment = await readSegment(fileSystem, `${directory}/${last.name}`, chain, all);
  const { file, bad, offset, decoder, rest } = segment;
  try {
    const damage = bad && whyDamaged(bad, decoder, rest);
    if (damage !== undefined) throw damaged(file.path, offset, damage);
    const { metadata } = all;
    if (metadata === undefined) throw damaged(file.path, 0, "no metadata record");
    all.check(directory);
    await removeLeftovers(fileSystem, directory);
    const repaired = bad && (await cutTail(fileSystem, directory, last.name, file, bad, rest.used));
    if (repaired !== undefined) {
      logger.warning?.(
        `${file.path}: cut a torn write at offset ${offset} (${repaired.reason}); a copy of the file is kept in ${repaired.backup}`,
      );
    }
    const { hardState, entries } = all;
    return {
      recovered: { metadata, hardState, entries, snapshots: all.validSnapshots(), repaired },
      tail: { file, sequence: last.sequence, offset, size: await file.size(), chain: decoder.chain ?? 0 },
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Reads one segment into `all`; on success its file is left open. */
async function readSegment(
  fileSystem: FileSystem,
  path: string,
  chain: number | undefined,
  all: ReadAll,
): Promise<Segment> {
  const file = await fileSystem.open(path, "write");
  try {
    await file.datasync();
    const decoder = new Decoder(file, await file.size(), chain);
    for (;;) {
      const step = await decoder.next();
      if (step.kind === "record") {
        all.add(step.record, path, step.offset);
        continue;
      }
      const { offset } = step;
      const rest = await searchRest(decoder.window, offset);
      if (step.kind === "bad") return { file, decoder, bad: step, offset, rest };
      const bad = rest.used > offset ? garbageAfter(offset) : undefined;
      return { file, decoder, bad, offset, rest };
    }
  } catch (error) {
    await file.close();
    throw error;
  }
}

const garbageAfter = (offset: number): BadFrame => ({
  kind: "bad",
  offset,
  reason: "the records end here, but other bytes than zero follow",
  looks: "torn",
});

/** A name that a rename gave may not be durable either. */
async function syncNames(fileSystem: FileSystem, directory: string): Promise<void> {
  await fileSystem.syncDirectory(directory);
  await fileSystem.syncDirectory(parentOf(directory));
}

export function parentOf(directory: string): string {
  const slash = directory.lastIndexOf("/");
  if (slash < 0) return ".";
  return slash === 0 ? "/" : directory.slice(0, slash);
}

/** Files that a crash left under their temporary names: a segment that was being made, a copy that was being taken. */
export async function removeLeftovers(fileSystem: FileSystem, directory: string): Promise<void> {
  for (const name of (await fileSystem.list(directory)) ?? []) {
    if (name.endsWith(".tmp")) await fileSystem.unlink(`${directory}/${name}`);
  }
}

/** One find of readRecords. */
export type LogItem =
  | { readonly kind: "record"; readonly file: string; readonly offset: number; readonly record: WalRecord }
  /** What cannot be read; nothing follows. In a log that is being written this may be a record half seen. */
  | { readonly kind: "bad"; readonly file: string; readonly offset: number; readonly reason: string };

/**
 * All records of all segments in order, for a look at a log: nothing is locked, synced or changed. Each record is valid until the
 * next is asked for. Throws WalError, FileSystemError.
 */
export async function* readRecords(fileSystem: FileSystem, directory: string): AsyncGenerator<LogItem, void, void> {
  const all = await listSegments(fileSystem, directory);
  const segments = segmentsFrom(all, (all[0] as SegmentName).firstIndex, directory);
  let chain: number | undefined;
  for (const { name } of segments) {
    const path = `${directory}/${name}`;
    const file = await fileSystem.open(path, "read");
    try {
      const decoder = new Decoder(file, await file.size(), chain);
      for (let step = await decoder.next(); step.kind !== "end"; step = await decoder.next()) {
        const { kind, offset } = step;
        if (kind === "bad") {
          yield { kind, file: path, offset, reason: step.reason };
          return;
        }
        yield { kind, file: path, offset, record: step.record };
      }
      chain = decoder.chain;
    } finally {
      await file.close();
    }
  }
}
