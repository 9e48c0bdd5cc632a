// Classes of message types, and the sizes that flow control counts in.
//
// Two sizes: the encoded size of entries (entrySize) bounds messages and pages; the payload size, the bytes of data
// alone, bounds the uncommitted tail and the window in flight. An empty entry has payload size 0 and therefore can
// never be refused.
//
// Ports the first and last part of util.go; its Describe functions are in describe.ts.

import { type Entry, entrySize, MessageType, messageTypeName } from "./raftpb/index.ts";
import { localAppendThread, localApplyThread } from "./types.ts";

const {
  MsgHup,
  MsgBeat,
  MsgAppResp,
  MsgVote,
  MsgVoteResp,
  MsgHeartbeatResp,
  MsgUnreachable,
  MsgSnapStatus,
  MsgCheckQuorum,
  MsgReadIndexResp,
  MsgPreVote,
  MsgPreVoteResp,
  MsgStorageAppend,
  MsgStorageAppendResp,
  MsgStorageApply,
  MsgStorageApplyResp,
} = MessageType;

const localMsgs: ReadonlySet<MessageType> = new Set([
  MsgHup,
  MsgBeat,
  MsgUnreachable,
  MsgSnapStatus,
  MsgCheckQuorum,
  MsgStorageAppend,
  MsgStorageAppendResp,
  MsgStorageApply,
  MsgStorageApplyResp,
]);

const responseMsgs: ReadonlySet<MessageType> = new Set([
  MsgAppResp,
  MsgVoteResp,
  MsgHeartbeatResp,
  MsgUnreachable,
  MsgReadIndexResp,
  MsgPreVoteResp,
  MsgStorageAppendResp,
  MsgStorageApplyResp,
]);

/** Types that must never come from another node. */
export const isLocalMsg = (type: MessageType): boolean => localMsgs.has(type);
/** Types that answer something, and mean nothing from a node outside the configuration. */
export const isResponseMsg = (type: MessageType): boolean => responseMsgs.has(type);
export const isLocalMsgTarget = (id: number): boolean => id === localAppendThread || id === localApplyThread;

export function voteRespMsgType(type: MessageType): MessageType {
  if (type === MsgVote) return MsgVoteResp;
  if (type === MsgPreVote) return MsgPreVoteResp;
  throw new Error(`not a vote message: ${messageTypeName(type)}`);
}

/** An id as etcd's log lines print it: hexadecimal, the local threads as the 64-bit numbers that they are in Go. */
export function hex(id: number): string {
  if (id >= 0) return id.toString(16);
  return BigInt.asUintN(64, BigInt(id)).toString(16);
}

/** Encoded bytes of the entries. */
export function entsSize(entries: readonly Entry[]): number {
  let size = 0;
  for (const e of entries) size += entrySize(e);
  return size;
}

/** Bytes of data in the entries. */
export function payloadsSize(entries: readonly Entry[]): number {
  let size = 0;
  for (const e of entries) size += e.data?.length ?? 0;
  return size;
}

/**
 * The offset `end` such that entries[start, end) is the longest run within [start, stop) whose encoded size is at most
 * maxSize; at least one entry, however large, unless the range is empty.
 */
export function limitSize(entries: readonly Entry[], start: number, stop: number, maxSize: number): number {
  if (start >= stop || maxSize === Number.POSITIVE_INFINITY) return stop;
  let size = entrySize(entries[start] as Entry);
  for (let end = start + 1; end < stop; end++) {
    size += entrySize(entries[end] as Entry);
    if (size > maxSize) return end;
  }
  return stop;
}
