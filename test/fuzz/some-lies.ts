// Messages that an admitted peer could send to a node whose log ends around index 12 at term 3: most of them pass the
// rules that look at a message alone, and few of them make sense.

import {
  type ConfChangeTransition,
  type ConfChangeType,
  type Entry,
  EntryType,
  type Message,
  MessageType,
  makeConfChange,
  makeConfChangeV2,
  makeConfState,
  makeEntry,
  makeMessage,
  makeSnapshot,
  marshalConfChange,
  proposed,
} from "../../raft/raftpb/index.ts";
import type { Random } from "../../sim/random.ts";
import { isCarried } from "../../transport/validate.ts";
import { noise } from "./mutate.ts";
import { someMessages } from "./some-messages.ts";

/** The node, and the peer that lies to it. */
export const link = { self: 1, peer: 2 };

/** Beyond what the node has in its log. */
const highestIndex = 16;

const types = [...new Set(Object.values(someMessages).map(({ type }) => type))].filter(isCarried);

/** A message that validate.ts likely lets through: its numbers lie around those of the node. */
export function someLie(random: Random): Message {
  const type = random.pick(types);
  const template = Object.values(someMessages).find((m) => m.type === type) as Message;
  const index = someIndex(random);
  const termless = template.term === 0;
  const term = termless ? 0 : random.chance(0.05) ? 2 ** 52 : random.between(2, 7);
  const logTerm = random.below(term + 1);
  const entries = someEntries(random, template, { index, logTerm: Math.max(1, logTerm), term });
  return {
    ...template,
    from: link.peer,
    term,
    index,
    logTerm,
    commit: someIndex(random),
    entries,
    reject: random.chance(0.3),
    rejectHint: someIndex(random),
    vote: random.below(4),
    context: random.chance(0.5) ? template.context : undefined,
  };
}

function someEntries(random: Random, { type, entries }: Message, at: { index: number; logTerm: number; term: number }) {
  if (type === MessageType.MsgApp) return someRun(random, at.index, at.logTerm, at.term);
  if (type !== MessageType.MsgProp) return entries;
  return Array.from({ length: 1 + random.below(3) }, () => {
    const contents = someContents(random);
    return proposed(contents.data, contents.type);
  });
}

/** Entries that follow the index, with terms that never fall. */
function someRun(random: Random, after: number, from: number, to: number): Entry[] {
  let term = from;
  return Array.from({ length: random.below(4) }, (_, i) => {
    if (term < to && random.chance(0.3)) term = random.between(term, to + 1);
    const { type, data } = someContents(random);
    return makeEntry(type, term, after + 1 + i, data);
  });
}

/**
 * Nothing, a command, or a change of the members: mostly one that makes no sense, and at times one that does not
 * decode.
 */
function someContents(random: Random): Pick<Entry, "type" | "data"> {
  if (random.chance(0.6)) return { type: undefined, data: random.chance(0.5) ? undefined : noise(random, 30) };
  if (random.chance(0.1)) return { type: EntryType.EntryConfChange, data: noise(random, 8) };
  const id = (): number => random.below(6);
  const type = (): ConfChangeType => random.below(4) as ConfChangeType;
  if (random.chance(0.3)) return marshalConfChange(makeConfChange(type(), id()));
  const changes = Array.from({ length: random.below(4) }, () => ({ type: type(), nodeId: id() }));
  return marshalConfChange(makeConfChangeV2(changes, random.below(3) as ConfChangeTransition));
}

const someIndex = (random: Random): number =>
  random.chance(0.05) ? random.pick([2 ** 31, 2 ** 32, 2 ** 52]) : random.below(highestIndex);

export function someSnapshot(random: Random): Message {
  const term = random.between(1, 7);
  const ids = random.shuffle([1, 2, 3, 4, 5]);
  const voters = ids.slice(0, 1 + random.below(3));
  const confState = makeConfState({ voters, learners: random.chance(0.3) ? ids.slice(4) : [] });
  const index = 1 + someIndex(random);
  return makeMessage(MessageType.MsgSnap, {
    from: 2,
    to: 1,
    term,
    snapshot: makeSnapshot(index, random.between(1, term + 1), confState),
  });
}
