// Elections (paper 5.2, 5.4.1; pre-vote: thesis 9.6; transfer: thesis 3.10): campaigning, asking for votes, and
// granting them.
//
// Ports hup, campaign, poll, hasUnappliedConfChanges and the vote part of Step of raft.go.

import { panic } from "./logger.ts";
import type { Raft } from "./raft.ts";
import { isConfChange, type Message, MessageType, messageTypeName } from "./raftpb/index.ts";
import { becomeCandidate, becomePreCandidate } from "./role.ts";
import { none } from "./types.ts";
import { hex, voteRespMsgType } from "./util.ts";

const { MsgVote, MsgPreVote } = MessageType;

/** Why a node campaigns: a pre-vote first, an election timeout, or the leader's order to take over. */
export type CampaignType = "CampaignPreElection" | "CampaignElection" | "CampaignTransfer";

const transferContext = new TextEncoder().encode("CampaignTransfer");

/** Whether a vote request was sent on a leader's order: that leader's lease does not hold it off. */
export function isTransferVote(m: Message): boolean {
  const { context } = m;
  return context?.length === transferContext.length && context.every((byte, i) => byte === transferContext[i]);
}

/**
 * Campaigns, unless this node leads already, must not lead, or may hold a committed change of the voters that is not
 * applied.
 */
export function hup(r: Raft, type: CampaignType): void {
  if (r.state === "StateLeader") {
    r.logger.debug?.(`${hex(r.id)} ignoring MsgHup because already leader`);
    return;
  }
  if (!r.promotable()) {
    r.logger.warning?.(`${hex(r.id)} is unpromotable and can not campaign`);
    return;
  }
  if (hasUnappliedConfChanges(r)) {
    r.logger.warning?.(
      `${hex(r.id)} cannot campaign at term ${r.term} since there are still pending configuration changes to apply`,
    );
    return;
  }
  r.logger.info?.(`${hex(r.id)} is starting a new election at term ${r.term}`);
  campaign(r, type);
}

function hasUnappliedConfChanges(r: Raft): boolean {
  const { applied, committed, maxApplyingEntsSize } = r.raftLog;
  if (applied >= committed) return false;
  let found = false;
  const failed = r.raftLog.scan(applied + 1, committed + 1, maxApplyingEntsSize, (page) => {
    found = page.some(isConfChange);
    return !found;
  });
  if (failed !== undefined) {
    panic(r.logger, `error scanning unapplied entries [${applied + 1}, ${committed + 1}): ${failed.message}`);
  }
  return found;
}

/**
 * Becomes (pre-)candidate and asks every voter. It votes for itself by a message too: that vote counts once it is
 * durable.
 */
export function campaign(r: Raft, type: CampaignType): void {
  if (!r.promotable()) r.logger.warning?.(`${hex(r.id)} is unpromotable; campaign() should have been called`);
  let voteMsg: MessageType = MsgVote;
  let term: number;
  if (type === "CampaignPreElection") {
    becomePreCandidate(r);
    voteMsg = MsgPreVote;
    term = r.term + 1; // the term that the election would have
  } else {
    becomeCandidate(r);
    term = r.term;
  }
  const last = r.raftLog.lastEntryId();
  for (const id of r.trk.voterNodes()) {
    if (id === r.id) {
      r.send({ type: voteRespMsgType(voteMsg), to: id, term });
      continue;
    }
    r.logger.info?.(
      `${hex(r.id)} [logterm: ${last.term}, index: ${last.index}] sent ${messageTypeName(voteMsg)} request to ${hex(id)} at term ${r.term}`,
    );
    const context = type === "CampaignTransfer" ? transferContext : undefined;
    r.send({ type: voteMsg, to: id, term, index: last.index, logTerm: last.term, context });
  }
}

/** Records an answer to the campaign and counts the votes. */
export function poll(
  r: Raft,
  from: number,
  type: MessageType,
  granted: boolean,
): ReturnType<Raft["trk"]["tallyVotes"]> {
  r.logger.info?.(
    `${hex(r.id)} received ${messageTypeName(type)}${granted ? "" : " rejection"} from ${hex(from)} at term ${r.term}`,
  );
  r.trk.recordVote(from, granted);
  return r.trk.tallyVotes();
}

/**
 * Answers a request for a vote or a pre-vote, of this term or a pre-vote of a later one.
 *
 * The vote is granted if the candidate's log is at least as up to date, and one of three holds: this node has voted for
 * the candidate already; it has neither voted nor heard from a leader in this term; the request is a pre-vote for a
 * later term. A learner votes too: it may have been promoted without knowing it yet, and the election may depend on its
 * vote.
 */
export function handleVoteRequest(r: Raft, m: Message): void {
  const canVote =
    r.vote === m.from || (r.vote === none && r.lead === none) || (m.type === MsgPreVote && m.term > r.term);
  const granted = canVote && r.raftLog.isUpToDate({ term: m.logTerm, index: m.index });
  logVote(r, m, granted ? "cast" : "rejected");
  const type = voteRespMsgType(m.type);
  if (!granted) {
    r.send({ type, to: m.from, term: r.term, reject: true });
    return;
  }
  // The answer carries the request's term. A pre-vote's is higher than this node's, and the candidate would ignore an
  // answer of a lower term.
  r.send({ type, to: m.from, term: m.term });
  if (m.type === MsgVote) {
    r.electionElapsed = 0;
    r.vote = m.from;
  }
}

/** `1 [logterm: 1, index: 2, vote: 0] cast MsgVote for 2 [logterm: 1, index: 2] at term 1` and its kin. */
export function logVote(r: Raft, m: Message, verdict: "cast" | "rejected" | "ignored", suffix = ""): void {
  if (r.logger.info === undefined) return;
  const last = r.raftLog.lastEntryId();
  r.logger.info(
    `${hex(r.id)} [logterm: ${last.term}, index: ${last.index}, vote: ${hex(r.vote)}] ${verdict} ${messageTypeName(m.type)} ` +
      `${verdict === "cast" ? "for" : "from"} ${hex(m.from)} [logterm: ${m.logTerm}, index: ${m.index}] at term ${r.term}${suffix}`,
  );
}
