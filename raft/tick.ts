// One tick of the logical clock: followers and candidates count towards an election, leaders towards a heartbeat.
//
// Ports tickElection and tickHeartbeat of raft.go; its pastElectionTimeout is the comparison in tickElection.

import type { Raft } from "./raft.ts";
import { MessageType, makeMessage } from "./raftpb/index.ts";
import { abortLeaderTransfer } from "./role.ts";
import { step } from "./step.ts";
import { none } from "./types.ts";

export function tick(r: Raft): void {
  if (r.state === "StateLeader") tickHeartbeat(r);
  else tickElection(r);
}

function tickElection(r: Raft): void {
  r.electionElapsed++;
  if (r.promotable() && r.electionElapsed >= r.randomizedElectionTimeout) {
    r.electionElapsed = 0;
    local(r, MessageType.MsgHup);
  }
}

function tickHeartbeat(r: Raft): void {
  r.heartbeatElapsed++;
  r.electionElapsed++;
  if (r.electionElapsed >= r.config.electionTick) {
    r.electionElapsed = 0;
    if (r.config.checkQuorum) local(r, MessageType.MsgCheckQuorum);
    // A transfer that has not succeeded within an election timeout is given up: this leader takes proposals again.
    if (r.state === "StateLeader" && r.leadTransferee !== none) abortLeaderTransfer(r);
  }
  if (r.state !== "StateLeader") return;
  if (r.heartbeatElapsed >= r.config.heartbeatTick) {
    r.heartbeatElapsed = 0;
    local(r, MessageType.MsgBeat);
  }
}

/** Steps a message of this node to itself; these three types have no error to return. */
function local(r: Raft, type: MessageType): void {
  step(r, makeMessage(type, { from: r.id }));
}
