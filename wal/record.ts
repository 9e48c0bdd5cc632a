// Records and the frames that hold them: the byte layout of index.ts as code.
//
// A record is well-formed only in the one layout that its writer produces: etcd's three fields in order, then either
// none or both of ours. A damaged tag can therefore not turn one of our records into one that passes for etcd's.
//
// Ports walpb/record.proto and the frame arithmetic of encoder.go and decoder.go.

import protobuf from "protobufjs/minimal.js";
import { crc32c, crc32cCombine } from "../disk/crc32c.ts";
import { type ConfState, type Entry, entrySize, Reader, readConfState, writeConfState } from "../raft/raftpb/index.ts";

export const RecordType = { metadata: 1, entry: 2, state: 3, crc: 4, snapshot: 5 } as const;
export type RecordType = (typeof RecordType)[keyof typeof RecordType];

/** One record as read. `data` is a view of the reader's buffer, which the next read overwrites: copy what you keep. */
export interface WalRecord {
  readonly type: number;
  /**
   * The chain: CRC-32C over the data of all records so far, this one included; in a crc record, the chain before it.
   */
  readonly crc: number;
  readonly data: Uint8Array;
  /** Everything below this offset of the file was durable when the record was written; undefined in etcd's records. */
  readonly durable: number | undefined;
  /** The salt of the segment; 0 if it has none. */
  readonly salt: number;
}

/** Bytes of a frame's length word. */
export const wordSize = 8;
/** Like etcd, we write crc, metadata and state (or the empty snapshot) into a segment before it gets its name. */
export const headRecords = 3;

const tagType = 0x08; // field 1, varint
const tagCrc = 0x10; // field 2, varint
const tagData = 0x1a; // field 3, bytes
const tagDurable = 0x70; // field 14, varint
const tagChecksum = 0x7d; // field 15, four bytes
const checksumSize = 4;
const longestCrc = 5; // a varint of 32 bits

const readFixed32 = (b: Uint8Array, at: number): number =>
  (b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24)) >>> 0;

/** Zero bytes after a record of this size, to the next multiple of 8. */
const paddingOf = (recordSize: number): number => (8 - (recordSize % 8)) % 8;

/** Size of the frame with length word and padding. */
export const frameSize = (recordSize: number): number => wordSize + recordSize + paddingOf(recordSize);

/**
 * The record size that the length word at `at` states: 0 for a zero word (the end of the used space), undefined for a
 * word that no writer makes. May be absurdly large: compare it with what the file holds before anything else.
 */
export function readLengthWord(bytes: Uint8Array, at: number): number | undefined {
  const low = readFixed32(bytes, at);
  const high = bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16);
  const padding = paddingOf(low);
  return bytes[at + 7] === (padding === 0 ? 0 : 0x80 | padding) ? low + high * 2 ** 32 : undefined;
}

function writeLengthWord(bytes: Uint8Array, at: number, recordSize: number): void {
  const padding = paddingOf(recordSize);
  const high = Math.floor(recordSize / 2 ** 32);
  for (let i = 0; i < 4; i++) bytes[at + i] = recordSize >>> (8 * i);
  for (let i = 0; i < 3; i++) bytes[at + 4 + i] = high >>> (8 * i);
  bytes[at + 7] = padding === 0 ? 0 : 0x80 | padding;
}

/** The data of a record: bytes, an entry, which is encoded in its place, or in a crc record nothing. */
export type RecordData = Uint8Array | Entry | undefined;

const dataSizeOf = (data: RecordData): number => {
  if (data === undefined) return 0;
  return data instanceof Uint8Array ? data.length : entrySize(data);
};

/** Upper bound of the frame size for a record with these data. */
export function maxFrameSize(data: RecordData): number {
  const bytes = data === undefined || data instanceof Uint8Array ? data : data.data;
  return (bytes?.length ?? 0) + 80;
}

/**
 * Writes the frame of one record into `into` at `at`. `offset` is the frame's offset in its file, `chain` the one
 * before it, `salt` that of the segment. Returns the frame's size and the chain behind it. Throws RangeError for an
 * entry whose index or term is not an integer in [0, 2^53).
 */
export function writeFrame(
  into: Uint8Array,
  at: number,
  offset: number,
  chain: number,
  record: { type: RecordType; data: RecordData; durable: number; salt: number },
): { size: number; chain: number } {
  const { type, data, durable, salt } = record;
  const crcAt = at + wordSize + 3;
  into[crcAt - 3] = tagType;
  into[crcAt - 2] = type;
  into[crcAt - 1] = tagCrc;
  const dataSize = dataSizeOf(data);
  let crc = chain;
  let start: number;
  if (data === undefined) start = writeVarint(into, crcAt, crc);
  else {
    // The chain precedes the data that it covers: leave room for its longest form, and move the data up if it is
    // shorter.
    const tagAt = crcAt + longestCrc;
    into[tagAt] = tagData;
    start = writeVarint(into, tagAt + 1, dataSize);
    if (data instanceof Uint8Array) into.set(data, start);
    else writeEntry(into, start, data);
    crc = crc32c(into, chain, start, start + dataSize);
    const end = writeVarint(into, crcAt, crc);
    if (end < tagAt) into.copyWithin(end, tagAt, start + dataSize);
    start -= tagAt - end;
  }
  let p = start + dataSize;
  into[p++] = tagDurable;
  p = writeVarint(into, p, durable + salt);
  into[p++] = tagChecksum;
  const recordSize = p + checksumSize - at - wordSize;
  writeLengthWord(into, at, recordSize);
  // Combine with the chain's CRC, so that the data is hashed once.
  const throughData = crc32cCombine(chain ^ crc32c(into, offset ^ salt, at, start), crc, dataSize);
  const checksum = crc32c(into, throughData, start + dataSize, p);
  for (let i = 0; i < checksumSize; i++) into[p++] = checksum >>> (8 * i);
  const size = frameSize(recordSize);
  while (p < at + size) into[p++] = 0;
  return { size, chain: crc };
}

