// The cost of a search through bytes that a client has chosen, counted by a crc32c that counts and calls the real one.
// What the search finds: repair.test.ts.

import { expect, test, vi } from "vitest";
import type { File } from "../disk/file-system.ts";
import { Window } from "./decoder.ts";
import { RecordType, writeFrame } from "./record.ts";
import { searchRest } from "./search.ts";

const work = vi.hoisted(() => ({ checksummed: 0, read: 0 }));

vi.mock("../disk/crc32c.ts", async (original) => {
  const real = await original<typeof import("../disk/crc32c.ts")>();
  const crc32c: typeof real.crc32c = (bytes, crc, start = 0, end = bytes.length) => {
    work.checksummed += end - start;
    return real.crc32c(bytes, crc, start, end);
  };
  return { ...real, crc32c };
});

const MiB = 1024 * 1024;

/** Searches these bytes from `from` on, and counts the bytes that are read and checksummed for it. */
async function search(bytes: Uint8Array, from: number, salt = 0) {
  const file = {
    path: "segment",
    read: async (into: Uint8Array, offset: number) => {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      work.read += part.length;
      return part.length;
    },
  } as File;
  work.checksummed = 0;
  work.read = 0;
  const rest = await searchRest(new Window(file, bytes.length), from, salt);
  return { rest, ...work };
}

function filled(size: number, pattern: readonly number[]): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => pattern[i % pattern.length] as number);
}

function putRecord(bytes: Uint8Array, offset: number, size: number, durable: number, salt = 0): number {
  const data = new Uint8Array(size).fill(7);
  return writeFrame(bytes, offset, offset, 0, { type: RecordType.entry, data, durable, salt }).size;
}

test("searchRest reads the bytes at most twice, whatever sizes they claim", async () => {
  const bytes = filled(4 * MiB, [0x08, 0, 0x10, 0, 0, 0, 0, 0]);
  const { read } = await search(bytes, 64);
  expect(read).toBeLessThanOrEqual(2 * bytes.length);
});

test("searchRest checksums few bytes for each frame that is well-formed up to its checksum, however long it is", async () => {
  // Every 16 bytes: the length word of a record of 1 MiB and 15 bytes, and the beginning of that record, with data of 1
  // MiB; so every 16 bytes one of them ends, too: those of the first half end in the second.
  const begin = [0x0f, 0, 0x10, 0, 0, 0, 0, 0x81, 0x08, 2, 0x10, 1, 0x1a, 0x80, 0x80, 0x40];
  const bytes = filled(2 * MiB, begin);
  bytes.set(filled(MiB, [0x70, 1, 0x7d, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), MiB);
  const candidates = MiB / begin.length;
  const { rest, checksummed } = await search(bytes, 0);
  expect(rest).toEqual({ used: expect.any(Number), ours: false, durable: 0 });
  expect(checksummed).toBeGreaterThan(bytes.length + 8 * candidates); // so far they did get
  expect(checksummed).toBeLessThan(bytes.length + 256 * candidates);
});

test("searchRest finds a sound record of ours at every multiple of 8 behind such bytes, of any size, up to the end", async () => {
  for (const size of [0, 1, 7, 100, 127, 128, 129, 1000, 70_000]) {
    for (const at of [8, 16, 120, 128, 136, 1024, 4088]) {
      const salt = size % 2 === 0 ? 0 : 2 ** 48 + size;
      const bytes = filled(80_000, [0x08, 0, 0x10, 0, 0, 0, 0, 0]);
      const end = at + putRecord(bytes, at, size, at, salt);
      const { rest } = await search(bytes, 8, salt);
      expect(rest, `${size} bytes at ${at}`).toEqual({ used: 80_000, ours: true, durable: at });
      const { rest: atEnd } = await search(bytes.subarray(0, end), 8, salt);
      expect(atEnd).toEqual({ used: end, ours: true, durable: at });
      bytes[at + 20]! ^= 1;
      expect((await search(bytes, 8, salt)).rest.ours).toBe(false);
    }
  }
});

test("searchRest does not believe a record that states bytes behind its own beginning durable", async () => {
  for (const salt of [0, 2 ** 48 + 1]) {
    const bytes = new Uint8Array(1024);
    putRecord(bytes, 64, 10, 72, salt);
    expect((await search(bytes, 8, salt)).rest).toMatchObject({ ours: false, durable: 0 });
    putRecord(bytes, 64, 10, 64, salt);
    expect((await search(bytes, 8, salt)).rest).toMatchObject({ ours: true, durable: 64 });
  }
});

test("searchRest finds a record whose checksum ends in zeros, with only zeros behind it", async () => {
  const found: number[] = [];
  const bytes = new Uint8Array(16_384);
  for (let durable = 0; durable < 16_000; durable++) {
    bytes.fill(0, 16_000);
    const end = 16_000 + putRecord(bytes, 16_000, durable % 8, durable);
    const zeros = end - 1 - bytes.findLastIndex((byte) => byte !== 0);
    if (zeros < 8) continue;
    found.push(durable);
    expect((await search(bytes, 8)).rest).toEqual({ used: expect.any(Number), ours: true, durable });
  }
  expect(found.length).toBeGreaterThan(0);
});
