import { describe, expect, test } from "vitest";
import { slowCrc32c, text } from "../disk/testing.ts";
import { encodeEntry, makeEntry } from "../raft/raftpb/index.ts";
import {
  decodeSnapshotRecord,
  encodeSnapshotRecord,
  frameSize,
  maxFrameSize,
  type RecordData,
  RecordType,
  readFrame,
  readLengthWord,
  writeFrame,
} from "./record.ts";

const chain = 0x11223344;

function frameOf(data: RecordData, offset = 64, durable = 40, before = chain, salt = 0): Uint8Array {
  const into = new Uint8Array(maxFrameSize(data)).fill(0xee);
  const frame = writeFrame(into, 0, offset, before, { type: RecordType.entry, data, durable, salt });
  return into.slice(0, frame.size);
}

describe("a frame of writeFrame", () => {
  test("has the documented bytes", () => {
    const frame = frameOf(text("hi"));
    const crc = slowCrc32c(text("hi"), chain);
    const covered = 8 + 15; // all up to the checksum's value
    const checksum = slowCrc32c(frame.subarray(0, covered), 64);
    expect([...frame]).toEqual([
      ...[19, 0, 0, 0, 0, 0, 0, 0x80 | 5], // 19 bytes of record, 5 of padding
      ...[0x08, 2], // type
      ...[0x10, ...[0, 7, 14, 21].map((shift) => ((crc >>> shift) & 0x7f) | 0x80), crc >>> 28], // the chain behind it
      ...[0x1a, 2, 0x68, 0x69], // data
      ...[0x70, 40], // durable
      ...[0x7d, checksum & 0xff, (checksum >> 8) & 0xff, (checksum >> 16) & 0xff, checksum >>> 24],
      ...[0, 0, 0, 0, 0],
    ]);
  });

  test("states the sum of offset and salt, and its checksum begins with both", () => {
    const salt = 2 ** 48 + 0x1234_5678_9abc;
    const frame = frameOf(text("hi"), 64, 40, chain, salt);
    const crc = slowCrc32c(text("hi"), chain);
    const checksum = slowCrc32c(frame.subarray(0, 8 + 21), 64 ^ 0x5678_9abc);
    const stated = [0, 7, 14, 21, 28, 35, 42].map((shift) => Math.floor((salt + 40) / 2 ** shift) % 128);
    expect([...frame]).toEqual([
      ...[25, 0, 0, 0, 0, 0, 0, 0x80 | 7],
      ...[0x08, 2],
      ...[0x10, ...[0, 7, 14, 21].map((shift) => ((crc >>> shift) & 0x7f) | 0x80), crc >>> 28],
      ...[0x1a, 2, 0x68, 0x69],
      ...[0x70, ...stated.map((bits, i) => (i < 6 ? bits | 0x80 : bits))],
      ...[0x7d, checksum & 0xff, (checksum >> 8) & 0xff, (checksum >> 16) & 0xff, checksum >>> 24],
      ...[0, 0, 0, 0, 0, 0, 0],
    ]);
    expect(readFrame(frame, 0, 64, 25, salt)).toMatchObject({ durable: 40, salt });
    for (const other of [0, 1, salt - 40, salt - 1, salt + 1, salt + 40, salt + 41, salt + 2 ** 32]) {
      expect(readFrame(frame, 0, 64, 25, other)).toBeTypeOf("string");
    }
    // With only the higher bits wrong, the offset is too large by 2^32 or more, so that the search does not believe it.
    expect(readFrame(frame, 0, 64, 25, salt - 2 ** 32)).toMatchObject({ durable: 40 + 2 ** 32 });
  });

  test("states the salt alone if it begins a segment", () => {
    for (const salt of [0, 8, 2 ** 48 + 7]) {
      const frame = frameOf(text("hi"), 0, 0, chain, salt);
      const size = readLengthWord(frame, 0) as number;
      expect(readFrame(frame, 0, 0, size, 99)).toMatchObject({ durable: 0, salt });
    }
  });

  test("is a multiple of 8 bytes and is read back whole, whatever the size of its data", () => {
    for (let size = 0; size < 150; size++) {
      const data = new Uint8Array(size).fill(size);
      const offset = 8 + 8 * size;
      const salt = size % 2 === 0 ? 0 : 2 ** 48 + size;
      const frame = frameOf(data, offset, 2 ** 31 + size, chain, salt);
      const recordSize = readLengthWord(frame, 0) as number;
      expect(frame.length % 8).toBe(0);
      expect(frameSize(recordSize)).toBe(frame.length);
      expect(readFrame(frame, 0, offset, recordSize, salt)).toEqual({
        type: RecordType.entry,
        crc: slowCrc32c(data, chain),
        data,
        durable: 2 ** 31 + size,
        salt,
      });
    }
  });

  test("holds the chain in its shortest form, with a right checksum wherever the data then begin", () => {
    const sizes = new Set<number>();
    for (let before = 0; before < 3000; before++) {
      const frame = frameOf(text("data"), 8, 8, before);
      const recordSize = readLengthWord(frame, 0) as number;
      sizes.add(recordSize);
      const crc = slowCrc32c(text("data"), before);
      expect(readFrame(frame, 0, 8, recordSize, 0)).toEqual({ type: 2, crc, data: text("data"), durable: 8, salt: 0 });
      expect(frame.subarray(8 + recordSize).every((byte) => byte === 0)).toBe(true);
    }
    expect(sizes.size).toBeGreaterThan(1);
  });

  test("holds the bytes of encodeEntry for an entry", () => {
    for (const data of [undefined, new Uint8Array(0), text("x"), new Uint8Array(5000).fill(7)]) {
      for (const type of [undefined, 0, 1, 2] as const) {
        for (const n of [0, 1, 127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 53 - 1]) {
          const e = makeEntry(type, n, 2 ** 53 - 1 - n, data);
          expect(Buffer.compare(frameOf(e), frameOf(encodeEntry(e)))).toBe(0);
        }
      }
    }
    for (const n of [-1, 0.5, 2 ** 53, Number.NaN]) {
      expect(() => frameOf(makeEntry(0, n, 1, undefined))).toThrow(RangeError);
      expect(() => frameOf(makeEntry(0, 1, n, undefined))).toThrow(RangeError);
    }
  });

  test("does not verify with any bit flipped, nor at another offset", () => {
    const frame = frameOf(text("a value of some length"));
    const read = (bytes: Uint8Array, offset: number): unknown => {
      const recordSize = readLengthWord(bytes, 0);
      if (recordSize === undefined || recordSize === 0 || frameSize(recordSize) > bytes.length) return "no frame";
      return readFrame(bytes, 0, offset, recordSize, 0);
    };
    expect(read(frame, 64)).toMatchObject({ durable: 40 });
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const flipped = frame.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(read(flipped, 64)).toBeTypeOf("string");
    }
    for (let offset = 0; offset < 4096; offset += 8) {
      if (offset !== 64) expect(read(frame, offset)).toBeTypeOf("string");
    }
  });

  test("without our two fields is read as etcd's", () => {
    const record = [0x08, 4, 0x10, 0];
    const frame = Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 0x84, ...record, 0, 0, 0, 0);
    const expected = { type: 4, crc: 0, data: new Uint8Array(0), durable: undefined, salt: 0 };
    expect(readFrame(frame, 0, 0, 4, 0)).toEqual(expected);
  });

  test("with one of our two fields, or any other, is not read as a record", () => {
    for (const extra of [
      [0x70, 1],
      [0x7d, 0, 0, 0, 0],
      [0x20, 1],
      [0x10, 1],
    ]) {
      const record = [0x08, 4, 0x10, 0, ...extra];
      const frame = Uint8Array.of(record.length, 0, 0, 0, 0, 0, 0, 0, ...record, ...new Uint8Array(8));
      expect(readFrame(frame, 0, 0, record.length, 0)).toBe("not a well-formed record");
    }
  });
});

