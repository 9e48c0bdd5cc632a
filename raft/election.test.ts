// Elections: who wins, who votes for whom, and what each role makes of a message of a higher term.

import { describe, expect, test } from "vitest";
import type { Raft } from "./raft.ts";
import { type Message, MessageType, makeMessage } from "./raftpb/index.ts";
import { becomeCandidate, becomeFollower, becomeLeader, becomePreCandidate } from "./role.ts";
import {
  campaign,
  deliverOwn,
  entriesFrom,
  lead,
  logOf,
  Network,
  newNode,
  propose,
  receive,
  type Setup,
  take,
  tickTimes,
} from "./testing.ts";
import { none, type StateType } from "./types.ts";
import { voteRespMsgType } from "./util.ts";

const { MsgApp, MsgHeartbeat, MsgPreVote, MsgPreVoteResp, MsgVote, MsgVoteResp } = MessageType;
const roles: StateType[] = ["StateFollower", "StatePreCandidate", "StateCandidate", "StateLeader"];

function become(r: Raft, role: StateType): void {
  if (role === "StateFollower") becomeFollower(r, 1, none);
  else if (role === "StatePreCandidate") becomePreCandidate(r);
  else if (role === "StateCandidate") becomeCandidate(r);
  else lead(r);
}

/** What the node sent to itself and has not been delivered yet. */
function takeOwn(r: Raft): Message[] {
  const own = r.msgsAfterAppend;
  r.msgsAfterAppend = [];
  return own;
}

/** Delivers what takeOwn took: the vote is durable only now. */
function deliver(r: Raft, own: Message[]): void {
  r.msgsAfterAppend = own;
  deliverOwn(r);
}

describe.each([false, true])("an election, pre-vote %s,", (preVote) => {
  const state = (net: Network, id = 1) => [net.at(id).state, net.at(id).term];
  const lost = preVote ? ["StatePreCandidate", 0] : ["StateCandidate", 1];

  test.each<[size: number, dead: number[], wins: boolean]>([
    [1, [], true],
    [3, [], true],
    [3, [3], true],
    [3, [2, 3], false],
    [4, [2, 3], false],
    [5, [2, 3], true],
  ])(
    "of %i nodes with %j dead, one that campaigns wins: %s [TestLeaderElection, TestLeaderElectionPreVote]",
    (size, dead, wins) => {
      const net = Network.of(size, { preVote }, dead);
      net.campaign(1);
      expect(state(net)).toEqual(wins ? ["StateLeader", 1] : lost);
    },
  );

  test("a candidate whose log is shorter than most is refused and follows again [TestLeaderElection, TestLeaderElectionPreVote]", () => {
    const voters = [1, 2, 3, 4, 5];
    const longer = [2, 3, 4].map((id) => newNode(id, { voters, preVote, term: 1, log: entriesFrom(1, 1) }));
    const net = new Network(newNode(1, { voters, preVote }), ...longer, newNode(5, { voters, preVote }));
    net.campaign(1);
    expect(state(net)).toEqual(["StateFollower", 1]);
  });

  test("each node in turn can campaign and win [TestLeaderCycle, TestLeaderCyclePreVote]", () => {
    const net = Network.of(3, { preVote });
    for (const id of [1, 2, 3]) {
      net.campaign(id);
      const now = [1, 2, 3].map((other) => net.at(other).state);
      expect(now).toEqual([1, 2, 3].map((other) => (other === id ? "StateLeader" : "StateFollower")));
    }
  });

  test("a leader of an older log overwrites what a minority has of a higher term [TestLeaderElectionOverwriteNewerLogs, TestLeaderElectionOverwriteNewerLogsPreVote]", () => {
    // Node 1 led term 1 and reached node 2; node 3 led term 2, elected by 4 and 5, and reached no other node.
    const node = (id: number, setup: Setup) => newNode(id, { voters: [1, 2, 3, 4, 5], preVote, ...setup });
    const net = new Network(
      node(1, { log: entriesFrom(1, 1), term: 1 }),
      node(2, { log: entriesFrom(1, 1), term: 1 }),
      node(3, { log: entriesFrom(1, 2), term: 2 }),
      node(4, { term: 2, vote: 3 }),
      node(5, { term: 2, vote: 3 }),
    );
    net.campaign(1);
    expect(state(net)).toEqual(["StateFollower", 2]);
    net.campaign(1);
    expect(state(net)).toEqual(["StateLeader", 3]);
    const overwritten = [
      [1, 1],
      [3, 2],
    ];
    for (const r of net.nodes.values()) expect(logOf(r)).toEqual(overwritten);
  });

  test("of one node alone is won at once [TestSingleNodeCandidate, TestSingleNodePreCandidate]", () => {
    const net = Network.of(1, { preVote });
    net.campaign(1);
    expect(net.at(1).state).toBe("StateLeader");
  });
});

