// The rules of the Raft paper for the log: replication, and what makes committing safe. Counterpart of
// raft_paper_test.go, like raft-paper.test.ts.

import { describe, expect, test } from "vitest";
import type { Raft } from "./raft.ts";
import { type Entry, type Message, MessageType, makeMessage } from "./raftpb/index.ts";
import { bcastAppend } from "./replication.ts";
import { becomeCandidate, becomeFollower, becomeLeader } from "./role.ts";
import { step } from "./step.ts";
import { entriesFrom, lead, logOf, newNode, propose, receive, type Setup, take } from "./testing.ts";

const { MsgHup, MsgApp, MsgAppResp, MsgVoteResp } = MessageType;

/** Node `id` of the voters 1..size. */
const server = (id: number, size: number, setup: Setup = {}): Raft =>
  newNode(id, { voters: Array.from({ length: size }, (_, i) => i + 1), ...setup });

/** Node 1 of `size` leading term 1, its first entry acknowledged by all. */
function newLeader(size: number, setup?: Setup): Raft {
  const r = server(1, size, setup);
  lead(r);
  bcastAppend(r);
  for (const m of take(r)) {
    if (m.type === MsgApp) {
      receive(r, MsgAppResp, { from: m.to, term: r.term, index: m.index + m.entries.length });
    }
  }
  take(r);
  return r;
}

