// What the core's own tests share: nodes in a chosen state, the messages that they send, and a small network between
// them.
//
// Nodes are driven below RawNode, by message and by tick, so that a test can put one fact before the reader. Here all
// that is unstable counts as durable as soon as a node's messages are taken: what a node sends to itself is delivered
// then, and not before.
//
// Promises: deterministic. A network delivers in the order of sending, and loses only what a test has cut or ignored;
// without `random` every election timeout is the shortest. Nothing outside of tests imports this file.
//
// Counterpart of the helpers of raft_test.go. A node that only swallows messages is one that the network does not have.

import { applyConfChange } from "./apply-conf-change.ts";
import type { Config } from "./config.ts";
import type { Raft } from "./raft.ts";
import {
  type ConfChangeSingle,
  type ConfState,
  confChangesFromString,
  type Entry,
  type Message,
  MessageType,
  makeConfChangeV2,
  makeConfState,
  makeEntry,
  makeHardState,
  makeMessage,
  makeSnapshot,
  proposed,
} from "./raftpb/index.ts";
import { RawNode } from "./rawnode.ts";
import { becomeCandidate, becomeLeader } from "./role.ts";
import { step } from "./step.ts";
import { MemoryStorage } from "./storage.ts";
import { tick } from "./tick.ts";
import type { Progress } from "./tracker/progress.ts";
import { noLimit } from "./types.ts";

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (data: Uint8Array | undefined): string => new TextDecoder().decode(data);

/** Entries without data, of these terms, the first at index `from`. */
export function entriesFrom(from: number, ...terms: number[]): Entry[] {
  return terms.map((term, i) => makeEntry(undefined, term, from + i, undefined));
}

export const idsOf = (entries: readonly Entry[]): [term: number, index: number][] =>
  entries.map((e) => [e.term, e.index]);

export interface Setup extends Partial<Config> {
  readonly voters?: readonly number[];
  readonly learners?: readonly number[];
  /** In place of voters and learners. */
  readonly confState?: ConfState;
  /** What storage holds, from index 1. */
  readonly log?: readonly Entry[];
  readonly term?: number;
  readonly vote?: number;
  readonly commit?: number;
}

/** A node of the voters 1, 2 and 3, unless said otherwise, with an election timeout of 10 ticks and no limits. */
export function newNode(id: number, setup: Setup = {}): Raft {
  const { voters = [1, 2, 3], learners = [], confState, log = [], term = 0, vote = 0, commit = 0, ...options } = setup;
  const storage = new MemoryStorage();
  storage.applySnapshot(makeSnapshot(0, 0, confState ?? makeConfState({ voters, learners })));
  storage.append(log);
  storage.setHardState(makeHardState(term, vote, commit));
  const common = { electionTick: 10, heartbeatTick: 1, maxSizePerMsg: noLimit, maxInflightMsgs: 256 };
  return new RawNode({ id, storage, random: () => 0, ...common, ...options }).raft;
}

/** The node with other options, as if it had been restarted with them and had forgotten nothing. */
export function reconfigure(r: Raft, options: Partial<Config>): void {
  Object.assign(r.config, options);
}

/** Makes the node leader of the next term, without an election. */
export function lead(r: Raft): void {
  becomeCandidate(r);
  becomeLeader(r);
}

export function tickTimes(r: Raft, n: number): void {
  for (let i = 0; i < n; i++) tick(r);
}

/** A message to the node, from node 2 unless said otherwise. Without a term it is taken whatever the term is. */
export const receive = (r: Raft, type: MessageType, set: Partial<Message> = {}) =>
  step(r, makeMessage(type, { from: 2, to: r.id, ...set }));

export const campaign = (r: Raft) => step(r, makeMessage(MessageType.MsgHup, { from: r.id, to: r.id }));
export const beat = (r: Raft) => step(r, makeMessage(MessageType.MsgBeat, { from: r.id, to: r.id }));

export const proposalOf = (...data: (Uint8Array | undefined)[]): Partial<Message> => ({
  entries: data.map((d) => proposed(d)),
});

/** Proposes one entry of this text; without text, an entry with no data. */
export const propose = (r: Raft, data?: string) =>
  receive(r, MessageType.MsgProp, { from: r.id, ...proposalOf(data === undefined ? undefined : bytes(data)) });

/** Delivers what the node sent to itself; what it sent to others and held back joins its other messages. */
export function deliverOwn(r: Raft): void {
  while (r.msgsAfterAppend.length > 0) {
    const held = r.msgsAfterAppend;
    r.msgsAfterAppend = [];
    for (const m of held) {
      if (m.to === r.id) step(r, m);
      else r.msgs.push(m);
    }
  }
}