describe("rivals", () => {
  test("a loser that comes back with a shorter log deposes the leader, and does not win [TestDuelingCandidates]", () => {
    const net = Network.of(3);
    net.cut(1, 3);
    net.campaign(1);
    net.campaign(3);
    expect([net.at(1).state, net.at(3).state]).toEqual(["StateLeader", "StateCandidate"]);
    net.recover();
    net.campaign(3);
    expect([1, 2, 3].map((id) => [net.at(id).state, net.at(id).term, net.at(id).raftLog.lastIndex()])).toEqual([
      ["StateFollower", 2, 1],
      ["StateFollower", 2, 1],
      ["StateFollower", 2, 0],
    ]);
  });

  test("a candidate that hears a leader of its own term follows it and takes its log [TestCandidateConcede]", () => {
    const net = Network.of(3);
    net.isolate(1);
    net.campaign(1);
    net.campaign(3);
    net.recover();
    net.beat(3);
    net.propose(3, "force follower");
    net.beat(3);
    expect([net.at(1).state, net.at(1).term]).toEqual(["StateFollower", 1]);
    for (const r of net.nodes.values())
      expect([logOf(r), r.raftLog.committed]).toEqual([
        [
          [1, 1],
          [1, 2],
        ],
        2,
      ]);
  });
});

describe("a request for a vote", () => {
  test.each(roles)("of a higher term makes a %s follow in that term, and vote [TestVoteFromAnyState]", (role) => {
    const r = newNode(1, { term: 1 });
    become(r, role);
    take(r);
    const term = r.term + 1;
    receive(r, MsgVote, { term, logTerm: term, index: 42 });
    expect(take(r)).toMatchObject([{ type: MsgVoteResp, to: 2, reject: false, term }]);
    expect([r.state, r.term, r.vote]).toEqual(["StateFollower", term, 2]);
  });

  test.each(roles)("before the election is granted by a %s that stays as it is [TestPreVoteFromAnyState]", (role) => {
    const r = newNode(1, { term: 1 });
    become(r, role);
    take(r);
    const before = [r.state, r.term, r.vote];
    receive(r, MsgPreVote, { term: r.term + 1, logTerm: r.term + 1, index: 42 });
    expect(take(r)).toMatchObject([{ type: MsgPreVoteResp, to: 2, reject: false, term: r.term + 1 }]);
    expect([r.state, r.term, r.vote]).toEqual(before);
  });

  const asked: [state: StateType, index: number, logTerm: number, voted: number, rejected: boolean][] = [
    // The voter's log ends in (term 2, index 2): an older term is refused, ...
    ...[0, 1].flatMap((logTerm) => [0, 1, 2, 3].map((index) => ["StateFollower", index, logTerm, none, true] as never)),
    // ... the same term if the log is shorter, ...
    ["StateFollower", 0, 2, none, true],
    ["StateFollower", 1, 2, none, true],
    ["StateFollower", 2, 2, none, false],
    ["StateFollower", 3, 2, none, false],
    // ... a newer one never.
    ...[0, 1, 2, 3].map((index) => ["StateFollower", index, 3, none, false] as never),
    // One vote a term, but the same vote again.
    ["StateFollower", 3, 2, 2, false],
    ["StateFollower", 3, 2, 1, true],
    ["StateLeader", 3, 3, 1, true],
    ["StatePreCandidate", 3, 3, 1, true],
    ["StateCandidate", 3, 3, 1, true],
  ];

  test.each([
    ["[TestRecvMsgVote]", MsgVote],
    ["[TestRecvMsgPreVote]", MsgPreVote],
  ] as const)(
    "of the voter's own term is answered by what both logs end in and by the vote given %s",
    (_goName, type) => {
      for (const [state, index, logTerm, voted, rejected] of asked) {
        const r = newNode(1, { voters: [1, 2], log: entriesFrom(1, 2, 2), term: Math.max(2, logTerm) });
        r.state = state;
        r.vote = voted;
        receive(r, type, { term: r.term, index, logTerm });
        expect(take(r)).toMatchObject([{ type: voteRespMsgType(type), to: 2, reject: rejected }]);
      }
    },
  );
});

