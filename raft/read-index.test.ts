// Linearizable reads (thesis 6.4): what index they are answered with, who confirms them, and when they wait.

import { describe, expect, test } from "vitest";
import type { Raft } from "./raft.ts";
import { type Message, MessageType, makeMessage, proposed } from "./raftpb/index.ts";
import { RawNode } from "./rawnode.ts";
import { becomeFollower } from "./role.ts";
import {
  applyNext,
  bytes,
  change,
  entriesFrom,
  lead,
  leave,
  Network,
  newNode,
  propose,
  receive,
  storageOf,
  take,
  text,
  tickTimes,
} from "./testing.ts";
import { noLimit, none } from "./types.ts";

const { MsgApp, MsgAppResp, MsgHeartbeat, MsgHeartbeatResp, MsgReadIndex, MsgReadIndexResp } = MessageType;

const request = (from: number, to: number, ctx: string): Message =>
  makeMessage(MsgReadIndex, { from, to, entries: [proposed(bytes(ctx))] });

const reads = (r: Raft): [ctx: string, index: number][] => r.readStates.map((rs) => [text(rs.requestCtx), rs.index]);

/** Ten more entries before each read, which is asked of each node in turn. */
function readEverywhere(net: Network, ids: number[]): void {
  net.campaign(1);
  expect(net.at(1).state).toBe("StateLeader");
  let committed = 1;
  ids.forEach((id, i) => {
    for (let n = 0; n < 10; n++) net.propose(1);
    committed += 10;
    net.send(request(id, id, `read ${i}`));
    expect(reads(net.at(id))).toEqual([[`read ${i}`, committed]]);
    net.at(id).readStates = [];
  });
}

describe("a read", () => {
  test("from any node is answered with the commit index at its time [TestReadOnlyOptionSafe]", () => {
    readEverywhere(Network.of(3), [1, 2, 3, 1, 2, 3]);
  });

  test("may be asked of a learner, which asks the leader [TestReadOnlyWithLearner]", () => {
    const node = (id: number) => newNode(id, { voters: [1], learners: [2] });
    readEverywhere(new Network(node(1), node(2)), [1, 2, 1, 2]);
  });

  test("with a lease is answered at once, with the same index [TestReadOnlyOptionLease]", () => {
    const net = Network.of(3, { readOnlyOption: "leaseBased", checkQuorum: true });
    readEverywhere(net, [1, 2, 3, 1, 2, 3]);
    net.isolate(1);
    net.send(request(1, 1, "alone"));
    expect(reads(net.at(1))).toEqual([["alone", 61]]);
  });

  test("waits until a new leader has committed an entry of its term, and is served then [TestReadOnlyForNewLeader]", () => {
    const node = (id: number, commit: number) =>
      newNode(id, { log: entriesFrom(1, 1, 1), term: 1, commit, applied: commit });
    const net = new Network(node(1, 1), node(2, 2), node(3, 2));
    for (const id of [2, 3]) storageOf(net.at(id)).compact(2);
    net.ignore(MsgApp);
    net.campaign(1);
    const leader = net.at(1);
    expect([leader.state, leader.raftLog.committed]).toEqual(["StateLeader", 1]);
    net.send(request(1, 1, "early"));
    expect(reads(leader)).toEqual([]);

    net.recover();
    tickTimes(leader, 1);
    net.propose(1);
    expect([leader.raftLog.committed, leader.raftLog.term(4)]).toEqual([4, leader.term]);
    net.send(request(1, 1, "late"));
    expect(reads(leader)).toEqual([
      ["early", 4],
      ["late", 4],
    ]);
  });

  test("is never confirmed by late answers to another one of the same context [TestReadOnlyDuplicateRequest]", () => {
    const net = Network.of(3);
    net.campaign(1);
    const [r1, r2] = [net.at(1), net.at(2)];
    const late: Message[] = [request(2, 1, "A")];
    const minimum = { A: r1.raftLog.committed, B: 0 };

    // The answers to the heartbeats that confirm read A are held up; the next heartbeat confirms it all the same.
    net.deliver = (m) => m.type !== MsgHeartbeatResp || late.push(m) === 0;
    net.send(request(2, 1, "A"));
    net.deliver = () => true;
    tickTimes(r1, 1);
    net.settle();
    expect(reads(r2)).toEqual([["A", minimum.A]]);

    // Node 1 is cut off and does not know that node 2 leads and has committed more.
    net.isolate(1);
    net.campaign(2);
    net.propose(2, "what node 1 misses");
    minimum.B = r2.raftLog.committed;
    net.send(request(1, 1, "B"));
    net.recover();
    net.send(...late);
    for (const [ctx, index] of [...net.nodes.values()].flatMap(reads)) {
      expect(index).toBeGreaterThanOrEqual(minimum[ctx as "A" | "B"]);
    }
    expect(reads(r1)).toEqual([]);
  });

  test("that is confirmed leaves nothing behind in memory [TestRaftFreesReadOnlyMem]", () => {
    const r = newNode(1, { voters: [1, 2] });
    lead(r);
    r.raftLog.commitTo(r.raftLog.lastIndex());
    receive(r, MsgReadIndex, request(2, 1, "ctx"));
    const [heartbeat] = take(r);
    expect(heartbeat?.type).toBe(MsgHeartbeat);
    expect(r.readOnly.heartbeatCtx()).toBeDefined();
    receive(r, MsgHeartbeatResp, { context: heartbeat?.context });
    expect(r.readOnly.heartbeatCtx()).toBeUndefined();
    const answers = take(r).filter((m) => m.type === MsgReadIndexResp);
    expect(answers).toMatchObject([{ to: 2, index: 1 }]);
  });

  test("appears once in a Ready, and taking the Ready takes it [TestRawNodeReadIndex]", () => {
    const storage = storageOf(newNode(1, { voters: [1] }));
    const rn = new RawNode({
      id: 1,
      electionTick: 10,
      heartbeatTick: 1,
      storage,
      maxSizePerMsg: noLimit,
      maxInflightMsgs: 8,
    });
    const work = () => {
      while (rn.hasReady()) {
        storage.append(rn.ready().entries);
        rn.advance();
      }
    };
    rn.campaign();
    work();
    rn.readIndex(bytes("once"));
    const rd = rn.ready();
    expect(rd.readStates).toEqual([{ index: 1, requestCtx: bytes("once") }]);
    rn.advance();
    expect([rn.hasReady(), rn.raft.readStates]).toEqual([false, []]);
  });

  test("that reaches a deposed leader goes on to the new one, without a term [TestNodeReadIndexToOldLeader]", () => {
    const net = Network.of(3);
    net.campaign(1);
    const [r1, r2, r3] = [net.at(1), net.at(2), net.at(3)];
    const asked = [2, 3].map((id) => request(id, id, "testdata"));
    receive(r2, MsgReadIndex, asked[0]);
    receive(r3, MsgReadIndex, asked[1]);
    const forwarded = [...take(r2), ...take(r3)];
    expect(forwarded).toEqual([request(2, 1, "testdata"), request(3, 1, "testdata")]);

    net.campaign(3);
    expect(r3.state).toBe("StateLeader");
    for (const m of forwarded) receive(r1, m.type, m);
    expect(take(r1)).toEqual([request(2, 3, "testdata"), request(3, 3, "testdata")]);
  });
});

