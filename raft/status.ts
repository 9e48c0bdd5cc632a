// A node seen from outside: NodeView, the reading half of RawNode, and the statuses that etcd's users know.
//
// Promises: nothing here changes the node, and every accessor but confState, status and basicStatus answers without
// allocating, so that the application loop may ask on the road of each write. An answer is of this moment: it is not
// kept over a call that drives the node.
//
// Ports status.go and the reading methods of rawnode.go. Where etcd's Status names a field, the accessor has that name;
// the others have the name of what they ask in raft.go and log.go. The configuration is the live, immutable one, so
// that its autoLeave flag shows, which Go's clone drops.

import { nextConfiguration } from "./apply-conf-change.ts";
import type { ConfChangeError, Configuration } from "./confchange/confchange.ts";
import type { Raft } from "./raft.ts";
import { type AnyConfChange, asV2, type ConfState } from "./raftpb/index.ts";
import type { Progress } from "./tracker/progress.ts";
import type { Config } from "./tracker/tracker.ts";
import type { EntryId, StateType } from "./types.ts";

/** The status of a node without its configuration and its view of the others. */
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

export class NodeView {
  /** The state itself, for tests and simulators, which also write to it. An application asks the accessors. */
  readonly raft: Raft;

  constructor(raft: Raft) {
    this.raft = raft;
  }

  get id(): number {
    return this.raft.id;
  }

  get term(): number {
    return this.raft.term;
  }

  get raftState(): StateType {
    return this.raft.state;
  }

  /** The leader of this term, 0 if none is known. */
  get lead(): number {
    return this.raft.lead;
  }

  hasLeader(): boolean {
    return this.raft.hasLeader();
  }

  /** The target of a leadership transfer under way, 0 if there is none. */
  get leadTransferee(): number {
    return this.raft.leadTransferee;
  }

  get commit(): number {
    return this.raft.raftLog.committed;
  }

  get applied(): number {
    return this.raft.raftLog.applied;
  }

  lastIndex(): number {
    return this.raft.raftLog.lastIndex();
  }

  /** Whether the log holds this entry. */
  matchTerm(id: EntryId): boolean {
    return this.raft.raftLog.matchTerm(id);
  }

  /**
   * Whether a snapshot of the leader's waits to be restored: until then configuration and applied state are of
   * different times.
   */
  hasNextOrInProgressSnapshot(): boolean {
    return this.raft.raftLog.hasNextOrInProgressSnapshot();
  }

  /** The active configuration. It is replaced, never changed, and so may be kept. */
  get config(): Config {
    return this.raft.trk.config;
  }

  /** The active configuration as a snapshot carries it; a copy. */
  confState(): ConfState {
    return this.raft.trk.confState();
  }

  /** Whether there is one voter in all. */
  isSingleton(): boolean {
    return this.raft.trk.isSingleton();
  }

  /**
   * On a leader, how far the node's log is known to equal its own; undefined of a node outside of the configuration.
   */
  match(id: number): number | undefined {
    return this.raft.trk.progress.get(id)?.match;
  }

  /**
   * Whether the log may hold a configuration change that is not applied: a leader puts an empty entry in place of
   * another one now.
   */
  hasPendingConfChange(): boolean {
    return this.raft.pendingConfIndex > this.raft.raftLog.applied;
  }

  /** What applyConfChange would make of the change, tried on a copy. */
  tryConfChange(cc: AnyConfChange): Configuration | ConfChangeError {
    return nextConfiguration(this.raft, asV2(cc));
  }

  /**
   * The position of the newest read that this leader has asked its followers to confirm (read-only.ts): none can
   * confirm more.
   */
  lastReadPosition(): number {
    return this.raft.readOnly.lastPosition();
  }

  /** How many reads wait until this new leader has committed an entry of its term. */
  get pendingReads(): number {
    return this.raft.pendingReadIndexMessages.length;
  }

  basicStatus(): BasicStatus {
    const { id, term, commit, lead, raftState, applied, leadTransferee } = this;
    return { id, term, vote: this.raft.vote, commit, lead, raftState, applied, leadTransferee };
  }

  /** With copies of the progress: what it shows does not change any more. */
  status(): Status {
    const progress = new Map<number, Progress>();
    if (this.raftState === "StateLeader") {
      this.raft.trk.visit((id, pr) => progress.set(id, pr.clone(pr.inflights.clone())));
    }
    return { ...this.basicStatus(), config: this.config, progress };
  }

  /**
   * Shows each node's progress, as this leader sees it, in ascending order of id, without copying: it must not be kept.
   */
  withProgress(visitor: (id: number, type: "peer" | "learner", pr: Readonly<Progress>) => void): void {
    this.raft.trk.visit((id, pr) => visitor(id, pr.isLearner ? "learner" : "peer", pr));
  }
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
