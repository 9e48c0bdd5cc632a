// Reads the records of one segment in order and checks each of them; says how the segment ends.
//
// The file is read in chunks of 1 MiB into one buffer. The decoder compares each length with what is left of the file
// before it believes it, so that damage cannot cause an allocation beyond the file's size. It judges single frames
// only: repair.ts, with the rest of the file in view, decides whether a bad one is a torn write or damage.
//
// Ports decoder.go; here a decoder reads one segment, and the chain passes from one to the next.

import { crc32c } from "../disk/crc32c.ts";
import type { File } from "../disk/file-system.ts";
import { frameSize, headRecords, RecordType, readFrame, readLengthWord, type WalRecord, wordSize } from "./record.ts";

const chunkSize = 1024 * 1024;
const sectorSize = 512;

/** A stretch of a file in memory. */
export class Window {
  readonly file: File;
  /** Size of the file in bytes. */
  readonly size: number;
  /** File offset of bytes[0]. */
  start = 0;
  bytes: Uint8Array = new Uint8Array(0);

  constructor(file: File, size: number) {
    this.file = file;
    this.size = size;
  }

  has(offset: number, count: number): boolean {
    return offset >= this.start && offset + count <= this.start + this.bytes.length;
  }

  /**
   * Brings [offset, offset + count) into `bytes`, with the bytes after it up to a chunk. The range must lie within the
   * file.
   */
  async load(offset: number, count: number): Promise<void> {
    if (this.has(offset, count)) return;
    const wanted = Math.min(Math.max(count, chunkSize), this.size - offset);
    if (this.#buffer.length < wanted || this.#buffer.length > 2 * chunkSize) this.#buffer = new Uint8Array(wanted);
    this.bytes = this.#buffer.subarray(0, wanted);
    this.start = offset;
    const read = await this.file.read(this.bytes, offset);
    if (read !== wanted) throw new Error(`${this.file.path}: became shorter while it was read`);
  }

  #buffer = new Uint8Array(0);
}

/** One step through a segment. */
export type Decoded =
  | { readonly kind: "record"; readonly offset: number; readonly record: WalRecord }
  /** A zero length word, or the end of the file: the used space ends at `offset`. */
  | { readonly kind: "end"; readonly offset: number }
  | BadFrame;

export interface BadFrame {
  readonly kind: "bad";
  readonly offset: number;
  readonly reason: string;
  /**
   * What the frame alone suggests. torn: it passes the end of the file, or a sector of it is all zero, which is etcd's
   * sign of a write cut short; foreign: it is sound but lacks the fields of earlier records; unclear: anything else.
   */
  readonly looks: "torn" | "foreign" | "unclear";
}

export class Decoder {
  readonly window: Window;
  /** The chain after the last record; undefined before the first crc record of a log that is read from the middle. */
  chain: number | undefined;
  /** Records read so far. */
  count = 0;
  /** Whether one of the records had our fields. */
  ours = false;
  /** The segment's; 0 until its first record has been read. */
  salt = 0;
  /** The file was never shorter than this since it got its name; 0 if its head does not say so. */
  allotted = 0;
  /** Everything below was durable when one of the records was written, or when the file got its name. */
  vouched = 0;
  #offset = 0;

  constructor(file: File, size: number, chain: number | undefined) {
    this.window = new Window(file, size);
    this.chain = chain;
  }

  /**
   * The next record, valid until the following call. After an end or a bad frame, only isForeignToEnd may be called.
   */
  async next(): Promise<Decoded> {
    const { window } = this;
    const offset = this.#offset;
    const left = window.size - offset;
    if (left === 0) return { kind: "end", offset };
    if (left < wordSize) return bad(offset, "the file ends within a length word", "torn");
    if (!window.has(offset, wordSize)) await window.load(offset, wordSize);
    const recordSize = readLengthWord(window.bytes, offset - window.start);
    if (recordSize === 0) return { kind: "end", offset };
    if (recordSize === undefined) return bad(offset, "not a length word", "unclear");
    const size = frameSize(recordSize);
    if (size > left) return bad(offset, `a record of ${recordSize} bytes would pass the end of the file`, "torn");
    if (!window.has(offset, size)) await window.load(offset, size);
    const at = offset - window.start;
    const record = readFrame(window.bytes, at, offset, recordSize, this.salt);
    const reason = typeof record === "string" ? record : this.#follow(record);
    if (typeof record === "string" || reason !== undefined) {
      const torn = hasZeroSector(window.bytes, at + wordSize, at + size, window.start);
      return bad(offset, reason ?? "", torn ? "torn" : "unclear");
    }
    if (this.ours && record.durable === undefined) {
      this.#offset += size;
      return bad(offset, "a record that another program wrote follows records of this one", "foreign");
    }
    this.ours ||= record.durable !== undefined;
    if (offset === 0) this.salt = record.salt;
    if (this.count === 1 && record.type === RecordType.metadata) this.allotted = record.durable ?? 0;
    // no record can know of later bytes
    else this.vouched = Math.max(this.vouched, Math.min(record.durable ?? 0, offset));
    this.count++;
    this.#offset += size;
    if (this.count === headRecords && this.allotted > 0) this.vouched = this.#offset;
    return { kind: "record", offset, record };
  }

  /**
   * After a foreign record: whether sound ones like it follow, up to a clean end. The decoder is of no more use then.
   */
  async isForeignToEnd(): Promise<boolean> {
    this.ours = false;
    for (;;) {
      const step = await this.next();
      if (step.kind === "end") return (await usedFrom(this.window, step.offset)) === step.offset;
      if (step.kind === "bad" || step.record.durable !== undefined) return false;
    }
  }

  /** Moves the chain on, or says why the record does not continue it. */
  #follow(record: WalRecord): string | undefined {
    if (record.type === RecordType.crc) {
      if (this.chain !== undefined && record.crc !== this.chain) {
        return "the chain of checksums does not continue that of the records before";
      }
      this.chain = record.crc;
      return undefined;
    }
    const chain = crc32c(record.data, this.chain ?? 0);
    if (record.crc !== chain) return "the record's place in the chain of checksums does not match";
    this.chain = chain;
    return undefined;
  }
}

const bad = (offset: number, reason: string, looks: BadFrame["looks"]): BadFrame => ({
  kind: "bad",
  offset,
  reason,
  looks,
});

/** Whether the part of some sector in [from, to) is all zero; `fileOffset` is the file offset of bytes[0]. */
function hasZeroSector(bytes: Uint8Array, from: number, to: number, fileOffset: number): boolean {
  for (let start = from; start < to; ) {
    const end = Math.min(to, start + sectorSize - ((fileOffset + start) % sectorSize));
    if (isZero(bytes, start, end)) return true;
    start = end;
  }
  return false;
}

/** The offset after the last word from `from` on that is not all zero; `from` if there is none. */
export async function usedFrom(window: Window, from: number): Promise<number> {
  let used = from;
  for (let offset = from, next = from; offset < window.size; offset = next) {
    next = Math.min(offset + wordSize, window.size);
    if (!window.has(offset, next - offset)) await window.load(offset, next - offset);
    if (!isZero(window.bytes, offset - window.start, next - window.start)) used = next;
  }
  return used;
}

function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] !== 0) return false;
  return true;
}
