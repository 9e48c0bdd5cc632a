// What a RawNode hands out, Ready by Ready: at the start of a group, after a restart, and what taking one does.

import { describe, expect, test } from "vitest";
import { errStepLocalMsg } from "./errors.ts";
import {
  type Message,
  MessageType,
  makeConfState,
  makeEntry,
  makeHardState,
  makeMessage,
  makeSnapshot,
  messageTypeName,
} from "./raftpb/index.ts";
import { RawNode } from "./rawnode.ts";
import type { Ready } from "./ready.ts";
import { MemoryStorage } from "./storage.ts";
import { bytes } from "./testing.ts";
import { noLimit } from "./types.ts";
import { isLocalMsg } from "./util.ts";

const { MsgHeartbeat, MsgUnreachable } = MessageType;

const nothing: Ready = {
  softState: undefined,
  hardState: undefined,
  readStates: [],
  entries: [],
  snapshot: undefined,
  committedEntries: [],
  messages: [],
  mustSync: false,
};

function newRawNode(storage: MemoryStorage): RawNode {
  const options = { electionTick: 10, heartbeatTick: 1, maxSizePerMsg: noLimit, maxInflightMsgs: 256 };
  return new RawNode({ id: 1, storage, ...options });
}

function storageWith(voters: number[], index = 0, term = 0): MemoryStorage {
  const storage = new MemoryStorage();
  storage.applySnapshot(makeSnapshot(index, term, makeConfState({ voters })));
  return storage;
}

/** Takes one Ready and does what it asks. */
function handle(rn: RawNode, storage: MemoryStorage): Ready {
  const rd = rn.ready();
  storage.append(rd.entries);
  rn.advance();
  return rd;
}

describe("a group", () => {
  test("may begin with a snapshot at index 1 in place of made-up entries [TestRawNodeStart]", () => {
    const storage = storageWith([1], 1, 0);
    const rn = newRawNode(storage);
    expect(rn.hasReady()).toBe(false);
    rn.campaign();
    const elected = handle(rn, storage);
    expect(elected).toEqual({
      ...nothing,
      softState: { lead: 0, raftState: "StateCandidate" },
      hardState: makeHardState(1, 1, 1),
      mustSync: true,
    });
    rn.propose(bytes("foo"));
    const entries = [makeEntry(undefined, 1, 2, undefined), makeEntry(undefined, 1, 3, bytes("foo"))];
    expect(handle(rn, storage)).toEqual({
      ...nothing,
      softState: { lead: 1, raftState: "StateLeader" },
      entries,
      mustSync: true,
    });
    expect(handle(rn, storage)).toEqual({ ...nothing, hardState: makeHardState(1, 1, 3), committedEntries: entries });
    expect(rn.hasReady()).toBe(false);
  });
});

describe("after a restart", () => {
  const foo = (index: number) => makeEntry(undefined, 1, index, bytes("foo"));

  test("what is committed is handed out, and nothing has to be synced [TestRawNodeRestart]", () => {
    const storage = storageWith([1]);
    storage.append([makeEntry(undefined, 1, 1, undefined), foo(2)]);
    storage.setHardState(makeHardState(1, 0, 1));
    const rn = newRawNode(storage);
    expect(handle(rn, storage)).toEqual({ ...nothing, committedEntries: [makeEntry(undefined, 1, 1, undefined)] });
    expect(rn.hasReady()).toBe(false);
  });

  test("so is what is committed behind a snapshot [TestRawNodeRestartFromSnapshot]", () => {
    const storage = storageWith([1, 2], 2, 1);
    storage.append([foo(3)]);
    storage.setHardState(makeHardState(1, 0, 3));
    const rn = newRawNode(storage);
    expect(handle(rn, storage)).toEqual({ ...nothing, committedEntries: [foo(3)] });
    expect(rn.hasReady()).toBe(false);
  });

  test("with a commit index outside of the log the node does not start", () => {
    const storage = storageWith([1], 2, 1);
    storage.append([foo(3)]);
    for (const commit of [1, 4]) {
      storage.setHardState(makeHardState(1, 0, commit));
      expect(() => newRawNode(storage)).toThrow(/is out of range \[2, 3\]/);
    }
  });
});

