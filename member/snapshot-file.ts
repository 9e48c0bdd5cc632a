// A snapshot as a file of its own, outside of any data directory: under any name, and the same bytes as a member's own snapshot
// (snap/index.ts draws them): the members, then the map, and a checksum over all.
//
// Promises: a file has its name only when it is whole and durable, and never replaces an existing file; the contents of a file are returned
// only after it was checked to its last byte.

import { randomBytes } from "node:crypto";
import path from "node:path";
import { setImmediate } from "node:timers/promises";
import { Progress } from "../cli/progress.ts";
import type { File, FileSystem } from "../disk/index.ts";
import { KvSnapshotError, SnapshotDecoder } from "../kvstore/map-snapshot.ts";
import type { SnapshotMetadata } from "../raft/index.ts";
import type { MembersState } from "../server/membership/members.ts";
import { splitSnapshot } from "../server/snapshot-header.ts";
import { decodeHead, decodeTail, FormatError, longestHeadBytes } from "../snap/format.ts";
import { SnapError } from "../snap/index.ts";
import { readSnapshot } from "../snap/read.ts";
import { writeSnapshot } from "../snap/write.ts";

/** More than a hundred thousand members. */
const longestTailBytes = 1024 * 1024;

/** What a sound file holds. */
export interface Contents {
  readonly metadata: SnapshotMetadata;
  readonly members: MembersState;
  readonly keys: number;
  /** Of the whole file. */
  readonly bytes: number;
  /** CRC-32C, as the file has it. */
  readonly checksum: number;
}

/** The file is not a snapshot, or not a sound one. */
export class SnapshotFileError extends Error {
  override readonly name = "SnapshotFileError";
  readonly code = "SNAPSHOT_FILE";
}

/** Reads the file to its end, twice: first for the checksum, then for the contents. Throws SnapshotFileError, FileSystemError. */
export async function checkSnapshotFile(fileSystem: FileSystem, file: string): Promise<Contents> {
  const open = await fileSystem.open(file, "read");
  try {
    const progress = new Progress("checking", await open.size());
    return await progress.during(() => checkOpen(open, progress));
  } catch (error) {
    if (error instanceof SnapError && error.code !== "DISK_FAILED") throw unsound(file, error);
    // The checksum holds: a sound snapshot, but not of a map.
    if (error instanceof KvSnapshotError) throw unsound(file, error);
    throw error;
  } finally {
    await open.close();
  }
}

async function checkOpen(open: File, progress: Progress): Promise<Contents> {
  const bytes = await open.size();
  const { metadata, checksum } = await readEnds(open, bytes);
  for await (const _ of progress.through(readSnapshot(open, metadata)));
  const { state, rest } = await splitSnapshot(readSnapshot(open, metadata)).catch((error) => {
    throw unsound(open.path, error);
  });
  let keys = 0;
  const decoder = new SnapshotDecoder(() => {
    keys++;
  });
  for await (const chunk of rest) decoder.push(chunk);
  decoder.end();
  return { metadata, members: state, keys, bytes, checksum };
}

function unsound(file: string, cause: Error): SnapshotFileError {
  return new SnapshotFileError(`${file} cannot be used: ${cause.message}`, { cause });
}

/** Reads index and term from the file itself, since its name may be any. */
async function readEnds(open: File, size: number): Promise<{ metadata: SnapshotMetadata; checksum: number }> {
  try {
    const head = new Uint8Array(Math.min(size, longestHeadBytes));
    await open.read(head, 0);
    const { crc, dataEnd, end } = decodeHead(head, size);
    if (end - dataEnd > longestTailBytes) throw new FormatError(`its metadata would be ${end - dataEnd} bytes long`);
    const tail = new Uint8Array(end - dataEnd);
    await open.read(tail, dataEnd);
    return { metadata: decodeTail(tail), checksum: crc };
  } catch (error) {
    if (error instanceof FormatError) throw unsound(open.path, new Error(`not a sound snapshot: ${error.message}`));
    throw error;
  }
}

/** The map's part of a file, to be restored from. Throws at its end if the checksum does not hold. */
export async function* mapOf(
  fileSystem: FileSystem,
  file: string,
  metadata: SnapshotMetadata,
): AsyncGenerator<Uint8Array, void, void> {
  const open = await fileSystem.open(file, "read");
  try {
    yield* (await splitSnapshot(readSnapshot(open, metadata))).rest;
  } finally {
    await open.close();
  }
}

/** Throws an Error if the name is taken. */
export async function refuseExisting(fileSystem: FileSystem, file: string): Promise<void> {
  const names = await fileSystem.list(path.dirname(path.resolve(file)));
  if (names === undefined)
    throw new Error(`${path.dirname(path.resolve(file))}: there is no such directory: make it first`);
  if (names.includes(path.basename(file))) {
    throw new Error(`${file} is there already, and is not replaced: choose another name, or move it away`);
  }
}

/** Writes a new file; what `chunks` throws is passed on, and then nothing is left. Throws also SnapError, FileSystemError. */
export async function writeSnapshotFile(
  fileSystem: FileSystem,
  file: string,
  metadata: SnapshotMetadata,
  chunks: AsyncIterable<Uint8Array>,
): Promise<void> {
  // Not the process's id: in a container that is the same each time, and the file that a crash left would be in the way.
  const temporary = `${file}.${randomBytes(4).toString("hex")}.tmp`;
  const open = await fileSystem.open(temporary, "create");
  try {
    try {
      await writeSnapshot(open, metadata, chunks, () => setImmediate());
    } finally {
      await open.close();
    }
    await refuseExisting(fileSystem, file);
    await fileSystem.rename(temporary, file);
  } catch (error) {
    await fileSystem.unlink(temporary).catch(() => undefined); // the first failure is the one to report
    throw error;
  }
  await fileSystem.syncDirectory(path.dirname(path.resolve(file)));
}
