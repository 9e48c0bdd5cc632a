import { describe, expect, test } from "vitest";
import {
  ConfChangeType,
  type Entry,
  EntryType,
  encodeConfChange,
  type Message,
  MessageType,
  makeConfChange,
  makeEntry,
  makeMessage,
  makeSnapshot,
  messageTypeName,
} from "../raft/raftpb/index.ts";
import { isCarried, type Link, maxNumber, validateMessage } from "./validate.ts";

const T = MessageType;
const link: Link = { self: 2, peer: 1, isMember: (id) => id >= 1 && id <= 3 };
const context = (size: number): Uint8Array => new Uint8Array(size);
const entry = (term: number, index: number): Entry => makeEntry(EntryType.EntryNormal, term, index, undefined);
const proposal: Entry = makeEntry(undefined, 0, 0, context(5));
const confChange: Entry = makeEntry(
  EntryType.EntryConfChange,
  0,
  0,
  encodeConfChange(makeConfChange(ConfChangeType.ConfChangeAddNode, 3)),
);

type Fields = Partial<Omit<Message, "type">>;
const message = (type: MessageType, set: Fields = {}): Message =>
  makeMessage(type, { from: 1, to: 2, term: 5, ...set });

/** A correct message of each type that travels. */
const correct: [type: MessageType, set: Fields][] = [
  [T.MsgProp, { term: 0, entries: [proposal, confChange] }],
  [T.MsgApp, { logTerm: 2, index: 7, commit: 9, entries: [entry(2, 8), entry(4, 9), entry(5, 10)] }],
  [T.MsgAppResp, { index: 9, reject: true, rejectHint: 4, logTerm: 2 }],
  [T.MsgVote, { index: 9, logTerm: 4, context: new TextEncoder().encode("CampaignTransfer") }],
  [T.MsgVoteResp, { reject: true }],
  [T.MsgHeartbeat, { commit: 4, context: context(8) }],
  [T.MsgHeartbeatResp, { context: context(8) }],
  [T.MsgTransferLeader, {}],
  [T.MsgTimeoutNow, {}],
  [T.MsgReadIndex, { term: 0, entries: [proposal] }],
  [T.MsgReadIndexResp, { index: 9, entries: [proposal] }],
  [T.MsgPreVote, { index: 9, logTerm: 4 }],
  [T.MsgPreVoteResp, {}],
];
const named = correct.map(([type, set]) => [messageTypeName(type), type, set] as const);
const forwarded: readonly MessageType[] = [T.MsgProp, T.MsgReadIndex, T.MsgTransferLeader];
const termless: readonly MessageType[] = [T.MsgProp, T.MsgReadIndex];

describe.each(named)("%s", (_name, type, set) => {
  const check = (change: Fields): string | undefined => validateMessage(message(type, { ...set, ...change }), link);

  test("passes when it is correct", () => {
    expect(check({})).toBeUndefined();
    expect(isCarried(type)).toBe(true);
  });

  test("is refused when it is for another node", () => {
    expect(check({ to: 3 })).toMatch(/is for node 3, this is 2/);
    expect(check({ to: 0 })).toMatch(/is for node 0/);
  });

  test("names its sender as its type allows", () => {
    if (forwarded.includes(type)) {
      expect(check({ from: 3 })).toBeUndefined();
      expect(check({ from: 2 })).toBeUndefined();
      expect(check({ from: 4 })).toMatch(/from 4, which is not a member/);
    } else {
      expect(check({ from: 3 })).toMatch(/says it is from 3 on the connection of 1/);
      expect(check({ from: 2 })).toMatch(/says it is from 2/);
    }
    expect(check({ from: 0 })).toMatch(/from 0/);
    expect(check({ from: -1 })).toMatch(/from -1/);
  });

  test("has a term if and only if its type is stamped with one", () => {
    if (termless.includes(type)) expect(check({ term: 5 })).toMatch(/has term 5, must have none/);
    else expect(check({ term: 0 })).toMatch(/has no term/);
  });

  test.each(["index", "commit", "rejectHint", "vote", "logTerm", "term"] as const)(
    "is refused with a huge %s",
    (key) => {
      expect(check({ [key]: maxNumber + 1 })).toMatch(/above 2\^52|must have none/);
    },
  );

  test("carries no snapshot and no responses", () => {
    expect(check({ snapshot: makeSnapshot(1, 1) })).toMatch(/carries a snapshot/);
    expect(check({ responses: [message(T.MsgAppResp)] })).toMatch(/carries responses/);
  });

  test("carries a context only of the size that its type has", () => {
    expect(check({ context: context(0) })).toBeUndefined();
    expect(check({ context: context(7) })).toMatch(/context of 7 bytes/);
    expect(check({ context: context(9) })).toMatch(/context of 9 bytes/);
  });

  test("carries entries only if its type has them", () => {
    const withOne = check({ entries: [makeEntry(undefined, 0, 0, undefined)] });
    if (set.entries === undefined) expect(withOne).toMatch(/carries entries/);
    else if (type === T.MsgApp) expect(withOne).toMatch(/has index 0 where 8 follows/);
    else expect(withOne).toBeUndefined();
  });
});

