// The rules of the Raft paper ("In Search of an Understandable Consensus Algorithm", extended version), one test each, named by section.
//
// Counterpart of raft_paper_test.go: the same facts, told with this port's means. Nodes are driven below RawNode, by role and by message, so
// that each rule stands alone.

import { describe, expect, test } from "vitest";
import type { Config } from "./config.ts";
import type { Raft } from "./raft.ts";
import {
  type Entry,
  type Message,
  MessageType,
  makeConfState,
  makeEntry,
  makeHardState,
  makeMessage,
  makeSnapshot,
} from "./raftpb/index.ts";
import { RawNode } from "./rawnode.ts";
import { bcastAppend } from "./replication.ts";
import { becomeCandidate, becomeFollower, becomeLeader } from "./role.ts";
import { step } from "./step.ts";
import { MemoryStorage } from "./storage.ts";
import { tick } from "./tick.ts";
import { noLimit, none, type StateType } from "./types.ts";

const { MsgHup, MsgProp, MsgApp, MsgAppResp, MsgVote, MsgVoteResp, MsgHeartbeat } = MessageType;
const electionTick = 10;

function entries(...ids: [term: number, index: number][]): Entry[] {
  return ids.map(([term, index]) => makeEntry(undefined, term, index, undefined));
}

interface Setup extends Partial<Config> {
  log?: Entry[];
  term?: number;
  commit?: number;
}

/** Node `id` of the voters 1..size, with the given stable log. */
function newNode(id: number, size: number, { log = [], term = 0, commit = 0, ...options }: Setup = {}): Raft {
  const storage = new MemoryStorage();
  const voters = Array.from({ length: size }, (_, i) => i + 1);
  storage.applySnapshot(makeSnapshot(0, 0, makeConfState({ voters })));
  storage.append(log);
  if (term > 0 || commit > 0) storage.setHardState(makeHardState(term, 0, commit));
  return new RawNode({
    id,
    electionTick,
    heartbeatTick: 1,
    storage,
    maxSizePerMsg: noLimit,
    maxInflightMsgs: 256,
    ...options,
  }).raft;
}

/** The messages to others, once all that is unstable counts as durable. */
function sent(r: Raft): Message[] {
  const out: Message[] = [];
  while (r.msgs.length > 0 || r.msgsAfterAppend.length > 0) {
    const all = [...r.msgs, ...r.msgsAfterAppend];
    r.msgs = [];
    r.msgsAfterAppend = [];
    for (const m of all) {
      if (m.to === r.id) step(r, m);
      else out.push(m);
    }
  }
  return out;
}

const receive = (r: Raft, type: MessageType, set: Partial<Message> = {}) =>
  step(r, makeMessage(type, { from: 2, to: r.id, ...set }));

const propose = (r: Raft, text: string) =>
  step(r, makeMessage(MsgProp, { from: r.id, entries: [makeEntry(undefined, 0, 0, new TextEncoder().encode(text))] }));

/** Node 1 of `size` leading term 1, its first entry acknowledged by all. */
function newLeader(size: number, setup?: Setup): Raft {
  const r = newNode(1, size, setup);
  becomeCandidate(r);
  becomeLeader(r);
  bcastAppend(r);
  for (const m of sent(r)) {
    if (m.type === MsgApp) {
      receive(r, MsgAppResp, { from: m.to, term: r.term, index: m.index + m.entries.length });
    }
  }
  sent(r);
  return r;
}

const logOf = (r: Raft): [number, number][] => r.raftLog.allEntries().map((e) => [e.term, e.index]);

describe("§5.1 terms", () => {
  test.each<StateType>(["StateFollower", "StateCandidate", "StateLeader"])(
    "§5.1 a %s that sees a higher term adopts it and follows",
    (role) => {
      const r = newNode(1, 3);
      becomeFollower(r, 1, 2);
      if (role !== "StateFollower") becomeCandidate(r);
      if (role === "StateLeader") becomeLeader(r);
      receive(r, MsgApp, { term: 5 });
      expect([r.term, r.state, r.lead]).toEqual([5, "StateFollower", 2]);
    },
  );

  test("§5.1 a message of an older term is ignored", () => {
    const r = newNode(1, 3, { term: 4 });
    receive(r, MsgApp, { term: 3, entries: entries([3, 1]), commit: 1 });
    expect([r.term, r.lead, r.raftLog.lastIndex()]).toEqual([4, none, 0]);
  });
});

