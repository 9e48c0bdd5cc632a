// Appends, acknowledgements, rejections and the commit index, with a leader and its followers message by message.

import { describe, expect, test } from "vitest";
import type { Raft } from "./raft.ts";
import { type Entry, type Message, MessageType, makeMessage } from "./raftpb/index.ts";
import { maybeCommit, sendAppend } from "./replication.ts";
import { becomeFollower } from "./role.ts";
import { step } from "./step.ts";
import {
  applyNext,
  beat,
  change,
  entriesFrom,
  lead,
  logOf,
  Network,
  newNode,
  progressOf,
  propose,
  receive,
  storageOf,
  take,
  text,
} from "./testing.ts";
import { none, type StateType } from "./types.ts";

const { MsgApp, MsgAppResp, MsgHeartbeat, MsgHeartbeatResp, MsgUnreachable } = MessageType;

/** The text of the applied entries that have any. */
const appliedTexts = (r: Raft): string[] =>
  applyNext(r)
    .filter((e) => e.data !== undefined)
    .map((e) => text(e.data));

const only = (messages: Message[]): Message => {
  expect(messages).toHaveLength(1);
  return messages[0] as Message;
};

describe("replication in a group", () => {
  test("proposals reach every log and commit everywhere, also across a change of leader [TestLogReplication]", () => {
    const net = Network.of(3);
    net.campaign(1);
    net.propose(1, "one");
    for (const r of net.nodes.values()) expect(r.raftLog.committed).toBe(2);
    net.campaign(2);
    net.propose(2, "two");
    for (const r of net.nodes.values()) {
      expect(r.raftLog.committed).toBe(4);
      expect(appliedTexts(r)).toEqual(["one", "two"]);
    }
  });

  test("a node alone commits at once [TestSingleNodeCommit]", () => {
    const net = Network.of(1);
    net.campaign(1);
    net.propose(1, "a");
    net.propose(1, "b");
    expect(net.at(1).raftLog.committed).toBe(3);
  });

  test.each<[size: number, dead: number[], commits: boolean]>([
    [3, [], true],
    [3, [3], true],
    [3, [2, 3], false],
    [4, [2, 3], false],
    [5, [2, 3], true],
  ])("of %i nodes with %j dead, a proposal commits: %s, and the logs agree [TestProposal]", (size, dead, commits) => {
    const net = Network.of(size, {}, dead);
    net.campaign(1);
    net.propose(1, "x");
    for (const r of net.nodes.values()) {
      expect(logOf(r)).toEqual(
        commits
          ? [
              [1, 1],
              [1, 2],
            ]
          : [],
      );
      expect(r.raftLog.committed).toBe(commits ? 2 : 0);
    }
    expect(net.at(1).term).toBe(1);
  });

  test.each([[[]], [[3]]])(
    "with %j dead, a proposal made at a follower ends as if made at the leader [TestProposalByProxy]",
    (dead) => {
      const net = Network.of(3, {}, dead);
      net.campaign(1);
      net.propose(2, "by proxy");
      for (const r of net.nodes.values()) expect(appliedTexts(r)).toEqual(["by proxy"]);
      expect(net.at(1).term).toBe(1);
    },
  );

  test("an append of a deposed leader is ignored [TestOldMessages]", () => {
    const net = Network.of(3);
    for (const id of [1, 2, 1]) net.campaign(id);
    expect([net.at(1).term, net.at(1).state]).toEqual([3, "StateLeader"]);
    net.send(makeMessage(MsgApp, { from: 2, to: 1, term: 2, entries: entriesFrom(3, 2) }));
    net.propose(1, "new");
    for (const r of net.nodes.values())
      expect(logOf(r)).toEqual([
        [1, 1],
        [2, 2],
        [3, 3],
        [3, 4],
      ]);
  });

  test("entries of an earlier term do not commit by counting [TestCannotCommitWithoutNewTermEntry]", () => {
    const net = Network.of(5);
    net.campaign(1);
    for (const id of [3, 4, 5]) net.cut(1, id);
    net.propose(1, "a");
    net.propose(1, "b");
    expect(net.at(1).raftLog.committed).toBe(1);
    net.recover();
    // The entry that 2 appends on its election reaches no other node.
    net.ignore(MsgApp);
    net.campaign(2);
    expect([net.at(2).state, net.at(2).raftLog.committed]).toEqual(["StateLeader", 1]);
    net.recover();
    net.beat(2);
    net.propose(2, "c");
    expect(net.at(2).raftLog.committed).toBe(5);
  });

  test("they commit with the entry that the new leader appends [TestCommitWithoutNewTermEntry]", () => {
    const net = Network.of(5);
    net.campaign(1);
    for (const id of [3, 4, 5]) net.cut(1, id);
    net.propose(1, "a");
    net.propose(1, "b");
    expect(net.at(1).raftLog.committed).toBe(1);
    net.recover();
    net.campaign(2);
    for (const r of net.nodes.values()) expect(r.raftLog.committed).toBe(4);
  });
});

