// The rules of the Raft paper ("In Search of an Understandable Consensus Algorithm", extended version) for terms and
// elections, one test each, named by section. Those for the log are in raft-paper-log.test.ts.
//
// Counterpart of raft_paper_test.go: the same facts, told with this port's means. Nodes are driven below RawNode, by
// role and by message, so that each rule stands alone.

import { describe, expect, test } from "vitest";
import type { Raft } from "./raft.ts";
import { type Entry, MessageType, makeMessage } from "./raftpb/index.ts";
import { becomeCandidate, becomeFollower, becomeLeader } from "./role.ts";
import { step } from "./step.ts";
import { entriesFrom, lead, newNode, receive, type Setup, take } from "./testing.ts";
import { tick } from "./tick.ts";
import { none, type StateType } from "./types.ts";

const { MsgHup, MsgApp, MsgVote, MsgVoteResp, MsgHeartbeat } = MessageType;
const electionTick = 10;

/** Node `id` of the voters 1..size. */
const server = (id: number, size: number, setup: Setup = {}): Raft =>
  newNode(id, { voters: Array.from({ length: size }, (_, i) => i + 1), ...setup });

describe("§5.1 terms", () => {
  test.each<StateType>(["StateFollower", "StateCandidate", "StateLeader"])(
    "§5.1 a %s that sees a higher term adopts it and follows [TestFollowerUpdateTermFromMessage, TestCandidateUpdateTermFromMessage, TestLeaderUpdateTermFromMessage]",
    (role) => {
      const r = server(1, 3);
      becomeFollower(r, 1, 2);
      if (role !== "StateFollower") becomeCandidate(r);
      if (role === "StateLeader") becomeLeader(r);
      receive(r, MsgApp, { term: 5 });
      expect([r.term, r.state, r.lead]).toEqual([5, "StateFollower", 2]);
    },
  );

  test("§5.1 a message of an older term is ignored [TestRejectStaleTermMessage]", () => {
    const r = server(1, 3, { term: 4 });
    receive(r, MsgApp, { term: 3, entries: entriesFrom(1, 3), commit: 1 });
    expect([r.term, r.lead, r.raftLog.lastIndex()]).toEqual([4, none, 0]);
  });
});

