// What the application loop asks of its surroundings, and what it offers to the rooms above it.
//
// The loop meets the log on disk, the peers and the state machine only through these interfaces, so that a simulator can put its
// own disk, network and clock behind the very code that serves clients. Real parts: wal/, transport/, kvstore/, cli/ wires them.

import type { Entry, HardState, Message } from "../raft/raftpb/index.ts";

/** The log on disk. A rejected promise or a throw means that the disk failed: the process must stop. */
export interface LogStore {
  /**
   * Appends the entries, then the hard state. The bytes are written before the call returns; with `mustSync` the promise
   * resolves once they survive a power cut. One call at a time.
   */
  save(hardState: HardState | undefined, entries: readonly Entry[], mustSync: boolean): Promise<void>;
  close(): Promise<void>;
}

/** What a log held when it was opened. */
export interface Recovered {
  readonly hardState: HardState | undefined;
  /** All entries, from index 1 on. */
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
  close(): Promise<void>;
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
}

/** Any deterministic state machine: equal commands in equal order give equal states and equal results. */
export interface StateMachine {
  /** Applies the commands in order and returns one result for each. */
  apply(commands: readonly Uint8Array[]): readonly unknown[];
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
  readonly recentActive: boolean;
  readonly inflight: number;
}

export interface MemberStatus {
  readonly id: number;
  readonly clusterId: number;
  readonly role: "follower" | "pre-candidate" | "candidate" | "leader";
  readonly term: number;
  /** 0 when none is known. */
  readonly leader: number;
  readonly commit: number;
  readonly applied: number;
  readonly members: readonly MemberInfo[];
  /** Each peer's progress, on the leader only. */
  readonly progress: readonly PeerProgress[] | undefined;
}

/** A member as a state machine's API sees it. */
export interface Member {
  /** Replicates the command and settles when it is applied here, definitely refused, or the deadline passes. */
  propose(command: Uint8Array): Promise<ProposeOutcome>;
  /** Settles once a read of the local state machine is linearizable (thesis 6.4). */
  readIndex(): Promise<ReadOutcome>;
  status(): MemberStatus;
}