describe("the commit index of a leader", () => {
  test.each<[matches: number[], terms: number[], term: number, commit: number]>([
    [[1], [1], 1, 1],
    [[1], [1], 2, 0],
    [[2], [1, 2], 2, 2],
    [[1], [2], 2, 1],
    [[2, 1, 1], [1, 2], 1, 1],
    [[2, 1, 1], [1, 1], 2, 0],
    [[2, 1, 2], [1, 2], 2, 2],
    [[2, 1, 2], [1, 1], 2, 0],
    [[2, 1, 1, 1], [1, 2], 1, 1],
    [[2, 1, 1, 1], [1, 1], 2, 0],
    [[2, 1, 1, 2], [1, 2], 1, 1],
    [[2, 1, 1, 2], [1, 1], 2, 0],
    [[2, 1, 2, 2], [1, 2], 2, 2],
    [[2, 1, 2, 2], [1, 1], 2, 0],
  ])(
    "with matches %j of a log of terms %j in term %i is %i: what a quorum has, if of this term [TestCommit]",
    (matches, terms, term, commit) => {
      const r = newNode(1, { voters: [1], log: entriesFrom(1, ...terms), term });
      matches.forEach((match, i) => {
        if (i > 0) change(r, `v${i + 1}`);
        const pr = progressOf(r, i + 1);
        pr.match = match;
        pr.next = match + 1;
      });
      maybeCommit(r);
      expect(r.raftLog.committed).toBe(commit);
    },
  );
});

describe("a follower", () => {
  test("does not let a message of an older term through to its role [TestStepIgnoreOldTermMsg]", () => {
    const r = newNode(1, { term: 2 });
    r.electionElapsed = 5;
    receive(r, MsgApp, { term: 1, entries: entriesFrom(1, 1) });
    expect([r.lead, r.electionElapsed, r.raftLog.lastIndex(), take(r)]).toEqual([none, 5, 0, []]);
  });

  test.each<[set: Partial<Message>, last: number, commit: number, reject: boolean]>([
    // 1. rejected unless the entry before the new ones is there
    [{ logTerm: 3, index: 2, commit: 3 }, 2, 0, true],
    [{ logTerm: 3, index: 3, commit: 3 }, 2, 0, true],
    // 2. what conflicts is cut, what is new is appended
    [{ logTerm: 1, index: 1, commit: 1 }, 2, 1, false],
    [{ commit: 1, entries: entriesFrom(1, 2) }, 1, 1, false],
    [{ logTerm: 2, index: 2, commit: 3, entries: entriesFrom(3, 2, 2) }, 4, 3, false],
    [{ logTerm: 2, index: 2, commit: 4, entries: entriesFrom(3, 2) }, 3, 3, false],
    [{ logTerm: 1, index: 1, commit: 4, entries: entriesFrom(2, 2) }, 2, 2, false],
    // 3. the commit index rises no further than the last entry that is known to match
    [{ logTerm: 1, index: 1, commit: 3 }, 2, 1, false],
    [{ logTerm: 2, index: 2, commit: 3 }, 2, 2, false],
    [{ logTerm: 2, index: 2, commit: 4 }, 2, 2, false],
  ])(
    "with entries of terms 1, 2 that gets append %j ends at index %i, commit %i, rejects %s [TestHandleMsgApp]",
    (set, last, commit, reject) => {
      const r = newNode(1, { log: entriesFrom(1, 1, 2), term: 2 });
      becomeFollower(r, 2, none);
      receive(r, MsgApp, { term: 2, ...set });
      expect([r.raftLog.lastIndex(), r.raftLog.committed]).toEqual([last, commit]);
      expect(only(take(r))).toMatchObject({ type: MsgAppResp, to: 2, reject });
    },
  );

  test.each([
    [3, 3],
    [1, 2],
  ])(
    "at commit 2 that hears a heartbeat of commit %i is at %i: it only goes up [TestHandleHeartbeat]",
    (told, commit) => {
      const r = newNode(1, { log: entriesFrom(1, 1, 2, 3), term: 2, commit: 2 });
      receive(r, MsgHeartbeat, { term: 2, commit: told });
      expect(r.raftLog.committed).toBe(commit);
      expect(only(take(r))).toMatchObject({ type: MsgHeartbeatResp, to: 2 });
    },
  );

  test("that hears of a commit index beyond its log panics: its log has lost entries that it acknowledged", () => {
    const r = newNode(1, { log: entriesFrom(1, 1), term: 2 });
    expect(() => receive(r, MsgHeartbeat, { term: 2, commit: 2 })).toThrow(/tocommit\(2\) is out of range/);
  });
});

