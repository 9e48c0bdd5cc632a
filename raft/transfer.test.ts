// Handing leadership over (thesis 3.10): the target is brought up to date and told to campaign, within one election
// timeout.

import { describe, expect, test } from "vitest";
import { errProposalDropped } from "./errors.ts";
import type { Raft } from "./raft.ts";
import { type Message, MessageType, makeMessage } from "./raftpb/index.ts";
import {
  applyNext,
  applySnapshot,
  change,
  leave,
  Network,
  newNode,
  progressOf,
  propose,
  receive,
  storageOf,
  take,
  tickTimes,
} from "./testing.ts";
import { none, type StateType } from "./types.ts";

const { MsgAppResp, MsgTimeoutNow, MsgTransferLeader, MsgVoteResp } = MessageType;

const transfer = (net: Network, { at, to }: { at: number; to: number }): void =>
  net.send(makeMessage(MsgTransferLeader, { from: to, to: at }));

function expectEnded(r: Raft, state: StateType, leader: number): void {
  expect([r.state, r.lead, r.leadTransferee]).toEqual([state, leader, none]);
}

function led(checkQuorum = false): { net: Network; leader: Raft } {
  const net = Network.of(3, { checkQuorum });
  net.campaign(1);
  const leader = net.at(1);
  expect(leader.state).toBe("StateLeader");
  return { net, leader };
}

/** A transfer to node 3 that is under way: node 3 does not hear of it. */
function pending(): { net: Network; leader: Raft } {
  const { net, leader } = led();
  net.isolate(3);
  transfer(net, { at: 1, to: 3 });
  expect(leader.leadTransferee).toBe(3);
  return { net, leader };
}

describe("leadership goes over", () => {
  test("to a node that is up to date at once, and back [TestLeaderTransferToUpToDateNode]", () => {
    const { net, leader } = led();
    transfer(net, { at: 1, to: 2 });
    expectEnded(leader, "StateFollower", 2);
    net.propose(1);
    transfer(net, { at: 2, to: 1 });
    expectEnded(leader, "StateLeader", 1);
  });

  test("also if a follower is asked, which asks the leader [TestLeaderTransferToUpToDateNodeFromFollower]", () => {
    const { net, leader } = led();
    transfer(net, { at: 2, to: 2 });
    expectEnded(leader, "StateFollower", 2);
    net.propose(1);
    transfer(net, { at: 1, to: 1 });
    expectEnded(leader, "StateLeader", 1);
  });

  test("in spite of the voters' leases [TestLeaderTransferWithCheckQuorum]", () => {
    const { net, leader } = led(true);
    transfer(net, { at: 1, to: 2 });
    expectEnded(leader, "StateFollower", 2);
    net.propose(1);
    transfer(net, { at: 2, to: 1 });
    expectEnded(leader, "StateLeader", 1);
  });

  test("to a slow node once it has all entries [TestLeaderTransferToSlowFollower]", () => {
    const { net, leader } = led();
    net.isolate(3);
    net.propose(1);
    net.recover();
    expect(progressOf(leader, 3).match).toBe(1);
    transfer(net, { at: 1, to: 3 });
    expectEnded(leader, "StateFollower", 3);
  });

  test("to a node that needs a snapshot once it has acknowledged that [TestLeaderTransferAfterSnapshot]", () => {
    const { net, leader } = led();
    net.isolate(3);
    net.propose(1);
    applyNext(leader);
    storageOf(leader).createSnapshot(leader.raftLog.applied, leader.trk.confState(), undefined);
    storageOf(leader).compact(leader.raftLog.applied);
    net.recover();
    const held: Message[] = [];
    net.deliver = (m) => m.type !== MsgAppResp || m.from !== 3 || m.reject || held.push(m) === 0;
    transfer(net, { at: 1, to: 3 });
    expect([leader.state, held.length]).toEqual(["StateLeader", 1]);
    applySnapshot(net.at(3));
    net.deliver = () => true;
    net.send(...held);
    expectEnded(leader, "StateFollower", 3);
  });
});

