// Changing roles: becomeFollower, becomeCandidate, becomePreCandidate, becomeLeader (paper figure 4).
//
// Each change, but for that to pre-candidate, resets the state of one role and one term: the vote if the term is new,
// the clocks, the votes received, the progress of the other nodes, the pending reads.
//
// Ports the functions of these names, and reset, of raft.go.

import { panic } from "./logger.ts";
import type { Raft } from "./raft.ts";
import { proposed } from "./raftpb/index.ts";
import { ReadOnly } from "./read-only.ts";
import { appendEntry } from "./replication.ts";
import { Inflights } from "./tracker/inflights.ts";
import { Progress } from "./tracker/progress.ts";
import { none } from "./types.ts";
import { hex } from "./util.ts";

export function reset(r: Raft, term: number): void {
  if (r.term !== term) {
    r.term = term;
    r.vote = none;
  }
  r.lead = none;
  r.electionElapsed = 0;
  r.heartbeatElapsed = 0;
  resetRandomizedElectionTimeout(r);
  abortLeaderTransfer(r);

  r.trk.resetVotes();
  const { maxInflight, maxInflightBytes } = r.trk;
  const last = r.raftLog.lastIndex();
  const progress = new Map<number, Progress>();
  r.trk.visit((id, pr) => {
    const match = id === r.id ? last : 0;
    progress.set(id, new Progress(match, last + 1, new Inflights(maxInflight, maxInflightBytes), pr.isLearner));
  });
  r.trk.setConfig(r.trk.config, progress);

  r.pendingConfIndex = 0;
  r.uncommittedSize = 0;
  r.readOnly = new ReadOnly(r.readOnly.option);
}

/** Follows `lead`, which is none if the leader of `term` is not known yet. */
export function becomeFollower(r: Raft, term: number, lead: number): void {
  reset(r, term);
  r.lead = lead;
  r.state = "StateFollower";
  r.logger.info?.(`${hex(r.id)} became follower at term ${r.term}`);
}

/** Starts a new term, and votes in it for itself. */
export function becomeCandidate(r: Raft): void {
  if (r.state === "StateLeader") panic(r.logger, "invalid transition [leader -> candidate]");
  reset(r, r.term + 1);
  r.vote = r.id;
  r.state = "StateCandidate";
  r.logger.info?.(`${hex(r.id)} became candidate at term ${r.term}`);
}

/** Asks before it campaigns. Term and vote stay, so that the asking disturbs no other node (thesis 9.6). */
export function becomePreCandidate(r: Raft): void {
  if (r.state === "StateLeader") panic(r.logger, "invalid transition [leader -> pre-candidate]");
  r.trk.resetVotes();
  r.lead = none;
  r.state = "StatePreCandidate";
  r.logger.info?.(`${hex(r.id)} became pre-candidate at term ${r.term}`);
}

/** Leads, and appends an empty entry: when that is committed, so are all entries before it (paper section 8). */
export function becomeLeader(r: Raft): void {
  if (r.state === "StateFollower") panic(r.logger, "invalid transition [follower -> leader]");
  reset(r, r.term);
  r.lead = r.id;
  r.state = "StateLeader";
  // A follower comes to replicate state once a probe has found how far its log matches. Of the leader's own log that is
  // known: reset() has set its match to the last index, and its acknowledgements (appendEntry) only move it on.
  const pr = r.trk.progress.get(r.id) as Progress;
  pr.becomeReplicate();
  // It counts itself among those that it has heard from; checkQuorum clears the flag of the others only.
  pr.recentActive = true;

  // The log may hold a configuration change that is not applied yet. To search for one could be costly, so no other is
  // admitted until the whole log as of now is applied.
  r.pendingConfIndex = r.raftLog.lastIndex();

  // An empty entry has payload size 0: no limit can refuse it.
  if (!appendEntry(r, [proposed(undefined)])) panic(r.logger, "empty entry was dropped");
  r.logger.info?.(`${hex(r.id)} became leader at term ${r.term}`);
}

export function resetRandomizedElectionTimeout(r: Raft): void {
  const { electionTick, random } = r.config;
  r.randomizedElectionTimeout = electionTick + random(electionTick);
}

export function abortLeaderTransfer(r: Raft): void {
  r.leadTransferee = none;
}
