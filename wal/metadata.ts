// The metadata that heads each segment: whose log this is. etcdserverpb.Metadata, two numbers.
//
// The log itself treats metadata as bytes; whoever opens it compares the ids with its own. A real etcd draws 64-bit ids at
// random, almost all of which a JavaScript number cannot hold: they are refused, never rounded.
//
// Ports the Metadata message of etcdserver.proto.

import protobuf from "protobufjs/minimal.js";
import { Reader } from "../raft/raftpb/index.ts";
import { WalError } from "./errors.ts";

export interface Metadata {
  readonly nodeId: number;
  readonly clusterId: number;
}

const TAG_NODE_ID = 0x08;
const TAG_CLUSTER_ID = 0x10;

/** Both ids are written even when 0. Throws WalError BAD_METADATA for one that is not an integer in [0, 2^53). */
export function encodeMetadata(metadata: Metadata): Uint8Array {
  const w = new protobuf.Writer();
  w.uint32(TAG_NODE_ID).uint64(checked(metadata.nodeId, "node"));
  w.uint32(TAG_CLUSTER_ID).uint64(checked(metadata.clusterId, "cluster"));
  return w.finish();
}

function checked(id: number, whose: string): number {
  if (Number.isSafeInteger(id) && id >= 0) return id;
  throw new WalError("BAD_METADATA", `the ${whose} id ${id} is not an integer in [0, 2^53)`);
}

/** Throws WalError BAD_METADATA for bytes that are no Metadata, and for ids of 2^53 and above. */
export function decodeMetadata(bytes: Uint8Array): Metadata {
  const r = new Reader(bytes);
  let nodeId = 0;
  let clusterId = 0;
  try {
    while (r.pos < r.len) {
      const tag = r.number();
      if (tag === TAG_NODE_ID) nodeId = r.number();
      else if (tag === TAG_CLUSTER_ID) clusterId = r.number();
      else r.skipType(tag & 7);
    }
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    const text =
      `cannot read the log's metadata: ${detail}. Node and cluster ids must be below 2^53; a directory of an etcd ` +
      "server, which draws 64-bit ids at random, cannot be taken over.";
    throw new WalError("BAD_METADATA", text, { cause });
  }
  return { nodeId, clusterId };
}
