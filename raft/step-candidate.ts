// A candidate's and a pre-candidate's part of Step: it counts votes, and yields to a leader of its term.
//
// Ports stepCandidate of raft.go.

import { campaign, poll } from "./election.ts";
import { errProposalDropped, type RaftError } from "./errors.ts";
import { handleAppendEntries, handleHeartbeat, handleSnapshot } from "./handle-append.ts";
import type { Raft } from "./raft.ts";
import { type Message, MessageType, messageTypeName } from "./raftpb/index.ts";
import { bcastAppend } from "./replication.ts";
import { becomeFollower, becomeLeader } from "./role.ts";
import { none } from "./types.ts";
import { hex } from "./util.ts";

export function stepCandidate(r: Raft, m: Message): RaftError | undefined {
  switch (m.type) {
    case MessageType.MsgProp:
      r.logger.info?.(`${hex(r.id)} no leader at term ${r.term}; dropping proposal`);
      return errProposalDropped;
    // The term has a leader: the election is lost.
    case MessageType.MsgApp:
      becomeFollower(r, m.term, m.from);
      handleAppendEntries(r, m);
      break;
    case MessageType.MsgHeartbeat:
      becomeFollower(r, m.term, m.from);
      handleHeartbeat(r, m);
      break;
    case MessageType.MsgSnap:
      becomeFollower(r, m.term, m.from);
      handleSnapshot(r, m);
      break;
    case MessageType.MsgPreVoteResp:
      if (r.state === "StatePreCandidate") handleVoteResponse(r, m);
      break;
    case MessageType.MsgVoteResp:
      if (r.state === "StateCandidate") handleVoteResponse(r, m);
      break;
    case MessageType.MsgTimeoutNow:
      r.logger.debug?.(`${hex(r.id)} [term ${r.term} state ${r.state}] ignored MsgTimeoutNow from ${hex(m.from)}`);
      break;
    default:
      break;
  }
  return undefined;
}

function handleVoteResponse(r: Raft, m: Message): void {
  const { granted, rejected, result } = poll(r, m.from, m.type, !m.reject);
  r.logger.info?.(
    `${hex(r.id)} has received ${granted} ${messageTypeName(m.type)} votes and ${rejected} vote rejections`,
  );
  if (result === "VoteWon") {
    if (r.state === "StatePreCandidate") {
      campaign(r, "CampaignElection");
    } else {
      becomeLeader(r);
      bcastAppend(r);
    }
  } else if (result === "VoteLost") {
    // At r.term, not m.term: the answer to a pre-vote may carry the term asked about, which this node is not in.
    becomeFollower(r, r.term, none);
  }
}
