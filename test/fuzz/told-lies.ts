// What a liar says to a member that serves, drawn as bytes: eight bytes a lie, and any eight bytes are one.
//
// A lie that is to be believed must lie near the truth, and the truth changes while a cluster serves. So the bytes do
// not hold a message: they hold how far each of its numbers is from the member's own at the moment at which it is sent.
// That leaves an input as easy to change and to cut down as one of any decoder, and it tells about the same lie in
// every run.
//
//     | what | whom, from, reject | term | index | logTerm | commit | entries | context, rejectHint |

import { encodePut } from "../../kvstore/command.ts";
import { type Entry, EntryType, type Message, MessageType, makeConfState, makeMessage } from "../../raft/index.ts";
import {
  type ConfChangeType,
  makeConfChange,
  makeEntry,
  makeSnapshot,
  marshalConfChange,
  proposed,
} from "../../raft/raftpb/index.ts";
import { encodeEnvelope } from "../../server/envelope.ts";
import type { TestMember } from "../../server/testing.ts";
import type { Random } from "../../sim/random.ts";

export const lieBytes = 8;

/** Besides the messages. */
const deeds = ["snapshot", "request", "flood", "again", "wait", "bare"] as const;
const types = [
  MessageType.MsgHeartbeat,
  MessageType.MsgHeartbeat,
  MessageType.MsgApp,
  MessageType.MsgApp,
  MessageType.MsgApp,
  MessageType.MsgApp,
  MessageType.MsgVote,
  MessageType.MsgPreVote,
  MessageType.MsgVoteResp,
  MessageType.MsgPreVoteResp,
  MessageType.MsgAppResp,
  MessageType.MsgHeartbeatResp,
  MessageType.MsgProp,
  MessageType.MsgTransferLeader,
  MessageType.MsgTimeoutNow,
  MessageType.MsgReadIndex,
  MessageType.MsgReadIndexResp,
] as const;
/** These travel on no stream of messages, or on none at all. */
const misplaced = [MessageType.MsgSnap, MessageType.MsgHup, MessageType.MsgStorageAppendResp] as const;
const termless = new Set<MessageType>([MessageType.MsgProp, MessageType.MsgReadIndex]);

/**
 * snapshot, request: on a stream of their own; flood: the message many times; again: on a new connection; bare: without
 * its checksum.
 */
export type Deed = "message" | (typeof deeds)[number];

export interface Lie {
  readonly deed: Deed;
  /** 0 or 1: which of the two. */
  readonly whom: number;
  readonly message: Message;
  /** A byte to choose by. */
  readonly choice: number;
}

/** Who tells it, and who else there is. */
export interface Ends {
  readonly liar: number;
  readonly honest: readonly TestMember[];
}

/** What a number may be apart from the true one. */
const distances = [0, 0, 0, 0, 1, 1, -1, -1, 2, -2, 3, 10, -10, 100, 1000, -1000];
const farAway = [0, 1, 2 ** 31, 2 ** 32, 2 ** 40, 2 ** 52 - 1, 2 ** 52, 2 ** 53 - 8];
/** Drawn rarely. */
const isFar = (byte: number): boolean => byte >= 0xf8;

function near(base: number, byte: number): number {
  if (isFar(byte)) return farAway[byte & 7] as number;
  return Math.max(0, base + (distances[byte & 15] as number));
}

/** Lies that are near the truth, mostly. */
export function someLies(random: Random, count: number): number[] {
  return Array.from({ length: count }, () => {
    const number = (): number => (random.chance(0.97) ? random.below(32) : 0xf8 + random.below(8));
    const what = random.chance(0.8) ? random.below(types.length) : random.below(256);
    return [what, random.below(256), number(), number(), number(), number(), random.below(256), random.below(256)];
  }).flat();
}

/** How many lies the bytes hold; what is left over says nothing. */
export const lieCount = (bytes: Uint8Array): number => Math.floor(bytes.length / lieBytes);

