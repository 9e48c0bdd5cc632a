import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeSnapshot, hashKey, KvSnapshotError, SnapshotDecoder } from "./map-snapshot.ts";

type Entries = [key: string, value: Uint8Array][];

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const join = (parts: Iterable<Uint8Array>): Uint8Array => new Uint8Array(Buffer.concat([...parts]));
const encode = (entries: Entries): Uint8Array => join(encodeSnapshot([new Map(entries)]));

/** What a decoder gives out of the bytes, pushed in pieces of this size. */
function decode(snapshot: Uint8Array, pieceSize = Number.POSITIVE_INFINITY): Entries {
  const entries: Entries = [];
  const decoder = new SnapshotDecoder((_hash, key, value) => entries.push([key, new Uint8Array(value)]));
  for (let offset = 0; offset < snapshot.length; offset += pieceSize) {
    decoder.push(snapshot.slice(offset, offset + pieceSize));
  }
  decoder.end();
  return entries;
}

/** The entries in a form that compares fast. */
const readable = (entries: Entries): object =>
  Object.fromEntries(entries.map(([key, value]) => [`key ${key}`, Buffer.from(value).toString("latin1")]));

const head = Uint8Array.of(0x4b, 0x56, 0x4d, 0x41, 0x50, 0, 1);
const entry = (key: Uint8Array, value: Uint8Array): Uint8Array =>
  join([Uint8Array.of(1, key.length >>> 8, key.length, 0, 0, value.length >>> 8, value.length), key, value]);
const end = (count: number): Uint8Array => Uint8Array.of(2, 0, 0, 0, 0, count >>> 8, count);

const key = fc.string({ unit: "binary", maxLength: 40 });
const value = fc.uint8Array({ maxLength: 100 });
const entriesArb = fc.dictionary(key, value, { maxKeys: 40, noNullPrototype: true }).map((all) => Object.entries(all));
// hashKey is the same for both.
const [collidingA, collidingB] = ["key-1540052", "key-901258"] as const;

describe("encodeSnapshot", () => {
  test("writes the layout that map-snapshot.ts documents", () => {
    const snapshot = encode([["é", Uint8Array.of(7, 8)]]);
    expect([...snapshot]).toEqual([
      ...[0x4b, 0x56, 0x4d, 0x41, 0x50, 0, 1],
      ...[1, 0, 2, 0, 0, 0, 2, 0xc3, 0xa9, 7, 8],
      ...[2, 0, 0, 0, 0, 0, 1],
    ]);
    expect(encode([["a".repeat(258), new Uint8Array(0x01020304)]]).subarray(7, 14)).toEqual(
      Uint8Array.of(1, 1, 2, 1, 2, 3, 4),
    );
  });

  test("orders the keys by a fixed hash, so that a later release can read a snapshot of today", () => {
    expect(["", "a", "key-1", "é", "\u{1f600}"].map(hashKey)).toEqual([
      1572119809, 1469464775, 2160632839, 710747622, 327550071,
    ]);
  });

  test("writes the same bytes in whatever order the keys came, also keys of one hash", () => {
    expect(hashKey(collidingA)).toBe(hashKey(collidingB));
    const entries: Entries = ["b", collidingB, "a", collidingA].map((name) => [name, bytes(name)]);
    const snapshot = encode(entries);
    expect(encode(entries.reverse())).toEqual(snapshot);
    expect(decode(snapshot).map(([name]) => name)).toEqual(["a", collidingA, collidingB, "b"]);
  });

  test("yields chunks of 128 to 256 KiB, and cuts longer values", () => {
    const sizes = [300_000, 0, 262_144, 40_000, 40_000, 40_000, 40_000, 1_000_000, 1, 131_072];
    const entries: Entries = sizes.map((size, i) => [`key-${i}`, new Uint8Array(size).fill(i)]);
    const chunks = [...encodeSnapshot([new Map(entries)])];
    expect(chunks.length).toBeGreaterThan(5);
    for (const chunk of chunks) expect(chunk.length).toBeLessThanOrEqual(256 * 1024);
    for (const chunk of chunks.slice(0, -1)) expect(chunk.length).toBeGreaterThanOrEqual(128 * 1024);
    expect(readable(decode(join(chunks)))).toEqual(readable(entries));
  });

  test("has room in a chunk for the longest key, wherever it comes", () => {
    for (const before of [131_071 - 15, 131_072 - 15]) {
      const entries: Entries = [
        ["a", new Uint8Array(before)],
        ["k".repeat(65_535), new Uint8Array(1)],
      ];
      const snapshot = join(encodeSnapshot(entries.map((one) => new Map([one]))));
      expect(snapshot.length).toBe(7 + 8 + before + 7 + 65_536 + 7);
    }
  });

  test("puts no more than 4096 entries in a chunk, however small they are", () => {
    const entries: Entries = Array.from({ length: 10_000 }, (_, i) => [`${i}`, new Uint8Array(0)]);
    const chunks = [...encodeSnapshot([new Map(entries)])];
    expect(chunks.length).toBe(3);
    expect(decode(join(chunks)).length).toBe(10_000);
  });
});

