// A few RawNodes on a network that a test controls: elections, leases, transfer, reads, membership and limits as a user
// sees them.

import { describe, expect, test } from "vitest";
import { errProposalDropped, errStepLocalMsg, errStepPeerNotFound } from "./errors.ts";
import {
  type AnyConfChange,
  type ConfChangeSingle,
  ConfChangeTransition,
  confChangesFromString,
  type Message,
  MessageType,
  makeConfChangeV2,
  makeConfState,
  makeMessage,
} from "./raftpb/index.ts";
import { RawNode } from "./rawnode.ts";
import { statusToJson } from "./status.ts";
import { MemoryStorage } from "./storage.ts";
import { Group } from "./testing-group.ts";
import { localAppendThread } from "./types.ts";
import { isLocalMsgTarget } from "./util.ts";

const { MsgHup, MsgVote, MsgPreVote, MsgAppResp, MsgTimeoutNow } = MessageType;
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

const roles = (net: Group) => [...net.members.values()].map((m) => m.node.basicStatus().raftState);
const terms = (net: Group) => [...net.members.values()].map((m) => m.node.basicStatus().term);

describe("elections", () => {
  test("a node that was cut off and comes back deposes the leader, unless it asks first (pre-vote)", () => {
    for (const preVote of [false, true]) {
      const net = new Group(3, { preVote });
      net.elect(1);
      const term = terms(net)[0] as number;
      net.isolate(3);
      net.tick(3, 30);
      net.at(1).node.propose(encode("what 3 misses"));
      net.settle();
      net.lose = () => false;
      net.at(3).node.campaign();
      net.settle();
      net.tick(1, 1);
      expect(roles(net)[0] === "StateLeader").toBe(preVote);
      expect(terms(net)[0] === term).toBe(preVote);
    }
  });

  test("while the lease of a leader lasts, a follower that hears it gives no vote", () => {
    const net = new Group(3, { checkQuorum: true });
    net.elect(1);
    net.at(3).node.campaign();
    net.settle();
    expect(roles(net)).toEqual(["StateLeader", "StateFollower", "StateCandidate"]);
  });

  test("a leader that hears no quorum for an election timeout steps down", () => {
    const net = new Group(3, { checkQuorum: true });
    net.elect(1);
    net.isolate(1);
    net.tick(1, 20);
    expect(roles(net)[0]).toBe("StateFollower");
  });

  test("a candidate with the shorter log is refused", () => {
    const net = new Group(3);
    net.elect(1);
    net.isolate(3);
    net.at(1).node.propose(encode("x"));
    net.settle();
    net.lose = () => false;
    net.at(3).node.campaign();
    net.settle();
    expect(roles(net)[2]).not.toBe("StateLeader");
  });

  test("a learner does not campaign", () => {
    const net = new Group(2, {}, makeConfState({ voters: [1], learners: [2] }));
    net.tick(2, 40);
    expect(net.at(2).sent).toEqual([]);
  });
});

describe("leadership transfer", () => {
  test("goes to the target, in spite of leases, once its log is complete", () => {
    const net = new Group(3, { checkQuorum: true });
    net.elect(1);
    net.isolate(3);
    net.at(1).node.propose(encode("x"));
    net.settle();
    net.lose = () => false;
    net.at(1).node.transferLeader(3);
    net.settle();
    expect(roles(net)).toEqual(["StateFollower", "StateFollower", "StateLeader"]);
    expect(net.at(3).applied).toEqual(["x"]);
  });

  test("may be asked of a follower, holds up proposals, and is given up after an election timeout", () => {
    const net = new Group(3);
    net.elect(1);
    net.lose = (m) => m.type === MsgTimeoutNow;
    net.at(2).node.transferLeader(3);
    net.settle();
    expect(net.at(1).node.basicStatus().leadTransferee).toBe(3);
    expect(net.at(1).node.propose(encode("x"))).toBe(errProposalDropped);
    net.tick(1, 10);
    expect(net.at(1).node.basicStatus().leadTransferee).toBe(0);
    expect(net.at(1).node.propose(encode("x"))).toBeUndefined();
  });
});

