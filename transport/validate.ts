// The rules that a message from a peer must keep before a node may see it.
//
// Upstream trusts its peers: a message with term 0 passes every term check, one that claims to come from a storage thread passes for an
// acknowledgement of the disk, and a proposal without entries or with a conf change that does not decode stops the process. Each rule
// here closes one such door, from the message alone; what needs the node's state (a commit beyond its log, say) is the handler's.
//
// A rule must never refuse what a correct member sends, or the two would part for good. So the rules follow `send` and
// the step functions of raft.go to the letter, and say nothing about what the core copes with.
//
// Leaves out MsgSnap, which does not travel on this stream, and MsgForgetLeader, which upstream lets in but no node sends.

import {
  confChangeOf,
  type Entry,
  EntryType,
  entryTypeName,
  type Message,
  MessageType,
  messageTypeName,
} from "../raft/raftpb/index.ts";

/** The ends of the connection that a message came by. */
export interface Link {
  /** This node. */
  readonly self: number;
  /** The sender that the handshake named. */
  readonly peer: number;
  /** Whether the id is this node or a peer that it knows. */
  isMember(id: number): boolean;
}

/** Terms and indexes above this are refused: one lie must not push a node to the edge of the exact numbers, 2^53. */
export const maxNumber = 2 ** 52;

/** A conf change is a few ids and an address; the bound keeps its decoder from being fed with millions of empty changes. */
const maxConfChangeBytes = 64 * 1024;

const campaignTransferBytes = "CampaignTransfer".length;
const readPositionBytes = 8;

interface TypeRule {
  /** A follower passes it on to the leader and leaves From as it was. */
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

function checkEnds(m: Message, link: Link, rule: TypeRule): string | undefined {
  if (m.to !== link.self) return `is for node ${m.to}, this is ${link.self}`;
  if (rule.forwarded) {
    return link.isMember(m.from) ? undefined : `comes from ${m.from}, which is not a member`;
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

/** Log matching (paper 5.3) takes for granted that a leader sends a run of its log: indexes without gaps, terms that never fall. */
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

/** A proposal's entries have no place in a log yet, and the leader takes a conf change apart as soon as it gets one. */
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
  if (e.type === undefined || e.type === EntryType.EntryNormal) return undefined;
  const bytes = e.data?.length ?? 0;
  if (bytes > maxConfChangeBytes) return `proposes a conf change of ${bytes} bytes`;
  try {
    // An entry type that is none of the three decodes to nothing; the codec lets none through, a caller of this function might.
    return confChangeOf(e) === undefined ? `proposes an entry of type ${entryTypeName(e.type)}` : undefined;
  } catch (cause) {
    return `proposes a conf change that does not decode: ${cause instanceof Error ? cause.message : String(cause)}`;
  }
}
