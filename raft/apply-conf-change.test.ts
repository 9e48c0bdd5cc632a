// Changes of the configuration as one node sees them: when a change may be proposed, what applying it does, and what it
// holds up.

import { describe, expect, test } from "vitest";
import type { Raft } from "./raft.ts";
import {
  type AnyConfChange,
  asV2,
  type Entry,
  EntryType,
  MessageType,
  makeConfChange,
  makeConfState,
  makeEntry,
  makeMessage,
  marshalConfChange,
  proposed,
} from "./raftpb/index.ts";
import { appendEntry } from "./replication.ts";
import {
  applyNext,
  bytes,
  change,
  entriesFrom,
  lead,
  leave,
  Network,
  newNode,
  progressOf,
  propose,
  receive,
  take,
  text,
  tickTimes,
} from "./testing.ts";
import { none } from "./types.ts";

const { MsgApp, MsgAppResp, MsgProp, MsgTransferLeader } = MessageType;
const removeNode2 = makeConfChange(1, 2);

const entryOf = (cc: AnyConfChange | undefined): Entry => {
  const { type, data } = marshalConfChange(cc);
  return proposed(data, type);
};
const proposeChange = (r: Raft, ...changes: (AnyConfChange | undefined)[]) =>
  receive(r, MsgProp, { from: r.id, entries: changes.map(entryOf) });

/** The types of the entries behind `index`. */
const typesAfter = (r: Raft, index: number) =>
  r.raftLog
    .allEntries()
    .slice(index)
    .map((e) => e.type ?? EntryType.EntryNormal);

describe("proposing a change", () => {
  test("appends it and notes its index as pending [TestStepConfig]", () => {
    const r = newNode(1, { voters: [1, 2] });
    lead(r);
    const last = r.raftLog.lastIndex();
    proposeChange(r, removeNode2);
    expect([r.raftLog.lastIndex(), r.pendingConfIndex]).toEqual([last + 1, last + 1]);
  });

  test("while one is pending appends an empty entry in its place [TestStepIgnoreConfig]", () => {
    const r = newNode(1, { voters: [1, 2] });
    lead(r);
    proposeChange(r, removeNode2);
    const { pendingConfIndex } = r;
    proposeChange(r, removeNode2);
    expect(r.raftLog.allEntries().at(-1)).toEqual(makeEntry(EntryType.EntryNormal, 1, 3, undefined));
    expect(r.pendingConfIndex).toBe(pendingConfIndex);
  });

  test("is counted by its place among the entries that are proposed with it", () => {
    const r = newNode(1, { voters: [1, 2] });
    lead(r);
    receive(r, MsgProp, { from: 1, entries: [proposed(bytes("x")), entryOf(removeNode2)] });
    expect(r.pendingConfIndex).toBe(3);
  });

  test.each([
    ["a change while joint", "v3 r2", makeConfChange(0, 4)],
    ["leaving while not joint", "", undefined],
  ])("%s is replaced by an empty entry", (_what, before, cc) => {
    const r = newNode(1, { voters: [1, 2] });
    if (before !== "") change(r, before);
    lead(r);
    proposeChange(r, cc);
    expect(typesAfter(r, 1)).toEqual([EntryType.EntryNormal]);
  });

  test("with validation switched off appends all of these: the application vouches for them", () => {
    const r = newNode(1, { voters: [1, 2], disableConfChangeValidation: true });
    lead(r);
    proposeChange(r, removeNode2);
    proposeChange(r, removeNode2);
    proposeChange(r, undefined);
    expect(typesAfter(r, 1)).toEqual([
      EntryType.EntryConfChange,
      EntryType.EntryConfChange,
      EntryType.EntryConfChangeV2,
    ]);
  });

  test.each([
    [0, 0],
    [1, 1],
    [5, 5],
  ])(
    "right after an election waits for all of the log, of %i entries: pending index %i [TestNewLeaderPendingConfig]",
    (count, index) => {
      const r = newNode(1, { voters: [1, 2] });
      if (count > 0) appendEntry(r, entriesFrom(1, ...Array.from({ length: count }, () => 0)));
      lead(r);
      expect(r.pendingConfIndex).toBe(index);
    },
  );
});

