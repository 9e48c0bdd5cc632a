// Opening a log: reading it from disk and making its end fit to be appended to. To look at one without that there is inspect.ts.
//
// Opening decides nothing on bytes that a second crash could take back: the files and the directory are synced before they are
// read, because what the page cache shows may never have reached the disk. And it changes nothing before every reason to refuse
// has been looked at, so that a refused log stays as it was found. index.ts tells the steps in order.
//
// Ports openAtIndex and the reading side of wal.go.

import type { Logger } from "../raft/logger.ts";
import type { Entry, HardState } from "../raft/raftpb/index.ts";
import { Decoder } from "./decoder.ts";
import { damaged } from "./errors.ts";
import type { File, FileSystem } from "./file-system.ts";
import { ReadAll, type StartAt } from "./read-all.ts";
import { cutTail, type Ending, judgeEnd, type Repaired } from "./repair.ts";
import { listSegments, type SegmentName, segmentsFrom } from "./util.ts";

/** What a log held when it was opened. */
export interface Recovered {
  readonly metadata: Uint8Array;
  /** Undefined if none was ever saved. Its commit is not below the start. */
  readonly hardState: HardState | undefined;
  /** Contiguous, from the index after the start on. */
  readonly entries: readonly Entry[];
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
  /** The file must not become shorter than this. */
  readonly allotted: number;
  readonly chain: number;
}

interface Segment {
  readonly file: File;
  readonly chain: number | undefined;
  readonly ending: Ending;
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
  const { file, ending, ...read } = await readSegment(fileSystem, `${directory}/${last.name}`, chain, true, all);
  try {
    const { metadata } = all;
    if (metadata === undefined) throw damaged(file.path, 0, "no metadata record");
    all.finish(directory);
    await removeLeftovers(fileSystem, directory);
    const repaired = ending.bad && (await cutTail(fileSystem, directory, last.name, file, ending.bad, ending));
    if (repaired !== undefined) {
      logger.warning?.(
        `${file.path}: cut a torn write at offset ${repaired.offset} (${repaired.reason}); a copy of the file is kept in ${repaired.backup}`,
      );
    }
    const { hardState, entries } = all;
    return {
      recovered: { metadata, hardState, entries, repaired },
      tail: {
        file,
        sequence: last.sequence,
        offset: ending.offset,
        size: await file.size(),
        allotted: ending.allotted,
        chain: read.chain ?? 0,
      },
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
  isLast: boolean,
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
      const ending = await judgeEnd(decoder, step, isLast);
      if (ending.damage !== undefined) throw damaged(path, ending.offset, ending.damage);
      return { file, chain: decoder.chain, ending };
    }
  } catch (error) {
    await file.close();
    throw error;
  }
}

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
