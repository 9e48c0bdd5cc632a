// One node of a small world: the real core, what its disk holds, and a state machine that is a list of what it has
// applied.
//
// The node does one thing at a time, an Input. It does the work of a server around its node in the server's order
// (server/ready-loop.ts): entries and hard state to disk, in one write; messages without promises may go while it runs;
// then the mirror, promises, applying, advance.
//
//     disk "atomic"   a node finishes all its Readies right after each input: no other input comes in between
//     disk "slow"     taking a Ready and the end of its write are inputs of their own: messages come in between, and a
//                     crash loses the write
//     disk "torn"     as slow, and a crash may keep any first part of the write
//
// A hard state that need not be synced (mustSync is false: only the commit index has moved) is lost in every crash
// until a later write is synced.
//
// Promises: deterministic. The same inputs give the same node, so the explorer gets back to a state by doing its inputs
// again.

import {
  asV2,
  type Config,
  confChangeOf,
  confChangesFromString,
  describeEntry,
  describeReady,
  type Entry,
  type HardState,
  MemoryStorage,
  type Message,
  MessageType,
  makeConfChangeV2,
  makeConfState,
  makeMessage,
  makeSnapshot,
  noLimit,
  RawNode,
  type Ready,
  type Snapshot,
} from "../../raft/index.ts";
import { step } from "../../raft/step.ts";
import { emptyHardState } from "../../raft/types.ts";

export type Input =
  | { readonly kind: "deliver"; readonly message: Message }
  | { readonly kind: "campaign" | "tick" | "beat" | "ready" | "persist" | "compact" }
  /** `kept`: how many pieces of the write under way are on the disk. */
  | { readonly kind: "crash"; readonly kept: number }
  | { readonly kind: "propose" | "read"; readonly data: string }
  /** In raft's short notation, `v4 r3`; several at once go through a joint configuration; none leaves one. */
  | { readonly kind: "change"; readonly change: string }
  | { readonly kind: "transfer"; readonly to: number };

export type Disk = "atomic" | "slow" | "torn";

/** What all nodes of a world have in common. */
export interface Common {
  readonly voters: readonly number[];
  readonly learners: readonly number[];
  readonly disk: Disk;
  readonly options: Partial<Config>;
  readonly mutation: Mutation;
}

/** A bug, for the explorer to find: see mutants.ts. */
export interface Mutation {
  /** Changes a node that has just been made, or made again after a crash. */
  readonly node?: (node: RawNode) => void;
  /** Changes what a crash has left on the disk. */
  readonly crash?: (storage: MemoryStorage, id: number) => void;
  /** Whether a message waits for the disk. */
  readonly isPromise?: (m: Message) => boolean;
  /** Whether a hard state survives a crash. */
  readonly isSynced?: (rd: Ready) => boolean;
  /** The hard state is written before the entries. */
  readonly hardStateFirst?: boolean;
  /** Changes of the configuration are taken into use when they are on the disk, not when they are applied. */
  readonly changesWhenAppended?: boolean;
}

/** A client's read: nothing below this index may be missing from what it sees. */
export interface AnsweredRead {
  readonly context: string;
  readonly index: number;
}

const { MsgAppResp, MsgVoteResp, MsgPreVoteResp, MsgBeat } = MessageType;
const isPromise = ({ type }: Message): boolean =>
  type === MsgAppResp || type === MsgVoteResp || type === MsgPreVoteResp;
const isSyncedByDuty = ({ mustSync, snapshot }: Ready): boolean => mustSync || snapshot !== undefined;
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);
/** Term, index, type and data of an entry: what makes it the same everywhere. */
export const keyOf = (e: Entry): string => describeEntry(e);

/** A node has done by itself what it must not do, whatever the others do. */
export class BrokenPromise extends Error {
  override readonly name = "BrokenPromise";
}

/** The first log position: a snapshot of the configuration that the world begins with. */
export const founding = { index: 1, term: 1, key: "1/1 founding" } as const;

/** A write that has been begun, and what waits for its end. */
interface Pending {
  readonly ready: Ready;
  readonly promises: readonly Message[];
  readonly unapplied: readonly Entry[];
}