describe("§5.2 elections", () => {
  test("§5.2 a server starts as a follower", () => {
    expect(newNode(1, 3).state).toBe("StateFollower");
  });

  test("§5.2 a leader sends a heartbeat to all others each heartbeat interval", () => {
    const r = newLeader(3, { heartbeatTick: 2 });
    tick(r);
    expect(sent(r)).toEqual([]);
    tick(r);
    const beats = sent(r);
    expect(beats.map((m) => [m.to, m.type, m.term])).toEqual([
      [2, MsgHeartbeat, 1],
      [3, MsgHeartbeat, 1],
    ]);
  });

  test.each<StateType>(["StateFollower", "StateCandidate"])(
    "§5.2 a %s whose election timeout passes begins a new term, votes for itself and asks all others",
    (role) => {
      const r = newNode(1, 3);
      if (role === "StateFollower") becomeFollower(r, 1, 2);
      else becomeCandidate(r);
      for (let i = 0; i < electionTick; i++) tick(r);
      expect([r.state, r.term, r.vote]).toEqual(["StateCandidate", 2, 1]);
      const asked = sent(r).filter((m) => m.term === r.term);
      expect(asked.map((m) => [m.to, m.type])).toEqual([
        [2, MsgVote],
        [3, MsgVote],
      ]);
      expect(r.trk.votes.get(1)).toBe(true);
    },
  );

  test.each<[size: number, votes: Record<number, boolean>, StateType]>([
    [1, {}, "StateLeader"],
    [3, { 2: true, 3: true }, "StateLeader"],
    [3, { 2: true }, "StateLeader"],
    [5, { 2: true, 3: true, 4: true, 5: true }, "StateLeader"],
    [5, { 2: true, 3: true }, "StateLeader"],
    [3, { 2: false, 3: false }, "StateFollower"],
    [5, { 2: false, 3: false, 4: false }, "StateFollower"],
    [5, { 2: true, 3: false, 4: false, 5: false }, "StateFollower"],
    [3, {}, "StateCandidate"],
    [5, { 2: true }, "StateCandidate"],
    [5, { 2: false, 3: false }, "StateCandidate"],
    [5, {}, "StateCandidate"],
  ])("§5.2 of %i servers, with its own vote and %j, a candidate becomes %s", (size, votes, state) => {
    const r = newNode(1, size);
    step(r, makeMessage(MsgHup, { from: 1 }));
    sent(r);
    for (const [id, granted] of Object.entries(votes)) {
      receive(r, MsgVoteResp, { from: Number(id), term: r.term, reject: !granted });
    }
    expect([r.state, r.term]).toEqual([state, 1]);
  });

  test.each<[vote: number, candidate: number, granted: boolean]>([
    [none, 2, true],
    [none, 3, true],
    [2, 2, true],
    [3, 3, true],
    [2, 3, false],
    [3, 2, false],
  ])(
    "§5.2 a server that voted for %i and is asked by %i: granted %s, at most one vote a term",
    (vote, from, granted) => {
      const r = newNode(1, 3, { term: 1 });
      r.vote = vote;
      receive(r, MsgVote, { from, term: 1 });
      expect(sent(r).map((m) => [m.to, m.type, m.term, m.reject])).toEqual([[from, MsgVoteResp, 1, !granted]]);
    },
  );

  test.each([1, 2])("§5.2 a candidate of term 1 that hears a leader of term %i follows it", (term) => {
    const r = newNode(1, 3);
    step(r, makeMessage(MsgHup, { from: 1 }));
    receive(r, MsgApp, { from: 3, term });
    expect([r.state, r.term, r.lead]).toEqual(["StateFollower", term, 3]);
  });

  test.each<StateType>(["StateFollower", "StateCandidate"])(
    "§5.2 the election timeout of a %s is drawn anew from [timeout, 2 timeout) each time",
    (role) => {
      const seen = new Set<number>();
      let seed = 1;
      const random = (n: number): number => {
        seed = (seed * 48271) % 0x7fffffff;
        return seed % n;
      };
      const r = newNode(1, 3, { random });
      for (let round = 0; round < 50 * electionTick; round++) {
        if (role === "StateFollower") becomeFollower(r, r.term + 1, 2);
        else becomeCandidate(r);
        sent(r);
        let ticks = 0;
        for (; sent(r).length === 0; ticks++) tick(r);
        seen.add(ticks);
      }
      expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: electionTick }, (_, i) => electionTick + i));
    },
  );

  test.each<StateType>(["StateFollower", "StateCandidate"])(
    "§5.2 of five servers that are %s, seldom more than one times out first",
    (role) => {
      let seed = 7;
      const random = (n: number): number => {
        seed = (seed * 48271) % 0x7fffffff;
        return seed % n;
      };
      const nodes = [1, 2, 3, 4, 5].map((id) => newNode(id, 5, { random }));
      let conflicts = 0;
      for (let round = 0; round < 1000; round++) {
        for (const r of nodes) {
          if (role === "StateFollower") becomeFollower(r, r.term + 1, none);
          else becomeCandidate(r);
          sent(r);
        }
        let fired = 0;
        while (fired === 0) {
          for (const r of nodes) {
            tick(r);
            if (sent(r).length > 0) fired++;
          }
        }
        if (fired > 1) conflicts++;
      }
      // The chance that the earliest of five draws from ten is not alone is about 0.25.
      expect(conflicts).toBeLessThan(300);
      expect(conflicts).toBeGreaterThan(0);
    },
  );
});