describe("nothing happens if the target", () => {
  test("leads already [TestLeaderTransferToSelf]", () => {
    const { net, leader } = led();
    transfer(net, { at: 1, to: 1 });
    expectEnded(leader, "StateLeader", 1);
  });

  test("is not a member [TestLeaderTransferToNonExistingNode]", () => {
    const { net, leader } = led();
    transfer(net, { at: 1, to: 4 });
    expectEnded(leader, "StateLeader", 1);
  });

  test("is a learner", () => {
    const node = (id: number) => newNode(id, { voters: [1], learners: [2] });
    const net = new Network(node(1), node(2));
    net.campaign(1);
    transfer(net, { at: 1, to: 2 });
    expectEnded(net.at(1), "StateLeader", 1);
  });

  test("or if the node that is asked knows no leader", () => {
    const r = newNode(1);
    receive(r, MsgTransferLeader, { from: 2 });
    expect(take(r)).toEqual([]);
  });

  test("was removed and gets the order to campaign all the same [TestTransferNonMember]", () => {
    const r = newNode(1, { voters: [2, 3, 4] });
    receive(r, MsgTimeoutNow);
    for (const from of [2, 3]) receive(r, MsgVoteResp, { from });
    expect([r.state, take(r)]).toEqual(["StateFollower", []]);
  });

  test.each<StateType>(["StateCandidate", "StatePreCandidate", "StateLeader"])(
    "gets the order to campaign while it is %s",
    (state) => {
      const r = newNode(1, { term: 4 });
      r.state = state;
      receive(r, MsgTimeoutNow, { term: 4 });
      expect([r.state, r.term, take(r)]).toEqual([state, 4, []]);
    },
  );
});

describe("while a transfer is under way", () => {
  test("it is given up after one election timeout [TestLeaderTransferTimeout]", () => {
    const { leader } = pending();
    tickTimes(leader, 9);
    expect(leader.leadTransferee).toBe(3);
    tickTimes(leader, 1);
    expectEnded(leader, "StateLeader", 1);
  });

  test("proposals are dropped [TestLeaderTransferIgnoreProposal]", () => {
    const { net, leader } = pending();
    net.propose(1);
    expect(propose(leader)).toBe(errProposalDropped);
    expect([progressOf(leader, 1).match, leader.raftLog.lastIndex()]).toEqual([1, 1]);
  });

  test("a higher term ends it [TestLeaderTransferReceiveHigherTermVote]", () => {
    const { net, leader } = pending();
    net.campaign(2);
    expectEnded(leader, "StateFollower", 2);
  });

  test("the removal of the target ends it [TestLeaderTransferRemoveNode]", () => {
    const { leader } = pending();
    change(leader, "r3");
    expectEnded(leader, "StateLeader", 1);
  });

  test("so does its demotion, once the joint configuration is left [TestLeaderTransferDemoteNode]", () => {
    const { leader } = pending();
    change(leader, "r3 l3");
    expect(leader.leadTransferee).toBe(3);
    leave(leader);
    expectEnded(leader, "StateLeader", 1);
  });

  test("asking for the leader itself cancels it [TestLeaderTransferBack]", () => {
    const { net, leader } = pending();
    transfer(net, { at: 1, to: 1 });
    expectEnded(leader, "StateLeader", 1);
  });

  test("another target replaces the first [TestLeaderTransferSecondTransferToAnotherNode]", () => {
    const { net, leader } = pending();
    transfer(net, { at: 1, to: 2 });
    expectEnded(leader, "StateFollower", 2);
  });

  test("the same target again does not extend the time [TestLeaderTransferSecondTransferToSameNode]", () => {
    const { net, leader } = pending();
    tickTimes(leader, 5);
    transfer(net, { at: 1, to: 3 });
    tickTimes(leader, 4);
    expect(leader.leadTransferee).toBe(3);
    tickTimes(leader, 1);
    expectEnded(leader, "StateLeader", 1);
  });
});
