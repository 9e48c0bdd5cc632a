// The codec against protobufjs' own reading of raft.proto, against itself, and against random bytes.

import fs from "node:fs";
import path from "node:path";
import fc from "fast-check";
import protobuf from "protobufjs";
import { describe, expect, test } from "vitest";
import * as codec from "./codec.ts";
import { type Entry, type Message, MessageType, makeEntry, makeMessage, type Snapshot } from "./types.ts";
import { DecodeError } from "./wire.ts";

const schema = protobuf.parse(fs.readFileSync(path.join(import.meta.dirname, "raft.proto"), "utf8"), {
  keepCase: true,
}).root;

const number = fc.oneof(fc.nat(), fc.maxSafeNat());
const bytes = fc.uint8Array({ maxLength: 300 });
const optionalBytes = fc.option(bytes, { nil: undefined });
const entry: fc.Arbitrary<Entry> = fc
  .tuple(fc.constantFrom(undefined, 0 as const, 1 as const, 2 as const), number, number, optionalBytes)
  .map(([type, term, index, data]) => makeEntry(type, term, index, data));
const ids = fc.array(number, { maxLength: 5 });
const confState = fc.record({
  voters: ids,
  learners: ids,
  votersOutgoing: ids,
  learnersNext: ids,
  autoLeave: fc.boolean(),
});
const snapshot: fc.Arbitrary<Snapshot> = fc.record({
  data: optionalBytes,
  metadata: fc.record({ confState, index: number, term: number }),
});
const flatMessage: fc.Arbitrary<Message> = fc
  .record({
    type: fc.constantFrom(...Object.values(MessageType)),
    to: number,
    from: number,
    term: number,
    logTerm: number,
    index: number,
    entries: fc.array(entry, { maxLength: 4 }),
    commit: number,
    vote: number,
    snapshot: fc.option(snapshot, { nil: undefined }),
    reject: fc.boolean(),
    rejectHint: number,
    context: optionalBytes,
  })
  .map(({ type, ...set }) => makeMessage(type, set));
const message: fc.Arbitrary<Message> = fc
  .tuple(flatMessage, fc.array(flatMessage, { maxLength: 2 }))
  .map(([m, responses]) => ({ ...m, responses }));
const hardState = fc.record({ term: number, vote: number, commit: number });
const changeType = fc.constantFrom(undefined, 0 as const, 1 as const, 2 as const, 3 as const);
const optionalNumber = fc.option(number, { nil: undefined });
const confChange = fc.record({
  kind: fc.constant("v1" as const),
  id: optionalNumber,
  type: changeType,
  nodeId: optionalNumber,
  context: optionalBytes,
});
const confChangeV2 = fc.record({
  kind: fc.constant("v2" as const),
  transition: fc.constantFrom(undefined, 0 as const, 1 as const, 2 as const),
  changes: fc.array(fc.record({ type: changeType, nodeId: optionalNumber }), { maxLength: 4 }),
  context: optionalBytes,
});

/** Drops what protobufjs leaves out: undefined fields; and names fields as raft.proto does. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).filter(([key, v]) => v !== undefined && key !== "kind");
  return Object.fromEntries(fields.map(([key, v]) => [protoNames[key] ?? key, plain(v)]));
}
const protoNames: Record<string, string> = {
  confState: "conf_state",
  votersOutgoing: "voters_outgoing",
  learnersNext: "learners_next",
  autoLeave: "auto_leave",
  nodeId: "node_id",
};
const entryNames: Record<string, string> = { Term: "term", Index: "index", Type: "type", Data: "data" };

function byReflection(type: string, encoded: Uint8Array): unknown {
  const reflected = schema.lookupType(`raftpb.${type}`);
  const object = reflected.toObject(reflected.decode(encoded), { longs: Number, arrays: false });
  const rename = (value: unknown): unknown => {
    if (value instanceof Uint8Array) return [...value];
    if (Array.isArray(value)) return value.map(rename);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, v]) => [entryNames[key] ?? key, rename(v)]));
  };
  return rename(object);
}

/** As protobufjs shows it: no key for an empty list. */
function withoutEmptyLists(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmptyLists);
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(
    ([key, v]) => !(Array.isArray(v) && v.length === 0 && !byteFields.has(key)),
  );
  return Object.fromEntries(kept.map(([key, v]) => [key, withoutEmptyLists(v)]));
}
const byteFields = new Set(["data", "context"]);