/** The lie that the bytes encode, in view of the present state of the member that receives it. */
export function lieAt(bytes: Uint8Array, i: number, { liar, honest }: Ends): Lie {
  const at = (offset: number): number => bytes[i * lieBytes + offset] ?? 0;
  const whom = at(1) & 1;
  const target = honest[whom] as TestMember;
  const other = honest[1 - whom] as TestMember;
  const { raft } = target.server.node;
  const last = raft.raftLog.lastIndex();
  const kinds = [...types, ...deeds, ...misplaced];
  const what = kinds[at(0) % kinds.length] as MessageType | (typeof deeds)[number];
  const deed = typeof what === "string" ? what : "message";
  const type = typeof what !== "string" ? what : (types[at(0) % types.length] as MessageType);
  const index = near(at(3) & 0x10 ? raft.raftLog.committed : last, at(3));
  const term = termless.has(type) ? 0 : near(raft.term, at(2));
  const logTerm = near(raft.raftLog.lastEntryId().term, at(4) & 0x10 ? 0 : at(4));
  // Now and then in another member's name.
  const from = [other.id, target.id][at(1) >> 4] ?? liar;
  const message = makeMessage(type, {
    from,
    to: target.id,
    term,
    index,
    logTerm,
    commit: near(at(5) & 0x10 ? last : raft.raftLog.committed, at(5)),
    reject: (at(1) & 2) !== 0,
    rejectHint: near(last, at(7)),
    context: contextOf(at(7) === 0xff ? MessageType.MsgVote : type, at(7)),
    entries: entriesOf(type, at(6), { index, term, logTerm }),
    snapshot: type === MessageType.MsgSnap ? snapshotOf(at(6), index, logTerm) : undefined,
  });
  return { deed, whom, message, choice: at(6) };
}

/** What this type may have with it: the number of a read, or that leadership was handed over. */
function contextOf(type: MessageType, choice: number): Uint8Array | undefined {
  if ((choice & 0x80) === 0) return undefined;
  switch (type) {
    case MessageType.MsgHeartbeat:
    case MessageType.MsgHeartbeatResp:
      return Uint8Array.of(0, 0, 0, 0, 0, 0, 0, choice & 15);
    case MessageType.MsgVote:
    case MessageType.MsgPreVote:
      return new TextEncoder().encode("CampaignTransfer");
    default:
      return undefined;
  }
}

function entriesOf(type: MessageType, choice: number, at: { index: number; term: number; logTerm: number }): Entry[] {
  switch (type) {
    case MessageType.MsgApp: {
      const term = choice & 4 ? at.term : Math.min(at.term, at.logTerm);
      return Array.from({ length: choice & 3 }, (_, i) => contents(choice, term, at.index + 1 + i));
    }
    case MessageType.MsgProp:
      return [contents(choice, 0, 0)];
    case MessageType.MsgReadIndex:
    case MessageType.MsgReadIndexResp:
      return [proposed(Uint8Array.of(choice))];
    default:
      return [];
  }
}

/** A command, nothing, noise, or now and then a change of the members. */
function contents(choice: number, term: number, index: number): Entry {
  const kind = choice >> 3;
  if (kind === 31) {
    const { type, data } = marshalConfChange(makeConfChange((choice & 3) as ConfChangeType, 1 + (choice & 7)));
    return makeEntry(type, term, index, data);
  }
  if (kind === 30) return makeEntry(EntryType.EntryNormal, term, index, Uint8Array.of(1, 2, 3, choice));
  if (kind === 29) return makeEntry(undefined, term, index, undefined);
  const command = encodePut(`lie-${choice}`, new TextEncoder().encode("believe me"));
  return makeEntry(undefined, term, index, encodeEnvelope({ member: 3, epoch: 99, counter: choice }, command));
}

/** Of who knows which members. */
export function snapshotOf(choice: number, index: number, term: number) {
  const voters = [[1, 2, 3], [1, 2, 3], [1, 2, 3], [1], [2, 3], [7, 8, 9], [1, 2, 3, 4, 5], []][choice & 7] as number[];
  return makeSnapshot(index, term, makeConfState({ voters, learners: choice & 8 ? [6] : [] }));
}
