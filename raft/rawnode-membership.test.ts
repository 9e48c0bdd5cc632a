// Configuration changes through RawNode: what is appended, what applying it returns, and how a joint configuration is
// left.

import { describe, expect, test } from "vitest";
import type { Config } from "./config.ts";
import {
  type AnyConfChange,
  asV2,
  ConfChangeTransition,
  type ConfState,
  confChangeOf,
  confChangesFromString,
  type Entry,
  EntryType,
  enterJoint,
  MessageType,
  makeConfChange,
  makeConfChangeV2,
  makeConfState,
  makeMessage,
  marshalConfChange,
} from "./raftpb/index.ts";
import { RawNode } from "./rawnode.ts";
import type { MemoryStorage } from "./storage.ts";
import { bytes, newNode, storageOf } from "./testing.ts";
import { noLimit } from "./types.ts";

const { ConfChangeTransitionJointExplicit: explicit, ConfChangeTransitionJointImplicit: implicit } =
  ConfChangeTransition;

/** Node 1 alone, and a loop that does its work. */
class Driver {
  readonly storage: MemoryStorage = storageOf(newNode(1, { voters: [1] }));
  readonly node: RawNode;
  /** What applying the last change returned. */
  confState: ConfState | undefined;
  readonly changes: Entry[] = [];

  constructor(options: Partial<Config>) {
    const common = { electionTick: 10, heartbeatTick: 1, maxSizePerMsg: noLimit, maxInflightMsgs: 256 };
    this.node = new RawNode({ id: 1, storage: this.storage, ...common, ...options });
  }

  /** Takes one Ready and does what it asks; `before` runs before a change is applied. */
  handle(before: () => void = () => {}): readonly Entry[] {
    const rd = this.node.ready();
    this.storage.append(rd.entries);
    for (const e of rd.committedEntries) {
      const cc = confChangeOf(e);
      if (cc === undefined) continue;
      this.changes.push(e);
      before();
      this.confState = this.node.applyConfChange(cc);
    }
    this.node.advance();
    return rd.entries;
  }

  settle(): void {
    while (this.node.hasReady()) this.handle();
  }

  /** Proposes data and a change behind it, and works until the change is applied. */
  change(cc: AnyConfChange, before?: () => void): void {
    this.confState = undefined;
    expect(this.node.propose(bytes("somedata"))).toBeUndefined();
    expect(this.node.proposeConfChange(cc)).toBeUndefined();
    while (this.confState === undefined) this.handle(before);
  }

  last(count: number): Entry[] {
    const end = this.storage.lastIndex() + 1;
    return this.storage.entries(end - count, end, noLimit) as Entry[];
  }
}

function elected(options: Partial<Config> = {}): Driver {
  const driver = new Driver(options);
  driver.node.campaign();
  driver.settle();
  expect(driver.node.basicStatus().raftState).toBe("StateLeader");
  return driver;
}

const v2 = (notation: string, transition?: ConfChangeTransition) =>
  makeConfChangeV2(confChangesFromString(notation), transition);
const state = makeConfState;