describe("a length word", () => {
  test("is refused unless its padding fits its size", () => {
    const word = (...bytes: number[]): number | undefined => readLengthWord(Uint8Array.of(...bytes), 0);
    expect(word(0, 0, 0, 0, 0, 0, 0, 0)).toBe(0);
    expect(word(16, 0, 0, 0, 0, 0, 0, 0)).toBe(16);
    expect(word(17, 0, 0, 0, 0, 0, 0, 0x87)).toBe(17);
    expect(word(17, 0, 0, 0, 0, 0, 0, 0x86)).toBeUndefined();
    expect(word(17, 0, 0, 0, 0, 0, 0, 0)).toBeUndefined();
    expect(word(16, 0, 0, 0, 0, 0, 0, 0x80)).toBeUndefined();
    expect(word(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81)).toBe(2 ** 56 - 1);
  });
});

describe("a snapshot record", () => {
  test("has etcd's bytes, index and term written even when 0", () => {
    expect([...encodeSnapshotRecord({ index: 0, term: 0, confState: undefined })]).toEqual([0x08, 0, 0x10, 0]);
    const confState = { voters: [1, 2], learners: [3], votersOutgoing: [], learnersNext: [], autoLeave: false };
    const bytes = encodeSnapshotRecord({ index: 500, term: 2, confState });
    expect([...bytes]).toEqual([0x08, 0xf4, 3, 0x10, 2, 0x1a, 8, 0x08, 1, 0x08, 2, 0x10, 3, 0x28, 0]);
    expect(decodeSnapshotRecord(bytes)).toEqual({ index: 500, term: 2, confState });
  });

  test("is refused with an index that is not a safe integer", () => {
    expect(() => encodeSnapshotRecord({ index: 2 ** 53, term: 1, confState: undefined })).toThrow(RangeError);
  });
});
