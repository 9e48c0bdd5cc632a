// What a follower does with a leader's appends, heartbeats and snapshots (paper 5.3 and section 7).
//
// Ports handleAppendEntries, handleHeartbeat, handleSnapshot and restore of raft.go.

import { restoreConfig } from "./apply-conf-change.ts";
import type { Raft } from "./raft.ts";
import { type ConfState, type Message, MessageType, makeSnapshot, type Snapshot } from "./raftpb/index.ts";
import { becomeFollower } from "./role.ts";
import { none } from "./types.ts";
import { hex } from "./util.ts";

const { MsgAppResp, MsgHeartbeatResp } = MessageType;

/** Appends if the logs match before the new entries; otherwise the answer says where they may match. */
export function handleAppendEntries(r: Raft, m: Message): void {
  const { raftLog } = r;
  if (m.index < raftLog.committed) {
    // An append of what is committed here already, and so equal to it. The answer says how far the logs are known to
    // match.
    r.send({ type: MsgAppResp, to: m.from, index: raftLog.committed });
    return;
  }
  const slice = { term: m.term, prev: { term: m.logTerm, index: m.index }, entries: m.entries };
  const lastNew = raftLog.maybeAppend(slice, m.commit);
  if (lastNew !== undefined) {
    r.send({ type: MsgAppResp, to: m.from, index: lastNew });
    return;
  }
  const ours = raftLog.zeroTermOnOutOfBounds(raftLog.term(m.index));
  r.logger.debug?.(
    `${hex(r.id)} [logterm: ${ours}, index: ${m.index}] rejected MsgApp [logterm: ${m.logTerm}, index: ${m.index}] from ${hex(m.from)}`,
  );
  // The hint skips the entries here whose term is above that of the leader's entry: the leader has none of them before
  // it.
  const hint = raftLog.findConflictByTerm({ term: m.logTerm, index: Math.min(m.index, raftLog.lastIndex()) });
  r.send({
    type: MsgAppResp,
    to: m.from,
    index: m.index,
    reject: true,
    rejectHint: hint.index,
    logTerm: hint.term,
  });
}

export function handleHeartbeat(r: Raft, m: Message): void {
  r.raftLog.commitTo(m.commit);
  r.send({ type: MsgHeartbeatResp, to: m.from, context: m.context });
}

export function handleSnapshot(r: Raft, m: Message): void {
  const snapshot = m.snapshot ?? makeSnapshot(0, 0);
  const { index, term } = snapshot.metadata;
  const restored = restore(r, snapshot);
  r.logger.info?.(
    `${hex(r.id)} [commit: ${r.raftLog.committed}] ${restored ? "restored" : "ignored"} snapshot [index: ${index}, term: ${term}]`,
  );
  r.send({ type: MsgAppResp, to: m.from, index: restored ? r.raftLog.lastIndex() : r.raftLog.committed });
}

/**
 * Replaces log and configuration by the snapshot's. False for a snapshot that is old, not for this node, or in the log
 * already.
 */
export function restore(r: Raft, snapshot: Snapshot): boolean {
  const { index, term, confState } = snapshot.metadata;
  const { raftLog } = r;
  if (index <= raftLog.committed) return false;
  if (r.state !== "StateFollower") {
    // Only a follower gets here. A leader that restored a snapshot could reach a new term without having been a
    // follower.
    r.logger.warning?.(`${hex(r.id)} attempted to restore snapshot as leader; should never happen`);
    becomeFollower(r, r.term + 1, none);
    return false;
  }
  // A staged learner is an outgoing voter as well, so learnersNext need not be searched.
  if (![confState.voters, confState.learners, confState.votersOutgoing].some((ids) => ids.includes(r.id))) {
    r.logger.warning?.(
      `${hex(r.id)} attempted to restore snapshot but it is not in the ConfState ${confStateText(confState)}; should never happen`,
    );
    return false;
  }

  const last = raftLog.lastEntryId();
  if (raftLog.matchTerm({ term, index })) {
    r.logger.info?.(
      `${hex(r.id)} [commit: ${raftLog.committed}, lastindex: ${last.index}, lastterm: ${last.term}] fast-forwarded commit to snapshot [index: ${index}, term: ${term}]`,
    );
    raftLog.commitTo(index);
    return false;
  }

  raftLog.restore(snapshot);
  restoreConfig(r, confState);
  const now = raftLog.lastEntryId();
  r.logger.info?.(
    `${hex(r.id)} [commit: ${raftLog.committed}, lastindex: ${now.index}, lastterm: ${now.term}] restored snapshot [index: ${index}, term: ${term}]`,
  );
  return true;
}

/** A ConfState in protobuf's text form, as Go prints it. */
function confStateText(cs: ConfState): string {
  const fields: [string, readonly number[]][] = [
    ["voters", cs.voters],
    ["learners", cs.learners],
    ["voters_outgoing", cs.votersOutgoing],
    ["learners_next", cs.learnersNext],
  ];
  return [...fields.flatMap(([name, ids]) => ids.map((id) => `${name}:${id}`)), `auto_leave:${cs.autoLeave}`].join(" ");
}