describe("reads", () => {
  test("from any node are answered with an index at or above every committed write", () => {
    const net = new Group(3);
    net.elect(1);
    for (const id of [1, 2, 3]) {
      net.at(1).node.propose(encode(`w${id}`));
      net.settle();
      const { commit } = net.at(1).node.basicStatus();
      net.at(id).node.readIndex(encode(`r${id}`));
      net.settle();
      expect(net.at(id).reads.at(-1)).toEqual({ index: commit, requestCtx: encode(`r${id}`) });
    }
  });

  test("are not confirmed by a leader that was cut off", () => {
    const net = new Group(3);
    net.elect(1);
    net.isolate(1);
    net.at(1).node.readIndex(encode("r"));
    net.settle();
    expect(net.at(1).reads).toEqual([]);
  });

  test("wait for a new leader's first commit", () => {
    const net = new Group(3);
    net.lose = (m) => m.type === MsgAppResp;
    net.at(1).node.campaign();
    net.settle();
    net.at(1).node.readIndex(encode("r"));
    net.settle();
    expect(net.at(1).reads).toEqual([]);
    net.lose = () => false;
    net.tick(1, 2);
    expect(net.at(1).reads).toHaveLength(1);
  });

  test("with a lease are answered at once", () => {
    const net = new Group(3, { checkQuorum: true, readOnlyOption: "leaseBased" });
    net.elect(1);
    net.isolate(1);
    net.at(1).node.readIndex(encode("r"));
    net.settle();
    expect(net.at(1).reads).toHaveLength(1);
  });
});

describe("membership", () => {
  const change = (text: string, transition?: ConfChangeTransition): AnyConfChange =>
    makeConfChangeV2(confChangesFromString(text) as ConfChangeSingle[], transition);

  test("a simple change takes effect when it is applied", () => {
    const net = new Group(3);
    net.elect(1);
    net.at(1).node.proposeConfChange(change("r3"));
    expect(net.at(1).confState.voters).toEqual([1, 2, 3]);
    net.settle();
    expect(net.at(1).confState).toEqual(makeConfState({ voters: [1, 2] }));
  });

  test("a joint change is left automatically, or when asked to", () => {
    const net = new Group(4, {}, makeConfState({ voters: [1, 2, 3] }));
    net.elect(1);
    net.at(1).node.proposeConfChange(change("v4 r3"));
    net.settle();
    expect(net.at(1).confState).toEqual(makeConfState({ voters: [1, 2, 4] }));

    net.at(1).node.proposeConfChange(change("v3", ConfChangeTransition.ConfChangeTransitionJointExplicit));
    net.settle();
    expect(net.at(1).confState.votersOutgoing).toEqual([1, 2, 4]);
    net.at(1).node.proposeConfChange(makeConfChangeV2([]));
    net.settle();
    expect(net.at(1).confState).toEqual(makeConfState({ voters: [1, 2, 3, 4] }));
  });

  test("while one change is pending a second becomes an empty entry", () => {
    const net = new Group(3);
    net.elect(1);
    net.at(1).node.proposeConfChange(change("r3"));
    net.at(1).node.proposeConfChange(change("r2"));
    net.settle();
    expect(net.at(1).confState.voters).toEqual([1, 2]);
  });

  test("a leader that removes itself steps down if it is to", () => {
    for (const stepDownOnRemoval of [false, true]) {
      const net = new Group(3, { stepDownOnRemoval });
      net.elect(1);
      net.at(1).node.proposeConfChange(change("r1"));
      net.settle();
      expect(roles(net)[0]).toBe(stepDownOnRemoval ? "StateFollower" : "StateLeader");
      expect(net.at(1).node.propose(encode("x"))).toBe(errProposalDropped);
    }
  });

  test("a node that is too far behind is sent a snapshot, and goes on from there", () => {
    const net = new Group(3);
    net.elect(1);
    net.isolate(3);
    for (let i = 0; i < 5; i++) net.at(1).node.propose(encode(`e${i}`));
    net.settle();
    const { applied } = net.at(1).node.basicStatus();
    net.at(1).storage.createSnapshot(applied, net.at(1).confState, undefined);
    net.at(1).storage.compact(applied);
    net.lose = () => false;
    net.tick(1, 2);
    net.at(1).node.propose(encode("after"));
    net.settle();
    expect(net.at(3).applied).toEqual(["after"]);
    expect(net.at(3).node.basicStatus().applied).toBe(net.at(1).node.basicStatus().applied);
  });
});

describe("limits", () => {
  test("beyond the uncommitted limit proposals are dropped, and taken again after a commit", () => {
    const net = new Group(3, { maxUncommittedEntriesSize: 100 });
    net.elect(1);
    net.isolate(1);
    const { node } = net.at(1);
    const outcomes = Array.from({ length: 4 }, () => node.propose(new Uint8Array(40)));
    expect(outcomes).toEqual([undefined, undefined, errProposalDropped, errProposalDropped]);
    net.settle();
    net.lose = () => false;
    net.tick(1, 2);
    expect(node.propose(new Uint8Array(90))).toBeUndefined();
  });

  test("several proposals made as one are one append to each node", () => {
    const net = new Group(3);
    net.elect(1);
    net.at(1).sent.length = 0;
    expect(net.at(1).node.proposeMany([encode("a"), encode("b"), encode("c")])).toBeUndefined();
    net.at(1).handle();
    expect(net.at(1).sent.map((m) => m.entries.length)).toEqual([3, 3]);
    net.settle();
  });
});

