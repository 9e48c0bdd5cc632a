// Making a log: its first segment is durable under its name before any caller relies on it.
//
// A missing directory is built beside its place and gets its name whole. An empty one keeps its place: it may be a
// mount point or a link to another disk, which no rename can replace. There the segment gets its name whole. A log in
// which nothing was ever saved is replaced in the same way, by one rename of one file: a crash leaves the old log or
// the new one.

import { type DirectoryLock, type File, type FileSystem, parentOf, removeLeftovers } from "../disk/file-system.ts";
import { Encoder, encodeHead } from "./encoder.ts";
import { WalError } from "./errors.ts";
import { isSegmentFile, segmentName } from "./names.ts";
import { encodeSnapshotRecord, RecordType } from "./record.ts";
import { allottedOf, drawSalt, writeSegment } from "./segment.ts";

export interface NewLog {
  readonly fileSystem: FileSystem;
  /** Without a slash at its end. */
  readonly directory: string;
  readonly metadata: Uint8Array;
  readonly segmentBytes: number;
  readonly random: (n: number) => number;
  /** An existing log is replaced: its owner knows that nothing was ever saved in it. */
  readonly replaces: boolean;
}

export interface MadeLog {
  readonly lock: DirectoryLock;
  readonly file: File;
  readonly encoder: Encoder;
  /** Where the next record goes. */
  readonly offset: number;
  readonly zeroedTo: number;
  readonly allotted: number;
}

/**
 * Allowed in an empty directory: the top of a file system has one, and a killed process leaves its lock
 * (node-file-system.ts).
 */
const harmless = new Set(["lost+found", "lock"]);

const first = segmentName(0, 0);

/** Throws WalError EXISTS for a directory that is not empty, FileSystemError. */
export async function makeLog(log: NewLog): Promise<MadeLog> {
  const { fileSystem, directory, replaces } = log;
  const names = await fileSystem.list(directory);
  if (names === undefined) return makeBeside(log);
  if (!replaces) refuseUsed(directory, names);
  return makeInPlace(log);
}

function refuseUsed(directory: string, names: readonly string[]): void {
  const found = names.filter((name) => !name.endsWith(".tmp") && !harmless.has(name));
  if (found.length === 0) return;
  const what = found.some(isSegmentFile) ? "holds a log already: open it" : `is not empty (${found[0]}): move it aside`;
  throw new WalError("EXISTS", `${directory}: ${what}, or choose another directory.`, { file: directory });
}

async function makeBeside(log: NewLog): Promise<MadeLog> {
  const { fileSystem, directory } = log;
  const temporary = `${directory}.tmp`;
  await fileSystem.makeDirectory(temporary);
  const lock = await fileSystem.lock(temporary); // stays with the directory through the rename
  let present = temporary;
  try {
    await removeLeftovers(fileSystem, temporary);
    for (const name of ((await fileSystem.list(temporary)) ?? []).filter(isSegmentFile)) {
      await fileSystem.unlink(`${temporary}/${name}`);
    }
    const head = await writeHead(log, `${temporary}/${first}`);
    await fileSystem.syncDirectory(temporary);
    await fileSystem.rename(temporary, directory);
    present = directory;
    await fileSystem.syncDirectory(parentOf(directory));
    return { lock, file: await fileSystem.open(`${directory}/${first}`, "write"), ...head };
  } catch (error) {
    await lock.release(present);
    throw error;
  }
}

async function makeInPlace(log: NewLog): Promise<MadeLog> {
  const { fileSystem, directory } = log;
  const lock = await fileSystem.lock(directory);
  try {
    await removeLeftovers(fileSystem, directory);
    const path = `${directory}/${first}`;
    const head = await writeHead(log, `${path}.tmp`);
    await fileSystem.rename(`${path}.tmp`, path);
    await fileSystem.syncDirectory(directory);
    // An earlier attempt may have made the directory and crashed before its name was durable.
    await fileSystem.syncDirectory(parentOf(directory));
    return { lock, file: await fileSystem.open(path, "write"), ...head };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function writeHead({ fileSystem, metadata, segmentBytes, random }: NewLog, path: string) {
  const encoder = new Encoder(0, 0);
  const allotted = allottedOf(segmentBytes);
  const data = encodeSnapshotRecord({ index: 0, term: 0, confState: undefined });
  encodeHead(encoder, metadata, { type: RecordType.snapshot, data }, allotted, drawSalt(random));
  const sizes = await writeSegment(fileSystem, path, encoder.take(), segmentBytes);
  return { encoder, allotted, ...sizes };
}