describe("a change of role", () => {
  test.each<[from: StateType, to: StateType, allowed: boolean, term: number, leader: number]>([
    ["StateFollower", "StateFollower", true, 1, none],
    ["StateFollower", "StatePreCandidate", true, 0, none],
    ["StateFollower", "StateCandidate", true, 1, none],
    ["StateFollower", "StateLeader", false, 0, none],
    ["StatePreCandidate", "StateFollower", true, 1, none],
    ["StatePreCandidate", "StatePreCandidate", true, 0, none],
    ["StatePreCandidate", "StateCandidate", true, 1, none],
    ["StatePreCandidate", "StateLeader", true, 0, 1],
    ["StateCandidate", "StateFollower", true, 1, none],
    ["StateCandidate", "StatePreCandidate", true, 0, none],
    ["StateCandidate", "StateCandidate", true, 1, none],
    ["StateCandidate", "StateLeader", true, 0, 1],
    ["StateLeader", "StateFollower", true, 1, none],
    ["StateLeader", "StatePreCandidate", false, 0, none],
    ["StateLeader", "StateCandidate", false, 0, none],
    ["StateLeader", "StateLeader", true, 0, 1],
  ])(
    "from %s to %s is allowed: %s, and ends in term %i with leader %i [TestStateTransition]",
    (from, to, allowed, term, leader) => {
      const r = newNode(1, { voters: [1] });
      r.state = from;
      const change = () => {
        if (to === "StateLeader") becomeLeader(r);
        else become(r, to);
      };
      if (!allowed) {
        expect(change).toThrow(/invalid transition/);
        return;
      }
      change();
      expect([r.state, r.term, r.lead]).toEqual([to, term, leader]);
    },
  );

  test.each<[StateType, number]>([
    ["StateFollower", 0],
    ["StatePreCandidate", 0],
    ["StateCandidate", 0],
    ["StateLeader", 1],
  ])(
    "a higher term makes a %s with %i entries a follower: of the sender of an append, of none for a vote [TestAllServerStepdown]",
    (role, last) => {
      const r = newNode(1);
      become(r, role);
      for (const [type, leader] of [
        [MsgVote, none],
        [MsgApp, 2],
      ] as const) {
        receive(r, type, { term: 3, logTerm: 3 });
        expect([r.state, r.term, r.lead, r.raftLog.lastIndex()]).toEqual(["StateFollower", 3, leader, last]);
      }
    },
  );

  test.each([
    ["[TestCandidateResetTermMsgHeartbeat]", MsgHeartbeat],
    ["[TestCandidateResetTermMsgApp]", MsgApp],
  ] as const)("a candidate that was cut off takes the leader's term when it hears it %s", (_goName, type) => {
    const net = Network.of(3);
    net.campaign(1);
    net.isolate(3);
    net.campaign(2);
    net.campaign(1);
    const [leader, lonely] = [net.at(1), net.at(3)];
    tickTimes(lonely, lonely.randomizedElectionTimeout);
    deliverOwn(lonely);
    expect([lonely.state, lonely.term, leader.term]).toEqual(["StateCandidate", 2, 3]);
    net.recover();
    net.send(makeMessage(type, { from: 1, to: 3, term: leader.term }));
    expect([lonely.state, lonely.term]).toEqual(["StateFollower", 3]);
  });

  test.each([false, true])(
    "a node alone that leads already and campaigns, pre-vote %s, goes on as it is [TestCampaignWhileLeader, TestPreCampaignWhileLeader]",
    (preVote) => {
      const r = newNode(1, { voters: [1], preVote });
      for (let i = 0; i < 2; i++) {
        campaign(r);
        deliverOwn(r);
        expect([r.state, r.term]).toEqual(["StateLeader", 1]);
      }
    },
  );

  test.each<StateType>(["StateFollower", "StatePreCandidate", "StateCandidate"])(
    "to %s forgets the leader, and but for a pre-candidate begins a new term's clock",
    (role) => {
      const r = newNode(1);
      becomeFollower(r, 1, 2);
      tickTimes(r, 7);
      expect([r.lead, r.electionElapsed]).toEqual([2, 7]);
      become(r, role);
      expect([r.lead, r.electionElapsed]).toEqual([none, role === "StatePreCandidate" ? 7 : 0]);
    },
  );

  test.each([
    [[1], true],
    [[1, 2, 3], true],
    [[], false],
    [[2, 3], false],
  ])("node 1 may lead voters %j: %s [TestPromotable]", (voters, promotable) => {
    expect(newNode(1, { voters }).promotable()).toBe(promotable);
  });
});

