import { describe, expect, test } from "vitest";
import { decodeMetadata, encodeMetadata } from "./metadata.ts";

describe("encodeMetadata and decodeMetadata", () => {
  test("have the bytes of etcdserverpb.Metadata, both ids written even when 0", () => {
    expect([...encodeMetadata({ nodeId: 1, clusterId: 300 })]).toEqual([0x08, 1, 0x10, 0xac, 0x02]);
    expect([...encodeMetadata({ nodeId: 0, clusterId: 0 })]).toEqual([0x08, 0, 0x10, 0]);
  });

  test("give back the metadata, up to the largest safe integer", () => {
    for (const ids of [
      { nodeId: 3, clusterId: 0x0cdf_0001_2345_67, incarnation: 0 },
      { nodeId: Number.MAX_SAFE_INTEGER, clusterId: Number.MAX_SAFE_INTEGER, incarnation: Number.MAX_SAFE_INTEGER },
    ]) {
      expect(decodeMetadata(encodeMetadata(ids))).toEqual(ids);
    }
  });

  test("skip unknown fields", () => {
    expect(decodeMetadata(Uint8Array.of(0x08, 5, 0x1a, 2, 9, 9, 0x10, 6))).toEqual({
      nodeId: 5,
      clusterId: 6,
      incarnation: 0,
    });
  });

  test("hold the incarnation in field 15, which etcd's message lacks, and omit it where it is unknown", () => {
    const ids = { nodeId: 1, clusterId: 2 };
    expect([...encodeMetadata({ ...ids, incarnation: 300 })]).toEqual([0x08, 1, 0x10, 2, 0x78, 0xac, 0x02]);
    expect([...encodeMetadata({ ...ids, incarnation: 0 })]).toEqual([0x08, 1, 0x10, 2]);
    expect(decodeMetadata(encodeMetadata(ids))).toEqual({ ...ids, incarnation: 0 });
    expect(() => encodeMetadata({ ...ids, incarnation: 2 ** 53 })).toThrow(/incarnation 9007199254740992 is not/);
  });

  test("refuse to write an id that a number cannot hold exactly", () => {
    for (const nodeId of [2 ** 53, -1, 1.5, Number.NaN]) {
      expect(() => encodeMetadata({ nodeId, clusterId: 1 })).toThrow(/not an integer in \[0, 2\^53\)/);
    }
  });

  test("refuse a 64-bit id of a real etcd, and say why", () => {
    const nodeId = [0x08, 0xae, 0xd8, 0xf6, 0xe5, 0x8c, 0xdd, 0xbe, 0xe5, 0x8e, 0x01];
    expect(() => decodeMetadata(Uint8Array.of(...nodeId, 0x10, 1))).toThrow(/below 2\^53.*cannot be taken over/);
    expect(() => decodeMetadata(Uint8Array.of(...nodeId, 0x10, 1))).toThrow(
      expect.objectContaining({ code: "BAD_METADATA" }),
    );
  });

  test("refuse bytes that are cut short", () => {
    expect(() => decodeMetadata(Uint8Array.of(0x08))).toThrow(expect.objectContaining({ code: "BAD_METADATA" }));
  });
});
