// Writing a snapshot into a file, chunk by chunk as they come.
//
// Promises: of the data, no more than the present chunk is in memory; when the promise resolves, the file's contents
// survive a power cut; the file is whole only then, because its head is written last.
//
// The order: a gap for the head; the data, piece by piece; the metadata; the head. A sync every few MiB keeps the
// disk's queue short: a single sync at the end would make the log's own syncs, which clients wait for, stand in line
// behind hundreds of MiB. A piece is copied into the page cache in some 100 microseconds and checksummed in as many;
// then other work has its turn.
//
// Counterpart of save in snapshotter.go, which has the data in memory and writes it at once.

import { crc32c } from "../disk/crc32c.ts";
import type { File } from "../disk/file-system.ts";
import type { SnapshotMetadata } from "../raft/raftpb/index.ts";
import { disk, SnapError } from "./errors.ts";
import { encodeHead, encodeTail, headBytes, sizeLimit } from "./format.ts";

export const pieceBytes = 256 * 1024;
export const syncBytes = 4 * 1024 * 1024;

/**
 * Fills an empty file. Awaits `turn` after each piece; an error of `turn` or `chunks` ends the writing. Throws
 * SnapError DISK_FAILED, TOO_LARGE.
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
    for (let start = 0; start < chunk.length; start += pieceBytes) {
      const piece = chunk.subarray(start, start + pieceBytes);
      const offset = headBytes + data.size;
      if (offset + piece.length + tail.length > sizeLimit) throw tooLarge(file.path);
      await disk(() => file.writeAt(piece, offset));
      data.crc = crc32c(piece, data.crc);
      data.size += piece.length;
      if (data.size - synced >= syncBytes) {
        await disk(() => file.datasync());
        synced = data.size;
      }
      await turn();
    }
  }
  await disk(() => file.writeAt(tail, headBytes + data.size));
  await disk(() => file.writeAt(encodeHead(data, tail), 0));
  await disk(() => file.datasync());
}

function tooLarge(file: string): SnapError {
  const text = `${file}: the snapshot is larger than ${sizeLimit} bytes, which a file cannot hold. Make the state smaller.`;
  return new SnapError("TOO_LARGE", file, text);
}
