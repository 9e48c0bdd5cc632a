// Linearizable reads without a log entry (thesis 6.4): the leader notes its commit index and makes sure that it still
// leads; the reader waits until it has applied that far.
//
// Ports responseToReadIndexReq, sendMsgReadIndexResponse and releasePendingReadIndexMessages of raft.go.

import type { Raft } from "./raft.ts";
import { type Message, MessageType } from "./raftpb/index.ts";
import { bcastHeartbeat } from "./replication.ts";
import { none } from "./types.ts";

const noBytes = new Uint8Array(0);

/** Answers a read: by a ReadState if it was asked here, by a message if another node asked. */
export function respondToReadIndexReq(r: Raft, req: Message, readIndex: number): void {
  if (req.from === none || req.from === r.id) {
    r.readStates.push({ index: readIndex, requestCtx: req.entries[0]?.data ?? noBytes });
    return;
  }
  r.send({ type: MessageType.MsgReadIndexResp, to: req.from, index: readIndex, entries: req.entries });
}

/** Starts to confirm a read; with leases, answers it at once. */
export function sendMsgReadIndexResponse(r: Raft, req: Message): void {
  if (r.readOnly.option === "leaseBased") {
    respondToReadIndexReq(r, req, r.raftLog.committed);
    return;
  }
  r.readOnly.addRequest(r.raftLog.committed, req);
  r.readOnly.recvAck(r.id, r.readOnly.heartbeatCtx());
  bcastHeartbeat(r);
}

/** Starts to confirm the reads that waited for this leader's first commit of its term. */
export function releasePendingReadIndexMessages(r: Raft): void {
  if (r.pendingReadIndexMessages.length === 0) return;
  if (!r.committedEntryInCurrentTerm()) {
    r.logger.error?.("pending MsgReadIndex should be released only after first commit in current term");
    return;
  }
  const waiting = r.pendingReadIndexMessages;
  r.pendingReadIndexMessages = [];
  for (const req of waiting) sendMsgReadIndexResponse(r, req);
}
