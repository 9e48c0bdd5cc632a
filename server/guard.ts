// The checks of a peer's messages that need this node's state.
//
// The core is etcd's, and trusts its peers: some messages that no correct node sends would make it panic, or believe what is not
// true. They are stopped here. The transport has checked by now what can be seen in the message alone: its type, its sender, its
// form. What is refused closes the connection and is counted; what is merely of no use now is passed over.

import { decodePosition, type Message, MessageType, type NodeView } from "../raft/index.ts";

/** Reads that other nodes may have waiting on a leader at a time, over all. */
const maxForwardedReads = 4096;

/**
 * No cluster holds so many elections while a member is away. A term near the end of the numbers, once believed, would leave none for the
 * next leader, for ever.
 */
const maxTermsAhead = 2 ** 32;

/** The rule that the message breaks in view of this node's state, undefined if none. */
export function violationOf(node: NodeView, m: Message): string | undefined {
  if (m.term !== 0 && m.term < node.term) return undefined; // stale: the core ignores or refuses it by its term alone
  if (m.term > node.term + maxTermsAhead) return `term ${m.term} cannot have come after term ${node.term}`;
  switch (m.type) {
    case MessageType.MsgHeartbeat: {
      const last = node.lastIndex();
      if (m.commit <= last) return undefined;
      return (
        `MsgHeartbeat commits up to ${m.commit}, but the log here ends at ${last}: either the peer errs, or this member has lost ` +
        "a part of its log that it had acknowledged, and must be replaced by a new member with a new id"
      );
    }
    case MessageType.MsgAppResp: {
      const last = node.lastIndex();
      if (node.raftState !== "StateLeader" || m.term !== node.term || m.reject || m.index <= last) return undefined;
      return `MsgAppResp acknowledges entries up to ${m.index}, but the log here ends at ${last}`;
    }
    case MessageType.MsgHeartbeatResp: {
      if (node.raftState !== "StateLeader" || m.term !== node.term || !m.context?.length) return undefined;
      const position = decodePosition(m.context);
      if (position <= node.lastReadPosition()) return undefined;
      return `MsgHeartbeatResp confirms read ${position}, but only ${node.lastReadPosition()} were asked`;
    }
    default:
      return undefined;
  }
}

/** Whether to drop the message: its sender will ask again, or give up. */
export function isUntimely(node: NodeView, m: Message, appliedTerm: number): boolean {
  const leading = node.raftState === "StateLeader";
  // A follower would forward it to the leader that it knows; accept it only on the leader.
  if (m.type === MessageType.MsgTransferLeader) return !leading;
  if (m.type !== MessageType.MsgReadIndex || !leading) return false;
  return !mayReadIndex(node, appliedTerm) || node.pendingReads >= maxForwardedReads;
}

/**
 * Whether this node may be asked for a read index now. A leader only once it has applied an entry of its own term: a single voter
 * answers at once from its commit index, which after a power loss can be older than what it has acknowledged (etcd-io/raft#105).
 */
export function mayReadIndex(node: NodeView, appliedTerm: number): boolean {
  return node.raftState !== "StateLeader" || appliedTerm === node.term;
}