describe("applying a change", () => {
  test("adds a voter [TestAddNode]", () => {
    const r = newNode(1, { voters: [1] });
    change(r, "v2");
    expect(r.trk.voterNodes()).toEqual([1, 2]);
  });

  test("removes a voter, but never the last one [TestRemoveNode]", () => {
    const r = newNode(1, { voters: [1, 2] });
    change(r, "r2");
    expect(r.trk.voterNodes()).toEqual([1]);
    expect(() => change(r, "r1")).toThrow(/removed all voters/);
  });

  test("removes a learner [TestRemoveLearner]", () => {
    const r = newNode(1, { voters: [1], learners: [2] });
    change(r, "r2");
    expect([r.trk.voterNodes(), r.trk.learnerNodes()]).toEqual([[1], []]);
    expect(() => change(r, "r1")).toThrow(/removed all voters/);
  });

  test("adds a learner, promotes it, and demotes the node itself [TestAddLearner]", () => {
    const r = newNode(1, { voters: [1] });
    change(r, "l2");
    expect([r.isLearner, r.trk.learnerNodes(), progressOf(r, 2).isLearner]).toEqual([false, [2], true]);
    change(r, "v2");
    expect([r.trk.learnerNodes(), progressOf(r, 2).isLearner]).toEqual([[], false]);
    change(r, "l1");
    expect([r.isLearner, progressOf(r, 1).isLearner]).toEqual([true, true]);
    change(r, "v1");
    expect([r.isLearner, progressOf(r, 1).isLearner]).toEqual([false, false]);
  });

  test.each([[[1, 2, 3]], [[3, 2, 1]]])(
    "or starting with voters %j lists them in ascending order [TestRaftNodes]",
    (voters) => {
      expect(newNode(1, { voters }).trk.voterNodes()).toEqual([1, 2, 3]);
    },
  );

  test("commits what the smaller quorum has [TestCommitAfterRemoveNode]", () => {
    const r = newNode(1, { voters: [1, 2] });
    lead(r);
    proposeChange(r, removeNode2);
    expect(applyNext(r)).toEqual([]);
    const changed = r.raftLog.lastIndex();
    propose(r, "hello");
    receive(r, MsgAppResp, { index: changed });
    expect(applyNext(r).map((e) => e.type ?? 0)).toEqual([EntryType.EntryNormal, EntryType.EntryConfChange]);
    change(r, "r2");
    expect(applyNext(r).map((e) => text(e.data))).toEqual(["hello"]);
  });

  test("on a leader probes a new node at once", () => {
    const r = newNode(1, { voters: [1, 2] });
    lead(r);
    propose(r, "sent to 2");
    take(r);
    change(r, "v3");
    expect(take(r).map((m) => [m.to, m.type])).toEqual([[3, MsgApp]]);
  });

  test("that is no configuration to restore is a panic, at start as well", () => {
    const confState = makeConfState({ voters: [1, 2], learners: [2] });
    expect(() => newNode(1, { confState })).toThrow(/ConfStates not equivalent|unable to restore config/);
    expect(() => newNode(1, { confState: makeConfState({ learners: [1] }) })).toThrow(/unable to restore config/);
  });
});

describe("a committed change that is not applied", () => {
  test.each([
    ["[TestConfChangeCheckBeforeCampaign]", removeNode2],
    ["[TestConfChangeV2CheckBeforeCampaign]", asV2(removeNode2)],
  ])("keeps a node from campaigning, even on an order to %s", (_goName, cc) => {
    const net = Network.of(3);
    net.campaign(1);
    const [n1, n2] = [net.at(1), net.at(2)];
    net.send(makeMessage(MsgProp, { from: 1, to: 1, entries: [entryOf(cc)] }));
    expect([n2.raftLog.committed, n2.raftLog.applied]).toEqual([2, 0]);
    tickTimes(n2, n2.randomizedElectionTimeout);
    expect(n2.state).toBe("StateFollower");
    const transfer = () => net.send(makeMessage(MsgTransferLeader, { from: 2, to: 1 }));
    transfer();
    expect([n1.state, n2.state]).toEqual(["StateLeader", "StateFollower"]);
    tickTimes(n1, 10); // the transfer is given up

    applyNext(n2);
    transfer();
    expect([n1.state, n2.state]).toEqual(["StateFollower", "StateLeader"]);
    applyNext(n1);
    tickTimes(n1, n1.randomizedElectionTimeout);
    expect(n1.state).toBe("StateCandidate");
  });

  test("is found on any page of what is to be applied", () => {
    const log = [...entriesFrom(1, 1, 1, 1), { ...entryOf(removeNode2), term: 1, index: 4 }, ...entriesFrom(5, 1)];
    const r = newNode(1, { log, term: 1, commit: 5, maxCommittedSizePerReady: 1 });
    tickTimes(r, 30);
    expect(r.state).toBe("StateFollower");
  });
});

describe("a leader that is removed", () => {
  test("goes on without taking proposals, or steps down if it is to", () => {
    for (const stepDownOnRemoval of [false, true]) {
      const r = newNode(1, { stepDownOnRemoval });
      lead(r);
      change(r, "r1");
      expect([r.state, r.lead]).toEqual(stepDownOnRemoval ? ["StateFollower", none] : ["StateLeader", 1]);
      expect(propose(r, "x")).toMatchObject({ code: "PROPOSAL_DROPPED" });
    }
  });
});

describe("a joint configuration", () => {
  test("is entered by several changes at once, and can be left once", () => {
    const r = newNode(1, { voters: [1, 2] });
    const joint = change(r, "v3 r2");
    expect(joint).toEqual(makeConfState({ voters: [1, 3], votersOutgoing: [1, 2], autoLeave: true }));
    expect(leave(r)).toEqual(makeConfState({ voters: [1, 3] }));
    expect(() => leave(r)).toThrow(/can't leave a non-joint config/);
  });
});
