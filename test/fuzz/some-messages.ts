// One sound message of each kind that members send each other, from member 2 to member 1 at term 3, and frames of them.
// What the corpora of three targets are made of.

import { encodePut } from "../../kvstore/command.ts";
import {
  EntryType,
  encodeMessage,
  type Message,
  MessageType,
  makeConfChangeV2,
  makeConfState,
  makeEntry,
  makeMessage,
  makeSnapshot,
  marshalConfChange,
  proposed,
} from "../../raft/raftpb/index.ts";
import { encodeEnvelope } from "../../server/envelope.ts";
import { FrameWriter, itemsOf } from "../../transport/frame.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const ends = { from: 2, to: 1 };
const at = { ...ends, term: 3 };

const command = (counter: number, key: string): Uint8Array =>
  encodeEnvelope({ member: 2, epoch: 5, counter }, encodePut(key, utf8("value")));

const readPosition = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1);
const change = marshalConfChange(makeConfChangeV2([{ type: 3, nodeId: 4 }]));

export const someMessages = {
  append: makeMessage(MessageType.MsgApp, {
    ...at,
    index: 12,
    logTerm: 3,
    commit: 9,
    entries: [makeEntry(EntryType.EntryNormal, 3, 13, command(1, "a")), makeEntry(undefined, 3, 14, undefined)],
  }),
  "append-that-overwrites": makeMessage(MessageType.MsgApp, {
    ...at,
    index: 9,
    logTerm: 3,
    commit: 10,
    entries: [makeEntry(undefined, 3, 10, command(2, "b"))],
  }),
  "append-nothing": makeMessage(MessageType.MsgApp, { ...at, index: 12, logTerm: 3, commit: 12 }),
  "append-ok": makeMessage(MessageType.MsgAppResp, { ...at, index: 12, commit: 8 }),
  "append-reject": makeMessage(MessageType.MsgAppResp, { ...at, index: 12, reject: true, rejectHint: 7, logTerm: 2 }),
  vote: makeMessage(MessageType.MsgVote, { ...at, term: 4, index: 12, logTerm: 3 }),
  "vote-for-a-transfer": makeMessage(MessageType.MsgVote, {
    ...at,
    term: 4,
    index: 12,
    logTerm: 3,
    context: utf8("CampaignTransfer"),
  }),
  "vote-yes": makeMessage(MessageType.MsgVoteResp, at),
  "vote-no": makeMessage(MessageType.MsgVoteResp, { ...at, reject: true }),
  "pre-vote": makeMessage(MessageType.MsgPreVote, { ...at, term: 4, index: 12, logTerm: 3 }),
  "pre-vote-yes": makeMessage(MessageType.MsgPreVoteResp, { ...at, term: 4 }),
  heartbeat: makeMessage(MessageType.MsgHeartbeat, { ...at, commit: 10 }),
  "heartbeat-with-a-read": makeMessage(MessageType.MsgHeartbeat, { ...at, commit: 9, context: readPosition }),
  "heartbeat-ok": makeMessage(MessageType.MsgHeartbeatResp, { ...at, context: readPosition }),
  proposal: makeMessage(MessageType.MsgProp, { ...ends, entries: [proposed(command(3, "c"))] }),
  "proposal-of-a-change": makeMessage(MessageType.MsgProp, {
    ...ends,
    entries: [proposed(change.data, change.type)],
  }),
  transfer: makeMessage(MessageType.MsgTransferLeader, at),
  "timeout-now": makeMessage(MessageType.MsgTimeoutNow, at),
  read: makeMessage(MessageType.MsgReadIndex, { ...ends, entries: [proposed(command(4, "d"))] }),
  "read-ok": makeMessage(MessageType.MsgReadIndexResp, {
    ...at,
    index: 9,
    entries: [proposed(command(4, "d"))],
  }),
  snapshot: makeMessage(MessageType.MsgSnap, {
    ...at,
    snapshot: makeSnapshot(20, 3, makeConfState({ voters: [1, 2, 3] })),
  }),
  // What never travels.
  hup: makeMessage(MessageType.MsgHup, ends),
  beat: makeMessage(MessageType.MsgBeat, ends),
  unreachable: makeMessage(MessageType.MsgUnreachable, ends),
  "snapshot-status": makeMessage(MessageType.MsgSnapStatus, { ...ends, reject: true }),
  "check-quorum": makeMessage(MessageType.MsgCheckQuorum, ends),
  "storage-append": makeMessage(MessageType.MsgStorageAppend, {
    ...at,
    responses: [makeMessage(MessageType.MsgAppResp, at)],
  }),
  "storage-append-ok": makeMessage(MessageType.MsgStorageAppendResp, { ...at, index: 12, logTerm: 3 }),
  "storage-apply": makeMessage(MessageType.MsgStorageApply, {
    ...at,
    entries: [makeEntry(undefined, 3, 9, undefined)],
  }),
  "storage-apply-ok": makeMessage(MessageType.MsgStorageApplyResp, {
    ...ends,
    entries: [makeEntry(undefined, 3, 9, undefined)],
  }),
  "forget-leader": makeMessage(MessageType.MsgForgetLeader, ends),
} satisfies Record<string, Message>;

/** The messages as the peer port takes them. */
export function frameOf(...messages: readonly Message[]): Uint8Array {
  const writer = new FrameWriter();
  for (const m of messages) writer.add(encodeMessage(m), itemsOf(m));
  return writer.take();
}
