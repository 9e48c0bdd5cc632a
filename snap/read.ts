// Reading a snapshot file, chunk by chunk.
//
// Promises: memory is bounded by the size of a chunk, whatever the file's bytes say; a file that is read to its end
// without an error has the right checksum, layout and position.
//
// The checksum covers data and metadata, and shows only at the end. The head before them is outside of it, and is
// compared with the size of the file, byte for byte: no flipped bit passes.
//
// Counterpart of Read in snapshotter.go, which reads the file at once.

import { crc32c } from "../disk/crc32c.ts";
import type { File } from "../disk/file-system.ts";
import type { SnapshotMetadata } from "../raft/raftpb/index.ts";
import { damaged, disk, type SnapError, unreadable } from "./errors.ts";
import { decodeHead, decodeTail, FormatError, type Layout, longestHeadBytes } from "./format.ts";
import { type SnapshotPosition, samePosition } from "./names.ts";

const chunkBytes = 256 * 1024;
/** Room for more than a hundred thousand members. A damaged size must not lead to a buffer of any size. */
const longestTailBytes = 1024 * 1024;

/**
 * Yields the data in chunks of 256 KiB and returns the metadata, once the checksum matches. Throws SnapError DAMAGED,
 * UNREADABLE, DISK_FAILED, at the end at the latest.
 */
export async function* readSnapshot(
  file: File,
  position: SnapshotPosition,
): AsyncGenerator<Uint8Array, SnapshotMetadata, void> {
  const layout = await readLayout(file);
  let crc = crc32c(await readRange(file, layout.start, layout.dataStart));
  for (let start = layout.dataStart; start < layout.dataEnd; start += chunkBytes) {
    const chunk = await readRange(file, start, Math.min(start + chunkBytes, layout.dataEnd));
    crc = crc32c(chunk, crc);
    yield chunk;
  }
  const tail = await readRange(file, layout.dataEnd, layout.end);
  crc = crc32c(tail, crc);
  if (crc !== layout.crc) {
    throw damaged(file.path, `its checksum is ${hex(crc)}, and should be ${hex(layout.crc)}`);
  }
  return metadataFrom(tail, file.path, position, unreadable);
}

/** The metadata alone; reads no data and checks no checksum. Throws SnapError DAMAGED, DISK_FAILED. */
export async function readMetadata(file: File, position: SnapshotPosition): Promise<SnapshotMetadata> {
  const layout = await readLayout(file);
  return metadataFrom(await readRange(file, layout.dataEnd, layout.end), file.path, position, damaged);
}

async function readLayout(file: File): Promise<Layout> {
  const size = await disk(() => file.size());
  if (size === 0) throw damaged(file.path, "it is empty");
  const head = await readRange(file, 0, Math.min(size, longestHeadBytes));
  try {
    const layout = decodeHead(head, size);
    const tailSize = layout.end - layout.dataEnd;
    if (tailSize > longestTailBytes) throw new FormatError(`its metadata would be ${tailSize} bytes long`);
    return layout;
  } catch (cause) {
    if (cause instanceof FormatError) throw damaged(file.path, cause.message);
    throw cause;
  }
}

function metadataFrom(
  tail: Uint8Array,
  path: string,
  position: SnapshotPosition,
  undecodable: (file: string, reason: string) => SnapError,
): SnapshotMetadata {
  let metadata: SnapshotMetadata;
  try {
    metadata = decodeTail(tail);
  } catch (cause) {
    if (cause instanceof FormatError) throw undecodable(path, cause.message);
    throw cause;
  }
  if (!samePosition(metadata, position)) {
    const { index, term } = metadata;
    throw damaged(path, `it is the snapshot of index ${index} and term ${term}, and its name is that of another`);
  }
  return metadata;
}

async function readRange(file: File, start: number, end: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - start);
  const read = await disk(() => file.read(bytes, start));
  if (read < bytes.length) throw damaged(file.path, `it was cut off at byte ${start + read} while it was read`);
  return bytes;
}

const hex = (n: number): string => n.toString(16).padStart(8, "0");
