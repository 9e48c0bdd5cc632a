// The rules that a message from a peer must keep before a node may see it.
//
// Upstream trusts its peers: a message with term 0 passes every term check, one that pretends to come from a storage
// thread passes for an acknowledgement of the disk, and a proposal without entries, or with a conf change that does not
// decode, stops the process. Each rule here closes one such door, from the message alone; the handler checks what needs
// the node's state (a commit beyond its log, say).
//
// A rule must never refuse a message that a correct member sends, or the two would part for good. So the rules follow
// `send` and the step functions of raft.go to the letter, and allow no more because the core could cope with it.
//
// MsgSnap does not travel on the stream of messages, and has rules of its own: a restored configuration that raft
// cannot rebuild would stop the process. Left out is MsgForgetLeader, which upstream accepts but no node sends.

import {
  type ConfState,
  confChangeOf,
  type Entry,
  entryTypeName,
  isNormal,
  type Message,
  MessageType,
  messageTypeName,
} from "../raft/raftpb/index.ts";

/** The ends of the connection on which a message came. */
export interface Link {
  /** This node. */
  readonly self: number;
  /** The sender that the handshake named. */
  readonly peer: number;
}

/** Terms and indexes above this are refused: one lie must not push a node to the edge of the exact numbers, 2^53. */
export const maxNumber = 2 ** 52;

/** A conf change is a few ids and an address; the bound keeps millions of empty changes from its decoder. */
const maxConfChangeBytes = 64 * 1024;

/** Ids in a snapshot's configuration; raft rebuilds it one by one, at a cost that grows with the square. */
const maxConfStateIds = 1000;

const campaignTransferBytes = "CampaignTransfer".length;
const readPositionBytes = 8;

interface TypeRule {
  /**
   * A follower forwards it to the leader and leaves From as it was. That may be a node which this one does not know
   * yet, or no longer: each learns of a change of the members at its own time.
   */
  readonly forwarded: boolean;
  /** It carries no term: `send` in raft.go stamps every other type. */
  readonly termless: boolean;
  /** The one size, besides 0, that its context may have. */
  readonly contextBytes: number;
  /** Its rule for entries; the types without one carry none. */
  readonly entries: ((m: Message) => string | undefined) | undefined;
}

const plain: TypeRule = { forwarded: false, termless: false, contextBytes: 0, entries: undefined };

const rules = new Map<MessageType, TypeRule>([
  [MessageType.MsgProp, { ...plain, forwarded: true, termless: true, entries: checkProposedEntries }],
  [MessageType.MsgApp, { ...plain, entries: checkAppendedEntries }],
  [MessageType.MsgAppResp, plain],
  [MessageType.MsgVote, { ...plain, contextBytes: campaignTransferBytes }],
  [MessageType.MsgVoteResp, plain],
  [MessageType.MsgHeartbeat, { ...plain, contextBytes: readPositionBytes }],
  [MessageType.MsgHeartbeatResp, { ...plain, contextBytes: readPositionBytes }],
  [MessageType.MsgTransferLeader, { ...plain, forwarded: true }],
  [MessageType.MsgTimeoutNow, plain],
  [MessageType.MsgReadIndex, { ...plain, forwarded: true, termless: true, entries: checkOneEntry }],
  [MessageType.MsgReadIndexResp, { ...plain, entries: checkOneEntry }],
  [MessageType.MsgPreVote, { ...plain, contextBytes: campaignTransferBytes }],
  [MessageType.MsgPreVoteResp, plain],
]);

/** Whether messages of this type travel between nodes on this stream. */
export const isCarried = (type: MessageType): boolean => rules.has(type);

/** The rule that the message breaks, as a sentence for the log and the peer; undefined if it keeps them all. */
export function validateMessage(m: Message, link: Link): string | undefined {
  const rule = rules.get(m.type);
  if (rule === undefined) return `${messageTypeName(m.type)} is not sent between nodes on this stream`;
  const broken = checkEnds(m, link, rule) ?? checkNumbers(m, rule) ?? checkParts(m, rule) ?? rule.entries?.(m);
  return broken === undefined ? undefined : `${messageTypeName(m.type)}: ${broken}`;
}

/** The rule that a MsgSnap breaks, on a stream where its data follows it. */
export function validateSnapshotMessage(m: Message, link: Link): string | undefined {
  if (m.type !== MessageType.MsgSnap) return `${messageTypeName(m.type)} in the place of MsgSnap`;
  const broken = checkEnds(m, link, plain) ?? checkNumbers(m, plain) ?? checkSnapshot(m);
  return broken === undefined ? undefined : `MsgSnap: ${broken}`;
}