describe("a leader that is asked", () => {
  test("and votes alone answers at once, but not while the configuration is joint", () => {
    const r = newNode(1, { voters: [1] });
    lead(r);
    take(r);
    receive(r, MsgReadIndex, request(1, 1, "alone"));
    expect(reads(r)).toEqual([["alone", 1]]);
    r.readStates = [];
    change(r, "v2 r1");
    receive(r, MsgReadIndex, request(1, 1, "joint"));
    expect(reads(r)).toEqual([]);
  });

  test("needs both majorities of a joint configuration", () => {
    const r = newNode(1);
    lead(r);
    take(r);
    for (const from of [2, 3]) receive(r, MsgAppResp, { from, index: 1 });
    change(r, "v4 r2");
    take(r);
    receive(r, MsgReadIndex, request(1, 1, "joint"));
    const { context } = take(r)[0] as Message;
    receive(r, MsgHeartbeatResp, { from: 2, context });
    expect(reads(r)).toEqual([]);
    receive(r, MsgHeartbeatResp, { from: 3, context });
    expect(reads(r)).toEqual([["joint", 1]]);
    leave(r);
    expect(r.trk.voterNodes()).toEqual([1, 3, 4]);
  });

  test("confirms several reads with one round of heartbeats, in the order in which they came", () => {
    const r = newNode(1);
    lead(r);
    take(r);
    receive(r, MsgAppResp, { index: 1 });
    take(r);
    for (const ctx of ["a", "b", "c"]) receive(r, MsgReadIndex, request(1, 1, ctx));
    const heartbeats = take(r).filter((m) => m.to === 2);
    expect(heartbeats).toHaveLength(3);
    receive(r, MsgHeartbeatResp, { context: heartbeats[1]?.context });
    expect(reads(r).map(([ctx]) => ctx)).toEqual(["a", "b"]);
    receive(r, MsgHeartbeatResp, { context: heartbeats[2]?.context });
    expect(reads(r).map(([ctx]) => ctx)).toEqual(["a", "b", "c"]);
  });
});

describe("a follower that is asked", () => {
  test("without a leader drops the read", () => {
    const r = newNode(1);
    receive(r, MsgReadIndex, request(1, 1, "lost"));
    expect([take(r), reads(r)]).toEqual([[], []]);
  });

  test("and a candidate that is asked, drops it too", () => {
    const r = newNode(1);
    becomeFollower(r, 1, none);
    r.state = "StateCandidate";
    receive(r, MsgReadIndex, request(1, 1, "lost"));
    expect([take(r), reads(r)]).toEqual([[], []]);
  });

  test("takes an answer only if it holds one request", () => {
    const r = newNode(1);
    const entry = proposed(bytes("r"));
    for (const entries of [[], [entry, entry]]) receive(r, MsgReadIndexResp, { index: 7, entries });
    expect(reads(r)).toEqual([]);
    receive(r, MsgReadIndexResp, { index: 7, entries: [entry] });
    receive(r, MsgReadIndexResp, { index: 8, entries: [proposed(undefined)] });
    expect(reads(r)).toEqual([
      ["r", 7],
      ["", 8],
    ]);
  });

  test("applies the commit index that it hears before it answers: the index is never beyond what its leader committed", () => {
    const net = Network.of(3);
    net.campaign(1);
    propose(net.at(1), "not committed yet");
    net.send(request(2, 2, "r"));
    const [answer] = reads(net.at(2));
    net.settle();
    expect(answer?.[1]).toBe(1);
    expect(applyNext(net.at(2)).at(-1)?.index).toBe(2);
  });
});