describe("a RawNode", () => {
  test.each(Object.values(MessageType).map((type) => [messageTypeName(type), type] as const))(
    "refuses %s from outside if it is a local message [TestRawNodeStep]",
    (_name, type) => {
      const storage = storageWith([1], 1, 1);
      storage.setHardState(makeHardState(1, 0, 1));
      const rn = newRawNode(storage);
      const error = rn.step(makeMessage(type, { from: 2 }));
      expect(error === errStepLocalMsg).toBe(isLocalMsg(type));
    },
  );

  test("shows its state before and after it leads [TestRawNodeStatus]", () => {
    const storage = storageWith([1]);
    const rn = newRawNode(storage);
    expect(rn.status()).toMatchObject({ lead: 0, raftState: "StateFollower", term: 0 });
    expect(rn.status().progress.size).toBe(0);
    rn.campaign();
    while (rn.hasReady()) handle(rn, storage);
    const status = rn.status();
    expect(status).toMatchObject({ lead: 1, raftState: "StateLeader", term: 1, commit: 1, applied: 1 });
    expect(status.progress).toEqual(rn.raft.trk.progress);
    expect(status.progress.get(1)).not.toBe(rn.raft.trk.progress.get(1));
    expect(String(status.config)).toBe("voters=(1)");
  });

  test("consumes nothing when looked at, and when taken keeps what comes after [TestRawNodeConsumeReady]", () => {
    const rn = newRawNode(storageWith([1]));
    const [first, second]: Message[] = ["foo", "bar"].map((c) => makeMessage(MsgHeartbeat, { context: bytes(c) }));
    rn.raft.msgs.push(first as Message);
    expect(rn.readyWithoutAccept().messages).toEqual([first]);
    expect(rn.raft.msgs).toEqual([first]);
    expect(rn.ready().messages).toEqual([first]);
    expect(rn.raft.msgs).toEqual([]);
    rn.raft.msgs.push(second as Message);
    rn.advance();
    expect(rn.raft.msgs).toEqual([second]);
  });

  test("hands out its soft state only if the leader or the role is another one [TestSoftStateEqual]", () => {
    const storage = storageWith([1, 2]);
    const rn = newRawNode(storage);
    const hear = (type: MessageType, from: number, term: number) => {
      rn.step(makeMessage(type, { from, to: 1, term }));
      return handle(rn, storage).softState;
    };
    expect(hear(MsgHeartbeat, 2, 1)).toEqual({ lead: 2, raftState: "StateFollower" });
    expect(hear(MsgHeartbeat, 2, 1)).toBeUndefined();
    expect(hear(MsgHeartbeat, 2, 2)).toBeUndefined(); // the same leader in a later term
    expect(hear(MessageType.MsgVote, 2, 3)).toEqual({ lead: 0, raftState: "StateFollower" });
    rn.campaign();
    expect(handle(rn, storage).softState).toEqual({ lead: 0, raftState: "StateCandidate" });
  });

  test("counts a quiesced tick without acting on it", () => {
    const rn = newRawNode(storageWith([1, 2]));
    for (let i = 0; i < 30; i++) rn.tickQuiesced();
    expect(rn.hasReady()).toBe(false);
    rn.tick();
    expect(rn.basicStatus().raftState).toBe("StateCandidate");
  });

  test("passes reports on peers to its progress of them", () => {
    const storage = storageWith([1, 2]);
    const rn = newRawNode(storage);
    rn.campaign();
    handle(rn, storage);
    rn.step(makeMessage(MessageType.MsgVoteResp, { from: 2, term: 1 }));
    const pr = rn.raft.trk.progress.get(2);
    pr?.becomeReplicate();
    rn.reportUnreachable(2);
    expect(pr?.state).toBe("StateProbe");
    pr?.becomeSnapshot(5);
    rn.reportSnapshot(2, "failure");
    expect([pr?.state, pr?.next]).toEqual(["StateProbe", 1]);
    pr?.becomeSnapshot(5);
    rn.reportSnapshot(2, "finish");
    expect([pr?.state, pr?.next]).toEqual(["StateProbe", 6]);
    expect(rn.step(makeMessage(MsgUnreachable, { from: 2 }))).toBe(errStepLocalMsg);
  });
});
