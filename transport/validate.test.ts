import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Changer } from "../raft/confchange/confchange.ts";
import { restore } from "../raft/confchange/restore.ts";
import {
  ConfChangeType,
  type ConfState,
  confStatesEquivalent,
  type Entry,
  EntryType,
  encodeConfChange,
  type Message,
  MessageType,
  makeConfChange,
  makeConfState,
  makeEntry,
  makeMessage,
  makeSnapshot,
  messageTypeName,
  proposed,
} from "../raft/raftpb/index.ts";
import { ProgressTracker } from "../raft/tracker/tracker.ts";
import { isCarried, type Link, maxNumber, validateMessage, validateSnapshotMessage } from "./validate.ts";

const t = MessageType;
const link: Link = { self: 2, peer: 1 };
const context = (size: number): Uint8Array => new Uint8Array(size);
const entry = (term: number, index: number): Entry => makeEntry(EntryType.EntryNormal, term, index, undefined);
const proposal: Entry = proposed(context(5));
const confChange: Entry = proposed(
  encodeConfChange(makeConfChange(ConfChangeType.ConfChangeAddNode, 3)),
  EntryType.EntryConfChange,
);

type Fields = Partial<Omit<Message, "type">>;
const message = (type: MessageType, set: Fields = {}): Message =>
  makeMessage(type, { from: 1, to: 2, term: 5, ...set });

/** A correct message of each type that travels. */
const correct: [type: MessageType, set: Fields][] = [
  [t.MsgProp, { term: 0, entries: [proposal, confChange] }],
  [t.MsgApp, { logTerm: 2, index: 7, commit: 9, entries: [entry(2, 8), entry(4, 9), entry(5, 10)] }],
  [t.MsgAppResp, { index: 9, reject: true, rejectHint: 4, logTerm: 2 }],
  [t.MsgVote, { index: 9, logTerm: 4, context: new TextEncoder().encode("CampaignTransfer") }],
  [t.MsgVoteResp, { reject: true }],
  [t.MsgHeartbeat, { commit: 4, context: context(8) }],
  [t.MsgHeartbeatResp, { context: context(8) }],
  [t.MsgTransferLeader, {}],
  [t.MsgTimeoutNow, {}],
  [t.MsgReadIndex, { term: 0, entries: [proposal] }],
  [t.MsgReadIndexResp, { index: 9, entries: [proposal] }],
  [t.MsgPreVote, { index: 9, logTerm: 4 }],
  [t.MsgPreVoteResp, {}],
];
const named = correct.map(([type, set]) => [messageTypeName(type), type, set] as const);
const forwarded: readonly MessageType[] = [t.MsgProp, t.MsgReadIndex, t.MsgTransferLeader];
const termless: readonly MessageType[] = [t.MsgProp, t.MsgReadIndex];

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
      expect(check({ from: 4 }), "a node that this one has not heard of").toBeUndefined();
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
    expect(check({ responses: [message(t.MsgAppResp)] })).toMatch(/carries responses/);
  });

  test("carries a context only of the size that its type has", () => {
    expect(check({ context: context(0) })).toBeUndefined();
    expect(check({ context: context(7) })).toMatch(/context of 7 bytes/);
    expect(check({ context: context(9) })).toMatch(/context of 9 bytes/);
  });

  test("carries entries only if its type has them", () => {
    const withOne = check({ entries: [proposed(undefined)] });
    if (set.entries === undefined) expect(withOne).toMatch(/carries entries/);
    else if (type === t.MsgApp) expect(withOne).toMatch(/has index 0 where 8 follows/);
    else expect(withOne).toBeUndefined();
  });
});

