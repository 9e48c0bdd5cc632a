// What a lying or a broken peer may not make the core believe: each of these messages would make it panic, or worse.

import { describe, expect, test } from "vitest";
import {
  MemoryStorage,
  type Message,
  MessageType,
  makeHardState,
  makeMessage,
  makeSnapshot,
  RawNode,
} from "../raft/index.ts";
import { isUntimely, mayReadIndex, violationOf } from "./guard.ts";

/** Node 1 of the given voters, with an empty log behind index 5. */
function node(...voters: number[]): RawNode {
  const storage = new MemoryStorage();
  storage.applySnapshot(
    makeSnapshot(5, 1, { voters, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false }),
  );
  storage.setHardState(makeHardState(1, 0, 5));
  return new RawNode({ id: 1, electionTick: 10, heartbeatTick: 1, storage, maxInflightMsgs: 16, applied: 5 });
}

/** Node 1 as leader of three, its entry of this term at index 6. */
function leader(): RawNode {
  const rn = node(1, 2, 3);
  rn.campaign();
  settle(rn);
  rn.step(message(MessageType.MsgVoteResp, { term: rn.raft.term }));
  settle(rn);
  expect(rn.raft.state).toBe("StateLeader");
  return rn;
}

function settle(rn: RawNode): void {
  while (rn.hasReady()) {
    const rd = rn.ready();
    (rn.raft.config.storage as MemoryStorage).append(rd.entries);
    rn.advance();
  }
}

const message = (type: MessageType, set: Partial<Message> = {}): Message =>
  makeMessage(type, { from: 2, to: 1, ...set });

describe("the guard", () => {
  test("refuses a heartbeat that commits beyond the log, which the core would panic at", () => {
    const rn = node(1, 2, 3);
    const beyond = message(MessageType.MsgHeartbeat, { term: 3, commit: 6 });
    expect(violationOf(rn, beyond)).toMatch(/commits up to 6, but the log here ends at 5.*replaced/s);
    expect(() => rn.step(beyond)).toThrow(/tocommit\(6\) is out of range/);
    expect(violationOf(node(1, 2, 3), message(MessageType.MsgHeartbeat, { term: 3, commit: 5 }))).toBeUndefined();
  });

  test("refuses a term that leaves none for those to come", () => {
    const rn = node(1, 2, 3);
    for (const type of [MessageType.MsgHeartbeat, MessageType.MsgApp, MessageType.MsgVote, MessageType.MsgSnap]) {
      expect(violationOf(rn, message(type, { term: 2 ** 52 }))).toMatch(/term 4503599627370496 cannot have come after/);
      expect(violationOf(rn, message(type, { term: 2 ** 32 }))).toBeUndefined();
    }
  });

  test("refuses an acknowledgement of entries that this leader does not have", () => {
    const rn = leader();
    const { term } = rn.raft;
    expect(violationOf(rn, message(MessageType.MsgAppResp, { term, index: 7 }))).toMatch(/ends at 6/);
    expect(violationOf(rn, message(MessageType.MsgAppResp, { term, index: 6 }))).toBeUndefined();
  });

  test("refuses the confirmation of a read that this member never asked for", () => {
    const rn = leader();
    const { term } = rn.raft;
    const context = new Uint8Array([3, 0, 0, 0, 0, 0, 0, 0]);
    expect(violationOf(rn, message(MessageType.MsgHeartbeatResp, { term, context }))).toMatch(/only 0 were asked/);
    expect(violationOf(rn, message(MessageType.MsgHeartbeatResp, { term }))).toBeUndefined();
  });

  test("lets stale messages through: the core passes them over by their term", () => {
    const rn = leader();
    expect(violationOf(rn, message(MessageType.MsgAppResp, { term: 1, index: 99 }))).toBeUndefined();
  });

  test("passes over a transfer of leadership unless this node leads", () => {
    const transfer = message(MessageType.MsgTransferLeader, { term: 1 });
    expect(isUntimely(node(1, 2, 3), transfer, 0)).toBe(true);
    expect(isUntimely(leader(), transfer, 0)).toBe(false);
  });

  test("asks a leader for a read index only once it has applied an entry of its own term", () => {
    const alone = node(1);
    alone.campaign();
    settle(alone);
    expect(alone.raft.state).toBe("StateLeader");
    const request = message(MessageType.MsgReadIndex);
    expect(mayReadIndex(alone, 1)).toBe(false);
    expect(isUntimely(alone, request, 1)).toBe(true);
    expect(mayReadIndex(alone, alone.raft.term)).toBe(true);
    expect(isUntimely(alone, request, alone.raft.term)).toBe(false);
    expect(mayReadIndex(node(1, 2, 3), 0)).toBe(true);
  });
});
