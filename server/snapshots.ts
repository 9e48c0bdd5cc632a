// Snapshots: taken here, received, sent, kept and let go. The state as of one entry of the log, in place of all entries up to it.
//
//     taken      by the ready loop, in step 7: position, members and state machine are held fast together, in one turn; the file is written
//                beside the loop; when it is durable the loop itself records it in the log, and only then compacts
//     received   a peer's file is written as it comes; then raft gets the message, between two Readies; the Ready that follows records it
//                (step 1) and restores from it (step 5)
//     sent       raft's MsgSnap names a snapshot; the file goes to the peer beside the loop, and reportSnapshot gives raft the outcome
//
// The data never lies in memory as a whole: MemoryStorage knows the newest snapshot's metadata only. Two snapshots are kept, with the log
// from the older one on, so that one damaged file costs nothing (but one that was received: the log before it is of no use). A failed disk
// ends the member; a broken transfer does not.
//
// Ports the snapshot parts of etcd's server.go (snapshot, applySnapshot, createMergedSnapshotMessage) and of storage/storage.go.

import {
  type ConfState,
  type Logger,
  type MemoryStorage,
  type Message,
  makeSnapshot,
  type NodeView,
  type SnapshotMetadata,
} from "../raft/index.ts";
import type { LogStore, SnapshotStore, StateMachine, Transport } from "./interfaces.ts";
import type { Members } from "./membership/members.ts";
import { checkSnapshot, encodeSnapshotHeader, splitSnapshot } from "./snapshot-header.ts";

export interface SnapshotParts {
  readonly store: SnapshotStore;
  readonly log: LogStore;
  readonly storage: MemoryStorage;
  readonly node: NodeView;
  readonly stateMachine: StateMachine;
  readonly members: Members;
  readonly transport: Transport;
  readonly logger: Logger;
  readonly now: () => number;
  /** The disk has failed. */
  readonly failed: (error: Error) => void;
  /** A file is complete: the loop shall record it. */
  readonly wake: () => void;
}

export interface SnapshotLimits {
  /** A snapshot is due after so many entries. */
  readonly count: number;
  /** Entries kept in memory behind it, for peers that lag a little. */
  readonly catchupEntries: number;
}

interface Position {
  readonly index: number;
  readonly term: number;
}

/** Between two attempts to send a peer a snapshot that it does not take: the second comes at once, then this long, and twice as long each time. */
const resendMs = { min: 200, max: 5000 };

export class Snapshots {
  private readonly parts: SnapshotParts;
  private readonly limits: SnapshotLimits;
  /** Indexes of the snapshots that the log knows and that are kept, the older first. */
  private kept: number[];
  private last: number;
  private writing: Promise<void> | undefined;
  private finished: SnapshotMetadata | undefined;
  /** A new one is needed before it would be due. */
  private wanted = false;
  private receiving = false;
  /** Peers that did not take the last one. */
  private readonly failures = new Map<number, { readonly waitMs: number; readonly until: number }>();
  private closed = false;

  constructor(limits: SnapshotLimits, recovered: SnapshotMetadata | undefined, parts: SnapshotParts) {
    this.parts = parts;
    this.limits = limits;
    this.last = recovered?.index ?? 0;
    this.kept = recovered === undefined ? [] : [recovered.index];
  }

  /** Index of the newest snapshot that the log knows; 0 if there is none. */
  get newest(): number {
    return this.kept.at(-1) ?? 0;
  }

  /**
   * Starts a snapshot at the applied index if one is due or wanted and none is being written. Not while a leader's snapshot is pending in
   * raft: ConfState and state would disagree.
   */
  takeIfDue(position: Position): void {
    const due = this.wanted || position.index - this.last >= this.limits.count;
    const busy = this.writing !== undefined || this.finished !== undefined || this.closed;
    if (!due || busy || this.parts.node.hasNextOrInProgressSnapshot()) return;
    this.wanted = false;
    if (position.index > this.last) this.take(position);
  }

  private take(position: Position): void {
    const { node, members, stateMachine, store, logger, now } = this.parts;
    const metadata = { index: position.index, term: position.term, confState: node.confState() };
    const header = encodeSnapshotHeader(members.state());
    const state = stateMachine.snapshot();
    this.last = metadata.index;
    const began = now();
    let bytes = 0;
    const chunks = this.chunks(header, state, (size) => {
      bytes += size;
    });
    this.writing = store.save(metadata, chunks).then(
      () => {
        this.writing = undefined;
        this.finished = metadata;
        logger.info?.(`wrote snapshot ${text(metadata)}: ${bytes} bytes in ${Math.round(now() - began)} ms`);
        this.parts.wake();
      },
      (error) => {
        this.writing = undefined;
        if (!this.closed) this.parts.failed(asError(error));
      },
    );
  }

  private async *chunks(
    header: Uint8Array,
    state: AsyncIterable<Uint8Array>,
    count: (size: number) => void,
  ): AsyncGenerator<Uint8Array> {
    const own = header;
    count(own.length);
    yield own;
    for await (const chunk of state) {
      if (this.closed) throw new Error("this member is shutting down");
      count(chunk.length);
      yield chunk;
    }
  }