/** The bytes of raftpb's encodeEntry, without an array of their own for each entry. */
function writeEntry(into: Uint8Array, at: number, e: Entry): void {
  let p = at;
  if (e.type !== undefined) {
    into[p++] = 0x08;
    p = writeVarint(into, p, e.type);
  }
  into[p++] = 0x10;
  p = writeVarint(into, p, checked(e.term));
  into[p++] = 0x18;
  p = writeVarint(into, p, checked(e.index));
  if (e.data === undefined) return;
  into[p++] = 0x22;
  p = writeVarint(into, p, e.data.length);
  into.set(e.data, p);
}

function checked(n: number): number {
  if (Number.isSafeInteger(n) && n >= 0) return n;
  throw new RangeError(`cannot encode ${n}: not an integer in [0, 2^53)`);
}

function writeVarint(into: Uint8Array, at: number, value: number): number {
  let p = at;
  let rest = value;
  for (; rest >= 2 ** 31; rest = Math.floor(rest / 128)) into[p++] = (rest & 0x7f) | 0x80;
  for (; rest >= 128; rest >>>= 7) into[p++] = (rest & 0x7f) | 0x80;
  into[p++] = rest;
  return p;
}

/**
 * The record of the frame at `at`, whose file offset is `offset` and whose record size is `recordSize`; or, as a
 * string, its fault. Does not check the chain: this needs no other record, except the one at offset 0, which has the
 * segment's salt. Pass `checksum` if you know the checksums of these bytes already.
 */
export function readFrame(
  bytes: Uint8Array,
  at: number,
  offset: number,
  recordSize: number,
  salt: number,
  checksum: typeof crc32c = crc32c,
): WalRecord | string {
  const start = at + wordSize;
  const end = start + recordSize;
  const reader = new Reader(bytes);
  reader.pos = start;
  reader.len = end;
  const record = parseRecord(reader, offset === 0 ? undefined : salt);
  if (record === undefined) return "not a well-formed record";
  if (record.durable === undefined) return record;
  const checksumAt = end - checksumSize;
  if (readFixed32(bytes, checksumAt) !== checksum(bytes, offset ^ record.salt, at, checksumAt)) {
    return "the record's checksum does not match";
  }
  for (let i = end; i < at + frameSize(recordSize); i++) if (bytes[i] !== 0) return "the padding is not zero";
  return record;
}

/** Without a salt this is the record that carries it: it states no bytes durable, so its field 14 is the salt alone. */
function parseRecord(reader: Reader, known: number | undefined): WalRecord | undefined {
  try {
    if (reader.byte() !== tagType) return undefined;
    const type = reader.number();
    if (reader.byte() !== tagCrc) return undefined;
    const crc = reader.number();
    let data: Uint8Array = noBytes;
    if (reader.pos < reader.len && reader.buf[reader.pos] === tagData) {
      reader.pos++;
      data = reader.slice();
    }
    if (reader.pos === reader.len) return { type, crc, data, durable: undefined, salt: 0 };
    if (reader.byte() !== tagDurable) return undefined;
    const stated = reader.number();
    const salt = known ?? stated;
    if (stated < salt) return undefined;
    if (reader.byte() !== tagChecksum || reader.pos + checksumSize !== reader.len) return undefined;
    return { type, crc, data, durable: stated - salt, salt };
  } catch {
    return undefined; // a number that is too large or cut short: the bytes are no record
  }
}

const noBytes = new Uint8Array(0);

/** Whether the frame at `at` can be one of ours: a cheap look before readFrame, for a search through garbage. */
export function looksLikeOurs(bytes: Uint8Array, at: number, recordSize: number): boolean {
  const start = at + wordSize;
  if (recordSize <= checksumSize) return false;
  return bytes[start] === tagType && bytes[start + recordSize - checksumSize - 1] === tagChecksum;
}

/**
 * A snapshot's mark in the log. The mark of the empty log, 0/0, has no configuration, and neither have those before
 * etcd 3.5.
 */
export interface WalSnapshot {
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState | undefined;
}

/** Throws RangeError for an index or term that is not an integer in [0, 2^53). */
export function encodeSnapshotRecord(snapshot: WalSnapshot): Uint8Array {
  const w = new protobuf.Writer();
  w.uint32(0x08).uint64(checked(snapshot.index));
  w.uint32(0x10).uint64(checked(snapshot.term));
  if (snapshot.confState !== undefined) {
    w.uint32(0x1a).fork();
    writeConfState(w, snapshot.confState);
    w.ldelim();
  }
  return w.finish();
}

/** Throws DecodeError, or protobufjs' own Error for a bad wire type. */
export function decodeSnapshotRecord(bytes: Uint8Array): WalSnapshot {
  const r = new Reader(bytes);
  let index = 0;
  let term = 0;
  let confState: ConfState | undefined;
  while (r.pos < r.len) {
    const tag = r.number();
    if (tag === 0x08) index = r.number();
    else if (tag === 0x10) term = r.number();
    else if (tag === 0x1a) confState = readConfState(r, r.end());
    else r.skipType(tag & 7);
  }
  return { index, term, confState };
}
