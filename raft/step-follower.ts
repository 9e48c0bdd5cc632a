// A follower's part of Step: obey the leader, and pass requests on to it.
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
      if (r.lead === none) {
        r.logger.info?.(`${hex(r.id)} no leader at term ${r.term}; dropping proposal`);
        return errProposalDropped;
      }
      if (r.config.disableProposalForwarding) {
        r.logger.info?.(`${hex(r.id)} not forwarding to leader ${hex(r.lead)} at term ${r.term}; dropping proposal`);
        return errProposalDropped;
      }
      r.send({ ...m, to: r.lead });
      break;
    case MessageType.MsgReadIndex:
      if (r.lead === none) {
        r.logger.info?.(`${hex(r.id)} no leader at term ${r.term}; dropping index reading msg`);
        break;
      }
      r.send({ ...m, to: r.lead });
      break;
    case MessageType.MsgReadIndexResp: {
      const [request] = m.entries;
      if (request === undefined || m.entries.length !== 1) {
        r.logger.error?.(
          `${hex(r.id)} invalid format of MsgReadIndexResp from ${hex(m.from)}, entries count: ${m.entries.length}`,
        );
        break;
      }
      r.readStates.push({ index: m.index, requestCtx: request.data ?? new Uint8Array(0) });
      break;
    }
    case MessageType.MsgTransferLeader:
      if (r.lead === none) {
        r.logger.info?.(`${hex(r.id)} no leader at term ${r.term}; dropping leader transfer msg`);
        break;
      }
      r.send({ ...m, to: r.lead });
      break;
    case MessageType.MsgForgetLeader:
      if (r.readOnly.option === "leaseBased") {
        // Another leader could be elected while the old one still trusts its lease.
        r.logger.error?.("ignoring MsgForgetLeader due to ReadOnlyLeaseBased");
        break;
      }
      if (r.lead !== none) {
        r.logger.info?.(`${hex(r.id)} forgetting leader ${hex(r.lead)} at term ${r.term}`);
        r.lead = none;
      }
      break;
    case MessageType.MsgTimeoutNow:
      r.logger.info?.(
        `${hex(r.id)} [term ${r.term}] received MsgTimeoutNow from ${hex(m.from)} and starts an election to get leadership.`,
      );
      // No pre-vote: the leader itself asks for this, so nothing is disturbed.
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
