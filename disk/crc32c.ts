// CRC-32C (Castagnoli), the checksum of etcd's log and snapshot files.
//
// node:zlib has only the IEEE polynomial, so this is a table of our own, "slicing by 8": eight bytes are looked up in
// eight tables and joined, which breaks the chain of dependent look-ups that the byte-by-byte form waits for. In V8 one
// table with offsets is as fast as eight, and neither 16 bytes a step nor loads of 32 bits are faster: about a
// nanosecond a byte. Where there are many bytes, crc32c-loop.ts takes 0.4, if the process may use it.
//
// A byte counts once even where two checksums cover it. The register is a sum (by xor) of what each bit before did to
// it, so the checksum of two byte strings joined follows from that of each: the second, and what as many zero bytes as
// the second has make of the first. A snapshot needs that because its head, which the checksum covers first, holds a
// size that is known last; a log record because its data are in the chain and in its own checksum.

import { makeLoop } from "./crc32c-loop.ts";

const POLYNOMIAL = 0x82f63b78; // 0x1edc6f41, lowest bit first
const table = makeTable();
const loop = makeLoop(table);
/** From so many bytes on it pays to go there. */
const MANY = 128;
/** Each is for twice as many zero bytes as the one before it, from 1 on; made when it is needed. */
const zeroBytes: Int32Array[] = [];

function makeTable(): Int32Array {
  const t = new Int32Array(16 * 256);
  for (let i = 0; i < 256; i++) {
    let c = i;
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ POLYNOMIAL : c >>> 1;
    t[i] = c;
  }
  // Table k tells what a byte does to the register after k more zero bytes have passed.
  for (let i = 256; i < t.length; i++) {
    const previous = t[i - 256] as number;
    t[i] = (previous >>> 8) ^ (t[previous & 0xff] as number);
  }
  return t;
}

/**
 * Checksum of `bytes` in [start, end), continued from `crc`: crc32c(b, crc32c(a)) is the checksum of a followed by b.
 * An unsigned 32-bit number.
 */
export function crc32c(bytes: Uint8Array, crc = 0, start = 0, end = bytes.length): number {
  const b = bytes;
  const t = table;
  let c = ~crc;
  let i = start;
  while (loop !== undefined && end - i >= MANY) {
    const size = Math.min(end - i, loop.room.length) & ~15;
    loop.room.set(b.subarray(i, i + size));
    c = loop.run(size, c);
    i += size;
  }
  for (const last = end - 7; i < last; i += 8) {
    c =
      t[1792 + (b[i]! ^ (c & 0xff))]! ^
      t[1536 + (b[i + 1]! ^ ((c >>> 8) & 0xff))]! ^
      t[1280 + (b[i + 2]! ^ ((c >>> 16) & 0xff))]! ^
      t[1024 + (b[i + 3]! ^ (c >>> 24))]! ^
      t[768 + b[i + 4]!]! ^
      t[512 + b[i + 5]!]! ^
      t[256 + b[i + 6]!]! ^
      t[b[i + 7]!]!;
  }
  for (; i < end; i++) c = (c >>> 8) ^ t[(c ^ b[i]!) & 0xff]!;
  return ~c >>> 0;
}

/** crc32cCombine(crc32c(a), crc32c(b), b.length) is crc32c of a followed by b. An unsigned 32-bit number. */
export function crc32cCombine(first: number, second: number, secondSize: number): number {
  let c = first;
  for (let k = 0, n = secondSize; n > 0; k++, n = n < 2 ** 31 ? n >>> 1 : Math.floor(n / 2)) {
    if ((n & 1) === 1) c = after(zeroBytes[k] ?? makeZeroBytes(k), c);
  }
  return (c ^ second) >>> 0;
}

/** What a register becomes: the table has 256 numbers for each of its bytes, the lowest first. */
const after = (t: Int32Array, c: number): number =>
  t[c & 0xff]! ^ t[256 + ((c >>> 8) & 0xff)]! ^ t[512 + ((c >>> 16) & 0xff)]! ^ t[768 + (c >>> 24)]!;

/** The table of 2 to the power of k zero bytes: half of them, twice. */
function makeZeroBytes(k: number): Int32Array {
  const half = k === 0 ? undefined : (zeroBytes[k - 1] ?? makeZeroBytes(k - 1));
  const t = Int32Array.from({ length: 4 * 256 }, (_, i) => {
    const c = (i & 0xff) << (8 * (i >> 8));
    return half === undefined ? (c >>> 8) ^ table[c & 0xff]! : after(half, after(half, c));
  });
  zeroBytes[k] = t;
  return t;
}
