// A follower's part of Step: it obeys the leader, and forwards requests to it.
//
// Ports stepFollower of raft.go.

import { hup } from "./election.ts";
import { errProposalDropped, type RaftError } from "./errors.ts";
import { handleAppendEntries, handleHeartbeat, handleSnapshot } from "./handle-append.ts";
import type { Raft } from "./raft.ts";
import { type Message, MessageType } from "./raftpb/index.ts";
import { none } from "./types.ts";
import { hex } from "./util.ts";

export function stepFollower(r: Raft, m: Message): RaftError | undefined {
  switch (m.type) {
    case MessageType.MsgApp:
      hearLeader(r, m);
      handleAppendEntries(r, m);
      break;
    case MessageType.MsgHeartbeat:
      hearLeader(r, m);
      handleHeartbeat(r, m);
      break;
    case MessageType.MsgSnap:
      hearLeader(r, m);
      handleSnapshot(r, m);
      break;
    case MessageType.MsgProp:
      return handleProposal(r, m);
    case MessageType.MsgReadIndex:
      forward(r, m, "index reading msg");
      break;
    case MessageType.MsgReadIndexResp:
      handleReadIndexResp(r, m);
      break;
    case MessageType.MsgTransferLeader:
      forward(r, m, "leader transfer msg");
      break;
    case MessageType.MsgForgetLeader:
      forgetLeader(r);
      break;
    case MessageType.MsgTimeoutNow:
      r.logger.info?.(
        `${hex(r.id)} [term ${r.term}] received MsgTimeoutNow from ${hex(m.from)} and starts an election to get leadership.`,
      );
      // No pre-vote: the leader itself orders this election.
      hup(r, "CampaignTransfer");
      break;
    default:
      break;
  }
  return undefined;
}

function hearLeader(r: Raft, m: Message): void {
  r.electionElapsed = 0;
  r.lead = m.from;
}

/** Forwards a request to the leader. If no leader is known, the request is dropped, and false returned. */
function forward(r: Raft, m: Message, what: string): boolean {
  if (r.lead === none) {
    r.logger.info?.(`${hex(r.id)} no leader at term ${r.term}; dropping ${what}`);
    return false;
  }
  r.send({ ...m, to: r.lead });
  return true;
}

function handleProposal(r: Raft, m: Message): RaftError | undefined {
  if (r.lead !== none && r.config.disableProposalForwarding) {
    r.logger.info?.(`${hex(r.id)} not forwarding to leader ${hex(r.lead)} at term ${r.term}; dropping proposal`);
    return errProposalDropped;
  }
  return forward(r, m, "proposal") ? undefined : errProposalDropped;
}

/** The leader's answer to a read that was asked here. */
function handleReadIndexResp(r: Raft, m: Message): void {
  const [request] = m.entries;
  if (request === undefined || m.entries.length !== 1) {
    r.logger.error?.(
      `${hex(r.id)} invalid format of MsgReadIndexResp from ${hex(m.from)}, entries count: ${m.entries.length}`,
    );
    return;
  }
  r.readStates.push({ index: m.index, requestCtx: request.data ?? new Uint8Array(0) });
}

function forgetLeader(r: Raft): void {
  if (r.readOnly.option === "leaseBased") {
    // Another leader could be elected while the old one still trusts its lease.
    r.logger.error?.("ignoring MsgForgetLeader due to ReadOnlyLeaseBased");
    return;
  }
  if (r.lead === none) return;
  r.logger.info?.(`${hex(r.id)} forgetting leader ${hex(r.lead)} at term ${r.term}`);
  r.lead = none;
}
