// One message in: the term decides first (paper 5.1), then the type, then the role.
//
// A message of a higher term makes a follower of whoever gets it, but for a pre-vote; one of a lower term is stale and mostly
// ignored. A message without a term is local, or a forwarded request.
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

/** Steps down for a higher term where that is due. False if the message is to be ignored. */
function handleHigherTerm(r: Raft, m: Message): boolean {
  const { type } = m;
  if (type === MsgVote || type === MsgPreVote) {
    const remaining = r.config.electionTick - r.electionElapsed;
    const inLease = r.config.checkQuorum && r.lead !== none && remaining > 0;
    if (inLease && !isTransferVote(m)) {
      // Whoever heard a leader within the last election timeout takes no part in deposing it (paper section 6, thesis 4.2.3).
      logVote(r, m, "ignored", `: lease is not expired (remaining ticks: ${remaining})`);
      return false;
    }
  }
  // A pre-vote asks about a term that nobody is in; so does a granted answer to one. A refusal carries a real term.
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
    // A leader of an older term. If this node was cut off and raised its term alone, the others' leases and pre-votes keep it from
    // winning, and its higher term keeps it from following: this answer makes that leader step down, so that an election can
    // put all into one term. With pre-vote a node hardly gets into this state.
    r.send({ type: MsgAppResp, to: m.from });
  } else if (type === MsgPreVote) {
    // Refused rather than ignored: a node of an older term must learn of the newer one, or a mixed cluster may never elect.
    logVote(r, m, "rejected");
    r.send({ type: MsgPreVoteResp, to: m.from, term: r.term, reject: true });
  } else if (type === MsgStorageAppendResp) {
    // The entries may have been replaced since, in the unstable tail, by a later term's: their stability cannot be told from this
    // answer (see newStorageAppendRespMsg). A snapshot is committed state, whatever the term.
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

/** Entries up to index, `size` encoded bytes of them, are applied. A leader then leaves a joint configuration that asks for it. */
function appliedTo(r: Raft, index: number, size: number): void {
  const applied = Math.max(index, r.raftLog.applied);
  r.raftLog.appliedTo(applied, size);

  const { config } = r.trk;
  if (!config.autoLeave || applied < r.pendingConfIndex || r.state !== "StateLeader") return;
  const { type, data } = marshalConfChange(undefined);
  // It can be dropped only because leadership is being transferred. Then the next applied entry, or the next leader, tries again.
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
