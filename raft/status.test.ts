// NodeView: what a node shows to its application, and that looking changes nothing.

import { describe, expect, test } from "vitest";
import { ConfChangeError } from "./confchange/confchange.ts";
import { ConfChangeType, MessageType, makeConfChange, makeConfChangeV2, makeMessage } from "./raftpb/index.ts";
import { bytes } from "./testing.ts";
import { Group } from "./testing-group.ts";

const add4 = makeConfChange(ConfChangeType.ConfChangeAddNode, 4);

/** A group of three that node 1 leads, at its first committed entry. */
function led(): Group {
  const group = new Group(3);
  group.elect(1);
  return group;
}

describe("NodeView", () => {
  test("shows each accessor as basicStatus and status do", () => {
    const group = led();
    for (const { node } of group.members.values()) {
      const { id, term, commit, lead, raftState, applied, leadTransferee } = node;
      expect(node.basicStatus()).toEqual({ id, term, vote: 1, commit, lead, raftState, applied, leadTransferee });
      expect(node.status()).toMatchObject({ ...node.basicStatus(), config: node.config });
    }
    const { node } = group.at(1);
    expect([node.id, node.term, node.lead, node.raftState, node.hasLeader()]).toEqual([1, 2, 1, "StateLeader", true]);
    expect([node.commit, node.applied, node.lastIndex()]).toEqual([2, 2, 2]);
  });

  test("lead and hasLeader tell of no leader while none is known", () => {
    const { node } = new Group(3).at(2);
    expect([node.lead, node.hasLeader(), node.raftState]).toEqual([0, false, "StateFollower"]);
  });

  test("matchTerm knows an entry by index and term together", () => {
    const { node } = led().at(1);
    expect(node.matchTerm({ term: 2, index: 2 })).toBe(true);
    expect(node.matchTerm({ term: 1, index: 2 })).toBe(false);
    expect(node.matchTerm({ term: 2, index: 3 })).toBe(false);
  });

  test("match is what a leader knows of each node, and undefined outside of the configuration", () => {
    const group = led();
    group.isolate(3);
    group.at(1).node.propose(bytes("x"));
    group.settle();
    expect([1, 2, 3, 4].map((id) => group.at(1).node.match(id))).toEqual([3, 3, 2, undefined]);
  });

  test("config and confState show who votes; isSingleton whether one voter is all", () => {
    const { node } = led().at(1);
    expect(String(node.config)).toBe("voters=(1 2 3)");
    expect(node.confState().voters).toEqual([1, 2, 3]);
    expect([node.isSingleton(), new Group(1).at(1).node.isSingleton()]).toEqual([false, true]);
  });

  test("hasPendingConfChange is true from the proposal of a change until it is applied", () => {
    const group = led();
    const { node } = group.at(1);
    expect(node.hasPendingConfChange()).toBe(false);
    node.proposeConfChange(add4);
    expect(node.hasPendingConfChange()).toBe(true);
    group.settle();
    expect(node.hasPendingConfChange()).toBe(false);
    expect(String(node.config)).toBe("voters=(1 2 3 4)");
  });

  test("tryConfChange tells what applyConfChange would make of a change, and changes nothing", () => {
    const { node } = led().at(1);
    const tried = node.tryConfChange(add4);
    if (tried instanceof ConfChangeError) throw tried;
    expect(String(tried.config)).toBe("voters=(1 2 3 4)");
    expect(String(node.config)).toBe("voters=(1 2 3)");
    expect(node.match(4)).toBeUndefined();

    const remove = (nodeId: number) => ({ type: ConfChangeType.ConfChangeRemoveNode, nodeId });
    expect(node.tryConfChange(makeConfChangeV2([1, 2, 3].map(remove)))).toBeInstanceOf(ConfChangeError);
    expect(node.tryConfChange(makeConfChangeV2([]))).toBeInstanceOf(ConfChangeError); // there is no joint one to leave
  });

  test("leadTransferee names the target of a transfer until it ends", () => {
    const group = led();
    group.isolate(2);
    group.at(1).node.transferLeader(2);
    expect(group.at(1).node.leadTransferee).toBe(2);
    group.tick(1, 10);
    expect(group.at(1).node.leadTransferee).toBe(0);
  });

  test("lastReadPosition counts the reads that await confirmation, pendingReads those that await a first commit", () => {
    const group = led();
    const { node } = group.at(1);
    node.readIndex(bytes("a"));
    node.readIndex(bytes("b"));
    expect([node.lastReadPosition(), node.pendingReads]).toEqual([2, 0]);

    const fresh = new Group(3);
    fresh.at(1).node.campaign();
    while (fresh.at(1).node.hasReady()) fresh.at(1).handle();
    fresh.at(1).node.step(makeMessage(MessageType.MsgVoteResp, { from: 2, term: 2 }));
    fresh.at(1).node.readIndex(bytes("a"));
    expect([fresh.at(1).node.lastReadPosition(), fresh.at(1).node.pendingReads]).toEqual([0, 1]);
  });

  test("hasNextOrInProgressSnapshot is true until a leader's snapshot is restored", () => {
    const group = new Group(3);
    const { node } = group.at(2);
    const ahead = led().at(1).node.confState();
    const snapshot = { data: undefined, metadata: { confState: ahead, index: 9, term: 2 } };
    node.step(makeMessage(MessageType.MsgSnap, { from: 1, to: 2, term: 2, snapshot }));
    expect(node.hasNextOrInProgressSnapshot()).toBe(true);
    group.at(2).handle();
    expect(node.hasNextOrInProgressSnapshot()).toBe(false);
  });

  test("status keeps what it showed; withProgress shows every node in ascending order of id", () => {
    const group = led();
    const { node } = group.at(1);
    const before = node.status();
    node.propose(bytes("x"));
    group.settle();
    expect([before.progress.get(2)?.match, node.match(2)]).toEqual([2, 3]);
    const seen: unknown[] = [];
    node.withProgress((id, type, { match, state }) => seen.push([id, type, match, state]));
    expect(seen).toEqual([1, 2, 3].map((id) => [id, "peer", 3, "StateReplicate"]));
    expect(group.at(2).node.status().progress.size).toBe(0);
  });
});
