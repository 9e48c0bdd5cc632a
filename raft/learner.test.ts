// Learners (thesis 4.2.1): they get the log as voters do, count for no majority, and do not campaign.

import { describe, expect, test } from "vitest";
import { MessageType, makeMessage } from "./raftpb/index.ts";
import {
  change,
  deliverOwn,
  lead,
  Network,
  newNode,
  progressOf,
  propose,
  receive,
  take,
  tickTimes,
} from "./testing.ts";

const { MsgAppResp, MsgTimeoutNow, MsgVote, MsgVoteResp } = MessageType;

/** Voter 1 and learner 2, and a network between them. */
function pair(): Network {
  return new Network(...[1, 2].map((id) => newNode(id, { voters: [1], learners: [2] })));
}

describe("a learner", () => {
  test("never campaigns when its time is up [TestLearnerElectionTimeout]", () => {
    const learner = pair().at(2);
    tickTimes(learner, 50);
    expect([learner.state, take(learner)]).toEqual(["StateFollower", []]);
  });

  test("ignores a request to campaign, and the order to [TestLearnerCampaign]", () => {
    const net = new Network(...[1, 2].map((id) => newNode(id, { voters: [1] })));
    for (const r of net.nodes.values()) change(r, "l2");
    net.campaign(2);
    expect([net.at(2).isLearner, net.at(2).state]).toEqual([true, "StateFollower"]);
    net.campaign(1);
    expect([net.at(1).state, net.at(1).lead]).toEqual(["StateLeader", 1]);
    // A leader tells no learner to campaign; but the order may have been under way when the node became one.
    net.send(makeMessage(MsgTimeoutNow, { from: 1, to: 2 }));
    expect(net.at(2).state).toBe("StateFollower");
  });

  test("that is promoted can time out and lead [TestLearnerPromotion]", () => {
    const net = pair();
    const [n1, n2] = [net.at(1), net.at(2)];
    tickTimes(n1, 10);
    deliverOwn(n1);
    expect([n1.state, n2.state]).toEqual(["StateLeader", "StateFollower"]);
    net.beat(1);
    for (const r of [n1, n2]) change(r, "v2");
    expect(n2.isLearner).toBe(false);
    tickTimes(n2, 10);
    net.settle();
    expect([n1.state, n2.state]).toEqual(["StateFollower", "StateLeader"]);
  });

  test("grants a vote that is due: it may have been promoted and not know it yet [TestLearnerCanVote]", () => {
    const learner = pair().at(2);
    receive(learner, MsgVote, { from: 1, term: 2, logTerm: 11, index: 11 });
    expect(take(learner)).toMatchObject([{ type: MsgVoteResp, to: 1, term: 2, reject: false }]);
  });

  test("gets and commits entries, and the leader knows how far it is [TestLearnerLogReplication]", () => {
    const net = pair();
    const [n1, n2] = [net.at(1), net.at(2)];
    net.campaign(1);
    net.propose(1, "x");
    expect([n1.raftLog.committed, n2.raftLog.committed, progressOf(n1, 2).match]).toEqual([2, 2, 2]);
    expect(n2.isLearner).toBe(true);
  });

  test("counts for no majority, neither by its acknowledgement nor by its vote", () => {
    const r = newNode(1, { voters: [1, 2], learners: [3] });
    lead(r);
    propose(r, "x");
    take(r);
    receive(r, MsgAppResp, { from: 3, index: 2 });
    expect(r.raftLog.committed).toBe(0);
    receive(r, MsgAppResp, { from: 2, index: 2 });
    expect(r.raftLog.committed).toBe(2);

    const candidate = newNode(1, { voters: [1, 2], learners: [3] });
    tickTimes(candidate, 10);
    take(candidate);
    receive(candidate, MsgVoteResp, { from: 3, term: 1 });
    expect([candidate.state, candidate.trk.tallyVotes().granted]).toEqual(["StateCandidate", 1]);
  });
});
