// How fast a leader sends to one follower: while it probes, while it replicates, when the window is full, and what
// releases it again.

import { describe, expect, test } from "vitest";
import { errProposalDropped } from "./errors.ts";
import type { Raft } from "./raft.ts";
import { type Message, MessageType } from "./raftpb/index.ts";
import { reduceUncommittedSize, sendAppend } from "./replication.ts";
import {
  applyNext,
  beat,
  deliverOwn,
  entriesFrom,
  idsOf,
  lead,
  newNode,
  progressOf,
  proposalOf,
  propose,
  receive,
  type Setup,
  take,
  tickTimes,
} from "./testing.ts";

const { MsgApp, MsgAppResp, MsgHeartbeat, MsgHeartbeatResp, MsgProp, MsgUnreachable } = MessageType;

/** Node 1 leading the voters 1 and 2, with nothing waiting to be sent. */
function leader(setup: Setup = {}): Raft {
  const r = newNode(1, { voters: [1, 2], ...setup });
  lead(r);
  take(r);
  return r;
}

function replicating(setup: Setup = {}): Raft {
  const r = leader(setup);
  progressOf(r, 2).becomeReplicate();
  return r;
}

const sizes = (messages: Message[]): number[] => messages.map((m) => m.entries.length);

describe("a leader's own progress", () => {
  test("moves only once its entries are durable [TestProgressLeader]", () => {
    const r = newNode(1, { voters: [1, 2] });
    lead(r);
    progressOf(r, 2).becomeReplicate();
    for (let i = 0; i < 5; i++) expect(propose(r, `p${i}`)).toBeUndefined();
    expect([progressOf(r, 1).match, r.raftLog.nextUnstableEnts().length]).toEqual([0, 6]);
    deliverOwn(r);
    expect([progressOf(r, 1).match, progressOf(r, 1).next]).toEqual([6, 7]);
  });
});

describe("while probing", () => {
  test("three proposals make one append [TestProgressPaused]", () => {
    const r = newNode(1, { voters: [1, 2] });
    lead(r);
    for (const data of ["a", "b", "c"]) propose(r, data);
    expect(take(r).map((m) => m.type)).toEqual([MsgApp]);
  });

  test("the follower is released by its heartbeat response, not by the heartbeat [TestProgressResumeByHeartbeatResp]", () => {
    const r = leader();
    const pr = progressOf(r, 2);
    pr.msgAppFlowPaused = true;
    beat(r);
    expect(pr.msgAppFlowPaused).toBe(true);
    pr.becomeReplicate();
    pr.msgAppFlowPaused = true;
    receive(r, MsgHeartbeatResp);
    expect(pr.msgAppFlowPaused).toBe(false);
  });

  test("one append goes out per heartbeat response, however much is proposed [TestSendAppendForProgressProbe]", () => {
    const r = leader();
    progressOf(r, 2).becomeProbe();
    propose(r, "first");
    expect(take(r).map((m) => [m.type, m.index])).toEqual([[MsgApp, 0]]);
    for (let interval = 0; interval < 3; interval++) {
      for (let i = 0; i < 10; i++) {
        propose(r, "more");
        sendAppend(r, 2);
      }
      expect(take(r)).toEqual([]);
      tickTimes(r, 1);
      expect(take(r).map((m) => m.type)).toEqual([MsgHeartbeat]);
      expect(progressOf(r, 2).msgAppFlowPaused).toBe(true);
    }
    receive(r, MsgHeartbeatResp);
    expect(take(r).map((m) => [m.type, m.index])).toEqual([[MsgApp, 0]]);
    expect(progressOf(r, 2).msgAppFlowPaused).toBe(true);
  });

  test("an acknowledgement releases only the follower that sent it [TestMsgAppRespWaitReset]", () => {
    const r = newNode(1);
    lead(r);
    applyNext(r);
    take(r);
    receive(r, MsgAppResp, { from: 2, index: 1 });
    expect(r.raftLog.committed).toBe(1);
    take(r);
    propose(r);
    expect(take(r).map((m) => [m.to, idsOf(m.entries)])).toEqual([[2, [[1, 2]]]]);
    receive(r, MsgAppResp, { from: 3, index: 1 });
    expect(take(r).map((m) => [m.to, idsOf(m.entries)])).toEqual([[3, [[1, 2]]]]);
  });
});

describe("while replicating", () => {
  test("every proposal makes an append [TestSendAppendForProgressReplicate]", () => {
    const r = replicating();
    for (let i = 0; i < 10; i++) {
      propose(r, "x");
      expect(sizes(take(r))).toHaveLength(1);
    }
  });

  test.each<["StateReplicate" | "StateProbe", number]>([
    ["StateReplicate", 6],
    ["StateProbe", 2],
  ])(
    "in %s, after a proposal, next is %i: it runs ahead only where appends stream [TestLeaderIncreaseNext]",
    (state, next) => {
      const r = leader({ log: entriesFrom(1, 1, 2, 3), term: 3 });
      const pr = progressOf(r, 2);
      pr.state = state;
      pr.msgAppFlowPaused = false;
      pr.next = 2;
      propose(r, "the fifth entry");
      expect(pr.next).toBe(next);
    },
  );

  test("a report that the follower cannot be reached goes back to probing from match + 1 [TestRecvMsgUnreachable]", () => {
    const r = leader({ log: entriesFrom(1, 1, 2, 3), term: 3 });
    const pr = progressOf(r, 2);
    pr.match = 3;
    pr.becomeReplicate();
    pr.next = 6;
    receive(r, MsgUnreachable);
    expect([pr.state, pr.next]).toEqual(["StateProbe", 4]);
  });

  test("while a snapshot is pending nothing is appended [TestSendAppendForProgressSnapshot]", () => {
    const r = leader();
    progressOf(r, 2).becomeSnapshot(10);
    for (let i = 0; i < 10; i++) {
      propose(r, "x");
      sendAppend(r, 2);
    }
    expect(take(r)).toEqual([]);
  });
});

