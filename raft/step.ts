// One message in: the term decides first (paper 5.1), then the type, then the role.
//
// A message of a higher term makes its receiver a follower, but for a pre-vote. A message of a lower term is stale, and
// mostly ignored. A message without a term is local, or a forwarded request.
//
// Ports Step, appliedTo and appliedSnap of raft.go. Callers must not change a message after they have stepped it.

import { handleVoteRequest, hup, isTransferVote, logVote } from "./election.ts";
import type { RaftError } from "./errors.ts";
import type { Raft } from "./raft.ts";
import {
  type Entry,
  type Message,
  MessageType,
  makeMessage,
  marshalConfChange,
  messageTypeName,
  proposed,
  type Snapshot,
} from "./raftpb/index.ts";
import { reduceUncommittedSize } from "./replication.ts";
import { becomeFollower } from "./role.ts";
import { stepCandidate } from "./step-candidate.ts";
import { stepFollower } from "./step-follower.ts";
import { stepLeader } from "./step-leader.ts";
import { none } from "./types.ts";
import { entsSize, hex } from "./util.ts";

const {
  MsgHup,
  MsgProp,
  MsgApp,
  MsgAppResp,
  MsgVote,
  MsgSnap,
  MsgHeartbeat,
  MsgPreVote,
  MsgPreVoteResp,
  MsgStorageAppendResp,
  MsgStorageApplyResp,
} = MessageType;

export function step(r: Raft, m: Message): RaftError | undefined {
  if (m.term > r.term) {
    if (!handleHigherTerm(r, m)) return undefined;
  } else if (m.term !== 0 && m.term < r.term) {
    handleLowerTerm(r, m);
    return undefined;
  }

  switch (m.type) {
    case MsgHup:
      hup(r, r.config.preVote ? "CampaignPreElection" : "CampaignElection");
      return undefined;
    case MsgStorageAppendResp:
      if (m.index !== 0) r.raftLog.stableTo({ term: m.logTerm, index: m.index });
      if (m.snapshot !== undefined) appliedSnap(r, m.snapshot);
      return undefined;
    case MsgStorageApplyResp: {
      const last = m.entries[m.entries.length - 1];
      if (last !== undefined) {
        appliedTo(r, last.index, entsSize(m.entries));
        reduceUncommittedSize(r, m.entries);
      }
      return undefined;
    }
    case MsgVote:
    case MsgPreVote:
      handleVoteRequest(r, m);
      return undefined;
    default:
      break;
  }
  if (r.state === "StateLeader") return stepLeader(r, m);
  if (r.state === "StateFollower") return stepFollower(r, m);
  return stepCandidate(r, m);
}

/** Becomes follower for a higher term, but for a pre-vote. False if the message is to be ignored. */
function handleHigherTerm(r: Raft, m: Message): boolean {
  const { type } = m;
  if (type === MsgVote || type === MsgPreVote) {
    const remaining = r.config.electionTick - r.electionElapsed;
    const inLease = r.config.checkQuorum && r.lead !== none && remaining > 0;
    if (inLease && !isTransferVote(m)) {
      // A node that heard a leader within the last election timeout helps no other to depose it (paper section 6,
      // thesis 4.2.3).
      logVote(r, m, "ignored", `: lease is not expired (remaining ticks: ${remaining})`);
      return false;
    }
  }
  // A pre-vote carries a term that no node is in yet, and so does a granted answer to one. A refusal carries a real
  // term.
  if (type === MsgPreVote || (type === MsgPreVoteResp && !m.reject)) return true;
  r.logger.info?.(
    `${hex(r.id)} [term: ${r.term}] received a ${messageTypeName(type)} message with higher term from ${hex(m.from)} [term: ${m.term}]`,
  );
  const fromLeader = type === MsgApp || type === MsgHeartbeat || type === MsgSnap;
  becomeFollower(r, m.term, fromLeader ? m.from : none);
  return true;
}

function handleLowerTerm(r: Raft, m: Message): void {
  const { type } = m;
  if ((r.config.checkQuorum || r.config.preVote) && (type === MsgHeartbeat || type === MsgApp)) {
    // From a leader of an older term. A node that was cut off and raised its term alone is stuck: the others' leases
    // keep it from winning, its higher term keeps it from following. This answer makes the leader step down, so that an
    // election brings all nodes into one term. With pre-vote a node hardly gets into this state.
    r.send({ type: MsgAppResp, to: m.from });
  } else if (type === MsgPreVote) {
    // Refused, not ignored: a node of an older term must learn of the newer one, or a cluster in which only some nodes
    // use pre-vote may never elect a leader.
    logVote(r, m, "rejected");
    r.send({ type: MsgPreVoteResp, to: m.from, term: r.term, reject: true });
  } else if (type === MsgStorageAppendResp) {
    // Entries of a later term may have replaced these in the unstable tail since, so this answer does not prove that
    // they are stable (see newStorageAppendRespMsg). A snapshot is committed state in any term.
    if (m.index !== 0) {
      r.logger.info?.(
        `${hex(r.id)} [term: ${r.term}] ignored entry appends from a ${messageTypeName(type)} message with lower term [term: ${m.term}]`,
      );
    }
    if (m.snapshot !== undefined) appliedSnap(r, m.snapshot);
  } else {
    r.logger.info?.(
      `${hex(r.id)} [term: ${r.term}] ignored a ${messageTypeName(type)} message with lower term from ${hex(m.from)} [term: ${m.term}]`,
    );
  }
}

/** A proposal of one entry, as a message. */
export function proposal(entry: Entry, from: number = none): Message {
  return makeMessage(MsgProp, { from, entries: [entry] });
}

/**
 * Entries up to index, `size` encoded bytes of them, are applied. A leader may then leave a joint configuration
 * (autoLeave).
 */
function appliedTo(r: Raft, index: number, size: number): void {
  const applied = Math.max(index, r.raftLog.applied);
  r.raftLog.appliedTo(applied, size);

  const { config } = r.trk;
  if (!config.autoLeave || applied < r.pendingConfIndex || r.state !== "StateLeader") return;
  const { type, data } = marshalConfChange(undefined);
  // A leadership transfer may drop it. The next applied entry, or the next leader, tries again.
  const dropped = step(r, proposal(proposed(data, type)));
  if (dropped === undefined) {
    r.logger.info?.(`initiating automatic transition out of joint configuration ${config}`);
  } else {
    r.logger.debug?.(`not initiating automatic transition out of joint configuration ${config}: ${dropped.message}`);
  }
}

function appliedSnap(r: Raft, snapshot: Snapshot): void {
  const { index } = snapshot.metadata;
  r.raftLog.stableSnapTo(index);
  appliedTo(r, index, 0);
}
