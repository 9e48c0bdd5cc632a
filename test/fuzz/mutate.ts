// Makes hostile inputs out of sound ones: a small mutator that knows what bytes mean to a decoder, and what its author
// may have forgotten.
//
// Promises: the same seed, input and corpus give the same result, whatever ran before: everything is drawn from the
// Random that is passed in. The result is no longer than `maxInputBytes`, and the originals stay as they are.
//
// An input has one to eight changes, mostly few: one bit that flips must be found as well as a file of which nothing is
// in its place. Among the changes are those that a format of lengths and numbers invites: a varint that says another
// length, a number at the edge of 8, 16, 32, 53 and 64 bits, a stretch twice, the end of another input, a sector of
// zeros, a byte repeated until a recursion would overflow.
//
// Left out is everything that needs a look into the running program, such as coverage: the corpora are made so that
// each part of a decoder is reached by a few changes.

import type { Random } from "../../sim/random.ts";

export const maxInputBytes = 64 * 1024;

const interestingBytes = [0, 1, 2, 4, 7, 8, 0x0a, 0x0d, 0x10, 0x1a, 0x20, 0x3a, 0x7f, 0x80, 0x81, 0xfe, 0xff];
const interestingNumbers = [
  0n,
  1n,
  127n,
  128n,
  255n,
  65_535n,
  65_536n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 52n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 56n - 1n,
  2n ** 63n,
  2n ** 64n - 2n,
  2n ** 64n - 1n,
];

type Change = (random: Random, bytes: Uint8Array, corpus: readonly Uint8Array[]) => Uint8Array;

/** A hostile input, from one of the corpus. */
export function mutate(random: Random, corpus: readonly Uint8Array[]): Uint8Array {
  let bytes = corpus.length === 0 ? new Uint8Array(0) : joined(random.pick(corpus)); // a copy, and no Buffer
  if (random.chance(1 / 64)) bytes = noise(random, random.below(random.chance(0.1) ? 4096 : 64));
  let changes = 1;
  while (changes < 8 && random.chance(0.4)) changes++;
  for (let i = 0; i < changes; i++) bytes = random.pick(all)(random, bytes, corpus).slice(0, maxInputBytes);
  return bytes;
}

/** Random bytes. */
export const noise = (random: Random, size: number): Uint8Array =>
  Uint8Array.from({ length: size }, () => random.bits() & 0xff);

/** Joins the parts, views of any kind. */
export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

const place = (random: Random, bytes: Uint8Array): number => random.below(bytes.length + 1);

/** A range [lo, hi) within the bytes: mostly a short one. */
function range(random: Random, bytes: Uint8Array): [lo: number, hi: number] {
  const lo = place(random, bytes);
  const longest = random.chance(0.7) ? Math.min(16, bytes.length - lo) : bytes.length - lo;
  return [lo, lo + random.below(longest + 1)];
}

/** The bytes with [lo, hi) replaced. */
const replaced = (bytes: Uint8Array, lo: number, hi: number, by: Uint8Array): Uint8Array =>
  joined(bytes.subarray(0, lo), by, bytes.subarray(Math.max(lo, hi)));

function changedByte(random: Random, bytes: Uint8Array, change: (byte: number) => number): Uint8Array {
  if (bytes.length === 0) return bytes;
  const at = random.below(bytes.length);
  bytes[at] = change(bytes[at] as number);
  return bytes;
}

const flip: Change = (random, bytes) => changedByte(random, bytes, (byte) => byte ^ (1 << random.below(8)));
const setByte: Change = (random, bytes) => changedByte(random, bytes, () => random.pick(interestingBytes));
const step: Change = (random, bytes) => changedByte(random, bytes, (byte) => byte + (random.chance(0.5) ? 1 : -1));
const truncate: Change = (random, bytes) => bytes.slice(0, place(random, bytes));

const cutOut: Change = (random, bytes) => {
  const [lo, hi] = range(random, bytes);
  return replaced(bytes, lo, hi, new Uint8Array(0));
};

const duplicate: Change = (random, bytes) => {
  const [lo, hi] = range(random, bytes);
  const at = random.chance(0.5) ? hi : place(random, bytes);
  return replaced(bytes, at, at, bytes.slice(lo, hi));
};

const moved: Change = (random, bytes) => {
  const [lo, hi] = range(random, bytes);
  bytes.copyWithin(place(random, bytes), lo, hi);
  return bytes;
};

const splice: Change = (random, bytes, corpus) => {
  if (corpus.length === 0) return bytes;
  const other = random.pick(corpus);
  // Often at the same offset in both: formats have their fields in like places.
  const at = place(random, bytes);
  const from = random.chance(0.5) ? Math.min(at, other.length) : place(random, other);
  return joined(bytes.subarray(0, at), other.subarray(from));
};

const insert: Change = (random, bytes) => {
  const at = place(random, bytes);
  return replaced(bytes, at, at, noise(random, 1 + random.below(8)));
};

const zeros: Change = (random, bytes) => {
  if (random.chance(0.5)) {
    const [lo, hi] = range(random, bytes);
    return bytes.fill(0, lo, hi);
  }
  const sector = 512 * random.below(Math.ceil((bytes.length + 1) / 512));
  return bytes.fill(0, sector, Math.min(sector + 512, bytes.length));
};

/** A run of one byte: long ones are what a recursion or a quadratic loop chokes on. */
const run: Change = (random, bytes) => {
  const at = place(random, bytes);
  const size = random.chance(0.9) ? random.below(64) : random.below(16_384);
  return replaced(bytes, at, at, new Uint8Array(size).fill(random.pick(interestingBytes)));
};

/** Another number in the place of a varint, or of what looks like one. */
const varintLie: Change = (random, bytes) => {
  const at = place(random, bytes);
  let end = at;
  while (end < bytes.length && end - at < 9 && (bytes[end] as number) >= 0x80) end++;
  return replaced(bytes, at, Math.min(end + 1, bytes.length), varint(someNumber(random)));
};

/** Another number in the place of one of 2, 4 or 8 bytes. */
const fixedLie: Change = (random, bytes) => {
  const size = random.pick([2, 4, 8]);
  if (bytes.length < size) return bytes;
  const at = random.below(bytes.length - size + 1);
  const value = BigInt.asUintN(8 * size, someNumber(random));
  const little = random.chance(0.5);
  for (let i = 0; i < size; i++) bytes[at + (little ? i : size - 1 - i)] = Number((value >> BigInt(8 * i)) & 0xffn);
  return bytes;
};

function someNumber(random: Random): bigint {
  if (random.chance(0.5)) return BigInt(random.below(64));
  const number = random.pick(interestingNumbers);
  return random.chance(0.8) ? number : BigInt.asUintN(64, number + BigInt(random.below(5) - 2));
}

/** The number as a varint of protobuf. */
function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) | 0x80);
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

const all: readonly Change[] = [
  flip,
  flip,
  setByte,
  setByte,
  step,
  truncate,
  cutOut,
  duplicate,
  moved,
  splice,
  insert,
  zeros,
  run,
  varintLie,
  varintLie,
  fixedLie,
];
