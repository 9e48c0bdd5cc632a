// The small rules: classes of messages, sizes, slices of a leader's log, when states are equal, and when a write must
// be durable.

import { describe, expect, test } from "vitest";
import { type Entry, entrySize, MessageType, makeHardState, makeSnapshot, messageTypeName } from "./raftpb/index.ts";
import { mustSync } from "./ready.ts";
import { entriesFrom } from "./testing.ts";
import {
  checkLogSlice,
  hardStatesEqual,
  isEmptyHardState,
  isEmptySnap,
  type LogSlice,
  localAppendThread,
  localApplyThread,
  noLimit,
} from "./types.ts";
import { entsSize, hex, isLocalMsg, isLocalMsgTarget, isResponseMsg, limitSize, voteRespMsgType } from "./util.ts";

const named = (is: (type: MessageType) => boolean): string[] =>
  Object.values(MessageType).filter(is).map(messageTypeName);

describe("message types", () => {
  test("isLocalMsg names the types that must not come from another node [TestIsLocalMsg]", () => {
    expect(named(isLocalMsg)).toEqual([
      "MsgHup",
      "MsgBeat",
      "MsgUnreachable",
      "MsgSnapStatus",
      "MsgCheckQuorum",
      "MsgStorageAppend",
      "MsgStorageAppendResp",
      "MsgStorageApply",
      "MsgStorageApplyResp",
    ]);
  });

  test("isResponseMsg names the types that answer another message [TestIsResponseMsg]", () => {
    expect(named(isResponseMsg)).toEqual([
      "MsgAppResp",
      "MsgVoteResp",
      "MsgHeartbeatResp",
      "MsgUnreachable",
      "MsgReadIndexResp",
      "MsgPreVoteResp",
      "MsgStorageAppendResp",
      "MsgStorageApplyResp",
    ]);
  });

  test("voteRespMsgType answers the two vote requests, and throws for any other type", () => {
    expect(voteRespMsgType(MessageType.MsgVote)).toBe(MessageType.MsgVoteResp);
    expect(voteRespMsgType(MessageType.MsgPreVote)).toBe(MessageType.MsgPreVoteResp);
    expect(() => voteRespMsgType(MessageType.MsgApp)).toThrow(/not a vote message: MsgApp/);
  });

  test("the local threads have ids that no node has, and hex prints them as Go does", () => {
    expect([localAppendThread, localApplyThread, 0, 1].map(isLocalMsgTarget)).toEqual([true, true, false, false]);
    expect([localAppendThread, localApplyThread, 255].map(hex)).toEqual(["ffffffffffffffff", "fffffffffffffffe", "ff"]);
  });
});

describe("limitSize", () => {
  test("ends a list at a limit of bytes, after at least one entry [TestLimitSize]", () => {
    const entries = entriesFrom(4, 4, 5, 6);
    const upTo = (count: number) => entsSize(entries.slice(0, count));
    const lengths = (limits: number[]) => limits.map((limit) => limitSize(entries, 0, 3, limit));
    expect(lengths([noLimit, 0, upTo(1), upTo(2), upTo(2) + 1, upTo(3) - 1, upTo(3)])).toEqual([3, 1, 1, 2, 2, 2, 3]);
    expect([limitSize(entries, 1, 3, 0), limitSize(entries, 1, 3, upTo(2)), limitSize(entries, 2, 2, 0)]).toEqual([
      2, 3, 2,
    ]);
    expect(upTo(3)).toBe(entries.map(entrySize).reduce((a, b) => a + b));
  });
});

describe("checkLogSlice", () => {
  const slice = (term: number, [index, prevTerm]: [number, number], entries: Entry[]): LogSlice => ({
    term,
    prev: { term: prevTerm, index },
    entries,
  });

  test.each<[what: string, LogSlice]>([
    ["empty, at the origin", slice(0, [0, 0], [])],
    ["empty, of the term of what it follows", slice(10, [123, 10], [])],
    ["empty, of a later term", slice(11, [123, 10], [])],
    ["of one entry", slice(1, [0, 0], entriesFrom(1, 1))],
    ["of one entry of an earlier term", slice(2, [0, 0], entriesFrom(1, 1))],
    ["of several terms", slice(2, [1, 1], entriesFrom(2, 1, 1, 2))],
    ["beginning with a new term", slice(10, [123, 5], entriesFrom(124, 6))],
  ])("accepts a slice: %s [TestLogSlice]", (_what, s) => {
    expect(checkLogSlice(s)).toBeUndefined();
  });

  test.each<[what: string, LogSlice, reason: RegExp]>([
    ["without a term", slice(0, [123, 10], []), /leader term 0: entry .* has a newer term/],
    ["that follows a newer term", slice(9, [123, 10], []), /newer term/],
    ["with an entry of a newer term", slice(0, [0, 0], entriesFrom(1, 1)), /newer term/],
    ["with a last entry of a newer term", slice(1, [1, 1], entriesFrom(2, 1, 1, 2)), /newer term/],
    ["with a gap at its begin", slice(2, [0, 0], entriesFrom(2, 1, 1, 2)), /not consistent/],
    ["that goes back", slice(10, [123, 5], entriesFrom(111, 5)), /not consistent/],
    ["whose term falls at its begin", slice(10, [123, 5], entriesFrom(124, 4)), /not consistent/],
    ["with a step back", slice(10, [12, 2], [...entriesFrom(13, 2), ...entriesFrom(12, 2)]), /not consistent/],
    ["with a gap", slice(10, [12, 2], [...entriesFrom(13, 2), ...entriesFrom(15, 2)]), /not consistent/],
    ["whose term falls", slice(10, [12, 2], entriesFrom(13, 2, 1)), /{term:2 index:13} and {term:1 index:14}/],
  ])("refuses a slice: %s [TestLogSlice]", (_what, s, reason) => {
    expect(checkLogSlice(s)).toMatch(reason);
  });
});

describe("hard states", () => {
  test("are equal for hardStatesEqual if all three numbers are, and undefined counts as empty [TestIsHardStateEqual]", () => {
    expect([undefined, makeHardState(0, 0, 0)].map(isEmptyHardState)).toEqual([true, true]);
    for (const hs of [makeHardState(1, 0, 0), makeHardState(0, 1, 0), makeHardState(0, 0, 1)]) {
      expect([isEmptyHardState(hs), hardStatesEqual(hs, { ...hs })]).toEqual([false, true]);
      expect(hardStatesEqual(hs, makeHardState(0, 0, 0))).toBe(false);
    }
    expect([undefined, makeSnapshot(0, 0), makeSnapshot(1, 1)].map(isEmptySnap)).toEqual([true, true, false]);
  });

  test("need an fsync by mustSync if there are entries, or term or vote changed", () => {
    const before = makeHardState(1, 1, 1);
    expect(mustSync(before, before, 0)).toBe(false);
    expect(mustSync(makeHardState(1, 1, 9), before, 0)).toBe(false);
    expect(mustSync(makeHardState(2, 1, 1), before, 0)).toBe(true);
    expect(mustSync(makeHardState(1, 2, 1), before, 0)).toBe(true);
    expect(mustSync(before, before, 1)).toBe(true);
  });
});
