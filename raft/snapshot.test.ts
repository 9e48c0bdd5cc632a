// Snapshots (paper section 7): which are taken, what becomes of log and configuration, when a leader sends one, and
// what the outcome does to the follower's progress.

import { describe, expect, test } from "vitest";
import { errSnapshotTemporarilyUnavailable } from "./errors.ts";
import { restore } from "./handle-append.ts";
import type { Raft } from "./raft.ts";
import { type ConfState, MessageType, makeConfState, makeSnapshot } from "./raftpb/index.ts";
import { sendAppend } from "./replication.ts";
import {
  applyNext,
  applySnapshot,
  deliverOwn,
  entriesFrom,
  lead,
  logOf,
  Network,
  newNode,
  progressOf,
  propose,
  receive,
  storageOf,
  take,
  tickTimes,
} from "./testing.ts";

const { MsgApp, MsgAppResp, MsgSnap, MsgSnapStatus } = MessageType;

const [index, term] = [11, 11];
const snapshotOf = (set: Partial<ConfState>) => makeSnapshot(index, term, makeConfState(set));

/** The node has the snapshot's log and configuration, takes the same one no second time, and waits with campaigning. */
function expectRestored(r: Raft, set: Partial<ConfState>): void {
  expect(restore(r, snapshotOf(set))).toBe(true);
  expect([r.raftLog.lastIndex(), r.raftLog.term(index), r.raftLog.committed]).toEqual([index, term, index]);
  expect(r.trk.confState()).toEqual(makeConfState(set));
  expect(restore(r, snapshotOf(set))).toBe(false);
  tickTimes(r, 3 * r.randomizedElectionTimeout);
  expect(r.state).toBe("StateFollower");
}

/** Node 1, which knows nothing from before the snapshot, leading voters 1 and 2. */
function leaderFromSnapshot(): Raft {
  const r = newNode(1, { voters: [1] });
  restore(r, snapshotOf({ voters: [1, 2] }));
  lead(r);
  return r;
}

describe("restore of a snapshot", () => {
  test("gives the node its log, term and voters [TestRestore]", () => {
    expectRestored(newNode(1, { voters: [1, 2] }), { voters: [1, 2, 3] });
  });

  test("brings learners along [TestRestoreWithLearner]", () => {
    const r = newNode(3, { voters: [1, 2], learners: [3] });
    expectRestored(r, { voters: [1, 2], learners: [3] });
    expect([1, 2, 3].map((id) => progressOf(r, id).isLearner)).toEqual([false, false, true]);
  });

  test("succeeds on a node that votes in the outgoing half only [TestRestoreWithVotersOutgoing]", () => {
    const r = newNode(1, { voters: [1, 2] });
    expectRestored(r, { voters: [2, 3, 4], votersOutgoing: [1, 2, 3] });
    expect(r.trk.voterNodes()).toEqual([1, 2, 3, 4]);
  });

  test("may make a voter a learner [TestRestoreVoterToLearner]", () => {
    const r = newNode(3);
    expect(r.isLearner).toBe(false);
    expectRestored(r, { voters: [1, 2], learners: [3] });
    expect(r.isLearner).toBe(true);
  });

  test("may make a learner a voter [TestRestoreLearnerPromotion]", () => {
    const r = newNode(3, { voters: [1, 2], learners: [3] });
    expect(r.isLearner).toBe(true);
    expectRestored(r, { voters: [1, 2, 3] });
    expect(r.isLearner).toBe(false);
  });

  test("ignores one of committed entries; for one of entries in the log it only moves the commit index [TestRestoreIgnoreSnapshot]", () => {
    const r = newNode(1, { log: entriesFrom(1, 1, 1, 1), term: 1, commit: 1 });
    expect(restore(r, makeSnapshot(1, 1, makeConfState({ voters: [1, 2] })))).toBe(false);
    expect(r.raftLog.committed).toBe(1);
    expect(restore(r, makeSnapshot(2, 1, makeConfState({ voters: [1, 2] })))).toBe(false);
    expect([r.raftLog.committed, logOf(r).length, r.trk.voterNodes()]).toEqual([2, 3, [1, 2, 3]]);
  });

  test("refuses one that does not name the node", () => {
    const r = newNode(1);
    expect(restore(r, snapshotOf({ voters: [2, 3], learners: [4], autoLeave: false }))).toBe(false);
    expect(r.raftLog.lastIndex()).toBe(0);
  });

  test("on any role but follower ends that role, and keeps the log", () => {
    const r = newNode(1);
    lead(r);
    expect(restore(r, snapshotOf({ voters: [1, 2, 3] }))).toBe(false);
    expect([r.state, r.term, r.raftLog.committed]).toEqual(["StateFollower", 2, 0]);
  });

  test("by handleSnapshot makes the sender the leader, and is acknowledged [TestRestoreFromSnapMsg]", () => {
    const r = newNode(2, { voters: [1, 2] });
    receive(r, MsgSnap, { from: 1, term: 2, snapshot: snapshotOf({ voters: [1, 2] }) });
    expect([r.lead, r.term]).toEqual([1, 2]);
    expect(take(r)).toMatchObject([{ type: MsgAppResp, to: 1, index, reject: false }]);
  });

  test("makes a candidate of the same term a follower, and an empty one is answered with the commit index", () => {
    const r = newNode(2, { log: entriesFrom(1, 1), term: 1, commit: 1 });
    r.state = "StateCandidate";
    receive(r, MsgSnap, { from: 1, term: 1 });
    expect([r.state, r.lead]).toEqual(["StateFollower", 1]);
    expect(take(r)).toMatchObject([{ type: MsgAppResp, to: 1, index: 1 }]);
  });

  test("holds up committed entries until the snapshot is installed", () => {
    const r = newNode(2, { voters: [1, 2] });
    receive(r, MsgSnap, { from: 1, term: 11, snapshot: snapshotOf({ voters: [1, 2] }) });
    receive(r, MsgApp, { from: 1, term: 11, logTerm: term, index, entries: entriesFrom(12, 11), commit: 12 });
    expect([r.raftLog.committed, r.raftLog.nextCommittedEnts(true)]).toEqual([12, []]);
    applySnapshot(r);
    expect(r.raftLog.nextCommittedEnts(true)).toHaveLength(1);
  });
});