  /** Records a snapshot that has been written, compacts behind it and lets old files go. To be awaited by the loop; undefined if there is none. */
  keep(): Promise<void> | undefined {
    const { finished } = this;
    if (finished === undefined) return undefined;
    this.finished = undefined;
    return this.record(finished);
  }

  private async record(metadata: SnapshotMetadata): Promise<void> {
    const { log, storage, logger } = this.parts;
    const { index, confState } = metadata;
    // A newer one has come from the leader while this one was written; its file goes with the next release.
    if (index <= this.newest) return;
    await log.saveSnapshot(metadata);
    storage.createSnapshot(index, confState, undefined);
    const compactTo = index - this.limits.catchupEntries;
    if (compactTo >= storage.firstIndex()) {
      storage.compact(compactTo);
      logger.info?.(`compacted the log in memory up to index ${compactTo}`);
    }
    await this.release(index);
  }

  /** What the older of the two newest snapshots does not need is deleted. */
  private async release(newest: number): Promise<void> {
    this.kept = [...this.kept, newest].slice(-2);
    const oldest = this.kept.length < 2 ? 0 : (this.kept[0] as number);
    if (oldest === 0) return;
    await this.parts.log.release(oldest);
    this.parts.store.release(oldest).catch((error) => this.parts.failed(asError(error)));
  }

  /** Puts members and state machine back to what the snapshot's file says. Rejects if the file cannot be read. */
  async restore(metadata: SnapshotMetadata): Promise<void> {
    const { store, members, stateMachine, logger, now } = this.parts;
    const began = now();
    const { state, rest } = await splitSnapshot(store.read(metadata));
    await stateMachine.restore(rest);
    members.restore(state);
    logger.info?.(`restored snapshot ${text(metadata)} in ${Math.round(now() - began)} ms`);
  }

  /** A received snapshot has replaced log and state. */
  async replaced({ index }: Position): Promise<void> {
    this.last = Math.max(this.last, index);
    await this.release(index);
  }

  /**
   * Writes the snapshot that a peer sends. Rejects if it did not come whole, or if this release cannot read its version, which shows before
   * any of it is written. A snapshot that raft would ignore is not read: raft only answers with its own index.
   */
  async receive(m: Message, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const { metadata } = m.snapshot ?? makeSnapshot(0, 0);
    if (!this.isWanted(m, metadata)) return;
    if (this.receiving) throw new Error("another snapshot is being received");
    this.receiving = true;
    const { stateMachine, store } = this.parts;
    const source = new Source(checkSnapshot(chunks, (head) => stateMachine.checkSnapshot?.(head)));
    try {
      await store.save(metadata, source);
    } catch (error) {
      // `source.error`: the peer or the connection failed, or this release cannot read the snapshot. Any other error is our disk's.
      if (error !== source.error) this.parts.failed(asError(error));
      throw error;
    } finally {
      this.receiving = false;
    }
  }

  private isWanted(m: Message, { index, term, confState }: SnapshotMetadata): boolean {
    const { node } = this.parts;
    if (m.term < node.term || index <= node.commit || node.matchTerm({ term, index })) return false;
    return names(confState, node.id);
  }

  /**
   * Sends the snapshot that a MsgSnap names. Resolves to whether the peer has it; if not, raft will ask again at the next heartbeat. A peer that
   * fails or refuses again and again is not sent it each time: it may be large, and each attempt leaves a line in both logs.
   */
  async send(m: Message): Promise<boolean> {
    const { transport, store, logger, now } = this.parts;
    const { metadata } = m.snapshot ?? makeSnapshot(0, 0);
    if (!names(metadata.confState, m.to)) {
      // Taken before the member was added, and so without it: raft would not take it there. A newer one is made first.
      this.want();
      return false;
    }
    const failed = this.failures.get(m.to);
    if (failed !== undefined && now() < failed.until) return false;
    const source = new Source(store.read(metadata));
    const taken = await transport.sendSnapshot(m, source);
    if (source.error !== undefined && !this.closed) {
      // Its own file is damaged: without a new one this would go on until the next is due.
      logger.error?.(`cannot send the snapshot ${text(metadata)}: ${asError(source.error).message} A new one is taken`);
      // In its place, if nothing has been applied since.
      if (metadata.index === this.last) this.last--;
      this.want();
    }
    if (taken) this.failures.delete(m.to);
    else {
      const waitMs = failed === undefined ? 0 : Math.min(Math.max(2 * failed.waitMs, resendMs.min), resendMs.max);
      this.failures.set(m.to, { waitMs, until: now() + waitMs });
    }
    return taken;
  }

  private want(): void {
    this.wanted = true;
    this.parts.wake();
  }

  /** Resolves when nothing is written any more. */
  async close(): Promise<void> {
    this.closed = true;
    await this.writing;
  }
}

/** An iterable that remembers how its source failed, so that a failed disk can be told from a failed peer. */
class Source implements AsyncIterable<Uint8Array> {
  error: unknown;
  private readonly chunks: AsyncIterable<Uint8Array>;

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.chunks = chunks;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      yield* this.chunks;
    } catch (error) {
      this.error = error;
      throw error;
    }
  }
}

const names = ({ voters, learners, votersOutgoing, learnersNext }: ConfState, id: number): boolean =>
  [voters, learners, votersOutgoing, learnersNext].some((ids) => ids.includes(id));

const text = ({ index, term }: Position): string => `at index ${index}, term ${term}`;

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));