describe("§5.2 elections", () => {
  test("§5.2 a server starts as a follower [TestStartAsFollower]", () => {
    expect(server(1, 3).state).toBe("StateFollower");
  });

  test("§5.2 a leader sends a heartbeat to all others each heartbeat interval [TestLeaderBcastBeat]", () => {
    const r = server(1, 3, { heartbeatTick: 2 });
    lead(r);
    take(r);
    tick(r);
    expect(take(r)).toEqual([]);
    tick(r);
    const beats = take(r);
    expect(beats.map((m) => [m.to, m.type, m.term])).toEqual([
      [2, MsgHeartbeat, 1],
      [3, MsgHeartbeat, 1],
    ]);
  });

  test.each<StateType>(["StateFollower", "StateCandidate"])(
    "§5.2 a %s whose election timeout passes begins a new term, votes for itself and asks all others [TestFollowerStartElection, TestCandidateStartNewElection]",
    (role) => {
      const r = server(1, 3);
      if (role === "StateFollower") becomeFollower(r, 1, 2);
      else becomeCandidate(r);
      for (let i = 0; i < electionTick; i++) tick(r);
      expect([r.state, r.term, r.vote]).toEqual(["StateCandidate", 2, 1]);
      const asked = take(r).filter((m) => m.term === r.term);
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
  ])(
    "§5.2 of %i servers, with its own vote and %j, a candidate becomes %s [TestLeaderElectionInOneRoundRPC]",
    (size, votes, state) => {
      const r = server(1, size);
      step(r, makeMessage(MsgHup, { from: 1 }));
      take(r);
      for (const [id, granted] of Object.entries(votes)) {
        receive(r, MsgVoteResp, { from: Number(id), term: r.term, reject: !granted });
      }
      expect([r.state, r.term]).toEqual([state, 1]);
    },
  );

  test.each<[vote: number, candidate: number, granted: boolean]>([
    [none, 2, true],
    [none, 3, true],
    [2, 2, true],
    [3, 3, true],
    [2, 3, false],
    [3, 2, false],
  ])(
    "§5.2 a server that voted for %i and is asked by %i: granted %s, at most one vote a term [TestFollowerVote]",
    (vote, from, granted) => {
      const r = server(1, 3, { term: 1 });
      r.vote = vote;
      receive(r, MsgVote, { from, term: 1 });
      expect(take(r).map((m) => [m.to, m.type, m.term, m.reject])).toEqual([[from, MsgVoteResp, 1, !granted]]);
    },
  );

  test.each([1, 2])(
    "§5.2 a candidate of term 1 that hears a leader of term %i follows it [TestCandidateFallback]",
    (term) => {
      const r = server(1, 3);
      step(r, makeMessage(MsgHup, { from: 1 }));
      receive(r, MsgApp, { from: 3, term });
      expect([r.state, r.term, r.lead]).toEqual(["StateFollower", term, 3]);
    },
  );

  test.each<StateType>(["StateFollower", "StateCandidate"])(
    "§5.2 the election timeout of a %s is drawn anew from [timeout, 2 timeout) each time [TestFollowerElectionTimeoutRandomized, TestCandidateElectionTimeoutRandomized]",
    (role) => {
      const seen = new Set<number>();
      let seed = 1;
      const random = (n: number): number => {
        seed = (seed * 48271) % 0x7fffffff;
        return seed % n;
      };
      const r = server(1, 3, { random });
      for (let round = 0; round < 50 * electionTick; round++) {
        if (role === "StateFollower") becomeFollower(r, r.term + 1, 2);
        else becomeCandidate(r);
        take(r);
        let ticks = 0;
        for (; take(r).length === 0; ticks++) tick(r);
        seen.add(ticks);
      }
      expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: electionTick }, (_, i) => electionTick + i));
    },
  );

  test.each<StateType>(["StateFollower", "StateCandidate"])(
    "§5.2 of five servers that are %s, seldom more than one times out first [TestFollowersElectionTimeoutNonconflict, TestCandidatesElectionTimeoutNonconflict]",
    (role) => {
      let seed = 7;
      const random = (n: number): number => {
        seed = (seed * 48271) % 0x7fffffff;
        return seed % n;
      };
      const nodes = [1, 2, 3, 4, 5].map((id) => server(id, 5, { random }));
      let conflicts = 0;
      for (let round = 0; round < 1000; round++) {
        for (const r of nodes) {
          if (role === "StateFollower") becomeFollower(r, r.term + 1, none);
          else becomeCandidate(r);
          take(r);
        }
        let fired = 0;
        while (fired === 0) {
          for (const r of nodes) {
            tick(r);
            if (take(r).length > 0) fired++;
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

describe("§5.4 safety", () => {
  test.each<[Entry[], number]>([
    [entriesFrom(1, 1), 2],
    [entriesFrom(1, 1, 2), 3],
  ])("§5.4.1 a request for a vote tells the candidate's last term and index: %j [TestVoteRequest]", (log, term) => {
    const r = server(1, 3);
    receive(r, MsgApp, { term: term - 1, entries: log });
    take(r);
    for (let i = 0; i < electionTick; i++) tick(r);
    const last = log[log.length - 1] as Entry;
    expect(take(r)).toMatchObject(
      [2, 3].map((to) => ({ type: MsgVote, to, term, index: last.index, logTerm: last.term })),
    );
  });

  test.each<[Entry[], logTerm: number, index: number, rejected: boolean]>([
    [entriesFrom(1, 1), 1, 1, false],
    [entriesFrom(1, 1), 1, 2, false],
    [entriesFrom(1, 1, 1), 1, 1, true],
    [entriesFrom(1, 1), 2, 1, false],
    [entriesFrom(1, 1), 2, 2, false],
    [entriesFrom(1, 1, 1), 2, 1, false],
    [entriesFrom(1, 2), 1, 1, true],
    [entriesFrom(1, 2), 1, 2, true],
    [entriesFrom(1, 2, 1), 1, 1, true],
  ])(
    "§5.4.1 a voter with %j asked by a candidate whose log ends in (term %i, index %i): refused %s [TestVoter]",
    (log, logTerm, index, rejected) => {
      const r = server(1, 2, { log });
      receive(r, MsgVote, { term: 3, logTerm, index });
      expect(take(r)).toMatchObject([{ type: MsgVoteResp, reject: rejected }]);
    },
  );
});
