// What a node does with a message before its role comes in: older terms, answers of its own storage, orders to forget;
// and what sending does not allow.

import { describe, expect, test } from "vitest";
import { describeMessage } from "./describe.ts";
import { RaftPanic } from "./errors.ts";
import type { Logger } from "./logger.ts";
import { MessageType, makeConfState, makeSnapshot, proposed } from "./raftpb/index.ts";
import { releasePendingReadIndexMessages } from "./read-index.ts";
import { becomeFollower } from "./role.ts";
import { bytes, campaign, entriesFrom, lead, Network, newNode, propose, receive, take } from "./testing.ts";
import { localAppendThread, none } from "./types.ts";

const {
  MsgApp,
  MsgAppResp,
  MsgForgetLeader,
  MsgHeartbeat,
  MsgPreVote,
  MsgPreVoteResp,
  MsgReadIndex,
  MsgSnap,
  MsgStorageAppendResp,
  MsgVote,
  MsgVoteResp,
} = MessageType;

/** A logger that remembers all lines. */
function collecting(): { lines: string[]; logger: Logger } {
  const lines: string[] = [];
  const at = (level: string) => (text: string) => lines.push(`${level} ${text}`);
  const logger = { debug: at("DEBUG"), info: at("INFO"), warning: at("WARN"), error: at("ERROR"), fatal: at("FATAL") };
  return { lines, logger };
}

describe("a message of an older term", () => {
  test("gets no answer, unless the node asks before it votes, or leases are in use", () => {
    for (const options of [{}, { preVote: true }, { checkQuorum: true }]) {
      for (const type of [MsgApp, MsgHeartbeat]) {
        const r = newNode(1, { term: 5, ...options });
        receive(r, type, { term: 4 });
        const answered = Object.keys(options).length > 0;
        // The answer makes a leader of the older term step down, if this node's term is what keeps it from following.
        expect(take(r).map((m) => [m.type, m.to, m.term])).toEqual(answered ? [[MsgAppResp, 2, 5]] : []);
        expect([r.term, r.lead]).toEqual([5, none]);
      }
    }
  });

  test("that asks for a pre-vote is refused aloud, so that its sender learns of the newer term", () => {
    const r = newNode(1, { term: 5 });
    receive(r, MsgPreVote, { term: 4 });
    expect(take(r)).toMatchObject([{ type: MsgPreVoteResp, to: 2, term: 5, reject: true }]);
    receive(r, MsgVote, { term: 4 });
    expect(take(r)).toEqual([]);
  });

  test("from the append thread attests no entries, but a snapshot all the same", () => {
    const { lines, logger } = collecting();
    const r = newNode(2, { voters: [1, 2], logger });
    receive(r, MsgSnap, { from: 1, term: 3, snapshot: makeSnapshot(11, 3, makeConfState({ voters: [1, 2] })) });
    receive(r, MsgApp, { from: 1, term: 3, logTerm: 3, index: 11, entries: entriesFrom(12, 3) });
    const snapshot = r.raftLog.nextUnstableSnapshot();
    receive(r, MsgHeartbeat, { from: 1, term: 4 });
    receive(r, MsgStorageAppendResp, { from: localAppendThread, term: 3, logTerm: 3, index: 12, snapshot });
    expect([r.raftLog.applied, r.raftLog.hasNextOrInProgressSnapshot(), r.raftLog.unstable.offset]).toEqual([
      11,
      false,
      12,
    ]);
    expect(lines.at(-1)).toBe(
      "INFO 2 [term: 4] ignored entry appends from a MsgStorageAppendResp message with lower term [term: 3]",
    );
    receive(r, MsgStorageAppendResp, { from: localAppendThread, term: 3 });
    receive(r, MsgStorageAppendResp, { from: localAppendThread, term: 4, logTerm: 3, index: 12 });
    expect(r.raftLog.unstable.offset).toBe(13);
  });
});

describe("the order to forget the leader", () => {
  test("makes a follower free to vote, and has no effect on a node without a leader to forget", () => {
    const r = newNode(1, { checkQuorum: true, preVote: true });
    becomeFollower(r, 1, 2);
    receive(r, MsgPreVote, { from: 3, term: 2 });
    expect(take(r)).toEqual([]);
    for (let i = 0; i < 2; i++) receive(r, MsgForgetLeader, { from: 1 });
    expect([r.state, r.term, r.lead]).toEqual(["StateFollower", 1, none]);
    receive(r, MsgPreVote, { from: 3, term: 2 });
    expect(take(r)).toMatchObject([{ type: MsgPreVoteResp, reject: false }]);
  });

  test("is refused where reads trust the leader's lease", () => {
    const { lines, logger } = collecting();
    const r = newNode(1, { checkQuorum: true, readOnlyOption: "leaseBased", logger });
    becomeFollower(r, 1, 2);
    receive(r, MsgForgetLeader, { from: 1 });
    expect([r.lead, lines.at(-1)]).toEqual([2, "ERROR ignoring MsgForgetLeader due to ReadOnlyLeaseBased"]);
  });

  test("means nothing to a leader or a candidate", () => {
    const leader = newNode(1);
    lead(leader);
    const candidate = newNode(1);
    campaign(candidate);
    for (const r of [leader, candidate]) {
      const before = [r.state, r.term, r.lead];
      receive(r, MsgForgetLeader, { from: 1 });
      expect([r.state, r.term, r.lead]).toEqual(before);
    }
  });
});

