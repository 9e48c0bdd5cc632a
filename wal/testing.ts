// What the tests of wal/ share: entries and hard states, copies of a log, and a reader of the format that owes nothing
// to the code it tests.

import fs from "node:fs";
import path from "node:path";
import { slowCrc32c, temporary, text } from "../disk/testing.ts";
import type { Entry, HardState } from "../raft/raftpb/index.ts";
import { RecordType, readFrame, readLengthWord } from "./record.ts";

export const entry = (index: number, term = 1, data = `entry ${index} of term ${term}`): Entry => ({
  type: 0,
  term,
  index,
  data: text(data),
});
export const entries = (lo: number, hi: number, term = 1): Entry[] =>
  Array.from({ length: hi - lo }, (_, i) => entry(lo + i, term));
export const hardState = (term: number, vote: number, commit: number): HardState => ({ term, vote, commit });

/** What a crash would leave, were everything written durable: the directory as it is now, elsewhere and not locked. */
export function copyOf(directory: string): string {
  const copy = path.join(temporary(), "wal");
  fs.cpSync(directory, copy, { recursive: true });
  return copy;
}

export const segmentsOf = (directory: string): string[] =>
  fs
    .readdirSync(directory)
    .filter((name) => name.endsWith(".wal"))
    .sort()
    .map((name) => path.join(directory, name));

export const lastOf = (directory: string): string => segmentsOf(directory).at(-1) as string;

/** The salt of a segment: what the first record of its file states. */
export function saltOf(segment: Uint8Array): number {
  const record = readFrame(segment, 0, 0, readLengthWord(segment, 0) ?? 0, 0);
  if (typeof record === "string") throw new Error(record);
  return record.salt;
}

/** A record as etcd's reader sees it. */
export interface PlainRecord {
  readonly type: number;
  readonly data: Uint8Array;
  readonly offset: number;
  /** Numbers of fields that etcd's message does not have. */
  readonly unknown: readonly number[];
}

/**
 * Reads segments by etcd's rules alone: length words, fields 1 to 3 in any order, unknown fields skipped, the chain of
 * checksums. Throws on anything that etcd would refuse.
 */
export function readAsEtcd(files: readonly string[]): PlainRecord[] {
  const records: PlainRecord[] = [];
  let chain = 0;
  for (const file of files) {
    const bytes = fs.readFileSync(file);
    for (let offset = 0; offset + 8 <= bytes.length; ) {
      const word = bytes.readBigUInt64LE(offset);
      if (word === 0n) break;
      const size = Number(word & 0xff_ffff_ffff_ffffn);
      const padding = word >> 63n === 1n ? Number((word >> 56n) & 7n) : 0;
      if (offset + 8 + size + padding > bytes.length) throw new Error(`unexpected end at ${offset}`);
      const record = parse(bytes.subarray(offset + 8, offset + 8 + size));
      if (record.type === 4) {
        if (chain !== 0 && record.crc !== chain) throw new Error(`crc mismatch at ${offset}`);
        chain = record.crc;
      } else {
        chain = slowCrc32c(record.data, chain);
        if (record.crc !== chain) throw new Error(`crc mismatch at ${offset}`);
      }
      records.push({ type: record.type, data: record.data, offset, unknown: record.unknown });
      offset += 8 + size + padding;
    }
  }
  return records;
}

function parse(bytes: Uint8Array): { type: number; crc: number; data: Uint8Array; unknown: number[] } {
  const result = { type: 0, crc: 0, data: new Uint8Array(0), unknown: [] as number[] };
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error("varint runs past the record");
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = tag & 7;
    let data = new Uint8Array(0);
    let value = 0;
    if (wire === 0) value = varint();
    else if (wire === 2) {
      const size = varint();
      data = bytes.slice(at, at + size);
      at += size;
    } else if (wire === 5) at += 4;
    else throw new Error(`wire type ${wire}`);
    const field = tag >>> 3;
    if (field === 1) result.type = value;
    else if (field === 2) result.crc = value;
    else if (field === 3) result.data = data;
    else result.unknown.push(field);
  }
  return result;
}

/**
 * The last of these segments as etcd leaves it that has written three hard states behind their records, in [start,
 * end).
 */
export function continuedByEtcd(files: readonly string[]): {
  bytes: Buffer;
  start: number;
  end: number;
  chain: number;
} {
  const records = readAsEtcd(files);
  const bytes = fs.readFileSync(files.at(-1) as string);
  const last = records.at(-1)?.offset as number;
  const start = last + 8 + 8 * Math.ceil(Number(bytes.readBigUInt64LE(last) & 0xff_ffffn) / 8);
  let end = start;
  let chain = records.reduce((crc, record) => slowCrc32c(record.data, crc), 0);
  for (const commit of [1, 2, 3]) {
    const data = [0x08, 1, 0x10, 1, 0x18, commit];
    chain = slowCrc32c(Uint8Array.from(data), chain);
    const varint = [0, 7, 14, 21, 28].map((shift) => ((chain >>> shift) & 0x7f) | (shift < 28 ? 0x80 : 0));
    const record = [0x08, RecordType.state, 0x10, ...varint, 0x1a, data.length, ...data]; // 16 bytes: no padding
    bytes.set([record.length, 0, 0, 0, 0, 0, 0, 0, ...record], end);
    end += 8 + record.length;
  }
  return { bytes, start, end, chain };
}