describe("RawNode", () => {
  test("refuses local messages from outside, and responses from strangers", () => {
    const { node } = new Group(3).at(1);
    expect(node.step(makeMessage(MsgHup, { from: 2 }))).toBe(errStepLocalMsg);
    expect(node.step(makeMessage(MsgAppResp, { from: 9, term: 1 }))).toBe(errStepPeerNotFound);
  });

  test("panics when a second Ready is taken before the first was advanced", () => {
    const { node } = new Group(1).at(1);
    node.campaign();
    node.ready();
    node.propose(encode("x"));
    expect(() => node.ready()).toThrow(/two accepted Ready structs without call to Advance/);
  });

  test("a look at the next Ready takes nothing away", () => {
    const { node } = new Group(3).at(1);
    node.campaign();
    const look = node.readyWithoutAccept();
    expect(look.messages.map((m) => m.type)).toEqual([MsgVote, MsgVote]);
    expect(node.ready()).toEqual(look);
  });

  test("a group is bootstrapped with the same entries on every member, on empty storage only", () => {
    const start = () => {
      const options = { electionTick: 10, heartbeatTick: 1, maxSizePerMsg: 4096, maxInflightMsgs: 16 };
      return new RawNode({ id: 1, storage: new MemoryStorage(), ...options });
    };
    const [a, b] = [start(), start()];
    const peers = [
      { id: 1, context: encode("u1") },
      { id: 2, context: encode("u2") },
    ];
    a.bootstrap(peers);
    b.bootstrap(peers);
    const rd = a.ready();
    expect(rd.entries).toEqual(b.ready().entries);
    expect([rd.hardState, rd.committedEntries.length, rd.mustSync]).toEqual([{ term: 1, vote: 0, commit: 2 }, 2, true]);
    expect(() => start().bootstrap([])).toThrow(/at least one peer/);
    expect(() => new Group(1).at(1).node.bootstrap(peers)).toThrow(/nonempty Storage/);
  });

  test("shows its state, and each node's progress while it leads", () => {
    const net = new Group(3);
    net.elect(1);
    const status = net.at(1).node.status();
    expect([...status.progress.keys()]).toEqual([1, 2, 3]);
    expect(net.at(2).node.status().progress.size).toBe(0);
    expect(JSON.parse(statusToJson(status))).toMatchObject({ id: "1", lead: "1", raftState: "StateLeader" });
    const seen: [number, string][] = [];
    net.at(1).node.withProgress((id, type, pr) => seen.push([id, `${type} ${pr.state}`]));
    expect(seen[1]).toEqual([2, "peer StateReplicate"]);
  });

  test("with pre-vote a campaign asks first, and forgetting the leader lets a follower be asked", () => {
    const net = new Group(3, { preVote: true, checkQuorum: true });
    net.elect(1);
    net.at(3).sent.length = 0;
    net.at(3).node.campaign();
    net.settle();
    expect(net.at(3).sent.some((m) => m.type === MsgPreVote)).toBe(true);
    expect(roles(net)[0]).toBe("StateLeader");
    net.isolate(1);
    net.at(2).node.forgetLeader();
    net.at(3).node.campaign();
    net.settle();
    expect(roles(net)[2]).toBe("StateLeader");
  });

  test("with async storage writes nothing is counted as stable before the append thread has answered", () => {
    const net = new Group(1, { asyncStorageWrites: true });
    const { node, storage } = net.at(1);
    const work = (): Message[] => [...node.ready().messages];
    const answer = (m: Message): void => {
      storage.append(m.to === localAppendThread ? m.entries : []);
      for (const response of m.responses) node.step(response);
    };
    node.campaign();
    const votes = work();
    expect(votes.every((m) => isLocalMsgTarget(m.to))).toBe(true);
    expect(node.basicStatus().raftState).toBe("StateCandidate");
    votes.forEach(answer);
    expect(node.basicStatus().raftState).toBe("StateLeader");
    const appends = work();
    expect(node.basicStatus().commit).toBe(1);
    appends.forEach(answer);
    expect(node.basicStatus().commit).toBe(2);
    expect(() => node.advance()).toThrow(/must not be called when using AsyncStorageWrites/);
  });
});
