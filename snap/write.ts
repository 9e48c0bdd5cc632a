// Writing a snapshot into a file, chunk by chunk as they come.
//
// Promises: of the data, no more than the chunk at hand is in memory; when the promise resolves, the file's contents survive a
// power cut; the file is whole only then, because its head is written last.
//
// The order: a gap for the head; the data, piece by piece; the metadata; the head. A sync every few MiB keeps the disk's queue
// short: were it all left to the last one, the log's own syncs, which clients wait for, would stand in line behind hundreds of MiB.
// A piece is copied into the page cache in some 100 microseconds and checksummed in as many; then others have their turn.
//
// Counterpart of save in snapshotter.go, which has the data in memory and writes it at once.

import { crc32c } from "../disk/crc32c.ts";
import type { File } from "../disk/file-system.ts";
import type { SnapshotMetadata } from "../raft/raftpb/index.ts";
import { disk, SnapError } from "./errors.ts";
import { encodeHead, encodeTail, HEAD_BYTES, SIZE_LIMIT } from "./format.ts";

export const PIECE_BYTES = 256 * 1024;
export const SYNC_BYTES = 4 * 1024 * 1024;

/**
 * Fills an empty file. `turn` is awaited after each piece; what it throws ends the writing, and so does what `chunks` throws.
 * Throws SnapError DISK_FAILED, TOO_LARGE.
 */
export async function writeSnapshot(
  file: File,
  metadata: SnapshotMetadata,
  chunks: AsyncIterable<Uint8Array>,
  turn: () => Promise<void>,
): Promise<void> {
  const tail = encodeTail(metadata);
  const data = { size: 0, crc: 0 };
  let synced = 0;
  for await (const chunk of chunks) {
    for (let start = 0; start < chunk.length; start += PIECE_BYTES) {
      const piece = chunk.subarray(start, start + PIECE_BYTES);
      const offset = HEAD_BYTES + data.size;
      if (offset + piece.length + tail.length > SIZE_LIMIT) throw tooLarge(file.path);
      await disk(() => file.writeAt(piece, offset));
      data.crc = crc32c(piece, data.crc);
      data.size += piece.length;
      if (data.size - synced >= SYNC_BYTES) {
        await disk(() => file.datasync());
        synced = data.size;
      }
      await turn();
    }
  }
  await disk(() => file.writeAt(tail, HEAD_BYTES + data.size));
  await disk(() => file.writeAt(encodeHead(data, tail), 0));
  await disk(() => file.datasync());
}

function tooLarge(file: string): SnapError {
  const text = `${file}: the snapshot is larger than ${SIZE_LIMIT} bytes, which a file cannot hold. Make the state smaller.`;
  return new SnapError("TOO_LARGE", file, text);
}
