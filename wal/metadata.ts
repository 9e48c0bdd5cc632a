// The metadata that heads each segment: whose log this is. etcdserverpb.Metadata, two numbers, and a third that etcd's decoder skips.
//
// The third, field 15, is the incarnation: a random number that the member draws when it creates the log. A member that comes back under its
// id with another one has lost its data directory, and with it its promises.
//
// The log itself treats metadata as bytes; its opener compares the ids with its own. A real etcd draws 64-bit ids at
// random, almost all of which a JavaScript number cannot hold: they are refused, never rounded.
//
// Ports the Metadata message of etcdserver.proto.

import protobuf from "protobufjs/minimal.js";
import { Reader } from "../raft/raftpb/index.ts";
import { WalError } from "./errors.ts";

export interface Metadata {
  readonly nodeId: number;
  readonly clusterId: number;
  /** 0 or absent: unknown, as in a log that etcd wrote. */
  readonly incarnation?: number;
}

const TAG_NODE_ID = 0x08;
const TAG_CLUSTER_ID = 0x10;
const TAG_INCARNATION = 0x78;

/** Both ids are written even when 0, the incarnation is not. Throws WalError BAD_METADATA for one that is not an integer in [0, 2^53). */
export function encodeMetadata(metadata: Metadata): Uint8Array {
  const w = new protobuf.Writer();
  w.uint32(TAG_NODE_ID).uint64(checked(metadata.nodeId, "node id"));
  w.uint32(TAG_CLUSTER_ID).uint64(checked(metadata.clusterId, "cluster id"));
  const { incarnation = 0 } = metadata;
  if (incarnation !== 0) w.uint32(TAG_INCARNATION).uint64(checked(incarnation, "incarnation"));
  return w.finish();
}

function checked(value: number, what: string): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new WalError("BAD_METADATA", `the ${what} ${value} is not an integer in [0, 2^53)`);
}

/** Throws WalError BAD_METADATA for bytes that are no Metadata, and for numbers of 2^53 and above. */
export function decodeMetadata(bytes: Uint8Array): Required<Metadata> {
  const r = new Reader(bytes);
  let nodeId = 0;
  let clusterId = 0;
  let incarnation = 0;
  try {
    while (r.pos < r.len) {
      const tag = r.number();
      if (tag === TAG_NODE_ID) nodeId = r.number();
      else if (tag === TAG_CLUSTER_ID) clusterId = r.number();
      else if (tag === TAG_INCARNATION) incarnation = r.number();
      else r.skipType(tag & 7);
    }
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    const text =
      `cannot read the log's metadata: ${detail}. Node and cluster ids must be below 2^53; a directory of an etcd ` +
      "server, which draws 64-bit ids at random, cannot be taken over.";
    throw new WalError("BAD_METADATA", text, { cause });
  }
  return { nodeId, clusterId, incarnation };
}