describe("maybeSendSnapshot", () => {
  test("sends a snapshot to a node that needs compacted entries [TestProvideSnap]", () => {
    const r = leaderFromSnapshot();
    progressOf(r, 2).next = r.raftLog.firstIndex();
    receive(r, MsgAppResp, { index: progressOf(r, 2).next - 1, reject: true });
    expect(take(r)).toMatchObject([{ type: MsgSnap, to: 2, snapshot: { metadata: { index, term } } }]);
  });

  test("sends none to a node that was silent lately [TestIgnoreProvidingSnap]", () => {
    const r = leaderFromSnapshot();
    progressOf(r, 2).next = r.raftLog.firstIndex() - 1;
    progressOf(r, 2).recentActive = false;
    propose(r, "x");
    expect(take(r)).toEqual([]);
  });

  test("sends none while the storage has none ready, and asks again later", () => {
    const r = newNode(1, { voters: [1, 2] });
    lead(r);
    applyNext(r);
    take(r);
    const storage = storageOf(r);
    storage.createSnapshot(1, undefined, undefined);
    storage.compact(1);
    const newest = storage.snapshot();
    storage.snapshot = () => errSnapshotTemporarilyUnavailable;
    progressOf(r, 2).next = 1;
    progressOf(r, 2).recentActive = true;
    sendAppend(r, 2);
    expect(take(r)).toEqual([]);
    storage.snapshot = () => newest;
    sendAppend(r, 2);
    expect(take(r)).toMatchObject([{ type: MsgSnap, to: 2 }]);
  });

  test("panics if the storage has none at all: then it has lost its log", () => {
    const r = newNode(1, { voters: [1, 2], log: entriesFrom(1, 1, 1), term: 1, commit: 2, applied: 2 });
    storageOf(r).compact(2);
    lead(r);
    take(r);
    progressOf(r, 2).recentActive = true;
    progressOf(r, 2).next = 1;
    expect(() => sendAppend(r, 2)).toThrow(/need non-empty snapshot/);
  });

  test("sends one to a learner as to a voter [TestLearnerReceiveSnapshot]", () => {
    const set = { voters: [1], learners: [2] };
    const n1 = newNode(1, set);
    restore(n1, snapshotOf(set));
    applySnapshot(n1);
    const n2 = newNode(2, set);
    const net = new Network(n1, n2);
    tickTimes(n1, 10);
    deliverOwn(n1);
    net.settle();
    net.beat(1);
    expect([n1.state, n2.raftLog.committed]).toEqual(["StateLeader", n1.raftLog.committed]);
    expect(n2.raftLog.committed).toBeGreaterThan(index);
  });

  test("brings back a node that lags, and appends follow [TestSlowNodeRestore]", () => {
    const net = Network.of(3);
    net.campaign(1);
    const [leader, slow] = [net.at(1), net.at(3)];
    net.isolate(3);
    for (let i = 0; i < 100; i++) net.propose(1);
    applyNext(leader);
    storageOf(leader).createSnapshot(leader.raftLog.applied, leader.trk.confState(), undefined);
    storageOf(leader).compact(leader.raftLog.applied);
    net.recover();
    net.beat(1);
    expect(progressOf(leader, 3).recentActive).toBe(true);
    net.propose(1);
    net.propose(1);
    expect([slow.raftLog.committed, slow.raftLog.firstIndex()]).toEqual([103, 102]);
    expect(leader.raftLog.committed).toBe(103);
  });
});