describe("types that do not travel", () => {
  const carried = new Set(correct.map(([type]) => type));
  const others = Object.entries(MessageType).filter(([, type]) => !carried.has(type));

  test("are the local ones, snapshots and forget-leader", () => {
    expect(others.length).toBe(11);
  });

  test.each(others)("%s is refused", (name, type) => {
    expect(validateMessage(message(type), link)).toBe(`${name} is not sent between nodes on this stream`);
    expect(isCarried(type)).toBe(false);
  });
});

describe("the entries of an append", () => {
  const check = (set: Fields): string | undefined => validateMessage(message(T.MsgApp, set), link);

  test("may be none, whatever the commit", () => {
    expect(check({ index: 7, logTerm: 2, commit: 1000 })).toBeUndefined();
  });

  test("may begin the log", () => {
    expect(check({ entries: [entry(1, 1), entry(1, 2)] })).toBeUndefined();
  });

  test.each([
    ["leave a gap", { index: 7, logTerm: 2, entries: [entry(2, 9)] }, "has index 9 where 8 follows"],
    [
      "leave a gap within",
      { index: 7, logTerm: 2, entries: [entry(2, 8), entry(2, 10)] },
      "has index 10 where 9 follows",
    ],
    ["repeat an index", { index: 7, logTerm: 2, entries: [entry(2, 8), entry(2, 8)] }, "has index 8 where 9 follows"],
    ["begin below", { index: 7, logTerm: 2, entries: [entry(2, 7)] }, "has index 7 where 8 follows"],
    [
      "fall below the term before them",
      { index: 7, logTerm: 3, entries: [entry(2, 8)] },
      "term 2 where at least 3 follows",
    ],
    ["fall in term", { entries: [entry(4, 1), entry(3, 2)] }, "term 3 where at least 4 follows"],
    ["have term 0", { entries: [entry(0, 1)] }, "term 0 where at least 1 follows"],
    ["have a term above the message's", { entries: [entry(6, 1)] }, "term 6, above its own term 5"],
    ["follow a term above the message's", { index: 7, logTerm: 6 }, "term 6, above its own term 5"],
  ])("may not %s", (_what, set, reason) => {
    expect(check(set)).toContain(reason);
  });
});

describe("the entries of a proposal", () => {
  const check = (...entries: Entry[]): string | undefined =>
    validateMessage(message(T.MsgProp, { term: 0, entries }), link);

  test("may be an empty v2 conf change, which leaves a joint configuration", () => {
    expect(check(makeEntry(EntryType.EntryConfChangeV2, 0, 0, undefined))).toBeUndefined();
  });

  test("may not be missing", () => {
    expect(check()).toMatch(/has no entries/);
  });

  test("may not have a place in the log yet", () => {
    expect(check(proposal, entry(0, 4))).toMatch(/term 0 and index 4 already/);
    expect(check(proposal, entry(4, 0))).toMatch(/term 4 and index 0 already/);
  });

  test("may not be a conf change that does not decode", () => {
    for (const type of [EntryType.EntryConfChange, EntryType.EntryConfChangeV2]) {
      expect(check(makeEntry(type, 0, 0, Uint8Array.of(0xff)))).toMatch(/does not decode/);
    }
  });

  test("may not be a conf change of an absurd size", () => {
    expect(check(makeEntry(EntryType.EntryConfChangeV2, 0, 0, context(65537)))).toMatch(/conf change of 65537 bytes/);
  });

  test("may not be of an unknown type", () => {
    expect(check(makeEntry(7 as EntryType, 0, 0, undefined))).toMatch(/entry of type 7/);
  });
});

test.each([T.MsgReadIndex, T.MsgReadIndexResp])("message type %i has exactly one entry", (type) => {
  const term = type === T.MsgReadIndex ? 0 : 5;
  for (const entries of [[], [proposal, proposal]]) {
    expect(validateMessage(message(type, { term, entries }), link)).toContain(
      `has ${entries.length} entries, must have 1`,
    );
  }
});
