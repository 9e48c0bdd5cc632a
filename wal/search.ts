// What lies behind a bad frame: anything but zeros, and sound records of ours.
//
// A record of ours can be told without any other, and may begin at any multiple of 8. What is searched may be the middle of a large entry,
// so its bytes are whatever a client has chosen: each word of them can claim a frame of megabytes that holds together up to its
// checksum. So no claim may cost more than a few steps: the bytes are read into memory once, and checksummed once, and the checksum of any
// stretch follows from those of the file up to its two ends.
//
// Nothing of this is in etcd, whose decoder looks at the bad frame alone.

import { crc32c, crc32cCombine } from "../disk/crc32c.ts";
import { usedFrom, type Window } from "./decoder.ts";
import { frameSize, looksLikeOurs, readFrame, readLengthWord, WORD_SIZE } from "./record.ts";

/** What lies behind an offset. */
export interface Rest {
  /** The offset after the last byte that is not zero, or up to 15 more. */
  readonly used: number;
  /** Whether a sound record with our fields was found. */
  readonly ours: boolean;
  /** The highest offset that such a record states durable. */
  readonly durable: number;
}

/** The zeros at the end of a record: of its checksum, and its padding. */
const LAST_ZEROS = 15;

/** Searches a segment that has this salt from `from`, a multiple of 8, to its end. */
export async function searchRest(window: Window, from: number, salt: number): Promise<Rest> {
  let used = await usedFrom(window, from);
  let ours = false;
  let durable = 0;
  const end = Math.min(window.size, used + LAST_ZEROS);
  if (used === from || end - from < WORD_SIZE) return { used, ours, durable };
  await window.load(from, end - from);
  const { bytes, start } = window;
  const last = end - start;
  const checksum = checksums(bytes, from - start, last);
  for (let at = from - start, next = at; last - at >= WORD_SIZE; at = next) {
    next = at + WORD_SIZE;
    const recordSize = readLengthWord(bytes, at) ?? 0;
    const size = frameSize(recordSize);
    if (recordSize === 0 || size > last - at || !looksLikeOurs(bytes, at, recordSize)) continue;
    const record = readFrame(bytes, at, start + at, recordSize, salt, checksum);
    if (typeof record === "string" || record.durable === undefined) continue;
    if (record.durable > start + at) continue; // a lie: no record can know what is written after it
    ours = true;
    durable = Math.max(durable, record.durable);
    next = at + size;
    used = Math.max(used, start + next);
  }
  return { used, ours, durable };
}

/** Bytes between two checksums that are kept. */
const STEP = 128;

/** crc32c for any stretch within [lo, hi) of these bytes, at a cost that does not grow with the stretch. */
function checksums(bytes: Uint8Array, lo: number, hi: number): typeof crc32c {
  const upTo = new Uint32Array(Math.floor((hi - lo) / STEP) + 1);
  for (let n = 1; n < upTo.length; n++) {
    upTo[n] = crc32c(bytes, upTo[n - 1], lo + (n - 1) * STEP, lo + n * STEP);
  }
  const before = (at: number): number => {
    const n = Math.floor((at - lo) / STEP);
    return crc32c(bytes, upTo[n], lo + n * STEP, at);
  };
  // The CRC of the part before `start` enters twice, and xor cancels it.
  return (_, crc = 0, start = lo, end = hi) => crc32cCombine(before(start) ^ crc, before(end), end - start);
}
