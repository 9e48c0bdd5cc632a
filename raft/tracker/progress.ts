// What a leader knows about one follower, and how fast it may send to it.
//
//                 an append is acknowledged
//        probe  ------------------------------>  replicate
//      ^   ^    <------------------------------      |
//      |   |      rejected, or unreachable           |  the entries it needs are compacted
//      |   +------------------------------------- snapshot
//      |            reported, or caught up           ^
//      +---------------------------------------------+
//
// probe: the leader does not know where the logs match, and sends one append per heartbeat interval. replicate: appends
// stream, and `next` runs ahead of their answers, within the window of inflights. snapshot: a snapshot is on its way,
// and nothing else is sent.
//
// Invariant: match < next. Ports tracker/progress.go and state.go.

import type { Inflights } from "./inflights.ts";

export type ProgressStateType = "StateProbe" | "StateReplicate" | "StateSnapshot";

export class Progress {
  /** The log is known to equal the leader's up to here. */
  match: number;
  /** The next entry to send; what lies between match and next is in flight. In snapshot state: pendingSnapshot + 1. */
  next: number;
  /** The highest commit index in flight to the follower: spares a message that would bring it no news. */
  sentCommit = 0;
  state: ProgressStateType = "StateProbe";
  /**
   * In snapshot state, the index of the snapshot that the MsgSnap named; else 0. Two things end that state:
   *
   * - An acknowledgement that connects the follower to the leader's log again. It is not compared with this index: an
   *   application may take the snapshot from elsewhere than this leader, at an index that is ahead of the one asked
   *   for, or behind it.
   * - The application's report on the sending (reportSnapshot). After a success, probing starts behind this index,
   *   after a failure behind match. Normally the acknowledgement comes first. If it is lost, the report keeps the
   *   follower from waiting for ever.
   */
  pendingSnapshot = 0;
  /** Whether the follower was heard since the last check of the quorum. Always true of the leader itself. */
  recentActive: boolean;
  /**
   * Paused until the append in flight, or a heartbeat, is answered: while probing, and when the window is full. An
   * append must still go now and then, or a follower whose messages were all lost would never be heard of again; one a
   * heartbeat does not flood it.
   */
  msgAppFlowPaused = false;
  readonly inflights: Inflights;
  isLearner: boolean;

  constructor(match: number, next: number, inflights: Inflights, isLearner: boolean, recentActive = false) {
    this.match = match;
    this.next = next;
    this.inflights = inflights;
    this.isLearner = isLearner;
    this.recentActive = recentActive;
  }

  /** A copy that shares the inflights unless others are given. */
  clone(inflights: Inflights = this.inflights): Progress {
    const copy = new Progress(this.match, this.next, inflights, this.isLearner, this.recentActive);
    copy.sentCommit = this.sentCommit;
    copy.state = this.state;
    copy.pendingSnapshot = this.pendingSnapshot;
    copy.msgAppFlowPaused = this.msgAppFlowPaused;
    return copy;
  }

  resetState(state: ProgressStateType): void {
    this.msgAppFlowPaused = false;
    this.pendingSnapshot = 0;
    this.state = state;
    this.inflights.reset();
  }

  /** Probes from match + 1, or from behind the pending snapshot if that is further. */
  becomeProbe(): void {
    const pending = this.state === "StateSnapshot" ? this.pendingSnapshot : 0;
    this.resetState("StateProbe");
    this.next = Math.max(this.match + 1, pending + 1);
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
  }

  becomeReplicate(): void {
    this.resetState("StateReplicate");
    this.next = this.match + 1;
  }

  becomeSnapshot(snapshotIndex: number): void {
    this.resetState("StateSnapshot");
    this.pendingSnapshot = snapshotIndex;
    this.next = snapshotIndex + 1;
    this.sentCommit = snapshotIndex;
  }

  /** Records an append of this many entries, from `next` on, and payload bytes. Not in snapshot state. */
  sentEntries(entries: number, bytes: number): void {
    switch (this.state) {
      case "StateReplicate":
        if (entries > 0) {
          this.next += entries;
          this.inflights.add(this.next - 1, bytes);
        }
        // A message that fills the window, or an empty one that is sent in spite of a full window, is a probe: its
        // answer is awaited.
        this.msgAppFlowPaused = this.inflights.full();
        break;
      case "StateProbe":
        if (entries > 0) this.msgAppFlowPaused = true;
        break;
      default:
        throw new Error(`sending append in unhandled state ${this.state}`);
    }
  }

  /** Whether this commit index can raise the follower's: not if one that reaches next - 1 is already on its way. */
  canBumpCommit(index: number): boolean {
    return index > this.sentCommit && this.sentCommit < this.next - 1;
  }

  /** An acknowledgement up to `n`. False if it is stale. */
  maybeUpdate(n: number): boolean {
    if (n <= this.match) return false;
    this.match = n;
    this.next = Math.max(this.next, n + 1);
    this.msgAppFlowPaused = false;
    return true;
  }

  /**
   * A rejection of the append at `rejected`, with the follower's hint where the logs may match. False if it is stale:
   * of a position already matched, or not the one being probed.
   */
  maybeDecrTo(rejected: number, matchHint: number): boolean {
    if (this.state === "StateReplicate") {
      if (rejected <= this.match) return false;
      this.next = this.match + 1;
      this.sentCommit = Math.min(this.sentCommit, this.next - 1);
      return true;
    }
    // A probed follower has one append in flight at a time, so a rejection of any other is stale.
    if (this.next - 1 !== rejected) return false;
    this.next = Math.max(Math.min(rejected, matchHint + 1), this.match + 1);
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
    this.msgAppFlowPaused = false;
    return true;
  }

  /** Whether nothing with entries may be sent now. */
  isPaused(): boolean {
    return this.state === "StateSnapshot" || this.msgAppFlowPaused;
  }

  toString(): string {
    let text = `${this.state} match=${this.match} next=${this.next}`;
    if (this.isLearner) text += " learner";
    if (this.isPaused()) text += " paused";
    if (this.pendingSnapshot > 0) text += ` pendingSnap=${this.pendingSnapshot}`;
    if (!this.recentActive) text += " inactive";
    const inflight = this.inflights.count();
    if (inflight > 0) text += ` inflight=${inflight}${this.inflights.full() ? "[full]" : ""}`;
    return text;
  }
}

export type ProgressMap = ReadonlyMap<number, Progress>;

/** One progress a line, in ascending order of id. */
export function progressMapString(map: ProgressMap): string {
  return [...map.keys()]
    .sort((a, b) => a - b)
    .map((id) => `${id}: ${map.get(id)}\n`)
    .join("");
}
