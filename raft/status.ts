// A look at a node from outside.
//
// Ports status.go. The configuration is the live, immutable one, so that its autoLeave flag shows, which Go's clone drops.

import type { Raft } from "./raft.ts";
import type { Progress } from "./tracker/progress.ts";
import type { Config } from "./tracker/tracker.ts";
import type { StateType } from "./types.ts";

/** What can be told without copying. */
export interface BasicStatus {
  readonly id: number;
  readonly term: number;
  readonly vote: number;
  readonly commit: number;
  readonly lead: number;
  readonly raftState: StateType;
  readonly applied: number;
  readonly leadTransferee: number;
}

export interface Status extends BasicStatus {
  readonly config: Config;
  /** Copies, on a leader; empty on others. */
  readonly progress: ReadonlyMap<number, Progress>;
}

export function getBasicStatus(r: Raft): BasicStatus {
  return {
    id: r.id,
    term: r.term,
    vote: r.vote,
    commit: r.raftLog.committed,
    lead: r.lead,
    raftState: r.state,
    applied: r.raftLog.applied,
    leadTransferee: r.leadTransferee,
  };
}

export function getStatus(r: Raft): Status {
  const progress = new Map<number, Progress>();
  if (r.state === "StateLeader") r.trk.visit((id, pr) => progress.set(id, pr.clone(pr.inflights.clone())));
  return { ...getBasicStatus(r), config: r.trk.config, progress };
}

/** The status as the JSON that etcd prints: ids in hexadecimal. */
export function statusToJson(s: Status): string {
  const progress: Record<string, unknown> = {};
  for (const [id, { match, next, state }] of s.progress) progress[id.toString(16)] = { match, next, state };
  return JSON.stringify({
    id: s.id.toString(16),
    term: s.term,
    vote: s.vote.toString(16),
    commit: s.commit,
    lead: s.lead.toString(16),
    raftState: s.raftState,
    applied: s.applied,
    progress,
    leadtransferee: s.leadTransferee.toString(16),
  });
}
