// Check-quorum and leases (thesis 6.2, 4.2.3): a leader that hears no quorum steps down, and a node that hears a leader
// helps no other to depose it.

import { describe, expect, test } from "vitest";
import type { Raft } from "./raft.ts";
import { MessageType, makeMessage } from "./raftpb/index.ts";
import { becomeFollower } from "./role.ts";
import { change, deliverOwn, lead, Network, newNode, receive, tickTimes } from "./testing.ts";
import { none } from "./types.ts";

const { MsgHeartbeat, MsgHeartbeatResp } = MessageType;

function three(): Network {
  return Network.of(3, { checkQuorum: true });
}

/** Lets an election timeout pass for a node that does not campaign yet. */
function expireLease(r: Raft): void {
  r.randomizedElectionTimeout = 15;
  tickTimes(r, 10);
}

describe("a leader", () => {
  test("stays while a quorum answers [TestLeaderStepdownWhenQuorumActive]", () => {
    const r = newNode(1, { checkQuorum: true });
    lead(r);
    for (let i = 0; i < 25; i++) {
      receive(r, MsgHeartbeatResp, { term: r.term });
      tickTimes(r, 1);
    }
    expect(r.state).toBe("StateLeader");
  });

  test("steps down when an election timeout has passed without a quorum [TestLeaderStepdownWhenQuorumLost]", () => {
    const r = newNode(1, { checkQuorum: true });
    lead(r);
    tickTimes(r, 9);
    expect(r.state).toBe("StateLeader");
    tickTimes(r, 1);
    expect([r.state, r.lead]).toEqual(["StateFollower", none]);
  });

  test("without the option leads on, even if no node answers", () => {
    const r = newNode(1);
    lead(r);
    tickTimes(r, 100);
    expect(r.state).toBe("StateLeader");
  });

  test("does not count learners", () => {
    const r = newNode(1, { voters: [1, 2], learners: [3, 4], checkQuorum: true });
    lead(r);
    for (let i = 0; i < 25 && r.state === "StateLeader"; i++) {
      for (const from of [3, 4]) receive(r, MsgHeartbeatResp, { from });
      tickTimes(r, 1);
    }
    expect(r.state).toBe("StateFollower");
  });

  test("counts a node that was just added as heard of, once [TestAddNodeCheckQuorum]", () => {
    const r = newNode(1, { voters: [1], checkQuorum: true });
    lead(r);
    tickTimes(r, 9);
    change(r, "v2");
    tickTimes(r, 1);
    expect(r.state).toBe("StateLeader");
    tickTimes(r, 10);
    expect(r.state).toBe("StateFollower");
  });
});

describe("a lease", () => {
  test("refuses a vote until the voter's election timeout has passed [TestLeaderSupersedingWithCheckQuorum]", () => {
    const net = three();
    net.campaign(1);
    net.campaign(3);
    expect([net.at(1).state, net.at(3).state]).toEqual(["StateLeader", "StateCandidate"]);
    expireLease(net.at(2));
    net.campaign(3);
    expect(net.at(3).state).toBe("StateLeader");
  });

  test("holds up no first election, but a later one [TestLeaderElectionWithCheckQuorum]", () => {
    const net = three();
    net.campaign(1);
    expect([net.at(1).state, net.at(3).state]).toEqual(["StateLeader", "StateFollower"]);
    for (const id of [1, 2]) expireLease(net.at(id));
    net.campaign(3);
    expect([net.at(1).state, net.at(3).state]).toEqual(["StateFollower", "StateLeader"]);
  });

  test("is given up by a leader that learns of a candidate stuck at a higher term [TestFreeStuckCandidateWithCheckQuorum]", () => {
    const net = three();
    net.campaign(1);
    net.isolate(1);
    for (const ahead of [1, 2]) {
      net.campaign(3);
      expect([net.at(2).state, net.at(3).state, net.at(3).term - net.at(2).term]).toEqual([
        "StateFollower",
        "StateCandidate",
        ahead,
      ]);
    }
    net.recover();
    net.send(makeMessage(MsgHeartbeat, { from: 1, to: 3, term: net.at(1).term }));
    expect([net.at(1).state, net.at(1).term]).toEqual(["StateFollower", net.at(3).term]);
    net.campaign(3);
    expect(net.at(3).state).toBe("StateLeader");
  });

  test("does not keep a slow follower that campaigned from deposing the leader by its answer [TestDisruptiveFollower]", () => {
    const net = three();
    for (const r of net.nodes.values()) becomeFollower(r, 1, none);
    net.campaign(1);
    const [n1, n2, n3] = [net.at(1), net.at(2), net.at(3)];
    n3.randomizedElectionTimeout = 12;
    tickTimes(n3, 11);
    expect(n3.state).toBe("StateFollower");
    tickTimes(n3, 1);
    // Its requests for votes are still on their way when a heartbeat of the leader comes, late and of the older term.
    const all = () => [n1, n2, n3].map((r) => [r.state, r.term]);
    expect(all()).toEqual([
      ["StateLeader", 2],
      ["StateFollower", 2],
      ["StateCandidate", 3],
    ]);
    deliverOwn(n3);
    n3.msgs = [];
    net.send(makeMessage(MsgHeartbeat, { from: 1, to: 3, term: 2 }));
    expect(all()).toEqual([
      ["StateFollower", 3],
      ["StateFollower", 2],
      ["StateCandidate", 3],
    ]);
  });
});

describe("a node that is not in its own configuration", () => {
  test("does not campaign, and follows the leader [TestNonPromotableVoterWithCheckQuorum]", () => {
    const a = newNode(1, { voters: [1, 2], checkQuorum: true });
    const b = newNode(2, { voters: [1], checkQuorum: true });
    const net = new Network(a, b);
    expect(b.promotable()).toBe(false);
    tickTimes(b, 30);
    expect(b.state).toBe("StateFollower");
    net.campaign(1);
    expect([a.state, b.state, b.lead]).toEqual(["StateLeader", "StateFollower", 1]);
  });
});
