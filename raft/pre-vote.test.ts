// Pre-vote (thesis 9.6): a node asks whether it could win before it disturbs anyone; and what happens while a group is
// being switched over to it.

import { describe, expect, test } from "vitest";
import { MessageType, makeMessage } from "./raftpb/index.ts";
import { becomeFollower } from "./role.ts";
import { Network, newNode, reconfigure, type Setup } from "./testing.ts";
import { none } from "./types.ts";

const { MsgHeartbeat } = MessageType;

/** Three followers at term 1, so that the first leader is that of term 2. */
function three(options: Setup = {}): Network {
  const nodes = [1, 2, 3].map((id) => newNode(id, options));
  for (const r of nodes) becomeFollower(r, 1, none);
  return new Network(...nodes);
}

const states = (net: Network) => [1, 2, 3].map((id) => net.at(id).state);
const terms = (net: Network) => [1, 2, 3].map((id) => net.at(id).term);
const hasLeader = (net: Network, ...ids: number[]) => ids.some((id) => net.at(id).state === "StateLeader");

describe("with pre-vote", () => {
  test("a loser that comes back with a shorter log changes no other node's term [TestDuelingPreCandidates]", () => {
    const net = Network.of(3, { preVote: true });
    net.cut(1, 3);
    net.campaign(1);
    net.campaign(3);
    expect([net.at(1).state, net.at(3).state]).toEqual(["StateLeader", "StateFollower"]);
    net.recover();
    net.campaign(3);
    expect([states(net), terms(net)]).toEqual([
      ["StateLeader", "StateFollower", "StateFollower"],
      [1, 1, 1],
    ]);
    expect([1, 2, 3].map((id) => net.at(id).raftLog.lastIndex())).toEqual([1, 1, 0]);
  });

  test("a slow follower that campaigns does not depose the leader [TestDisruptiveFollowerPreVote]", () => {
    const net = three({ checkQuorum: true, preVote: true });
    net.campaign(1);
    net.isolate(3);
    for (const data of ["a", "b", "c"]) net.propose(1, data);
    net.recover();
    net.campaign(3);
    expect([states(net), terms(net)]).toEqual([
      ["StateLeader", "StateFollower", "StatePreCandidate"],
      [2, 2, 2],
    ]);
    net.send(makeMessage(MsgHeartbeat, { from: 1, to: 3, term: 2 }));
    expect(net.at(1).state).toBe("StateLeader");
  });

  test("after partitions a node that is behind does not keep the rest from electing [TestNodeWithSmallerTermCanCompleteElection]", () => {
    const net = three({ preVote: true });
    net.isolate(3);
    net.campaign(1);
    expect(states(net).slice(0, 2)).toEqual(["StateLeader", "StateFollower"]);
    net.campaign(3);
    expect(net.at(3).state).toBe("StatePreCandidate");
    net.campaign(2);
    expect([states(net), terms(net)]).toEqual([
      ["StateFollower", "StateLeader", "StatePreCandidate"],
      [3, 3, 1],
    ]);
    // Node 3 is back at the moment in which the leader goes.
    net.recover();
    net.isolate(2);
    net.campaign(3);
    net.campaign(1);
    expect(hasLeader(net, 1, 3)).toBe(true);
  });

  test("a split vote is resolved by the next campaign [TestPreVoteWithSplitVote]", () => {
    const net = three({ preVote: true });
    net.campaign(1);
    net.isolate(1);
    net.campaign(2, 3);
    expect([states(net).slice(1), terms(net).slice(1)]).toEqual([
      ["StateCandidate", "StateCandidate"],
      [3, 3],
    ]);
    net.campaign(2);
    expect([states(net).slice(1), terms(net).slice(1)]).toEqual([
      ["StateLeader", "StateFollower"],
      [4, 4],
    ]);
  });

  test("and leases, survivors that have lost their leader end with another [TestPreVoteWithCheckQuorum]", () => {
    const net = three({ preVote: true, checkQuorum: true });
    net.campaign(1);
    expect(states(net)).toEqual(["StateLeader", "StateFollower", "StateFollower"]);
    net.isolate(1);
    // Node 2 still trusts the lease of node 1: it does not answer 3, whose asking makes 3 forget its leader, and so
    // free to answer 2.
    net.campaign(3);
    expect(states(net)[2]).toBe("StatePreCandidate");
    net.campaign(2);
    expect(states(net).slice(1)).toEqual(["StateLeader", "StateFollower"]);
  });
});

describe("while pre-vote is being switched on node by node", () => {
  /**
   * Node 1 leads term 2; node 3, the last without pre-vote, was cut off and is a candidate of term 4 with a shorter
   * log.
   */
  function migrating(): Network {
    const net = three();
    for (const id of [1, 2]) reconfigure(net.at(id), { preVote: true });
    net.campaign(1);
    net.isolate(3);
    net.propose(1, "what 3 misses");
    net.campaign(3);
    net.campaign(3);
    expect([states(net), terms(net)]).toEqual([
      ["StateLeader", "StateFollower", "StateCandidate"],
      [2, 2, 4],
    ]);
    reconfigure(net.at(3), { preVote: true });
    net.recover();
    return net;
  }

  test("a leader can be elected with any terms [TestPreVoteMigrationCanCompleteElection]", () => {
    const net = migrating();
    net.isolate(1);
    net.campaign(3);
    net.campaign(2);
    expect(states(net).slice(1)).toEqual(["StateFollower", "StatePreCandidate"]);
    net.campaign(3);
    net.campaign(2);
    expect(hasLeader(net, 2)).toBe(true);
  });

  test("a pre-candidate stuck at a higher term makes the leader step down into it [TestPreVoteMigrationWithFreeStuckPreCandidate]", () => {
    const net = migrating();
    for (let i = 0; i < 2; i++) {
      net.campaign(3);
      expect(states(net)).toEqual(["StateLeader", "StateFollower", "StatePreCandidate"]);
    }
    net.send(makeMessage(MsgHeartbeat, { from: 1, to: 3, term: net.at(1).term }));
    expect([net.at(1).state, net.at(1).term]).toEqual(["StateFollower", net.at(3).term]);
  });
});