describe("the window", () => {
  const size = 8;
  const full = (): Raft => {
    const r = replicating({ maxInflightMsgs: size });
    for (let i = 0; i < size; i++) {
      propose(r, "x");
      expect(sizes(take(r))).toHaveLength(1);
    }
    expect(progressOf(r, 2).isPaused()).toBe(true);
    return r;
  };

  test("lets so many appends through and then none [TestMsgAppFlowControlFull]", () => {
    const r = full();
    for (let i = 0; i < 10; i++) propose(r, "x");
    expect(take(r)).toEqual([]);
  });

  test("moves with acknowledgements, and not with stale ones [TestMsgAppFlowControlMoveForward]", () => {
    const r = full();
    // Entry 1 was appended on election: the first proposal is entry 2.
    for (let index = 2; index < size; index++) {
      receive(r, MsgAppResp, { index });
      take(r);
      propose(r, "one more");
      expect(sizes(take(r))).toEqual([1]);
      expect(progressOf(r, 2).isPaused()).toBe(true);
      for (let stale = 0; stale < index; stale++) {
        receive(r, MsgAppResp, { index: stale });
        expect(progressOf(r, 2).isPaused()).toBe(true);
      }
    }
  });

  test("when full lets one empty append through per heartbeat response [TestMsgAppFlowControlRecvHeartbeat]", () => {
    const r = full();
    for (let i = 0; i < 5; i++) {
      receive(r, MsgHeartbeatResp);
      expect(take(r).map((m) => [m.type, m.entries.length])).toEqual([[MsgApp, 0]]);
      expect(progressOf(r, 2).isPaused()).toBe(true);
      for (let j = 0; j < 10; j++) propose(r, "x");
      expect(take(r)).toEqual([]);
    }
  });

  test("is limited by messages and by bytes, and each message by its own size [TestProgressFlowControl]", () => {
    const r = leader({ maxInflightMsgs: 3, maxSizePerMsg: 2048, maxInflightBytes: 9000 });
    receive(r, MsgAppResp, { index: 1 });
    take(r);
    progressOf(r, 2).becomeProbe();
    // Entries 2 to 23: ten small ones, six large, six small.
    for (let i = 0; i < 22; i++) receive(r, MsgProp, proposalOf(new Uint8Array(i >= 10 && i < 16 ? 5000 : 1000)));
    const probe = take(r);
    expect(probe.map((m) => idsOf(m.entries))).toEqual([[[1, 2]]]);

    let last = 2;
    const acknowledge = (): number[] => {
      receive(r, MsgAppResp, { index: last });
      const messages = take(r);
      last = messages.at(-1)?.entries.at(-1)?.index ?? last;
      return sizes(messages);
    };
    const rounds: number[][] = [];
    while (last < 23) rounds.push(acknowledge());
    expect(rounds).toEqual([
      [2, 2, 2], // 3 to 8: the window holds three messages, a message two small entries
      [2, 1, 1], // 9 to 12: entries 9 and 10, 11, then the first large one
      [1, 1], // two large ones exceed the bytes of the window
      [1, 1],
      [1, 2, 2], // 17, the last large one, and four small ones
      [2],
    ]);
  });
});

describe("the uncommitted tail", () => {
  const limit = 64;
  const entry = new Uint8Array(8);

  test("takes proposals up to its limit, one of any size when empty, and empty ones always [TestUncommittedEntryLimit]", () => {
    const r = newNode(1, { maxUncommittedEntriesSize: limit * entry.length });
    lead(r);
    for (const id of [2, 3]) progressOf(r, id).becomeReplicate();
    expect(r.uncommittedSize).toBe(0);
    const proposeOne = () => receive(r, MsgProp, proposalOf(entry));
    for (let i = 0; i < limit; i++) expect(proposeOne()).toBeUndefined();
    expect(proposeOne()).toBe(errProposalDropped);
    const committed = take(r).filter((m) => m.to === 2);
    expect(committed).toHaveLength(limit);
    reduceUncommittedSize(
      r,
      committed.flatMap((m) => m.entries),
    );
    expect(r.uncommittedSize).toBe(0);

    const large = proposalOf(...Array.from({ length: 2 * limit }, () => entry));
    expect(receive(r, MsgProp, large)).toBeUndefined();
    expect(proposeOne()).toBe(errProposalDropped);
    expect(propose(r)).toBeUndefined();
    reduceUncommittedSize(
      r,
      take(r)
        .filter((m) => m.to === 3)
        .flatMap((m) => m.entries),
    );
    expect(r.uncommittedSize).toBe(0);
  });

  test("counts no lower than nothing when entries of another leader are applied", () => {
    const r = leader({ maxUncommittedEntriesSize: 100 });
    reduceUncommittedSize(r, [{ ...entriesFrom(1, 1)[0]!, data: entry }]);
    expect(r.uncommittedSize).toBe(0);
  });
});