describe("SnapshotDecoder", () => {
  test("gives back every key and value, whatever the sizes of the pieces", () => {
    fc.assert(
      fc.property(entriesArb, fc.integer({ min: 1, max: 300 }), (entries, pieceSize) => {
        expect(readable(decode(encode(entries), pieceSize))).toEqual(readable(entries));
      }),
    );
    const snapshot = encode([
      ["a", bytes("value")],
      ["", new Uint8Array(0)],
      ["\ufeffkey", new Uint8Array(3000).fill(9)],
    ]);
    const whole = readable(decode(snapshot));
    expect(Object.keys(whole).length).toBe(3);
    for (let size = 1; size <= snapshot.length; size++) expect(readable(decode(snapshot, size))).toEqual(whole);
  });

  test("keeps no view of a chunk", () => {
    const snapshot = Buffer.from(
      encode([
        ["a", bytes("1")],
        ["b", bytes("2")],
      ]),
    );
    const entries: Entries = [];
    const decoder = new SnapshotDecoder((_hash, key, value) => entries.push([key, new Uint8Array(value)]));
    const chunk = Buffer.alloc(snapshot.length);
    for (const [from, to] of [
      [0, 10],
      [10, snapshot.length],
    ] as const) {
      decoder.push(chunk.subarray(0, snapshot.copy(chunk, 0, from, to)));
      chunk.fill(0xff);
    }
    decoder.end();
    expect(new Map(entries)).toEqual(
      new Map([
        ["a", bytes("1")],
        ["b", bytes("2")],
      ]),
    );
    expect(entries.map(([, value]) => value.buffer.byteLength)).toEqual([1, 1]);
  });

  test.each([
    ["something else", bytes("something else"), /at offset 0.*begin with KVMAP/],
    ["a head that begins as an entry does", join([Uint8Array.of(1), head]), /at offset 0.*begin with KVMAP/],
    ["a later version", Uint8Array.of(0x4b, 0x56, 0x4d, 0x41, 0x50, 1, 2), /version 258 is not known/],
    ["nothing", new Uint8Array(0), /at offset 0.*ends 0 bytes later/],
    ["no end", join([head, entry(bytes("a"), bytes("1"))]), /at offset 16.*ends 0 bytes later, before its end mark/],
    ["bytes behind the end", join([head, end(0), end(0)]), /at offset 14.*bytes follow/],
    ["one byte behind the end", join([head, end(0), Uint8Array.of(2)]), /at offset 14/],
    ["too few entries", join([head, end(1)]), /at offset 7.*should have 1 entries, and has 0/],
    ["too many entries", join([head, entry(bytes("a"), bytes("1")), end(257)]), /have 257 entries, and has 1/],
    [
      "a count of 33 bits",
      join([head, Uint8Array.of(2, 0, 1, 0, 0, 0, 0)]),
      /should have 4294967296 entries, and has 0/,
    ],
    ["an unknown kind", join([head, Uint8Array.of(3, 0, 0, 0, 0, 0, 0)]), /at offset 7: 3 is neither/],
    ["a key that is not UTF-8", join([head, entry(Uint8Array.of(0xff), bytes("1")), end(1)]), /not UTF-8/],
    [
      "a key twice",
      join([head, entry(bytes("a"), bytes("1")), entry(bytes("a"), bytes("1")), end(2)]),
      /at offset 16.*twice/,
    ],
    [
      "keys in another order",
      join([head, entry(bytes("key-1"), bytes("")), entry(bytes("a"), bytes("")), end(2)]),
      /place/,
    ],
    [
      "keys of one hash in another order",
      join([head, entry(bytes(collidingB), bytes("")), entry(bytes(collidingA), bytes("")), end(2)]),
      /place/,
    ],
  ])("refuses %s, in pieces too", (_what, snapshot, message) => {
    for (const pieceSize of [1, 2, 8, 1000]) {
      expect(() => decode(snapshot, pieceSize)).toThrow(KvSnapshotError);
      expect(() => decode(snapshot, pieceSize)).toThrow(message);
    }
  });

  test("refuses a snapshot that is cut anywhere", () => {
    const snapshot = encode([
      ["a", bytes("1")],
      ["b", new Uint8Array(0)],
      ["c", bytes("value")],
    ]);
    for (let size = 0; size < snapshot.length; size++) {
      for (const pieceSize of [1, 7, 1000]) {
        expect(() => decode(snapshot.subarray(0, size), pieceSize)).toThrow(KvSnapshotError);
      }
    }
  });

  test("refuses any other byte but in a value, or in a key that stays in its place", () => {
    const entries: Entries = decode(encode(["a", "b", "c", "dé"].map((name) => [name, bytes(`value of ${name}`)])));
    const snapshot = encode(entries);
    const mayChange = new Set<number>();
    let offset = 7;
    for (const [name, content] of entries) {
      const size = bytes(name).length + content.length;
      for (let i = 0; i < size; i++) mayChange.add(offset + 7 + i);
      offset += 7 + size;
    }
    for (let i = 0; i < snapshot.length; i++) {
      for (let byte = 0; byte < 256; byte++) {
        if (byte === snapshot[i]) continue;
        const damaged = snapshot.slice();
        damaged[i] = byte;
        if (mayChange.has(i)) decodeOrRefuse(damaged);
        else expect(() => decode(damaged)).toThrow(KvSnapshotError);
      }
    }
  });

  test("takes a large value in single bytes without copying all earlier bytes for each", () => {
    const entries: Entries = [["a", new Uint8Array(1_500_000).fill(7)]];
    expect(readable(decode(encode(entries), 1))).toEqual(readable(entries));
  });

  test("does not reserve what a damaged size announces", () => {
    const decoder = new SnapshotDecoder(() => undefined);
    const before = process.memoryUsage().arrayBuffers;
    decoder.push(join([head, Uint8Array.of(1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)]));
    for (let i = 0; i < 100; i++) decoder.push(new Uint8Array(1000));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 * 1024 * 1024);
    expect(() => decoder.end()).toThrow(/at offset 7.*ends 100007 bytes later/);
  });

  test("throws KvSnapshotError and nothing else, and accepts only the one encoding of a state", () => {
    const prefix = fc.tuple(
      fc.constantFrom(1, 1, 2, 3),
      fc.nat(1),
      fc.nat(2),
      fc.nat(1),
      fc.nat(1),
      fc.nat(1),
      fc.nat(2),
    );
    const part = fc.oneof(
      prefix.map((all) => Uint8Array.from(all)),
      fc.tuple(fc.uint8Array({ maxLength: 3 }), fc.uint8Array({ maxLength: 3 })).map(([k, v]) => entry(k, v)),
      fc.nat(3).map(end),
      fc.uint8Array({ maxLength: 20 }),
    );
    let taken = 0;
    fc.assert(
      fc.property(fc.array(part, { maxLength: 4 }), (parts) => {
        const snapshot = join([head, ...parts]);
        const entries = decodeOrRefuse(snapshot);
        if (entries === undefined) return;
        taken++;
        expect(encode(entries)).toEqual(snapshot);
      }),
      { numRuns: 5000 },
    );
    expect(taken).toBeGreaterThan(0);
  });
});

function decodeOrRefuse(snapshot: Uint8Array): Entries | undefined {
  try {
    return decode(snapshot);
  } catch (error) {
    if (!(error instanceof KvSnapshotError)) throw error;
    return undefined;
  }
}
