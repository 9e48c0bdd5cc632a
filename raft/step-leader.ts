// A leader's part of Step: proposals, each node's progress, reads, and leadership transfers.
//
// Ports stepLeader of raft.go.

import { describeConfChange } from "./describe.ts";
import { errProposalDropped, type RaftError } from "./errors.ts";
import { panic } from "./logger.ts";
import type { Raft } from "./raft.ts";
import {
  type AnyConfChange,
  asV2,
  confChangeOf,
  type Entry,
  EntryType,
  type Message,
  MessageType,
  proposed,
} from "./raftpb/index.ts";
import { releasePendingReadIndexMessages, respondToReadIndexReq, sendMsgReadIndexResponse } from "./read-index.ts";
import {
  appendEntry,
  bcastAppend,
  bcastHeartbeat,
  maybeCommit,
  sendAppend,
  sendEntries,
  sendTimeoutNow,
} from "./replication.ts";
import { abortLeaderTransfer, becomeFollower } from "./role.ts";
import type { Progress } from "./tracker/progress.ts";
import { none } from "./types.ts";
import { hex } from "./util.ts";

export function stepLeader(r: Raft, m: Message): RaftError | undefined {
  switch (m.type) {
    case MessageType.MsgBeat:
      bcastHeartbeat(r);
      return undefined;
    case MessageType.MsgCheckQuorum:
      checkQuorum(r);
      return undefined;
    case MessageType.MsgProp:
      return handleProposal(r, m);
    case MessageType.MsgReadIndex:
      handleReadIndex(r, m);
      return undefined;
    case MessageType.MsgForgetLeader:
      return undefined;
    default:
      break;
  }

  // All other types need the sender's Progress.
  const pr = r.trk.progress.get(m.from);
  if (pr === undefined) {
    r.logger.debug?.(`${hex(r.id)} no progress available for ${hex(m.from)}`);
    return undefined;
  }
  switch (m.type) {
    case MessageType.MsgAppResp:
      pr.recentActive = true;
      if (m.reject) handleAppendRejected(r, m, pr);
      else handleAppendAccepted(r, m, pr);
      break;
    case MessageType.MsgHeartbeatResp:
      handleHeartbeatResp(r, m, pr);
      break;
    case MessageType.MsgSnapStatus:
      handleSnapStatus(r, m, pr);
      break;
    case MessageType.MsgUnreachable:
      // The appends in flight are probably lost.
      if (pr.state === "StateReplicate") pr.becomeProbe();
      r.logger.debug?.(`${hex(r.id)} failed to send message to ${hex(m.from)} because it is unreachable [${pr}]`);
      break;
    case MessageType.MsgTransferLeader:
      handleTransferLeader(r, m, pr);
      break;
    default:
      break;
  }
  return undefined;
}

function checkQuorum(r: Raft): void {
  if (!r.trk.quorumActive()) {
    r.logger.warning?.(`${hex(r.id)} stepped down to follower since quorum is not active`);
    becomeFollower(r, r.term, none);
  }
  r.trk.visit((id, pr) => {
    if (id !== r.id) pr.recentActive = false;
  });
}

function handleProposal(r: Raft, m: Message): RaftError | undefined {
  if (m.entries.length === 0) panic(r.logger, `${hex(r.id)} stepped empty MsgProp`);
  // A leader that is removed from the configuration accepts no proposals.
  if (!r.trk.progress.has(r.id)) return errProposalDropped;
  if (r.leadTransferee !== none) {
    r.logger.debug?.(
      `${hex(r.id)} [term ${r.term}] transfer leadership to ${hex(r.leadTransferee)} is in progress; dropping proposal`,
    );
    return errProposalDropped;
  }
  const entries = m.entries.map((e, i) => admitConfChange(r, e, i));
  if (!appendEntry(r, entries)) return errProposalDropped;
  bcastAppend(r);
  return undefined;
}

/**
 * The entry to append in place of a proposed one: the same, unless it is a configuration change that comes while
 * another may be pending, or that does not fit the active configuration. An empty entry replaces such a change. These
 * checks see the applied configuration only; the change is judged again when it is applied.
 */
