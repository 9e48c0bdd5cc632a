// What the application loop asks of its surroundings. What it offers to the rooms above it is in member.ts.
//
// The loop meets the log on disk, the peers and the state machine only through these interfaces, so that a simulator can put its
// own disk, network and clock behind the very code that serves clients. Real parts: wal/, transport/, kvstore/, cli/ wires them.

import type { ConfState, Entry, HardState, Message, SnapshotMetadata } from "../raft/raftpb/index.ts";
import type { Address, RequestOutcome, TransportHandler } from "../transport/contract.ts";

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