function checkSnapshot(m: Message): string | undefined {
  const { snapshot } = m;
  if (snapshot === undefined) return "has no snapshot";
  if (m.entries.length > 0 || m.responses.length > 0 || (m.context?.length ?? 0) > 0) {
    return "carries more than a snapshot";
  }
  if ((snapshot.data?.length ?? 0) > 0) return "carries data, which must follow it";
  const { index, term, confState } = snapshot.metadata;
  if (index < 1 || index > maxNumber) return `has a snapshot of index ${index}`;
  if (term < 1 || term > m.term) return `has a snapshot of term ${term}, its own is ${m.term}`;
  return checkConfState(confState);
}

/** Exactly what raft can rebuild passes: confchange/restore.ts. */
function checkConfState({ voters, learners, votersOutgoing, learnersNext, autoLeave }: ConfState): string | undefined {
  const lists = [voters, learners, votersOutgoing, learnersNext];
  const ids = lists.flat();
  if (ids.length > maxConfStateIds) return `has a configuration of ${ids.length} ids`;
  if (ids.some((id) => id < 1)) return "has a configuration with an id below 1";
  if (lists.some((list) => new Set(list).size < list.length)) return "has a configuration with an id twice in a list";
  if (voters.length === 0) return "has a configuration without voters";
  const voting = new Set([...voters, ...votersOutgoing]);
  if (learners.some((id) => voting.has(id))) return "has a configuration with a learner that votes";
  const leaving = new Set(votersOutgoing.filter((id) => !voters.includes(id)));
  if (learnersNext.some((id) => !leaving.has(id))) {
    return "has a configuration with a staged learner that is no outgoing voter";
  }
  if (autoLeave && votersOutgoing.length === 0) return "has a configuration to be left that is not joint";
  return undefined;
}

function checkEnds(m: Message, link: Link, rule: TypeRule): string | undefined {
  if (m.to !== link.self) return `is for node ${m.to}, this is ${link.self}`;
  if (rule.forwarded) {
    return m.from >= 1 ? undefined : `comes from ${m.from}, which no node can be`;
  }
  return m.from === link.peer ? undefined : `says it is from ${m.from} on the connection of ${link.peer}`;
}

function checkNumbers(m: Message, rule: TypeRule): string | undefined {
  if (rule.termless && m.term !== 0) return `has term ${m.term}, must have none`;
  if (!rule.termless && m.term === 0) return "has no term";
  const largest = Math.max(m.term, m.logTerm, m.index, m.commit, m.rejectHint, m.vote);
  if (largest > maxNumber) return `holds the number ${largest}, above 2^52`;
  return undefined;
}

function checkParts(m: Message, rule: TypeRule): string | undefined {
  if (m.snapshot !== undefined) return "carries a snapshot";
  if (m.responses.length > 0) return "carries responses";
  if (rule.entries === undefined && m.entries.length > 0) return "carries entries";
  const contextBytes = m.context?.length ?? 0;
  if (contextBytes !== 0 && contextBytes !== rule.contextBytes) return `has a context of ${contextBytes} bytes`;
  return undefined;
}

function checkOneEntry(m: Message): string | undefined {
  return m.entries.length === 1 ? undefined : `has ${m.entries.length} entries, must have 1`;
}

/**
 * Log matching (paper 5.3) relies on a leader that sends a run of its log: indexes without gaps, terms that never fall.
 */
function checkAppendedEntries(m: Message): string | undefined {
  if (m.logTerm > m.term) return `follows an entry of term ${m.logTerm}, above its own term ${m.term}`;
  let term = Math.max(m.logTerm, 1);
  let index = m.index;
  for (const e of m.entries) {
    index++;
    if (e.index !== index) return `has index ${e.index} where ${index} follows`;
    if (e.term < term) return `has an entry of term ${e.term} where at least ${term} follows`;
    if (e.term > m.term) return `has an entry of term ${e.term}, above its own term ${m.term}`;
    term = e.term;
  }
  return undefined;
}

/** A proposal's entries have no place in a log yet, and the leader decodes a conf change as soon as it arrives. */
function checkProposedEntries(m: Message): string | undefined {
  if (m.entries.length === 0) return "has no entries";
  for (const e of m.entries) {
    if (e.term !== 0 || e.index !== 0) return `proposes an entry that has term ${e.term} and index ${e.index} already`;
    const broken = checkConfChange(e);
    if (broken !== undefined) return broken;
  }
  return undefined;
}

function checkConfChange(e: Entry): string | undefined {
  if (isNormal(e)) return undefined;
  const bytes = e.data?.length ?? 0;
  if (bytes > maxConfChangeBytes) return `proposes a conf change of ${bytes} bytes`;
  try {
    // An entry of an unknown type decodes to nothing; the codec lets none through, but a caller of this function might.
    return confChangeOf(e) === undefined ? `proposes an entry of type ${entryTypeName(e.type ?? 0)}` : undefined;
  } catch (cause) {
    return `proposes a conf change that does not decode: ${cause instanceof Error ? cause.message : String(cause)}`;
  }
}