describe("the Progress of a follower that is sent a snapshot", () => {
  /** Node 2 is being sent the snapshot at 11; the leader's own first entry is at 12. */
  function sending(): Raft {
    const r = leaderFromSnapshot();
    take(r);
    progressOf(r, 2).next = 1;
    progressOf(r, 2).becomeSnapshot(11);
    return r;
  }

  test("has the index of the snapshot as pendingSnapshot [TestSendingSnapshotSetPendingSnapshot]", () => {
    const r = leaderFromSnapshot();
    progressOf(r, 2).next = r.raftLog.firstIndex();
    receive(r, MsgAppResp, { index: progressOf(r, 2).next - 1, reject: true });
    expect([progressOf(r, 2).state, progressOf(r, 2).pendingSnapshot]).toEqual(["StateSnapshot", 11]);
  });

  test("holds up appends while the snapshot is pending [TestPendingSnapshotPauseReplication]", () => {
    const r = sending();
    propose(r, "x");
    expect(take(r)).toEqual([]);
  });

  test("goes back to match + 1 when the snapshot failed, and waits [TestSnapshotFailure]", () => {
    const r = sending();
    receive(r, MsgSnapStatus, { reject: true });
    expect(progressOf(r, 2)).toMatchObject({
      state: "StateProbe",
      pendingSnapshot: 0,
      next: 1,
      msgAppFlowPaused: true,
    });
  });

  test("goes on behind the snapshot when it has arrived, and waits [TestSnapshotSucceed]", () => {
    const r = sending();
    receive(r, MsgSnapStatus, { reject: false });
    expect(progressOf(r, 2)).toMatchObject({
      state: "StateProbe",
      pendingSnapshot: 0,
      next: 12,
      msgAppFlowPaused: true,
    });
  });

  test("ends the snapshot at an acknowledgement that connects to the log, and replicates [TestSnapshotAbort]", () => {
    const r = sending();
    receive(r, MsgAppResp, { index: 11 });
    expect(progressOf(r, 2)).toMatchObject({ state: "StateReplicate", pendingSnapshot: 0, next: 13 });
    expect(progressOf(r, 2).inflights.count()).toBe(1);
  });

  test("ignores a report on a snapshot that is not pending", () => {
    const r = leaderFromSnapshot();
    progressOf(r, 2).becomeReplicate();
    receive(r, MsgSnapStatus, { reject: true });
    expect(progressOf(r, 2).state).toBe("StateReplicate");
  });

  test("stays in the snapshot state at an acknowledgement from before the log", () => {
    const r = sending();
    receive(r, MsgAppResp, { index: 5 });
    expect(progressOf(r, 2)).toMatchObject({ state: "StateSnapshot", pendingSnapshot: 11, match: 5 });
    expect(take(r)).toEqual([]);
  });
});