describe("what a node sends to itself", () => {
  test.each([
    ["[TestCandidateSelfVoteAfterLostElection]", false],
    ["[TestCandidateSelfVoteAfterLostElectionPreVote]", true],
  ] as const)("its vote, durable after the election was lost, counts for nothing %s", (_goName, preVote) => {
    const r = newNode(1, { preVote });
    campaign(r);
    const own = takeOwn(r);
    receive(r, MsgHeartbeat, { term: r.term === 0 ? 1 : r.term });
    deliver(r, own);
    expect([r.state, r.lead, r.trk.tallyVotes().granted]).toEqual(["StateFollower", 2, 0]);
  });

  test("its pre-vote, durable after the election began, is no vote in it [TestCandidateDeliversPreCandidateSelfVoteAfterBecomingCandidate]", () => {
    const r = newNode(1, { preVote: true });
    campaign(r);
    const preVote = takeOwn(r);
    for (const from of [2, 3]) receive(r, MsgPreVoteResp, { from, term: r.term + 1 });
    expect(r.state).toBe("StateCandidate");
    const vote = takeOwn(r);
    deliver(r, preVote);
    expect([r.state, r.trk.tallyVotes().granted]).toEqual(["StateCandidate", 0]);
    receive(r, MsgVoteResp, { term: r.term });
    expect(r.state).toBe("StateCandidate");
    deliver(r, vote);
    expect(r.state).toBe("StateLeader");
  });

  test("its acknowledgement of its own entries, durable after the term has changed, is ignored [TestLeaderMsgAppSelfAckAfterTermChange]", () => {
    const r = newNode(1);
    lead(r);
    propose(r, "x");
    const own = takeOwn(r);
    expect(own.map((m) => [m.to, m.index])).toEqual([
      [1, 1],
      [1, 2],
    ]);
    receive(r, MsgHeartbeat, { term: r.term + 1 });
    deliver(r, own);
    expect([r.state, r.lead, r.raftLog.committed]).toEqual(["StateFollower", 2, 0]);
  });
});

describe("the election timeout", () => {
  test.each([
    [5, 0],
    [10, 0.1],
    [13, 0.4],
    [15, 0.6],
    [18, 0.9],
    [20, 1],
  ])(
    "after %i ticks of a base of 10 has passed for this part of all draws: %d [TestPastElectionTimeout]",
    (elapsed, share) => {
      let fired = 0;
      for (let draw = 0; draw < 10; draw++) {
        const r = newNode(1, { random: () => draw });
        tickTimes(r, elapsed);
        if (r.state !== "StateFollower") fired++;
      }
      expect(fired / 10).toBe(share);
    },
  );
});