/** Every number in the value is an integer that a double holds exactly. */
function expectSafe(value: unknown): void {
  if (typeof value === "number") expect(Number.isSafeInteger(value)).toBe(true);
  else if (typeof value === "object" && value !== null && !(value instanceof Uint8Array)) {
    Object.values(value).forEach(expectSafe);
  }
}

/** A varint of any size. */
function varint(value: bigint): number[] {
  const out: number[] = [];
  let rest = value;
  for (; rest >= 128n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  out.push(Number(rest));
  return out;
}

const kinds: [string, fc.Arbitrary<unknown>, (x: never) => Uint8Array, (b: Uint8Array) => unknown][] = [
  ["Entry", entry, codec.encodeEntry, codec.decodeEntry],
  ["Message", message, codec.encodeMessage, codec.decodeMessage],
  ["Snapshot", snapshot, codec.encodeSnapshot, codec.decodeSnapshot],
  ["ConfState", confState, codec.encodeConfState, codec.decodeConfState],
  ["HardState", hardState, codec.encodeHardState, codec.decodeHardState],
  ["ConfChange", confChange, codec.encodeConfChange, codec.decodeConfChange],
  ["ConfChangeV2", confChangeV2, codec.encodeConfChangeV2, codec.decodeConfChangeV2],
];

describe.each(kinds)("%s", (name, arbitrary, encode, decode) => {
  test("decode(encode(x)) is x", () => {
    fc.assert(
      fc.property(arbitrary, (x) => {
        expect(decode(encode(x as never))).toEqual(x);
      }),
    );
  });

  test("protobufjs reads from the bytes what was written, by raft.proto", () => {
    fc.assert(
      fc.property(arbitrary, (x) => {
        expect(byReflection(name, encode(x as never))).toEqual(withoutEmptyLists(plain(x)));
      }),
    );
  });

  test("random bytes give a value or a DecodeError, nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (random) => {
        try {
          expectSafe(decode(random));
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("an encoding cut short, or with one byte changed, gives a value or a DecodeError, nothing else", () => {
    fc.assert(
      fc.property(arbitrary, fc.nat(), fc.nat(255), (x, at, byte) => {
        const whole = encode(x as never);
        const changed = whole.slice();
        if (changed.length > 0) changed[at % changed.length] = byte;
        for (const broken of [whole.subarray(0, at % (whole.length + 1)), changed]) {
          try {
            expectSafe(decode(broken));
          } catch (error) {
            expect(error).toBeInstanceOf(DecodeError);
          }
        }
      }),
    );
  });
});

describe("numbers", () => {
  const termOf = (value: bigint): Uint8Array => Uint8Array.from([0x08, ...varint(value)]);

  test("2^53 - 1 is read, and what is above it is refused rather than rounded", () => {
    expect(codec.decodeHardState(termOf(2n ** 53n - 1n)).term).toBe(Number.MAX_SAFE_INTEGER);
    for (const value of [2n ** 53n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]) {
      expect(() => codec.decodeHardState(termOf(value))).toThrow(/beyond 2\^53 - 1/);
    }
  });

  const numberFields = kinds.flatMap(([name, , , decode]) =>
    schema
      .lookupType(`raftpb.${name}`)
      .fieldsArray.filter((field) => field.type === "uint64")
      .map((field) => [name, field.name, field.id, decode] as const),
  );

  test.each(numberFields)("%s.%s is never taken from beyond 2^53 - 1", (_name, _field, id, decode) => {
    const encoded = (value: bigint) => Uint8Array.from([id << 3, ...varint(value)]);
    expect(decode(encoded(2n ** 53n - 1n))).toBeDefined();
    fc.assert(
      fc.property(fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }), (value) => {
        expect(() => decode(encoded(value))).toThrow(DecodeError);
      }),
    );
  });

  test("a varint without an end, a length without its bytes and a tag of no field are refused", () => {
    const refused: [number[], RegExp][] = [
      [[0x08, ...Array.from({ length: 10 }, () => 0xff), 0x01], /varint longer than 10 bytes/],
      [[0x08, 0xff], /unexpected end of input/],
      [[0x08], /unexpected end of input/],
      [[0x07, 0x00], /illegal tag 7/],
      [varint(2n ** 33n), /illegal tag/],
      [[0x3a, 0x05, 0x00], /runs 4 bytes past the end/],
    ];
    for (const [encoded, reason] of refused) {
      expect(() => codec.decodeMessage(Uint8Array.from(encoded))).toThrow(reason);
    }
  });

  test("what nests too deeply, a number in place of a message and an unknown type are refused; unknown fields are skipped", () => {
    let nested = makeMessage(MessageType.MsgStorageAppend, { to: 1 });
    for (let i = 0; i < 20; i++) nested = { ...nested, responses: [nested] };
    expect(() => codec.decodeMessage(codec.encodeMessage(nested))).toThrow(/nested too deeply/);
    expect(() => codec.decodeMessage(Uint8Array.of(0x08, 99))).toThrow(/unknown message type 99/);
    const hardState = { term: 1, vote: 2, commit: 3 };
    const unknown = [0xfa, 0x01, 0x02, 0x08, 0x01, 0xf8, 0x01, 0x05];
    expect(codec.decodeHardState(Uint8Array.from([...codec.encodeHardState(hardState), ...unknown]))).toEqual(
      hardState,
    );
    expect(codec.decodeSnapshot(new Uint8Array(0)).metadata).toMatchObject({ index: 0, term: 0 });
    expect(() => codec.decodeSnapshot(Uint8Array.of(0x12, 0x01, 0x0f))).toThrow(DecodeError);
  });

  test.each([2 ** 53, 1.5, Number.NaN, Number.POSITIVE_INFINITY, -3])("%d cannot be encoded", (term) => {
    expect(() => codec.encodeHardState({ term, vote: 0, commit: 0 })).toThrow(RangeError);
  });

  test("the ids of the local threads cannot be encoded: they never leave the process", () => {
    for (const id of [-1, -2]) {
      expect(() => codec.encodeMessage(makeMessage(MessageType.MsgStorageAppend, { to: id, from: 1 }))).toThrow(
        RangeError,
      );
    }
  });

  test("entrySize is the number of bytes that the entry takes", () => {
    fc.assert(
      fc.property(entry, (e) => {
        expect(codec.entrySize(e)).toBe(codec.encodeEntry(e).length);
      }),
    );
  });

  test("the messages of every tick and every write stay small on the wire [raftpb.TestProtoMemorySizes]", () => {
    const ordinary = { from: 1, to: 2, term: 7, index: 1_000_000, logTerm: 7, commit: 1_000_000 };
    const size = (set: Partial<Message>, type: MessageType) => codec.encodeMessage(makeMessage(type, set)).length;
    expect(size({ from: 1, to: 2, term: 7, commit: 1_000_000 }, MessageType.MsgHeartbeat)).toBeLessThanOrEqual(40);
    expect(size(ordinary, MessageType.MsgAppResp)).toBeLessThanOrEqual(40);
    const write = makeEntry(undefined, 7, 1_000_001, new Uint8Array(100));
    expect(size({ ...ordinary, entries: [write] }, MessageType.MsgApp)).toBeLessThanOrEqual(100 + 60);
  });
});