describe("a leader", () => {
  test("sends a follower that lags an append per heartbeat response, until it has acknowledged all [TestHandleHeartbeatResp]", () => {
    const r = newNode(1, { voters: [1, 2], log: entriesFrom(1, 1, 2, 3), term: 3 });
    lead(r);
    r.raftLog.commitTo(r.raftLog.lastIndex());
    for (let i = 0; i < 2; i++) {
      receive(r, MsgHeartbeatResp);
      expect(only(take(r)).type).toBe(MsgApp);
    }
    receive(r, MsgAppResp, { index: r.raftLog.lastIndex() });
    take(r);
    receive(r, MsgHeartbeatResp);
    expect(take(r)).toEqual([]);
  });

  test.each<
    [what: string, answer: Partial<Message>, match: number, next: number, sent: [index: number, commit: number][]]
  >([
    ["a stale rejection changes nothing", { index: 3, reject: true, rejectHint: 3 }, 0, 3, []],
    ["a rejection of the probe steps back and probes again", { index: 2, reject: true, rejectHint: 2 }, 0, 2, [[1, 0]]],
    [
      "an acknowledgement commits, and all nodes learn the commit index",
      { index: 2 },
      2,
      4,
      [
        [2, 2],
        [2, 2],
      ],
    ],
    ["an acknowledgement of the match that is known starts to replicate", { index: 0 }, 0, 4, [[0, 0]]],
  ])("%s [TestLeaderAppResp]", (_what, answer, match, next, sent) => {
    // Of its own log a leader may count entries of its term only: those at 1 and 2 are of term 1, the one on election
    // is at 3.
    const r = newNode(1, { log: entriesFrom(1, 1, 1) });
    lead(r);
    take(r);
    expect(r.term).toBe(1);
    receive(r, MsgAppResp, { term: 1, ...answer });
    expect([progressOf(r, 2).match, progressOf(r, 2).next]).toEqual([match, next]);
    expect(take(r).map((m) => [m.index, m.commit])).toEqual(sent);
  });

  test("sends heartbeats without a position, of the smaller of match and commit [TestBcastBeat]", () => {
    const r = newNode(1, { log: entriesFrom(1, ...Array.from({ length: 20 }, () => 1)), term: 1 });
    lead(r);
    take(r);
    r.raftLog.commitTo(15);
    progressOf(r, 2).match = 5;
    progressOf(r, 3).match = 21;
    beat(r);
    expect(take(r)).toEqual([
      makeMessage(MsgHeartbeat, { from: 1, to: 2, term: 2, commit: 5 }),
      makeMessage(MsgHeartbeat, { from: 1, to: 3, term: 2, commit: 15 }),
    ]);
  });

  test.each<[StateType, number]>([
    ["StateLeader", 2],
    ["StateCandidate", 0],
    ["StatePreCandidate", 0],
    ["StateFollower", 0],
  ])("only: a %s answers the internal beat with %i heartbeats [TestRecvMsgBeat]", (state, count) => {
    const r = newNode(1, { log: entriesFrom(1, 1, 1), term: 1 });
    r.state = state;
    beat(r);
    expect(take(r).map((m) => m.type)).toEqual(Array.from({ length: count }, () => MsgHeartbeat));
  });

  test("does not go back below what is matched for a rejection that comes late [TestLogReplicationWithReorderedMessage]", () => {
    const r1 = newNode(1, { voters: [1, 2] });
    const r2 = newNode(2, { voters: [1, 2] });
    lead(r1);
    take(r1);
    progressOf(r1, 2).becomeReplicate();
    const sendOne = (data: string): Message => {
      propose(r1, data);
      return only(take(r1));
    };
    const first = sendOne("a");
    const second = sendOne("b");
    step(r2, second);
    const rejection = only(take(r2));
    expect(rejection).toMatchObject({ reject: true, rejectHint: 0, index: 2 });
    step(r2, first);
    step(r1, only(take(r2)));
    take(r1);
    expect(progressOf(r1, 2).match).toBe(2);
    receive(r1, MsgUnreachable);
    expect(progressOf(r1, 2).state).toBe("StateProbe");
    step(r1, rejection);
    expect(only(take(r1)).index).toBe(2);
  });
});

