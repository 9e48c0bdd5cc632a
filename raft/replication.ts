// A leader's work: appending to its own log, sending the log to the others, committing what a quorum has, and
// heartbeats (paper 5.3, 5.4).
//
// Ports appendEntry, sendAppend, maybeSendAppend, maybeSendSnapshot, sendHeartbeat, bcast*, maybeCommit and the
// uncommitted-size accounting of raft.go.

import { errSnapshotTemporarilyUnavailable, RaftError } from "./errors.ts";
import { panic } from "./logger.ts";
import type { Raft } from "./raft.ts";
import { type Entry, emptyEntries, MessageType, makeEntry } from "./raftpb/index.ts";
import type { Progress } from "./tracker/progress.ts";
import { isEmptySnap } from "./types.ts";
import { hex, payloadsSize } from "./util.ts";

/**
 * Appends to the leader's own log, giving term and index. False if that would exceed the limit on the uncommitted tail.
 *
 * The leader acknowledges its own entries as a follower does: by a message, which is delivered once they are durable
 * here.
 */
export function appendEntry(r: Raft, entries: readonly Entry[]): boolean {
  if (!increaseUncommittedSize(r, entries)) {
    r.logger.warning?.(
      `${hex(r.id)} appending new entries to log would exceed uncommitted entry size limit; dropping proposal`,
    );
    return false;
  }
  const next = r.raftLog.lastIndex() + 1;
  const index = r.raftLog.append(entries.map((e, i) => makeEntry(e.type, r.term, next + i, e.data)));
  r.send({ type: MessageType.MsgAppResp, to: r.id, index });
  return true;
}

/**
 * Adds proposed entries to the uncommitted size. An empty tail admits a proposal of any size, and an empty payload
 * always passes.
 */
function increaseUncommittedSize(r: Raft, entries: readonly Entry[]): boolean {
  const size = payloadsSize(entries);
  if (r.uncommittedSize > 0 && size > 0 && r.uncommittedSize + size > r.config.maxUncommittedEntriesSize) return false;
  r.uncommittedSize += size;
  return true;
}

/** Subtracts applied entries. Another leader may have appended them, so the size stops at 0. */
export function reduceUncommittedSize(r: Raft, entries: readonly Entry[]): void {
  r.uncommittedSize = Math.max(0, r.uncommittedSize - payloadsSize(entries));
}

/**
 * Sends what the node needs next, even if that is nothing but the commit index. Nothing if it is paused, as in snapshot
 * state.
 */
export function sendAppend(r: Raft, to: number): void {
  maybeSendAppend(r, to, "sendIfEmpty");
}

/** Sends appends until the node's window is full or it has been sent all entries. */
export function sendEntries(r: Raft, to: number): void {
  let sent = true;
  while (sent) sent = maybeSendAppend(r, to, "skipIfEmpty");
}

/**
 * Sends an append, or a snapshot where the log does not reach back far enough. Returns whether anything was sent. An
 * append without entries tells the commit index, or probes; one of several in a row has no use for it.
 */
export function maybeSendAppend(r: Raft, to: number, ifEmpty: "sendIfEmpty" | "skipIfEmpty"): boolean {
  const pr = r.trk.progress.get(to) as Progress;
  if (pr.isPaused()) return false;
  const { raftLog } = r;

  const prevIndex = pr.next - 1;
  const prevTerm = raftLog.term(prevIndex);
  if (typeof prevTerm !== "number") return maybeSendSnapshot(r, to, pr);

  // With a full window only an empty append is sent: if all messages in flight were lost, its answer reopens the
  // window.
  const windowFull = pr.state === "StateReplicate" && pr.inflights.full();
  const entries = windowFull ? emptyEntries : raftLog.entries(pr.next, r.config.maxSizePerMsg);
  if (entries instanceof RaftError) return ifEmpty === "sendIfEmpty" && maybeSendSnapshot(r, to, pr);
  if (entries.length === 0 && ifEmpty === "skipIfEmpty") return false;

  r.send({
    type: MessageType.MsgApp,
    to,
    index: prevIndex,
    logTerm: prevTerm,
    entries,
    commit: raftLog.committed,
  });
  pr.sentEntries(entries.length, payloadsSize(entries));
  pr.sentCommit = raftLog.committed;
  return true;
}

/** Sends the newest snapshot, unless the node was silent lately or the storage has none at the moment. */
function maybeSendSnapshot(r: Raft, to: number, pr: Progress): boolean {
  if (!pr.recentActive) {
    r.logger.debug?.(`ignore sending snapshot to ${hex(to)} since it is not recently active`);
    return false;
  }
  const snapshot = r.raftLog.snapshot();
  if (snapshot instanceof RaftError) {
    if (snapshot !== errSnapshotTemporarilyUnavailable) panic(r.logger, snapshot.message);
    r.logger.debug?.(`${hex(r.id)} failed to send snapshot to ${hex(to)} because snapshot is temporarily unavailable`);
    return false;
  }
  if (isEmptySnap(snapshot)) panic(r.logger, "need non-empty snapshot");
  const { index, term } = snapshot.metadata;
  r.logger.debug?.(
    `${hex(r.id)} [firstindex: ${r.raftLog.firstIndex()}, commit: ${r.raftLog.committed}] ` +
      `sent snapshot[index: ${index}, term: ${term}] to ${hex(to)} [${pr}]`,
  );
  pr.becomeSnapshot(index);
  r.logger.debug?.(`${hex(r.id)} paused sending replication messages to ${hex(to)} [${pr}]`);
  r.send({ type: MessageType.MsgSnap, to, snapshot });
  return true;
}

export function bcastAppend(r: Raft): void {
  r.trk.visit((id) => {
    if (id !== r.id) sendAppend(r, id);
  });
}

/** A heartbeat's commit index is at most the node's match: beyond that its log may still differ. */
function sendHeartbeat(r: Raft, to: number, context: Uint8Array | undefined): void {
  const pr = r.trk.progress.get(to) as Progress;
  const commit = Math.min(pr.match, r.raftLog.committed);
  r.send({ type: MessageType.MsgHeartbeat, to, commit, context });
  pr.sentCommit = commit;
}

/** Heartbeats to all, which also carry the newest read that waits for confirmation. */
export function bcastHeartbeat(r: Raft): void {
  const context = r.readOnly.heartbeatCtx();
  r.trk.visit((id) => {
    if (id !== r.id) sendHeartbeat(r, id, context);
  });
}

/**
 * Commits what a quorum has acknowledged, if it is of this term (paper figure 8). Returns whether the commit index
 * rose.
 */
export function maybeCommit(r: Raft): boolean {
  return r.raftLog.maybeCommit({ term: r.term, index: r.trk.committed() });
}

export function sendTimeoutNow(r: Raft, to: number): void {
  r.send({ type: MessageType.MsgTimeoutNow, to });
}