function admitConfChange(r: Raft, e: Entry, position: number): Entry {
  const cc = confChangeOf(e);
  if (cc === undefined) return e;
  const failedCheck = checkConfChange(r, cc);
  if (failedCheck !== undefined && !r.config.disableConfChangeValidation) {
    r.logger.info?.(
      `${hex(r.id)} ignoring conf change ${describeConfChange(cc)} at config ${r.trk.config}: ${failedCheck}`,
    );
    return proposed(undefined, EntryType.EntryNormal);
  }
  r.pendingConfIndex = r.raftLog.lastIndex() + position + 1;
  return e;
}

function checkConfChange(r: Raft, cc: AnyConfChange): string | undefined {
  const alreadyJoint = r.trk.config.voters.isJoint();
  const wantsLeaveJoint = asV2(cc).changes.length === 0;
  if (r.pendingConfIndex > r.raftLog.applied) {
    return `possible unapplied conf change at index ${r.pendingConfIndex} (applied to ${r.raftLog.applied})`;
  }
  if (alreadyJoint && !wantsLeaveJoint) return "must transition out of joint config first";
  if (!alreadyJoint && wantsLeaveJoint) return "not in joint state; refusing empty conf change";
  return undefined;
}

function handleReadIndex(r: Raft, m: Message): void {
  // A single voter is its own quorum. The check of the term comes second, as in etcd: after a power loss the commit
  // index may be too low, so an application asks a single voter only once it has applied an entry of its own term
  // (etcd-io/raft#105).
  if (r.trk.isSingleton()) {
    respondToReadIndexReq(r, m, r.raftLog.committed);
    return;
  }
  if (!r.committedEntryInCurrentTerm()) {
    r.pendingReadIndexMessages.push(m);
    return;
  }
  sendMsgReadIndexResponse(r, m);
}

/**
 * The follower does not hold the entry before the appended ones. It answers with a hint: an index, and its own term
 * there. The leader skips every entry of its own log whose term is above that term: below the hint the follower's terms
 * only fall, so none can match.
 *
 *     index       1 2 3 4 5 6 7 8
 *     leader      2 2 4 4 4 6 6 6     probes at 8, learns (6, term 3), and probes next at 2, not at 6, 5, 4, 3
 *     follower    2 2 3 3 3 3
 *
 * The follower skips in its own log likewise before it answers. Together they need at most one probe per term.
 */
function handleAppendRejected(r: Raft, m: Message, pr: Progress): void {
  r.logger.debug?.(
    `${hex(r.id)} received MsgAppResp(rejected, hint: (index ${m.rejectHint}, term ${m.logTerm})) from ${hex(m.from)} for index ${m.index}`,
  );
  const hint = { term: m.logTerm, index: m.rejectHint };
  // Term 0: the follower does not know its term there, so there is nothing to skip by.
  const nextProbe = hint.term > 0 ? r.raftLog.findConflictByTerm(hint).index : hint.index;
  if (!pr.maybeDecrTo(m.index, nextProbe)) return;
  r.logger.debug?.(`${hex(r.id)} decreased progress of ${hex(m.from)} to [${pr}]`);
  if (pr.state === "StateReplicate") pr.becomeProbe();
  sendAppend(r, m.from);
}