describe("after a rejection", () => {
  test.each<
    [
      leader: number[],
      follower: number[],
      compacted: number,
      hint: [term: number, index: number],
      next: [number, number],
    ]
  >([
    [[1, 2, 2, 4, 4, 4, 4], [1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3], 0, [3, 7], [2, 3]],
    [[1, 2, 2, 3, 4, 4, 4, 5], [1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3], 0, [3, 8], [3, 4]],
    [[1, 1, 1, 1], [1, 2, 2, 4], 0, [1, 1], [1, 1]],
    [[1, 1, 1, 1, 1, 1], [1, 2, 2, 4], 0, [1, 1], [1, 1]],
    [[1, 1, 1, 1], [1, 2, 2, 4, 4, 4], 0, [1, 1], [1, 1]],
    [[1, 1, 1, 4, 5], [1, 1, 1, 4], 0, [4, 4], [4, 4]],
    [[2, 5, 5, 5, 5, 5, 5, 5, 5], [2, 4, 4, 4, 4, 4], 0, [4, 6], [2, 1]],
    [[2, 2, 2, 2, 2], [2, 4, 4, 4, 4, 4, 4, 4], 0, [2, 1], [2, 1]],
    [[1, 1, 3], [1, 1, 3, 3, 3], 5, [0, 3], [1, 2]],
  ])(
    "a leader with terms %j, a follower with %j compacted to %i: hint (term, index) %j, next probe after %j [TestFastLogRejection]",
    (leaderTerms, followerTerms, compacted, hint, next) => {
      const log = (terms: number[]): Entry[] => entriesFrom(1, ...terms);
      const last = leaderTerms.at(-1) as number;
      const leader = newNode(1, { log: log(leaderTerms), term: last - 1, commit: leaderTerms.length });
      lead(leader);
      take(leader);
      const follower = newNode(2, { log: log(followerTerms), term: last, vote: 1 });
      if (compacted > 0) storageOf(follower).compact(compacted);

      receive(follower, MsgHeartbeat, { from: 1 });
      step(leader, only(take(follower)));
      step(follower, only(take(leader)));
      const rejection = only(take(follower));
      expect([rejection.reject, rejection.logTerm, rejection.rejectHint]).toEqual([true, ...hint]);
      step(leader, rejection);
      const probe = take(leader)[0] as Message;
      expect([probe.logTerm, probe.index]).toEqual(next);
    },
  );
});

describe("what goes wrong", () => {
  test("a proposal without entries is a programming error", () => {
    const r = newNode(1);
    lead(r);
    expect(() => receive(r, MessageType.MsgProp, { from: 1 })).toThrow(/stepped empty MsgProp/);
  });

  test("an answer from a node that the leader does not track changes nothing", () => {
    const r = newNode(1);
    lead(r);
    take(r);
    receive(r, MsgAppResp, { from: 9, index: 1 });
    expect([take(r), r.raftLog.committed]).toEqual([[], 0]);
  });

  test("an append that storage has compacted in the meantime makes way for a snapshot", () => {
    const r = newNode(1, { voters: [1, 2] });
    lead(r);
    applyNext(r);
    receive(r, MsgAppResp, { index: 1 });
    for (const data of ["a", "b"]) propose(r, data);
    receive(r, MsgAppResp, { index: 3 });
    applyNext(r);
    receive(r, MsgAppResp, { index: 3 });
    applyNext(r);
    take(r);
    storageOf(r).createSnapshot(3, undefined, undefined);
    storageOf(r).compact(3);
    progressOf(r, 2).becomeProbe();
    progressOf(r, 2).next = 3;
    sendAppend(r, 2);
    expect(only(take(r))).toMatchObject({ type: MessageType.MsgSnap, snapshot: { metadata: { index: 3 } } });
  });
});
