// A segment's file before and ahead of its records: made with its head, durable but for its name, and zeros written
// ahead of the tail.
//
// With zeros ahead a save grows no file: its sync has no new size to store, and a full disk shows here, where no record
// is lost, and not in a hole. The head states how many bytes the file had when it got its name, so that a shortened
// file is recognised.
//
// Counterpart of file_pipeline.go, which keeps a preallocated file ready; here a segment is made when it is needed.

import type { File, FileSystem } from "../disk/file-system.ts";

const zeros = new Uint8Array(1024 * 1024);

/** The least size of a segment when it gets its name: the zeros that writeSegment writes ahead. A multiple of 8. */
export const allottedOf = (segmentBytes: number): number => Math.floor(Math.min(zeros.length, segmentBytes) / 8) * 8;

/**
 * The random number in a new segment's records, which its first one states: clients do not know it, so no value of
 * theirs can pass for a record of the log. `random` gives an integer in [0, n). Every salt takes 7 bytes as a varint.
 */
export const drawSalt = (random: (n: number) => number): number => 2 ** 48 + random(2 ** 48 - 1);

/** Makes a segment that holds `head`, durable but for its name. Returns where its records and its zeros end. */
export async function writeSegment(
  fileSystem: FileSystem,
  path: string,
  head: Uint8Array,
  segmentBytes: number,
): Promise<{ offset: number; zeroedTo: number }> {
  const file = await fileSystem.open(path, "create");
  try {
    const zeroedTo = writeZeros(file, 0, head.length, segmentBytes);
    file.writeAt(head, 0);
    await file.datasync();
    return { offset: head.length, zeroedTo: Math.max(zeroedTo, head.length) };
  } finally {
    await file.close();
  }
}

/**
 * Writes zeros from `zeroedTo` on, so that a write that ends at `end` does not grow the file, and most later ones do
 * not either: the next sync has no new file size to store, and a full disk shows here, where no record is lost, and not
 * in a hole. Returns where the zeros end now. A write that reaches the segment's end grows the file itself: the segment
 * is finished with it.
 */
export function writeZeros(file: File, zeroedTo: number, end: number, segmentBytes: number): number {
  if (end <= zeroedTo || end >= segmentBytes) return zeroedTo;
  const target = Math.min(Math.ceil(end / zeros.length) * zeros.length, segmentBytes);
  writeZerosTo(file, zeroedTo, target);
  return target;
}

export function writeZerosTo(file: File, start: number, end: number): void {
  for (let from = start; from < end; from += zeros.length) {
    file.writeAt(zeros.subarray(0, Math.min(zeros.length, end - from)), from);
  }
}