describe("§5.3 log replication", () => {
  test("§5.3 a leader appends a proposal and sends it with the position of the entry before it [TestLeaderStartReplication]", () => {
    const r = newLeader(3);
    const last = r.raftLog.lastIndex();
    propose(r, "some data");
    expect([r.raftLog.lastIndex(), r.raftLog.committed]).toEqual([last + 1, last]);
    const messages = r.msgs;
    expect(messages.map((m) => [m.to, m.type, m.index, m.logTerm, m.commit])).toEqual([
      [2, MsgApp, last, 1, last],
      [3, MsgApp, last, 1, last],
    ]);
    expect(messages.map((m) => m.entries.map((e) => [e.term, e.index]))).toEqual([[[1, last + 1]], [[1, last + 1]]]);
  });

  test("§5.3 an entry that a majority has is committed, and the leader tells the others [TestLeaderCommitEntry]", () => {
    const r = newLeader(3);
    const last = r.raftLog.lastIndex();
    propose(r, "some data");
    take(r);
    expect(r.raftLog.committed).toBe(last);
    receive(r, MsgAppResp, { term: 1, index: last + 1 });
    expect(r.raftLog.committed).toBe(last + 1);
    expect(take(r).map((m) => [m.to, m.type, m.commit])).toEqual([
      [2, MsgApp, last + 1],
      [3, MsgApp, last + 1],
    ]);
  });

  test.each<[size: number, acks: number[], committed: boolean]>([
    [1, [], true],
    [3, [], false],
    [3, [2], true],
    [3, [2, 3], true],
    [5, [], false],
    [5, [2], false],
    [5, [2, 3], true],
    [5, [2, 3, 4], true],
    [5, [2, 3, 4, 5], true],
  ])(
    "§5.3 of %i servers, acknowledged by %j besides the leader: committed %s [TestLeaderAcknowledgeCommit]",
    (size, acks, committed) => {
      const r = newLeader(size);
      const last = r.raftLog.lastIndex();
      propose(r, "some data");
      take(r);
      for (const from of acks) receive(r, MsgAppResp, { from, term: 1, index: last + 1 });
      expect(r.raftLog.committed >= last + 1).toBe(committed);
    },
  );

  test.each<[Entry[]]>([[[]], [entriesFrom(1, 2)], [entriesFrom(1, 1, 2)], [entriesFrom(1, 1)]])(
    "§5.3 committing an entry commits all before it in the leader's log, also of earlier terms: %j [TestLeaderCommitPrecedingEntries]",
    (log) => {
      const r = server(1, 3, { log, term: 2 });
      becomeCandidate(r);
      becomeLeader(r);
      propose(r, "some data");
      take(r);
      receive(r, MsgAppResp, { term: 3, index: log.length + 2 });
      expect(r.raftLog.committed).toBe(log.length + 2);
    },
  );

  test.each<[Entry[], number]>([
    [entriesFrom(1, 1), 1],
    [entriesFrom(1, 1, 1), 2],
    [entriesFrom(1, 1, 1), 1],
  ])(
    "§5.3 a follower commits %j in order as far as the leader's commit index %i reaches [TestFollowerCommitEntry]",
    (log, commit) => {
      const r = server(1, 3);
      becomeFollower(r, 1, 2);
      receive(r, MsgApp, { term: 1, entries: log, commit });
      expect(r.raftLog.committed).toBe(commit);
      expect(r.raftLog.nextCommittedEnts(true)).toEqual(log.slice(0, commit));
    },
  );

  test.each<[term: number, index: number, answer: Partial<Message>]>([
    [0, 0, { index: 1, reject: false }], // before the commit index: answered with that
    [1, 1, { index: 1, reject: false }],
    [2, 2, { index: 2, reject: false }],
    [1, 2, { index: 2, reject: true, rejectHint: 1, logTerm: 1 }],
    [3, 3, { index: 3, reject: true, rejectHint: 2, logTerm: 2 }],
  ])(
    "§5.3 a follower checks that its log has the entry (term %i, index %i) before the new ones [TestFollowerCheckMsgApp]",
    (logTerm, index, answer) => {
      const r = server(1, 3, { log: entriesFrom(1, 1, 2), term: 2, commit: 1 });
      becomeFollower(r, 2, 2);
      receive(r, MsgApp, { term: 2, logTerm, index });
      expect(take(r)).toMatchObject([{ type: MsgAppResp, to: 2, term: 2, ...answer }]);
    },
  );

  test.each<[index: number, term: number, news: Entry[], terms: number[], unstable: Entry[]]>([
    [2, 2, entriesFrom(3, 3), [1, 2, 3], entriesFrom(3, 3)],
    [1, 1, entriesFrom(2, 3, 4), [1, 3, 4], entriesFrom(2, 3, 4)],
    [0, 0, entriesFrom(1, 1), [1, 2], []],
    [0, 0, entriesFrom(1, 3), [3], entriesFrom(1, 3)],
  ])(
    "§5.3 after (index %i, term %i) a follower removes what conflicts and appends the rest [TestFollowerAppendEntries]",
    (index, logTerm, news, terms, unstable) => {
      const r = server(1, 3, { log: entriesFrom(1, 1, 2), term: 2 });
      becomeFollower(r, 2, 2);
      receive(r, MsgApp, { term: 4, logTerm, index, entries: news });
      expect(r.raftLog.allEntries()).toEqual(entriesFrom(1, ...terms));
      expect(r.raftLog.nextUnstableEnts()).toEqual(unstable);
    },
  );

  const figure7 = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
  test.each<[string, terms: number[]]>([
    ["a", figure7.slice(0, 9)],
    ["b", figure7.slice(0, 4)],
    ["c", [...figure7, 6]],
    ["d", [...figure7, 7, 7]],
    ["e", [...figure7.slice(0, 5), 4, 4]],
    ["f", [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]],
  ])("§5.3 figure 7: the leader brings follower %s to its own log [TestLeaderSyncFollowerLog]", (_name, terms) => {
    const leader = server(1, 3, { log: entriesFrom(1, ...figure7), term: 8, commit: figure7.length });
    const follower = server(2, 3, { log: entriesFrom(1, ...terms), term: 7 });
    step(leader, makeMessage(MsgHup, { from: 1 }));
    const pass = (from: Raft, to: Raft): boolean => {
      const messages = take(from).filter((m) => m.to === to.id);
      for (const m of messages) step(to, m);
      return messages.length > 0;
    };
    // Follower (d) or (f) may refuse its vote: the third server's makes the majority.
    take(leader);
    receive(leader, MsgVoteResp, { from: 3, term: leader.term });
    propose(leader, "");
    while (pass(leader, follower) || pass(follower, leader));
    expect(logOf(follower)).toEqual(logOf(leader));
  });
});

describe("§5.4 safety", () => {
  test.each<[index: number, commit: number]>([
    [1, 0],
    [2, 0],
    [3, 3],
  ])(
    "§5.4.2 figure 8: with entry %i on a majority the commit index is %i: only the leader's own term commits by counting [TestLeaderOnlyCommitsLogFromCurrentTerm]",
    (index, commit) => {
      const r = server(1, 2, { log: entriesFrom(1, 1, 2), term: 2 });
      becomeCandidate(r);
      becomeLeader(r);
      take(r);
      propose(r, "");
      receive(r, MsgAppResp, { term: r.term, index });
      expect(r.raftLog.committed).toBe(commit);
    },
  );
});