/** The messages to others, once all that is unstable counts as durable. They are gone from the node. */
export function take(r: Raft): Message[] {
  deliverOwn(r);
  const out = r.msgs;
  r.msgs = [];
  return out;
}

export const storageOf = (r: Raft): MemoryStorage => r.raftLog.storage as MemoryStorage;

/** Puts the unstable entries into storage and applies what is committed; returns what was applied. */
export function applyNext(r: Raft): Entry[] {
  storageOf(r).append(r.raftLog.nextUnstableEnts());
  r.raftLog.stableTo(r.raftLog.lastEntryId());
  deliverOwn(r);
  const entries = r.raftLog.nextCommittedEnts(true);
  r.raftLog.appliedTo(r.raftLog.committed, 0);
  return entries;
}

/** Installs the snapshot that the node has received. */
export function applySnapshot(r: Raft): void {
  const snapshot = r.raftLog.nextUnstableSnapshot();
  if (snapshot === undefined) return;
  storageOf(r).applySnapshot(snapshot);
  step(r, makeMessage(MessageType.MsgStorageAppendResp, { to: r.id, snapshot }));
}

/**
 * Applies a change in the short notation, `v4 r3` for example: simple if it is one, else joint and to be left by
 * `leave`.
 */
export const change = (r: Raft, notation: string): ConfState =>
  applyConfChange(r, makeConfChangeV2(confChangesFromString(notation) as ConfChangeSingle[]));
export const leave = (r: Raft): ConfState => applyConfChange(r, makeConfChangeV2([]));

export const progressOf = (r: Raft, id: number): Progress => r.trk.progress.get(id) as Progress;

export const logOf = (r: Raft): [term: number, index: number][] => idsOf(r.raftLog.allEntries());

/** Nodes, and what is between them. */
export class Network {
  readonly nodes: ReadonlyMap<number, Raft>;
  readonly #cuts = new Set<string>();
  readonly #ignored = new Set<MessageType>();
  /** A message for which this is false is not delivered. */
  deliver: (m: Message) => boolean = () => true;

  constructor(...nodes: Raft[]) {
    this.nodes = new Map(nodes.map((r) => [r.id, r]));
  }

  /** Nodes 1 to `size`, all voters; `dead` ones are voters without a node. */
  static of(size: number, options: Setup = {}, dead: readonly number[] = []): Network {
    const voters = Array.from({ length: size }, (_, i) => i + 1);
    return new Network(...voters.filter((id) => !dead.includes(id)).map((id) => newNode(id, { voters, ...options })));
  }

  at(id: number): Raft {
    return this.nodes.get(id) as Raft;
  }

  /** Delivers these messages and all that they cause, until nothing is left to deliver. */
  send(...messages: readonly Message[]): void {
    const queue = [...messages];
    for (let m = queue.shift(); m !== undefined; m = queue.shift()) {
      const node = this.nodes.get(m.to);
      if (node === undefined) continue;
      step(node, m);
      queue.push(...this.#passing(node));
    }
  }

  /** Delivers what the nodes have to say by now, after ticks for example. */
  settle(): void {
    for (const node of this.nodes.values()) this.send(...this.#passing(node));
  }

  #passing(node: Raft): Message[] {
    return take(node).filter(
      (m) => !this.#ignored.has(m.type) && !this.#cuts.has(`${m.from}-${m.to}`) && this.deliver(m),
    );
  }

  campaign(...ids: number[]): void {
    this.send(...ids.map((id) => makeMessage(MessageType.MsgHup, { from: id, to: id })));
  }

  beat(id: number): void {
    this.send(makeMessage(MessageType.MsgBeat, { from: id, to: id }));
  }

  propose(id: number, data?: string): void {
    this.send(
      makeMessage(MessageType.MsgProp, {
        from: id,
        to: id,
        ...proposalOf(data === undefined ? undefined : bytes(data)),
      }),
    );
  }

  /** Loses what goes between two nodes, both ways. */
  cut(one: number, other: number): void {
    this.#cuts.add(`${one}-${other}`).add(`${other}-${one}`);
  }

  isolate(id: number): void {
    for (const other of this.nodes.keys()) if (other !== id) this.cut(id, other);
  }

  /** Loses all messages of this type. */
  ignore(type: MessageType): void {
    this.#ignored.add(type);
  }

  /** Loses nothing any more. */
  recover(): void {
    this.#cuts.clear();
    this.#ignored.clear();
  }
}
