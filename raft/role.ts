// Changing roles: becomeFollower, becomeCandidate, becomePreCandidate, becomeLeader (paper figure 4).
//
// Each change but that to pre-candidate resets what belongs to one role and one term: the vote if the term is new, clocks, votes
// received, what is known of the others' logs, pending reads.
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

/** Follower of `lead`, or of nobody yet, at `term`. */
export function becomeFollower(r: Raft, term: number, lead: number): void {
  reset(r, term);
  r.lead = lead;
  r.state = "StateFollower";
  r.logger.info?.(`${hex(r.id)} became follower at term ${r.term}`);
}

/** A new term, and this node's vote in it for itself. */
export function becomeCandidate(r: Raft): void {
  if (r.state === "StateLeader") panic(r.logger, "invalid transition [leader -> candidate]");
  reset(r, r.term + 1);
  r.vote = r.id;
  r.state = "StateCandidate";
  r.logger.info?.(`${hex(r.id)} became candidate at term ${r.term}`);
}

/** Asks before it campaigns: term and vote stay as they are, so that asking disturbs nobody (thesis 9.6). */
export function becomePreCandidate(r: Raft): void {
  if (r.state === "StateLeader") panic(r.logger, "invalid transition [leader -> pre-candidate]");
  r.trk.resetVotes();
  r.lead = none;
  r.state = "StatePreCandidate";
  r.logger.info?.(`${hex(r.id)} became pre-candidate at term ${r.term}`);
}

/** Leads, and appends an empty entry: once that is committed, so is all before it (paper section 8). */
export function becomeLeader(r: Raft): void {
  if (r.state === "StateFollower") panic(r.logger, "invalid transition [follower -> leader]");
  reset(r, r.term);
  r.lead = r.id;
  r.state = "StateLeader";
  // A follower comes to replicate state once a probe has found how far its log matches. Of the leader's own log that is known: reset()
  // has set its match to the last index, and its acknowledgements (appendEntry) only move it on.
  const pr = r.trk.progress.get(r.id) as Progress;
  pr.becomeReplicate();
  // It counts itself among those that it has heard from; checkQuorum clears the flag of the others only.
  pr.recentActive = true;

  // The log may hold a configuration change that is not applied yet. Rather than search for one, let no other in until all that
  // is in the log now is applied.
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
