// What the application loop asks of its surroundings, and what it offers to the rooms above it.
//
// The loop meets the log on disk, the peers and the state machine only through these interfaces, so that a simulator can put its
// own disk, network and clock behind the very code that serves clients. Real parts: wal/, transport/, kvstore/, cli/ wires them.

import type { ConfState, Entry, HardState, Message, SnapshotMetadata } from "../raft/raftpb/index.ts";

/** The log on disk. A rejected promise or a throw means that the disk failed: the process must stop. */
export interface LogStore {
  /**
   * Appends the entries, then the hard state. The bytes are written before the call returns; with `mustSync` the promise
   * resolves once they survive a power cut. One call at a time.
   */
  save(hardState: HardState | undefined, entries: readonly Entry[], mustSync: boolean): Promise<void>;
  /** Records that this snapshot's file is durable; resolves once the record survives a power cut. */
  saveSnapshot(snapshot: { index: number; term: number; confState: ConfState }): Promise<void>;
  /** Deletes the part of the log that a start from a snapshot of this index, or a later one, does not need. */
  release(index: number): Promise<void>;
  close(): Promise<void>;
}

/** Snapshot files. Their data never lies in memory as a whole: it is written and read in chunks of some 100 KiB. */
export interface SnapshotStore {
  /**
   * Writes a snapshot in place of any of the same term and index; when the promise resolves it survives a power cut. If `chunks` throws, or
   * the disk fails, nothing is left and the promise rejects with that error. `metadata` alone tells snapshots apart.
   */
  save(metadata: SnapshotMetadata, chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /**
   * The data of a snapshot. Throws if there is none or its checksum does not hold; this may show after the last chunk only, so nothing that came
   * before the end may be used before the end.
   */
  read(position: { index: number; term: number }): AsyncIterable<Uint8Array>;
  /** Deletes the snapshots of a lower index. */
  release(index: number): Promise<void>;
}

/** What a log held when it was opened. */
export interface Recovered {
  /** The snapshot that the log goes on from: its file was found sound. */
  readonly snapshot: SnapshotMetadata | undefined;
  readonly hardState: HardState | undefined;
  /** All entries from the snapshot on, or from index 1. */
  readonly entries: readonly Entry[];
}

/** The way to the peers. May lose, delay and reorder; send never blocks and never throws. */
export interface Transport {
  /** Begins to talk: from now on the handler is called. */
  start(handler: TransportHandler): void;
  /** Sends each message to its `to`; what cannot be queued is dropped and reported as unreachable. */
  send(messages: readonly Message[]): void;
  /** Makes a peer known, or gives it a new address. Throws on an address that cannot be one. */
  addPeer(id: number, url: string): void;
  removePeer(id: number): void;
  /** Tells every peer that is dialled from now on where this member is reached. */
  announce(address: Address): void;
  /**
   * Sends a MsgSnap, whose snapshot has no data, and behind it the data, on a stream of its own. Resolves to true once the peer has taken it,
   * to false when it has not or that is unknown; never rejects. Ends early when the peer is removed or the transport is closed.
   */
  sendSnapshot(message: Message, chunks: AsyncIterable<Uint8Array>): Promise<boolean>;
  /** Passes a request on to a peer, whose handler answers it; never rejects. */
  request(to: number, body: Uint8Array): Promise<RequestOutcome>;
  close(): Promise<void>;
}

/** Where a member is reached, as of the entry of the log at this index: of two addresses the one with the higher `since` is the newer. */
export interface Address {
  readonly url: string;
  readonly since: number;
}

export type RequestOutcome =
  | { readonly kind: "answered"; readonly body: Uint8Array }
  /** The peer has certainly not seen it. */
  | { readonly kind: "unsent"; readonly message: string }
  /** It may have been carried out, or may yet be. */
  | { readonly kind: "unknown"; readonly message: string };

/** Why a peer may not talk to this member. */
export interface Rejection {
  /**
   * unknown: it is not a member, or not yet; removed: it was one, and its id is spent; lost-data: it has another incarnation than the member
   * of this id that the cluster knows, so its data directory was lost or replaced, and with it what it had promised.
   */
  readonly kind: "unknown" | "removed" | "lost-data";
  readonly message: string;
  /** With "removed": the remaining members, since the removed one may have been away for long. */
  readonly remaining?: Remaining | undefined;
}

/** The members, learners included, once the entry of the log at index `asOf` has been applied. An address that is not known is empty. */
export interface Remaining {
  readonly asOf: number;
  readonly members: readonly { readonly id: number; readonly url: string }[];
}

/** What a transport calls on the loop. */
export interface TransportHandler {
  /**
   * Takes messages that have passed the transport's own checks, in order. Returns the rule that one of them breaks in view of
   * this node's state, or undefined: a transport closes the connection of a peer that breaks one.
   */
  receive(from: number, messages: readonly Message[]): string | undefined;
  /** A message to this peer was probably lost. */
  reportUnreachable(id: number): void;
  /**
   * A peer sends a snapshot: the message, without data, and the data, which throws at its end if it did not arrive whole. Resolves when the
   * snapshot is durable and raft has it; rejects when it is not taken.
   */
  receiveSnapshot(from: number, message: Message, chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /** A peer passes a request on; the answer goes back to it. */
  request(from: number, body: Uint8Array): Promise<Uint8Array>;
  /**
   * Whether this peer may open a connection; an incarnation of 0 is an unknown one. `address` is where it says that it is reached; one who asks
   * whether it may join says none.
   */
  admit(from: number, incarnation: number, address: Address | undefined): Rejection | undefined;
  /** A peer has turned this member away for a reason that will not pass ("removed" or "lost-data"). */
  rejectedBy(id: number, rejection: Rejection): void;
  /**
   * A dial of this peer at this address has ended. `clusterId` is the cluster that the answer named; undefined without an answer that named
   * one. A cluster other than this member's own was the reason of a refusal; the next dial may find another.
   */
  dialled(id: number, url: string, clusterId: number | undefined): void;
  /** All members with their addresses, for one that joins. */
  addresses(): readonly { readonly id: number; readonly url: string }[];
}

/** Any deterministic state machine: equal commands in equal order give equal states and equal results. */
export interface StateMachine {
  /** Applies the commands in order and returns one result for each. */
  apply(commands: readonly Uint8Array[]): readonly unknown[];
  /**
   * The state as it is now, encoded while later commands are applied: taking it is cheap, and between two chunks, each of some 100 KiB and a
   * millisecond or so of work, others may run. Not iterated to its end, it must be returned, as for await does.
   */
  snapshot(): AsyncIterable<Uint8Array>;
  /**
   * Replaces the state by the one that a snapshot() gave, in chunks of any size. If `chunks` throws, or is no such state, the promise rejects
   * and the state is as before. No command is applied meanwhile.
   */
  restore(chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /**
   * Throws an Error if `head` cannot begin a snapshot that restore accepts, as one that another version wrote. `head` is the first 64
   * bytes, or all if there are fewer. Asked before a snapshot that a peer sends is written down; if there is no such method, each is taken.
   */
  checkSnapshot?(head: Uint8Array): void;
  /** A command in a few words, for logs. */
  describe(command: Uint8Array): string;
}

/** Time and turns, so that a simulator can own both. */
export interface Clock {
  /** Milliseconds from any start, never going back. */
  now(): number;
  /** Calls back every `ms`; the returned function ends it. */
  every(ms: number, callback: () => void): () => void;
  /** Calls back once the events at hand have been handled: what they bring shares one batch. */
  soon(callback: () => void): void;
}

/** A request was not, and will not be, carried out. */
export interface Refused {
  readonly kind: "refused";
  /**
   * NO_LEADER: none is known, or the leader cannot take it now; TOO_MANY_WAITING: this member's queue is full;
   * TOO_LARGE: the command exceeds a limit; STOPPING: this member is shutting down.
   */
  readonly code: "NO_LEADER" | "TOO_MANY_WAITING" | "TOO_LARGE" | "STOPPING";
  readonly message: string;
}

export type ProposeOutcome =
  | { readonly kind: "applied"; readonly index: number; readonly result: unknown }
  | Refused
  /** The deadline passed: the command may be applied, now or later, or never. */
  | { readonly kind: "unknown"; readonly message: string };

export type ReadOutcome =
  /** Every write that was acknowledged before the request has been applied here. */
  { readonly kind: "ready" } | Refused | { readonly kind: "timeout"; readonly message: string };

/** One change of the membership. A learner receives the log and does not vote. */
export type MemberChange =
  | { readonly kind: "add"; readonly id: number; readonly peerUrl: string; readonly learner: boolean }
  | { readonly kind: "update"; readonly id: number; readonly peerUrl: string }
  | { readonly kind: "promote" | "demote" | "remove"; readonly id: number };

/** A change that was tried dry and found wrong: nothing was proposed. */
export interface Conflict {
  readonly kind: "conflict";
  /**
   * INVALID_CHANGE: it does not fit the members as they are; CHANGE_PENDING: an earlier change is not finished; ID_SPENT: a removed member had
   * this id; QUORUM_AT_RISK: too few of the voters would be reachable; LEARNER_BEHIND: the learner has to catch up first;
   * TRANSFER_FAILED: leadership stayed where it was.
   */
  readonly code:
    | "INVALID_CHANGE"
    | "CHANGE_PENDING"
    | "ID_SPENT"
    | "QUORUM_AT_RISK"
    | "LEARNER_BEHIND"
    | "TRANSFER_FAILED";
  readonly message: string;
  /** What to do about it. */
  readonly next: string;
}

export type ChangeOutcome =
  /** Carried out, and applied on this member unless that took too long; a joint configuration has been left again. */
  { readonly kind: "applied" } | Conflict | Refused | { readonly kind: "unknown"; readonly message: string };

export interface MemberInfo {
  readonly id: number;
  readonly peerUrl: string;
  readonly role: "voter" | "learner";
}

export interface PeerProgress {
  readonly id: number;
  readonly match: number;
  readonly next: number;
  readonly state: "probe" | "replicate" | "snapshot";
  /** Whether the peer was heard of within an election timeout. */
  readonly recentActive: boolean;
  readonly inflight: number;
}

/** A condition that an operator should know of while the member runs. */
export interface Warning {
  /** For programs: UPPER_CASE, the same in every release. */
  readonly code: string;
  /** One sentence: what is wrong, with its values, and what to do next. */
  readonly message: string;
}

export interface MemberStatus {
  readonly id: number;
  readonly clusterId: number;
  /** removed: it is no member any more, and stays only until all members know that. */
  readonly role: "follower" | "pre-candidate" | "candidate" | "leader" | "removed";
  readonly term: number;
  /** 0 when none is known. */
  readonly leader: number;
  readonly commit: number;
  readonly applied: number;
  /** Index of the newest snapshot that this member has; 0 if it has none. */
  readonly snapshot: number;
  readonly members: readonly MemberInfo[];
  /** Each peer's progress, on the leader only. */
  readonly progress: readonly PeerProgress[] | undefined;
  /** Empty while all is well. */
  readonly warnings: readonly Warning[];
}

/** A member as a state machine's API sees it. */
export interface Member {
  /** Replicates the command and settles when it is applied here, definitely refused, or the deadline passes. */
  propose(command: Uint8Array): Promise<ProposeOutcome>;
  /** Settles once a read of the local state machine is linearizable (thesis 6.4). */
  readIndex(): Promise<ReadOutcome>;
  /** Changes the membership; several changes are one joint change (thesis 4.3). On any member: it is the leader's to decide. */
  changeMembers(changes: readonly MemberChange[]): Promise<ChangeOutcome>;
  /** Hands leadership to this member (thesis 3.10); on any member. */
  transferLeadership(transferee: number): Promise<ChangeOutcome>;
  status(): MemberStatus;
}
