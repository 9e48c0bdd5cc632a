// The bytes of a file against protobufjs' own reading of etcd's schema, against forms of other writers, and against
// damage.

import fs from "node:fs";
import path from "node:path";
import protobuf from "protobufjs";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { removeTemporary, slowCrc32c, temporary, text } from "../disk/testing.ts";
import { encodeSnapshot, makeConfState, makeSnapshot } from "../raft/raftpb/index.ts";
import { headBytes } from "./format.ts";
import { chunksOf, closeStores, collect, confState, metadataAt, noise, openStore } from "./testing.ts";

afterEach(closeStores);
afterAll(removeTemporary);

const rootOf = (source: string) => protobuf.parse(source, { keepCase: true }).root;
const snappb = rootOf(
  `syntax = "proto2"; package snappb; message snapshot { optional uint32 crc = 1; optional bytes data = 2; }`,
);
const raftProto = path.join(import.meta.dirname, "../raft/raftpb/raft.proto");
const Wrapper = snappb.lookupType("snappb.snapshot");
const Snapshot = rootOf(fs.readFileSync(raftProto, "utf8")).lookupType("raftpb.Snapshot");

interface PlainWrapper {
  readonly crc: number;
  readonly data: Uint8Array;
}

const position = { index: 500, term: 2 };
const nameOfIt = "0000000000000002-00000000000001f4.snap";

/** The bytes of a file with this data, as save writes them. */
async function saved(data: Uint8Array, chunkSize?: number): Promise<Buffer> {
  const { store, directory } = await openStore();
  await store.save(metadataAt(500, 2), chunksOf(data, chunkSize));
  return fs.readFileSync(path.join(directory, nameOfIt));
}

/** A store over a directory that holds these bytes as a snapshot. */
async function storeOf(bytes: Uint8Array) {
  const directory = temporary();
  const file = path.join(directory, nameOfIt);
  fs.writeFileSync(file, bytes);
  return { file, ...(await openStore({ directory })) };
}

/** The wrapper as etcd writes it: numbers in their shortest form. */
const wrapped = (snapshot: Uint8Array, crc = slowCrc32c(snapshot)): Uint8Array =>
  Wrapper.encode({ crc, data: snapshot }).finish();

describe("a file that Snapshotter.save wrote", () => {
  test.each([0, 1, 300, 5_000_000])(
    "with %i bytes of data is two plain protobuf messages, one in the other",
    async (size) => {
      const data = noise(size);
      const wrapper = Wrapper.decode(await saved(data, 99_999)) as unknown as PlainWrapper;
      expect(wrapper.crc).toBe(slowCrc32c(wrapper.data));
      const snapshot = Snapshot.toObject(Snapshot.decode(wrapper.data), { longs: Number });
      expect(data.equals(snapshot.data as Uint8Array)).toBe(true);
      expect(snapshot.metadata).toEqual({
        conf_state: { voters: [1, 2, 3], learners: [4], auto_leave: false },
        index: 500,
        term: 2,
      });
    },
  );

  test("has the very bytes of the drawing in index.ts", async () => {
    const bytes = await saved(text("hi"));
    const snapshot = "0a 82 80 80 80 00 68 69 12 11 0a 0a 08 01 08 02 08 03 10 04 28 00 10 f4 03 18 02";
    const inner = Buffer.from(snapshot.replaceAll(" ", ""), "hex");
    const crc = slowCrc32c(inner);
    const varint = [0, 7, 14, 21].map((shift) => ((crc >>> shift) & 0x7f) | 0x80);
    const head = Buffer.from([0x08, ...varint, crc >>> 28, 0x12, 0x80 | inner.length, 0x80, 0x80, 0x80, 0]);
    expect(bytes.toString("hex")).toBe(Buffer.concat([head, inner]).toString("hex"));
    expect(headBytes).toBe(bytes.indexOf("hi"));
  });
});