describe("sending", () => {
  const r = newNode(1);

  test("a vote or a request for one must say which term it speaks of", () => {
    for (const type of [MsgVote, MsgVoteResp, MsgPreVote, MsgPreVoteResp]) {
      expect(() => r.send({ type, to: 2 })).toThrow(/term should be set when sending/);
    }
  });

  test("all else has the node's own term, and must not say another", () => {
    expect(() => r.send({ type: MsgApp, to: 2, term: 1 })).toThrow(
      /term should not be set when sending MsgApp \(was 1\)/,
    );
  });

  test("to oneself is for answers only", () => {
    expect(() => r.send({ type: MsgApp, to: 1 })).toThrow(/message should not be self-addressed when sending MsgApp/);
    r.send({ type: MsgAppResp, to: 1, index: 1 });
    expect(r.msgsAfterAppend.map((m) => describeMessage(m))).toEqual(["1->1 MsgAppResp Term:0 Log:0/1"]);
  });
});

describe("what is logged", () => {
  test("is etcd's, a panic's last words included", () => {
    const { lines, logger } = collecting();
    const r = newNode(0x1f, { voters: [0x1f, 2], logger });
    campaign(r);
    expect(lines.slice(-3)).toEqual([
      "INFO 1f is starting a new election at term 0",
      "INFO 1f became candidate at term 1",
      "INFO 1f [logterm: 0, index: 0] sent MsgVote request to 2 at term 1",
    ]);
    expect(() => r.raftLog.commitTo(9)).toThrow(RaftPanic);
    expect(lines.at(-1)).toMatch(/^FATAL tocommit\(9\) is out of range/);
  });

  test("of refused votes, leases and rejections tells both sides' logs", () => {
    const { lines, logger } = collecting();
    const r = newNode(1, { voters: [1, 2, 3], log: entriesFrom(1, 1, 2), term: 2, checkQuorum: true, logger });
    receive(r, MsgVote, { term: 2, logTerm: 1, index: 9 });
    expect(lines.at(-1)).toBe(
      "INFO 1 [logterm: 2, index: 2, vote: 0] rejected MsgVote from 2 [logterm: 1, index: 9] at term 2",
    );
    receive(r, MsgHeartbeat, { from: 3, term: 2 });
    receive(r, MsgVote, { term: 3, logTerm: 2, index: 9 });
    expect(lines.at(-1)).toBe(
      "INFO 1 [logterm: 2, index: 2, vote: 0] ignored MsgVote from 2 [logterm: 2, index: 9] at term 2: lease is not expired (remaining ticks: 10)",
    );
    receive(r, MsgApp, { from: 3, term: 2, logTerm: 2, index: 3 });
    expect(lines.at(-1)).toBe("DEBUG 1 [logterm: 0, index: 3] rejected MsgApp [logterm: 2, index: 3] from 3");
    receive(r, MsgVote, { from: 3, term: 2, logTerm: 2, index: 2 });
    expect(lines.at(-1)).toMatch(/rejected MsgVote from 3/);
  });

  test("of a snapshot that leaves the node out names the configuration as Go prints it", () => {
    const { lines, logger } = collecting();
    const r = newNode(1, { logger });
    const confState = makeConfState({ voters: [2, 3], learners: [4], votersOutgoing: [2, 5], learnersNext: [5] });
    receive(r, MsgSnap, { term: 1, snapshot: makeSnapshot(9, 1, confState) });
    expect(
      lines.some((line) =>
        line.includes(
          "voters:2 voters:3 learners:4 voters_outgoing:2 voters_outgoing:5 learners_next:5 auto_leave:false",
        ),
      ),
    ).toBe(true);
  });

  test("of a read that is released too early is an error, and nothing is sent", () => {
    const { lines, logger } = collecting();
    const r = newNode(1, { logger });
    lead(r);
    receive(r, MsgReadIndex, { from: 1, entries: [proposed(bytes("r"))] });
    releasePendingReadIndexMessages(r);
    expect(lines.at(-1)).toMatch(/^ERROR pending MsgReadIndex should be released only after first commit/);
    expect([r.pendingReadIndexMessages.length, r.readStates]).toEqual([1, []]);
  });

  test("costs nothing where a level is off: all works the same without a logger", () => {
    const run = (logger?: Logger) => {
      const net = Network.of(3, logger === undefined ? {} : { logger });
      net.campaign(1);
      net.propose(1, "x");
      net.campaign(2);
      propose(net.at(2), "y");
      net.settle();
      return [...net.nodes.values()].map((r) => [r.state, r.term, r.raftLog.committed]);
    };
    expect(run()).toEqual(run(collecting().logger));
  });
});