describe("message types that do not travel", () => {
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

describe("validateMessage: the entries of an append", () => {
  const check = (set: Fields): string | undefined => validateMessage(message(t.MsgApp, set), link);

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

describe("validateMessage: the entries of a proposal", () => {
  const check = (...entries: Entry[]): string | undefined =>
    validateMessage(message(t.MsgProp, { term: 0, entries }), link);

  test("may be an empty v2 conf change, which leaves a joint configuration", () => {
    expect(check(proposed(undefined, EntryType.EntryConfChangeV2))).toBeUndefined();
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
      expect(check(proposed(Uint8Array.of(0xff), type))).toMatch(/does not decode/);
    }
  });

  test("may not be a conf change of an absurd size", () => {
    expect(check(proposed(context(65537), EntryType.EntryConfChangeV2))).toMatch(/conf change of 65537 bytes/);
  });

  test("may not be of an unknown type", () => {
    expect(check(makeEntry(7 as EntryType, 0, 0, undefined))).toMatch(/entry of type 7/);
  });
});

test.each([t.MsgReadIndex, t.MsgReadIndexResp])("message type %i has exactly one entry", (type) => {
  const term = type === t.MsgReadIndex ? 0 : 5;
  for (const entries of [[], [proposal, proposal]]) {
    expect(validateMessage(message(type, { term, entries }), link)).toContain(
      `has ${entries.length} entries, must have 1`,
    );
  }
});

describe("validateSnapshotMessage: a snapshot's message", () => {
  const metadata = { index: 9, term: 4, confState: makeConfState({ voters: [1, 2, 3] }) };
  const check = (set: Fields = {}, change: Partial<typeof metadata> = {}, data?: Uint8Array): string | undefined =>
    validateSnapshotMessage(
      message(t.MsgSnap, { snapshot: { data, metadata: { ...metadata, ...change } }, ...set }),
      link,
    );

  test("passes on its own stream when it is correct, and never on the other", () => {
    expect(check()).toBeUndefined();
    expect(check({}, {}, new Uint8Array(0))).toBeUndefined();
    const m = message(t.MsgSnap, { snapshot: { data: undefined, metadata } });
    expect(validateMessage(m, link)).toMatch(/not sent between nodes on this stream/);
    expect(isCarried(t.MsgSnap)).toBe(false);
  });

  test("must be MsgSnap, from the peer, for this node, with a term", () => {
    expect(validateSnapshotMessage(message(t.MsgApp), link)).toBe("MsgApp in the place of MsgSnap");
    expect(check({ from: 3 })).toMatch(/says it is from 3/);
    expect(check({ to: 3 })).toMatch(/is for node 3/);
    expect(check({ term: 0 })).toMatch(/has no term/);
    expect(check({ commit: maxNumber + 1 })).toMatch(/above 2\^52/);
  });

  test("must carry a snapshot without data, and nothing else", () => {
    expect(check({ snapshot: undefined })).toMatch(/no snapshot/);
    expect(check({}, {}, context(1))).toMatch(/carries data/);
    for (const set of [{ entries: [entry(1, 1)] }, { responses: [message(t.MsgApp)] }, { context: context(1) }]) {
      expect(check(set)).toMatch(/more than a snapshot/);
    }
  });

  test("must have a snapshot of an index, and of a term up to its own", () => {
    for (const index of [0, -1, maxNumber + 1]) expect(check({}, { index })).toMatch(/of index/);
    for (const term of [0, -1, 6]) expect(check({}, { term })).toMatch(/of term/);
    expect(check({}, { term: 5, index: maxNumber })).toBeUndefined();
  });

  test("must have a configuration of a bounded size", () => {
    const voters = (count: number): ConfState =>
      makeConfState({ voters: Array.from({ length: count }, (_, i) => i + 1) });
    expect(check({}, { confState: voters(1000) })).toBeUndefined();
    expect(check({}, { confState: voters(1001) })).toMatch(/configuration of 1001 ids/);
  });

  test("must have a configuration that raft can rebuild", () => {
    /**
     * How the core restores it, which panics on failure. The core would rebuild an empty one, but no cluster has that.
     */
    function rebuilds(confState: ConfState): boolean {
      if (confState.voters.length === 0) return false;
      const result = restore(new Changer(new ProgressTracker(1, 0), 10), confState);
      if (result instanceof Error) return false;
      const tracker = new ProgressTracker(1, 0, result.config, result.progress);
      return confStatesEquivalent(tracker.confState(), confState);
    }
    const ids = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 3 });
    const confStates = fc.record({
      voters: ids,
      learners: ids,
      votersOutgoing: fc.oneof(fc.constant([]), ids),
      learnersNext: fc.oneof(fc.constant([]), ids),
      autoLeave: fc.boolean(),
    });
    let passed = 0;
    fc.assert(
      fc.property(confStates, (confState) => {
        const passes = check({}, { confState }) === undefined;
        expect(passes).toBe(rebuilds(confState));
        if (passes) passed++;
      }),
      { seed: 20260731, numRuns: 20_000 },
    );
    expect(passed).toBeGreaterThan(100);
  });
});