describe("Snapshotter, given a file of another program,", () => {
  test.each([
    ["some data", text("state")],
    ["much data", noise(1_000_000)],
    ["an empty data field", new Uint8Array(0)],
    ["no data field", undefined],
  ])("with numbers in their shortest form and %s is read", async (_what, data) => {
    const { store } = await storeOf(wrapped(encodeSnapshot(makeSnapshot(500, 2, confState, data))));
    expect((await collect(store.read(position))).equals(data ?? new Uint8Array(0))).toBe(true);
    expect(await store.verify(position)).toEqual({ ...position, confState });
    expect(await store.readMetadata(position)).toEqual({ ...position, confState });
  });

  test("reads numbers of ten bytes, the longest possible", async () => {
    const snapshot = encodeSnapshot(makeSnapshot(500, 2, confState, text("state")));
    const long = (n: number): number[] =>
      Array.from({ length: 10 }, (_, i) => (i < 5 ? Math.floor(n / 128 ** i) % 128 : 0) | (i < 9 ? 0x80 : 0));
    const inner = Buffer.concat([Buffer.from([0x0a, ...long(5)]), snapshot.subarray(2)]);
    const { store } = await storeOf(
      Buffer.concat([Buffer.from([0x08, ...long(slowCrc32c(inner)), 0x12, ...long(inner.length)]), inner]),
    );
    expect((await collect(store.read(position))).toString()).toBe("state");
  });

  test.each([
    [
      "more metadata than any cluster has",
      makeSnapshot(500, 2, makeConfState({ voters: Array(600_000).fill(7) })),
      "DAMAGED",
      "its metadata would be 1200",
    ],
    ["another position than its name", makeSnapshot(501, 2, confState), "DAMAGED", "it is the snapshot of index 501"],
  ] as const)("with %s is refused", async (_what, snapshot, code, reason) => {
    const { store } = await storeOf(wrapped(encodeSnapshot(snapshot)));
    await expect(store.verify(position)).rejects.toMatchObject({ code });
    await expect(store.verify(position)).rejects.toThrow(reason);
  });

  test.each([
    ["nothing in it", new Uint8Array(0), "it is empty"],
    ["a wrapper around nothing", wrapped(new Uint8Array(0)), "it holds nothing"],
    ["zeros", new Uint8Array(100), "its checksum should begin, and does not"],
    ["a checksum alone", Uint8Array.of(0x08, 0x05), "it ends before its data"],
    [
      "a checksum of more than 32 bits",
      Uint8Array.of(0x08, 0x80, 0x80, 0x80, 0x80, 0x10, 0x12, 0x00),
      "it has 4294967296 for a checksum",
    ],
    ["a number without an end", Uint8Array.of(0x08, 0x05, 0x12, 0xff), "cut off or too large"],
    ["more in its data than in itself", wrapped(Uint8Array.of(0x0a, 0x7f, 0x01)), "its data would end at byte"],
  ])("with %s is refused", async (_what, bytes, reason) => {
    const { store } = await storeOf(bytes);
    await expect(collect(store.read(position))).rejects.toMatchObject({ code: "DAMAGED" });
    await expect(store.verify(position)).rejects.toThrow(reason);
    await expect(store.readMetadata(position)).rejects.toMatchObject({ code: "DAMAGED" });
  });

  const far = Buffer.from("12 10 0a 0b 08 80 80 80 80 80 80 80 80 80 01 10 05 18 01".replaceAll(" ", ""), "hex");
  test.each([
    ["an id of 64 bits", far],
    ["data behind its metadata", Uint8Array.of(0x12, 0x04, 0x10, 0x05, 0x18, 0x01, 0x0a, 0x01, 0x61)],
    ["no metadata", Uint8Array.of(0x0a, 0x01, 0x61)],
  ])("with %s and a good checksum is refused, but not taken for broken", async (_what, snapshot) => {
    const { store, file } = await storeOf(wrapped(snapshot));
    await expect(store.newest([position])).rejects.toMatchObject({ code: "UNREADABLE", file });
    await expect(collect(store.read(position))).rejects.toMatchObject({ code: "UNREADABLE" });
    expect(fs.existsSync(file)).toBe(true);
  });
});

describe("damage to a snapshot file", () => {
  test("is found whichever bit of a file flips", async () => {
    const bytes = await saved(noise(100));
    const { store, file } = await storeOf(bytes);
    for (let at = 0; at < bytes.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const bad = Buffer.from(bytes);
        bad[at] = (bad[at] as number) ^ (1 << bit);
        fs.writeFileSync(file, bad);
        const outcome = await store.verify(position).catch((error: unknown) => error);
        expect(outcome, `bit ${bit} of byte ${at}`).toMatchObject({ code: "DAMAGED", file });
      }
    }
  });

  test.each(["first", "middle", "last"])(
    "is found in the %s byte of a large file when it is read, at the end at the latest",
    async (where) => {
      const bytes = await saved(noise(1_000_000));
      const at = { first: 0, middle: 500_000, last: bytes.length - 1 }[where] as number;
      bytes[at] = (bytes[at] as number) ^ 1;
      const { store } = await storeOf(bytes);
      await expect(collect(store.read(position))).rejects.toMatchObject({ code: "DAMAGED" });
    },
  );

  test("is found wherever the file is cut off, and whatever bytes follow it", async () => {
    const bytes = await saved(noise(300));
    const { store, file } = await storeOf(bytes);
    for (let size = 0; size < bytes.length; size++) {
      fs.writeFileSync(file, bytes.subarray(0, size));
      await expect(store.verify(position), `${size} bytes`).rejects.toMatchObject({ code: "DAMAGED" });
    }
    for (const rest of [[0], [0x0a, 0], [1, 2, 3]]) {
      fs.writeFileSync(file, Buffer.concat([bytes, Buffer.from(rest)]));
      await expect(store.verify(position)).rejects.toMatchObject({ code: "DAMAGED" });
    }
    fs.writeFileSync(file, bytes);
    await store.verify(position);
  });

  test("is found in a sector of zeros where a disk lost a write", async () => {
    const bytes = await saved(noise(100_000));
    for (const at of [0, 512 * 100, bytes.length - 512]) {
      const { store } = await storeOf(Buffer.from(bytes).fill(0, at, at + 512));
      await expect(store.verify(position)).rejects.toMatchObject({ code: "DAMAGED" });
    }
  });
});
