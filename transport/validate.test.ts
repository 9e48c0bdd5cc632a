// Each rule of validate.ts once: what a correct member sends passes, what breaks the rule does not.

import { describe, expect, test } from "vitest";
import { type Entry, type Message, MessageType, makeEntry, makeMessage, makeSnapshot } from "../raft/raftpb/index.ts";
import { isCarried, validateMessage } from "./validate.ts";

const link = { self: 1, peer: 2, isMember: (id: number) => id >= 1 && id <= 3 };
const message = (type: MessageType, set: Partial<Message> = {}): Message =>
  makeMessage(type, { from: 2, to: 1, term: 5, ...set });
const entry = (term: number, index: number): Entry => makeEntry(undefined, term, index, undefined);
const data = [makeEntry(undefined, 0, 0, new Uint8Array([1]))];
const { MsgProp, MsgApp, MsgAppResp, MsgVote, MsgHeartbeat, MsgHeartbeatResp, MsgReadIndex, MsgReadIndexResp } =
  MessageType;

describe("what a correct member sends passes", () => {
  test.each<[string, Message]>([
    ["an append", message(MsgApp, { logTerm: 3, index: 7, entries: [entry(3, 8), entry(5, 9)], commit: 7 })],
    ["an empty append at the start of the log", message(MsgApp)],
    ["an acknowledgement", message(MsgAppResp, { index: 9 })],
    ["a vote on a leader's order", message(MsgVote, { context: new TextEncoder().encode("CampaignTransfer") })],
    ["a heartbeat with a read position", message(MsgHeartbeat, { context: new Uint8Array(8) })],
    ["a proposal", message(MsgProp, { term: 0, entries: data })],
    ["a proposal that a third member forwards", message(MsgProp, { term: 0, from: 3, entries: data })],
    ["a read request", message(MsgReadIndex, { term: 0, from: 3, entries: data })],
    ["a read answer", message(MsgReadIndexResp, { index: 4, entries: data })],
    ["a transfer of leadership to a third member", message(MessageType.MsgTransferLeader, { from: 3 })],
    ["an order to campaign", message(MessageType.MsgTimeoutNow)],
  ])("%s", (_what, m) => {
    expect(validateMessage(m, link)).toBeUndefined();
  });
});

describe("what breaks a rule does not", () => {
  const cc = (bytes: Uint8Array, type: 1 | 2): Entry => makeEntry(type, 0, 0, bytes);
  test.each<[string, Message, RegExp]>([
    ["for another node", message(MsgApp, { to: 3 }), /is for node 3/],
    ["in another's name", message(MsgApp, { from: 3 }), /from 3 on the connection of 2/],
    ["a request of a stranger", message(MsgProp, { term: 0, from: 9, entries: data }), /not a member/],
    ["no term", message(MsgApp, { term: 0 }), /no term/],
    ["a proposal with a term", message(MsgProp, { entries: data }), /must have none/],
    ["a read request with a term", message(MsgReadIndex, { entries: data }), /must have none/],
    ["a term at the edge of exact numbers", message(MsgVote, { term: 2 ** 52 + 1 }), /above 2\^52/],
    ["an index there", message(MsgAppResp, { index: 2 ** 53 - 1 }), /above 2\^52/],
    ["a snapshot", message(MsgApp, { snapshot: makeSnapshot(1, 1) }), /snapshot/],
    ["responses", message(MsgApp, { responses: [message(MsgAppResp)] }), /responses/],
    ["entries where none belong", message(MsgAppResp, { entries: data }), /entries/],
    [
      "a gap before the entries",
      message(MsgApp, { index: 7, logTerm: 3, entries: [entry(3, 9)] }),
      /has index 9 where 8/,
    ],
    ["a gap within", message(MsgApp, { index: 7, logTerm: 3, entries: [entry(3, 8), entry(3, 10)] }), /has index 10/],
    ["terms that fall", message(MsgApp, { index: 7, logTerm: 3, entries: [entry(4, 8), entry(3, 9)] }), /at least 4/],
    [
      "an entry of a later term",
      message(MsgApp, { index: 7, logTerm: 3, entries: [entry(6, 8)] }),
      /above its own term/,
    ],
    ["an entry of term 0", message(MsgApp, { entries: [entry(0, 1)] }), /term 0/],
    ["a previous entry of a later term", message(MsgApp, { logTerm: 6, index: 1 }), /above its own term/],
    ["an empty proposal, which the core panics at", message(MsgProp, { term: 0 }), /no entries/],
    ["a proposal with a place in the log", message(MsgProp, { term: 0, entries: [entry(1, 1)] }), /already/],
    [
      "a conf change that does not decode",
      message(MsgProp, { term: 0, entries: [cc(new Uint8Array([255]), 1)] }),
      /decode/,
    ],
    ["a read request without its entry", message(MsgReadIndex, { term: 0 }), /must have 1/],
    ["a read answer with two", message(MsgReadIndexResp, { entries: [...data, ...data] }), /must have 1/],
    ["a read position of 7 bytes", message(MsgHeartbeatResp, { context: new Uint8Array(7) }), /7 bytes/],
  ])("%s", (_what, m, reason) => {
    expect(validateMessage(m, link)).toMatch(reason);
  });

  test.each(
    (
      ["MsgHup", "MsgBeat", "MsgSnap", "MsgUnreachable", "MsgSnapStatus", "MsgCheckQuorum", "MsgForgetLeader"] as const
    ).concat(["MsgStorageAppend", "MsgStorageAppendResp", "MsgStorageApply", "MsgStorageApplyResp"] as never),
  )("%s is not sent between nodes", (name) => {
    expect(validateMessage(message(MessageType[name]), link)).toMatch(/not sent between nodes/);
    expect(isCarried(MessageType[name])).toBe(false);
  });
});