export class LocalNode {
  readonly id: number;
  readonly common: Common;
  readonly storage = new MemoryStorage();
  raft: RawNode;
  /** All that was applied, in order: the state machine. */
  applied: readonly string[];
  /** The hard state that a crash leaves. */
  durable: HardState = emptyHardState;
  pending: Pending | undefined;
  /** The last vote that anyone was told of, or that counted for this node itself. */
  voted = { term: 0, candidate: 0 };
  /** Sent by the input at hand. */
  outgoing: Message[] = [];
  reads: AnsweredRead[] = [];
  /** Told of each Ready, in etcd's words. */
  trace: ((text: string) => void) | undefined;

  constructor(id: number, common: Common) {
    this.id = id;
    this.common = common;
    const { voters, learners } = common;
    if (voters.includes(id) || learners.includes(id)) {
      const confState = makeConfState({ voters, learners });
      this.storage.applySnapshot(makeSnapshot(founding.index, founding.term, confState, bytesOf(founding.key)));
      this.durable = { term: founding.term, vote: 0, commit: founding.index };
      this.storage.setHardState(this.durable);
    }
    this.applied = snapshotKeys(this.snapshot);
    this.raft = this.#start();
  }

  /** The hard state written last, synced or not. */
  get #written(): HardState {
    return this.storage.initialState().hardState ?? emptyHardState;
  }

  get snapshot(): Snapshot {
    return this.storage.snapshot() as Snapshot;
  }

  /** Does one thing. Throws what the core throws. */
  do(input: Input): void {
    this.outgoing = [];
    this.reads = [];
    this.#take(input);
    if (this.common.disk === "atomic") {
      while (this.raft.hasReady()) {
        this.#begin();
        this.#finish();
      }
    }
  }

  #take(input: Input): void {
    const { raft } = this;
    switch (input.kind) {
      case "deliver":
        raft.step(input.message);
        break;
      case "campaign":
        raft.campaign();
        break;
      case "tick":
        raft.tick();
        break;
      case "beat":
        step(raft.raft, makeMessage(MsgBeat, { from: this.id }));
        break;
      case "propose":
        raft.propose(bytesOf(input.data));
        break;
      case "read":
        raft.readIndex(bytesOf(input.data));
        break;
      case "change":
        raft.proposeConfChange(input.change === "" ? undefined : makeConfChangeV2(confChangesFromString(input.change)));
        break;
      case "transfer":
        raft.transferLeader(input.to);
        break;
      case "ready":
        this.#begin();
        break;
      case "persist":
        this.#finish();
        break;
      case "compact":
        this.#compact();
        break;
      case "crash":
        this.#crash(input.kept);
        break;
    }
  }

  /** Takes a Ready: its write begins, and what need not wait for that is done. */
  #begin(): void {
    const ready = this.raft.ready();
    this.trace?.(describeReady(ready));
    for (const { requestCtx, index } of ready.readStates) this.reads.push({ context: textOf(requestCtx), index });
    const waiting = this.common.mutation.isPromise ?? isPromise;
    this.#send(ready.messages.filter((m) => !waiting(m)));
    const firstNew = ready.entries[0]?.index ?? Number.POSITIVE_INFINITY;
    this.#apply(ready.committedEntries.filter((e) => e.index < firstNew));
    this.pending = {
      ready,
      promises: ready.messages.filter(waiting),
      unapplied: ready.committedEntries.filter((e) => e.index >= firstNew),
    };
  }

  /** The write is done, and so is what has waited for it. */
  #finish(): void {
    const { ready, promises, unapplied } = this.pending as Pending;
    this.pending = undefined;
    const { entries, snapshot } = ready;
    const { isSynced = isSyncedByDuty, changesWhenAppended } = this.common.mutation;
    for (const write of this.#pieces(ready)) write();
    if (isSynced(ready)) this.durable = this.#written;
    this.#send(promises);
    this.#vouch(this.durable.term, this.durable.vote);
    if (snapshot !== undefined) this.applied = snapshotKeys(snapshot);
    if (changesWhenAppended) for (const e of entries) this.#applyChange(e);
    this.#apply(unapplied);
    this.raft.advance();
  }

  #send(messages: readonly Message[]): void {
    for (const m of messages) {
      if (m.type === MsgVoteResp && !m.reject) this.#vouch(m.term, m.to);
      this.outgoing.push(m);
    }
  }

  #vouch(term: number, candidate: number): void {
    const { voted } = this;
    if (candidate === 0 || (voted.term === term && voted.candidate === candidate)) return;
    if (term <= voted.term) {
      throw new BrokenPromise(
        `one vote: member ${this.id} voted for ${voted.candidate} in term ${voted.term}, and then for ${candidate} in term ${term}`,
      );
    }
    this.voted = { term, candidate };
  }

  #apply(entries: readonly Entry[]): void {
    for (const e of entries) {
      if (e.index !== this.applied.length + 1) {
        throw new BrokenPromise(`applied order: member ${this.id} applies ${e.index} after ${this.applied.length}`);
      }
      this.applied = [...this.applied, keyOf(e)];
      if (!this.common.mutation.changesWhenAppended) this.#applyChange(e);
    }
  }

  /** A change that is not valid any more when its turn comes is left out, as the server does. */
  #applyChange(e: Entry): void {
    const change = confChangeOf(e);
    if (change === undefined) return;
    const cc = asV2(change);
    if (!(this.raft.tryConfChange(cc) instanceof Error)) this.raft.applyConfChange(cc);
  }

  get canCompact(): boolean {
    const { raftLog } = this.raft.raft;
    const applied = this.applied.length;
    const isFree = this.pending === undefined && !raftLog.hasNextOrInProgressSnapshot();
    return isFree && applied > this.snapshot.metadata.index && applied <= this.storage.lastIndex();
  }

  /**
   * Makes a snapshot of all that is applied, and drops that part of the log. Its record is synced, and so is all that
   * was written before.
   */
  #compact(): void {
    const applied = this.applied.length;
    this.storage.createSnapshot(applied, this.raft.raft.trk.confState(), bytesOf(this.applied.join("\n")));
    this.storage.compact(applied);
    this.durable = this.#written;
  }

  /** How many pieces the write under way has: a torn one keeps a first part of them. */
  get piecesUnderWay(): number {
    return this.pending === undefined ? 0 : this.#pieces(this.pending.ready).length;
  }

  /** Forgets all that is not on the disk, and starts again. */
  #crash(kept: number): void {
    // A log is one file: what is kept of a write was preceded by all that was written before.
    if (kept === 0) this.storage.setHardState(this.durable);
    if (this.pending !== undefined) for (const write of this.#pieces(this.pending.ready).slice(0, kept)) write();
    this.durable = this.#written;
    this.common.mutation.crash?.(this.storage, this.id);
    this.pending = undefined;
    this.applied = snapshotKeys(this.snapshot);
    this.raft = this.#start();
  }

  /** What a Ready writes, in the order in which a log has it: a part of it from the beginning may survive a crash. */
  #pieces({ snapshot, entries, hardState }: Ready): (() => void)[] {
    const { storage } = this;
    const list = entries.map((e) => () => storage.append([e]));
    if (hardState === undefined) return list;
    const state = (): void => storage.setHardState(hardState);
    // The hard state that commits a snapshot goes first: without it, the snapshot does not count.
    if (snapshot !== undefined) {
      const install = (): void => {
        storage.applySnapshot(snapshot);
        state();
      };
      return [install, ...list];
    }
    return this.common.mutation.hardStateFirst ? [state, ...list] : [...list, state];
  }

  #start(): RawNode {
    const node = new RawNode({
      id: this.id,
      storage: this.storage,
      applied: this.snapshot.metadata.index,
      electionTick: 1_000_000,
      heartbeatTick: 1,
      random: () => 0, // a number that is drawn would be part of the state
      maxSizePerMsg: noLimit,
      maxInflightMsgs: 256,
      ...this.common.options,
    });
    this.common.mutation.node?.(node);
    return node;
  }
}

/** What a state machine has applied that was restored from this snapshot. */
export function snapshotKeys({ data, metadata }: Snapshot): string[] {
  return metadata.index === 0 ? [] : textOf(data).split("\n");
}