describe("§5.3 log replication", () => {
  test("§5.3 a leader appends a proposal and sends it with the position of the entry before it", () => {
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

  test("§5.3 an entry that a majority has is committed, and the leader tells the others", () => {
    const r = newLeader(3);
    const last = r.raftLog.lastIndex();
    propose(r, "some data");
    sent(r);
    expect(r.raftLog.committed).toBe(last);
    receive(r, MsgAppResp, { term: 1, index: last + 1 });
    expect(r.raftLog.committed).toBe(last + 1);
    expect(sent(r).map((m) => [m.to, m.type, m.commit])).toEqual([
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
  ])("§5.3 of %i servers, acknowledged by %j besides the leader: committed %s", (size, acks, committed) => {
    const r = newLeader(size);
    const last = r.raftLog.lastIndex();
    propose(r, "some data");
    sent(r);
    for (const from of acks) receive(r, MsgAppResp, { from, term: 1, index: last + 1 });
    expect(r.raftLog.committed >= last + 1).toBe(committed);
  });

  test.each<[Entry[]]>([[[]], [entries([2, 1])], [entries([1, 1], [2, 2])], [entries([1, 1])]])(
    "§5.3 committing an entry commits all before it in the leader's log, also of earlier terms: %j",
    (log) => {
      const r = newNode(1, 3, { log, term: 2 });
      becomeCandidate(r);
      becomeLeader(r);
      propose(r, "some data");
      sent(r);
      receive(r, MsgAppResp, { term: 3, index: log.length + 2 });
      expect(r.raftLog.committed).toBe(log.length + 2);
    },
  );

  test.each<[Entry[], number]>([
    [entries([1, 1]), 1],
    [entries([1, 1], [1, 2]), 2],
    [entries([1, 1], [1, 2]), 1],
  ])("§5.3 a follower commits %j in order as far as the leader's commit index %i reaches", (log, commit) => {
    const r = newNode(1, 3);
    becomeFollower(r, 1, 2);
    receive(r, MsgApp, { term: 1, entries: log, commit });
    expect(r.raftLog.committed).toBe(commit);
    expect(r.raftLog.nextCommittedEnts(true)).toEqual(log.slice(0, commit));
  });

  test.each<[term: number, index: number, answer: Partial<Message>]>([
    [0, 0, { index: 1, reject: false }], // before the commit index: answered with that
    [1, 1, { index: 1, reject: false }],
    [2, 2, { index: 2, reject: false }],
    [1, 2, { index: 2, reject: true, rejectHint: 1, logTerm: 1 }],
    [3, 3, { index: 3, reject: true, rejectHint: 2, logTerm: 2 }],
  ])(
    "§5.3 a follower checks that its log has the entry (term %i, index %i) before the new ones",
    (logTerm, index, answer) => {
      const r = newNode(1, 3, { log: entries([1, 1], [2, 2]), term: 2, commit: 1 });
      becomeFollower(r, 2, 2);
      receive(r, MsgApp, { term: 2, logTerm, index });
      expect(sent(r)).toMatchObject([{ type: MsgAppResp, to: 2, term: 2, ...answer }]);
    },
  );

  test.each<[index: number, term: number, news: Entry[], log: [number, number][], unstable: [number, number][]]>([
    [
      2,
      2,
      entries([3, 3]),
      [
        [1, 1],
        [2, 2],
        [3, 3],
      ],
      [[3, 3]],
    ],
    [
      1,
      1,
      entries([3, 2], [4, 3]),
      [
        [1, 1],
        [3, 2],
        [4, 3],
      ],
      [
        [3, 2],
        [4, 3],
      ],
    ],
    [
      0,
      0,
      entries([1, 1]),
      [
        [1, 1],
        [2, 2],
      ],
      [],
    ],
    [0, 0, entries([3, 1]), [[3, 1]], [[3, 1]]],
  ])(
    "§5.3 after (index %i, term %i) a follower removes what conflicts and appends the rest",
    (index, logTerm, news, log, unstable) => {
      const r = newNode(1, 3, { log: entries([1, 1], [2, 2]), term: 2 });
      becomeFollower(r, 2, 2);
      receive(r, MsgApp, { term: 4, logTerm, index, entries: news });
      expect(logOf(r)).toEqual(log);
      expect(r.raftLog.nextUnstableEnts().map((e) => [e.term, e.index])).toEqual(unstable);
    },
  );

  const figure7: [number, number][] = [
    [1, 1],
    [1, 2],
    [1, 3],
    [4, 4],
    [4, 5],
    [5, 6],
    [5, 7],
    [6, 8],
    [6, 9],
    [6, 10],
  ];
  test.each<[string, [number, number][]]>([
    ["a", figure7.slice(0, 9)],
    ["b", figure7.slice(0, 4)],
    ["c", [...figure7, [6, 11]]],
    ["d", [...figure7, [7, 11], [7, 12]]],
    ["e", [...figure7.slice(0, 5), [4, 6], [4, 7]]],
    [
      "f",
      [
        [1, 1],
        [1, 2],
        [1, 3],
        [2, 4],
        [2, 5],
        [2, 6],
        [3, 7],
        [3, 8],
        [3, 9],
        [3, 10],
        [3, 11],
      ],
    ],
  ])("§5.3 figure 7: the leader brings follower %s to its own log", (_name, log) => {
    const leader = newNode(1, 3, { log: entries(...figure7), term: 8, commit: figure7.length });
    const follower = newNode(2, 3, { log: entries(...log), term: 7 });
    step(leader, makeMessage(MsgHup, { from: 1 }));
    const pass = (from: Raft, to: Raft): boolean => {
      const messages = sent(from).filter((m) => m.to === to.id);
      for (const m of messages) step(to, m);
      return messages.length > 0;
    };
    // Follower (d) or (f) may refuse its vote: the third server's makes the majority.
    sent(leader);
    receive(leader, MsgVoteResp, { from: 3, term: leader.term });
    propose(leader, "");
    while (pass(leader, follower) || pass(follower, leader));
    expect(logOf(follower)).toEqual(logOf(leader));
  });
});

describe("§5.4 safety", () => {
  test.each<[Entry[], number]>([
    [entries([1, 1]), 2],
    [entries([1, 1], [2, 2]), 3],
  ])("§5.4.1 a request for a vote tells the candidate's last term and index: %j", (log, term) => {
    const r = newNode(1, 3);
    receive(r, MsgApp, { term: term - 1, entries: log });
    sent(r);
    for (let i = 0; i < electionTick; i++) tick(r);
    const last = log[log.length - 1] as Entry;
    expect(sent(r)).toMatchObject(
      [2, 3].map((to) => ({ type: MsgVote, to, term, index: last.index, logTerm: last.term })),
    );
  });

  test.each<[Entry[], logTerm: number, index: number, rejected: boolean]>([
    [entries([1, 1]), 1, 1, false],
    [entries([1, 1]), 1, 2, false],
    [entries([1, 1], [1, 2]), 1, 1, true],
    [entries([1, 1]), 2, 1, false],
    [entries([1, 1]), 2, 2, false],
    [entries([1, 1], [1, 2]), 2, 1, false],
    [entries([2, 1]), 1, 1, true],
    [entries([2, 1]), 1, 2, true],
    [entries([2, 1], [1, 2]), 1, 1, true],
  ])(
    "§5.4.1 a voter with %j asked by a candidate whose log ends in (term %i, index %i): refused %s",
    (log, logTerm, index, rejected) => {
      const r = newNode(1, 2, { log });
      receive(r, MsgVote, { term: 3, logTerm, index });
      expect(sent(r)).toMatchObject([{ type: MsgVoteResp, reject: rejected }]);
    },
  );

  test.each<[index: number, commit: number]>([
    [1, 0],
    [2, 0],
    [3, 3],
  ])(
    "§5.4.2 figure 8: with entry %i on a majority the commit index is %i: only the leader's own term commits by counting",
    (index, commit) => {
      const r = newNode(1, 2, { log: entries([1, 1], [2, 2]), term: 2 });
      becomeCandidate(r);
      becomeLeader(r);
      sent(r);
      propose(r, "");
      receive(r, MsgAppResp, { term: r.term, index });
      expect(r.raftLog.committed).toBe(commit);
    },
  );
});
