// The bytes behind a bad frame: anything but zeros, and sound records of ours.
//
// A record of ours can be recognised without any other, and may begin at any multiple of 8. The search may run through
// the middle of a large entry, whose bytes a client has chosen: each word can claim a frame of megabytes that is
// well-formed up to its checksum. So no claim may cost more than a few steps: the bytes are read into memory once, and
// checksummed once, and the checksum of any stretch follows from those of the file up to its two ends.
//
// etcd has no counterpart: its decoder looks at the bad frame alone.

import { crc32c, crc32cCombine } from "../disk/crc32c.ts";
import { usedFrom, type Window } from "./decoder.ts";
import { frameSize, looksLikeOurs, readFrame, readLengthWord, wordSize } from "./record.ts";

/** What lies behind an offset. */
export interface Rest {
  /** The offset after the last byte that is not zero, or up to 15 more. */
  readonly used: number;
  /** Whether a sound record with our fields was found. */
  readonly ours: boolean;
  /** The highest offset that such a record states durable. */
  readonly durable: number;
}

/** The zeros that may end a record: of its checksum, and its padding. */
const lastZeros = 15;

/** Searches a segment that has this salt from `from`, a multiple of 8, to its end. */
export async function searchRest(window: Window, from: number, salt: number): Promise<Rest> {
  let used = await usedFrom(window, from);
  let ours = false;
  let durable = 0;
  const end = Math.min(window.size, used + lastZeros);
  if (used === from || end - from < wordSize) return { used, ours, durable };
  await window.load(from, end - from);
  const { bytes, start } = window;
  const last = end - start;
  const checksum = checksums(bytes, from - start, last);
  for (let at = from - start, next = at; last - at >= wordSize; at = next) {
    next = at + wordSize;
    const recordSize = readLengthWord(bytes, at) ?? 0;
    const size = frameSize(recordSize);
    if (recordSize === 0 || size > last - at || !looksLikeOurs(bytes, at, recordSize)) continue;
    const record = readFrame(bytes, at, start + at, recordSize, salt, checksum);
    if (typeof record === "string" || record.durable === undefined) continue;
    if (record.durable > start + at) continue; // a lie: no record can know of bytes that are not written yet
    ours = true;
    durable = Math.max(durable, record.durable);
    next = at + size;
    used = Math.max(used, start + next);
  }
  return { used, ours, durable };
}

/** Bytes between two checksums that are kept. */
const step = 128;

/** crc32c for any stretch within [lo, hi) of these bytes, at a cost that does not grow with the stretch. */
function checksums(bytes: Uint8Array, lo: number, hi: number): typeof crc32c {
  const upTo = new Uint32Array(Math.floor((hi - lo) / step) + 1);
  for (let n = 1; n < upTo.length; n++) {
    upTo[n] = crc32c(bytes, upTo[n - 1], lo + (n - 1) * step, lo + n * step);
  }
  const before = (at: number): number => {
    const n = Math.floor((at - lo) / step);
    return crc32c(bytes, upTo[n], lo + n * step, at);
  };
  // checksum(start, end) from those of [lo, start) and [lo, end). The prefix's CRC enters twice, and xor cancels it.
  return (_, crc = 0, start = lo, end = hi) => crc32cCombine(before(start) ^ crc, before(end), end - start);
}