describe("a configuration change", () => {
  const demoting = { voters: [2], votersOutgoing: [1], learners: [3], learnersNext: [1] };
  const demoted = state({ voters: [2], learners: [1, 3] });

  test.each<[what: string, cc: AnyConfChange, applied: ConfState, left: ConfState | undefined]>([
    ["v1 adding a voter", makeConfChange(0, 2), state({ voters: [1, 2] }), undefined],
    ["v2 adding a voter", v2("v2"), state({ voters: [1, 2] }), undefined],
    ["v2 adding a learner", v2("l2"), state({ voters: [1], learners: [2] }), undefined],
    [
      "joint on request, left on request",
      v2("l2", explicit),
      state({ voters: [1], votersOutgoing: [1], learners: [2] }),
      state({ voters: [1], learners: [2] }),
    ],
    [
      "joint on request, left automatically",
      v2("l2", implicit),
      state({ voters: [1], votersOutgoing: [1], learners: [2], autoLeave: true }),
      state({ voters: [1], learners: [2] }),
    ],
    ["several at once, joint by itself", v2("v2 l1 l3"), state({ ...demoting, autoLeave: true }), demoted],
    ["several at once, left on request", v2("v2 l1 l3", explicit), state(demoting), demoted],
    ["several at once, left automatically", v2("v2 l1 l3", implicit), state({ ...demoting, autoLeave: true }), demoted],
  ])("%s, ends in the right configuration [TestRawNodeProposeAndConfChange]", (_what, cc, applied, left) => {
    const driver = elected();
    driver.change(cc);
    const { type, data } = marshalConfChange(cc);
    const [before, proposed] = driver.last(2);
    expect(before?.data).toEqual(bytes("somedata"));
    expect([proposed?.type, proposed?.data]).toEqual([type, data]);
    expect(driver.confState).toEqual(applied);

    // The entry that leaves automatically is appended already, but it is not in storage yet.
    const automatic = enterJoint(asV2(cc))?.autoLeave === true;
    expect(driver.node.raft.pendingConfIndex).toBe(driver.storage.lastIndex() + (automatic ? 1 : 0));
    const context = automatic ? undefined : bytes("manual");
    if (!automatic) {
      if (driver.node.hasReady()) expect(driver.handle()).toEqual([]);
      if (left === undefined) return;
      expect(driver.node.proposeConfChange(makeConfChangeV2([], undefined, context))).toBeUndefined();
    }
    const leaving = driver.handle();
    expect(leaving.map((e) => e.type)).toEqual([EntryType.EntryConfChangeV2]);
    const leave = confChangeOf(leaving[0] as Entry) as AnyConfChange;
    expect(leave).toEqual(makeConfChangeV2([], undefined, context));
    // With voter 2 silent it does not commit; that it would have this effect is shown by applying it all the same.
    expect(driver.node.applyConfChange(leave)).toEqual(left);
  });

  test("is left automatically even if leadership was lost and won again in between [TestRawNodeJointAutoLeave]", () => {
    const driver = elected();
    const { node } = driver;
    const stepDown = () => node.step(makeMessage(MessageType.MsgHeartbeatResp, { from: 1, term: node.raft.term + 1 }));
    driver.change(v2("l2", implicit), stepDown);
    expect(driver.confState).toEqual(state({ voters: [1], votersOutgoing: [1], learners: [2], autoLeave: true }));
    expect([node.raft.state, node.raft.pendingConfIndex]).toEqual(["StateFollower", 0]);
    expect(node.readyWithoutAccept().entries).toEqual([]);

    node.campaign();
    driver.settle();
    expect(driver.changes.map((e) => e.type)).toEqual([EntryType.EntryConfChangeV2, EntryType.EntryConfChangeV2]);
    expect(driver.changes[1]?.data).toBeUndefined();
    expect(driver.confState).toEqual(state({ voters: [1], learners: [2] }));
  });

  test("is not left automatically while leadership is being transferred, but with the next entry applied", () => {
    const driver = elected();
    const { node } = driver;
    driver.change(v2("l2"));
    driver.change(v2("v2 l3"), () => {
      node.raft.leadTransferee = 2;
    });
    expect(node.raft.trk.config.autoLeave).toBe(true);
    expect(node.raft.pendingConfIndex).toBe(driver.storage.lastIndex());
    node.raft.leadTransferee = 0;
    expect(node.propose(bytes("next"))).toBeUndefined();
    node.step(makeMessage(MessageType.MsgAppResp, { from: 2, term: 1, index: node.raft.raftLog.lastIndex() }));
    while (node.hasReady()) {
      driver.handle();
      node.step(makeMessage(MessageType.MsgAppResp, { from: 2, term: 1, index: node.raft.raftLog.lastIndex() }));
    }
    expect(driver.confState).toEqual(state({ voters: [1, 2], learners: [3] }));
  });

  test("is not left a second time while the entry that leaves it waits to be applied", () => {
    // One entry is applied at a time, so there is more to apply behind the change when the entry that leaves is
    // appended.
    const driver = elected({ maxCommittedSizePerReady: 1 });
    const { node } = driver;
    expect(node.proposeConfChange(v2("l2 l3"))).toBeUndefined();
    for (const data of ["a", "b", "c"]) expect(node.propose(bytes(data))).toBeUndefined();
    driver.settle();
    expect(driver.confState).toEqual(state({ voters: [1], learners: [2, 3] }));
    const log = driver.last(5).map((e) => [e.type ?? EntryType.EntryNormal, e.data !== undefined]);
    const [change, data] = [EntryType.EntryConfChangeV2, EntryType.EntryNormal];
    expect(log).toEqual([
      [change, true],
      [data, true],
      [data, true],
      [data, true],
      [change, false],
    ]);
  });

  test("that adds a member twice is harmless, and later ones still work [TestRawNodeProposeAddDuplicateNode]", () => {
    const driver = elected();
    for (const id of [1, 1, 2]) driver.change(makeConfChange(0, id));
    expect(driver.changes.map((e) => e.data)).toEqual(
      [1, 1, 2].map((id) => marshalConfChange(makeConfChange(0, id)).data),
    );
    expect(driver.confState).toEqual(state({ voters: [1, 2] }));
  });
});