function handleAppendAccepted(r: Raft, m: Message, pr: Progress): void {
  // An answer that tells nothing new still ends probing: the logs are known to match there. It does not end the wait
  // for a snapshot: that the follower is where it was says nothing about the snapshot, and the entries after its match
  // are gone here.
  const news = pr.maybeUpdate(m.index) || (pr.match === m.index && pr.state === "StateProbe");
  if (!news) return;
  if (pr.state === "StateProbe") {
    pr.becomeReplicate();
  } else if (pr.state === "StateSnapshot" && pr.match + 1 >= r.raftLog.firstIndex()) {
    // The entries that the follower needs next are in this log again, so replication goes on. Its pendingSnapshot is
    // not asked for: an application may bring a follower another snapshot than the one that the MsgSnap named, and any
    // will do that connects the logs. Straight on to replicate state: this answer has told what a probe would ask, and
    // the next append, which would end the probing, may be long in coming; until then the status would show a follower
    // that is held up.
    r.logger.debug?.(
      `${hex(r.id)} recovered from needing snapshot, resumed sending replication messages to ${hex(m.from)} [${pr}]`,
    );
    pr.becomeProbe();
    pr.becomeReplicate();
  } else if (pr.state === "StateReplicate") {
    pr.inflights.freeLE(m.index);
  }

  if (maybeCommit(r)) {
    // The commit index has risen, so an entry of this term is committed: reads that waited for that can be asked about.
    releasePendingReadIndexMessages(r);
    bcastAppend(r);
  } else if (m.from !== r.id && pr.canBumpCommit(r.raftLog.committed)) {
    // The follower may not know the commit index yet. The next heartbeat would tell it too, but later.
    sendAppend(r, m.from);
  }
  // The window may have moved by several messages: fill it.
  if (m.from !== r.id) sendEntries(r, m.from);

  if (m.from === r.leadTransferee && pr.match === r.raftLog.lastIndex()) {
    r.logger.info?.(`${hex(r.id)} sent MsgTimeoutNow to ${hex(m.from)} after received MsgAppResp`);
    sendTimeoutNow(r, m.from);
  }
}

function handleHeartbeatResp(r: Raft, m: Message, pr: Progress): void {
  pr.recentActive = true;
  pr.msgAppFlowPaused = false;
  // Three cases. A full window: if all that filled it was lost, this append, an empty one, finds that out. A probed
  // follower that has everything: the answer to an empty append brings it back to replicate state. Snapshot state:
  // sendAppend does nothing, because a follower in that state is always paused. The commit index need not be sent: the
  // heartbeat carried it.
  if (pr.match < r.raftLog.lastIndex() || pr.state === "StateProbe") sendAppend(r, m.from);

  if (r.readOnly.option !== "safe" || m.context === undefined || m.context.length === 0) return;
  r.readOnly.recvAck(m.from, m.context);
  for (const { req, index } of r.readOnly.maybeAdvance(r.trk.config.voters)) respondToReadIndexReq(r, req, index);
}

function handleSnapStatus(r: Raft, m: Message, pr: Progress): void {
  if (pr.state !== "StateSnapshot") return;
  // Before becomeProbe, which would otherwise probe from behind a snapshot that the follower does not have.
  if (m.reject) pr.pendingSnapshot = 0;
  pr.becomeProbe();
  r.logger.debug?.(
    `${hex(r.id)} snapshot ${m.reject ? "failed" : "succeeded"}, resumed sending replication messages to ${hex(m.from)} [${pr}]`,
  );
  // Finished: the next append waits for the follower's acknowledgement. Failed: the next try waits for a heartbeat's
  // answer.
  pr.msgAppFlowPaused = true;
}

function handleTransferLeader(r: Raft, m: Message, pr: Progress): void {
  if (pr.isLearner) {
    r.logger.debug?.(`${hex(r.id)} is learner. Ignored transferring leadership`);
    return;
  }
  const transferee = m.from;
  const previous = r.leadTransferee;
  if (previous !== none) {
    if (previous === transferee) {
      r.logger.info?.(
        `${hex(r.id)} [term ${r.term}] transfer leadership to ${hex(transferee)} is in progress, ignores request to same node ${hex(transferee)}`,
      );
      return;
    }
    abortLeaderTransfer(r);
    r.logger.info?.(`${hex(r.id)} [term ${r.term}] abort previous transferring leadership to ${hex(previous)}`);
  }
  if (transferee === r.id) {
    r.logger.debug?.(`${hex(r.id)} is already leader. Ignored transferring leadership to self`);
    return;
  }
  r.logger.info?.(`${hex(r.id)} [term ${r.term}] starts to transfer leadership to ${hex(transferee)}`);
  // The transferee has one election timeout from now.
  r.electionElapsed = 0;
  r.leadTransferee = transferee;
  if (pr.match === r.raftLog.lastIndex()) {
    sendTimeoutNow(r, transferee);
    r.logger.info?.(
      `${hex(r.id)} sends MsgTimeoutNow to ${hex(transferee)} immediately as ${hex(transferee)} already has up-to-date log`,
    );
  } else {
    sendAppend(r, transferee);
  }
}
