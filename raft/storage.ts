// Storage: the durable log as raft reads it, and MemoryStorage, the mirror of it that the application loop keeps in
// memory.
//
// Promises of MemoryStorage: lists handed out are copies, which no later append or compaction changes; entries are
// shared and never mutated. A misuse that would leave a gap is a RaftPanic.
//
// Ports storage.go. Leaves out the mutex (one thread here) and the call statistics of its tests. Errors of the
// interface are returned, see errors.ts; a storage that fails in another way throws, and the node is lost.

import { errCompacted, errSnapOutOfDate, errUnavailable, type RaftError } from "./errors.ts";
import { discardLogger, panic } from "./logger.ts";
import { type ConfState, type Entry, type HardState, makeEntry, makeSnapshot, type Snapshot } from "./raftpb/index.ts";
import { noLimit } from "./types.ts";
import { limitSize } from "./util.ts";

export interface Storage {
  /** What was saved before a restart; the hard state is undefined if none ever was. */
  initialState(): { readonly hardState: HardState | undefined; readonly confState: ConfState };
  /**
   * Entries [lo, hi) up to `maxSize` encoded bytes, at least one. errCompacted if lo is gone, errUnavailable if the log
   * is empty. The caller owns the list, not the entries.
   */
  entries(lo: number, hi: number, maxSize: number): Entry[] | RaftError;
  /** The term of entry i, for i in [firstIndex - 1, lastIndex]; errCompacted below, errUnavailable above. */
  term(i: number): number | RaftError;
  lastIndex(): number;
  /** The first index that entries() may still answer; the one before it is known by its term only. */
  firstIndex(): number;
  /** The newest snapshot, or errSnapshotTemporarilyUnavailable while one is being made: raft asks again. */
  snapshot(): Snapshot | RaftError;
}

/** Every comparison with NaN fails, and so would each check below: the log would be cut somewhere. */
function mustBeIndex(call: string, i: number): void {
  if (!Number.isSafeInteger(i)) panic(discardLogger, `${call}: ${String(i)} is no log index`);
}

export class MemoryStorage implements Storage {
  hardState: HardState | undefined = undefined;
  snap: Snapshot = makeSnapshot(0, 0);
  // ents[0] is a dummy at the last compacted position: only its term and index mean anything. ents[i] has index
  // ents[0].index + i.
  ents: Entry[] = [makeEntry(undefined, 0, 0, undefined)];

  initialState(): { readonly hardState: HardState | undefined; readonly confState: ConfState } {
    return { hardState: this.hardState, confState: this.snap.metadata.confState };
  }

  /** Panics on undefined, as of a Ready that changes no hard state: the vote would be forgotten. */
  setHardState(hardState: HardState): void {
    const { term, vote, commit } = hardState ?? {};
    if (![term, vote, commit].every(Number.isSafeInteger)) {
      panic(discardLogger, "setHardState: term, vote and commit must be integers");
    }
    this.hardState = hardState;
  }

  entries(lo: number, hi: number, maxSize: number = noLimit): Entry[] | RaftError {
    mustBeIndex("entries", lo);
    mustBeIndex("entries", hi);
    const offset = this.#dummy().index;
    if (lo <= offset) return errCompacted;
    if (hi > this.lastIndex() + 1) {
      panic(discardLogger, `entries' hi(${hi}) is out of bound lastindex(${this.lastIndex()})`);
    }
    if (this.ents.length === 1) return errUnavailable;
    return this.ents.slice(lo - offset, limitSize(this.ents, lo - offset, hi - offset, maxSize));
  }

  term(i: number): number | RaftError {
    const offset = this.#dummy().index;
    if (i < offset) return errCompacted;
    const e = this.ents[i - offset];
    return e === undefined ? errUnavailable : e.term;
  }

  lastIndex(): number {
    return this.#dummy().index + this.ents.length - 1;
  }

  firstIndex(): number {
    return this.#dummy().index + 1;
  }

  snapshot(): Snapshot | RaftError {
    return this.snap;
  }

  /** Replaces everything by the snapshot. errSnapOutOfDate unless it is newer than the current one. */
  applySnapshot(snapshot: Snapshot): RaftError | undefined {
    const { index, term } = snapshot.metadata;
    mustBeIndex("applySnapshot", index);
    // An application may have put nothing but a ConfState into a snapshot at index 0 to bootstrap: any snapshot
    // replaces it.
    if (this.snap.metadata.index !== 0 && this.snap.metadata.index >= index) return errSnapOutOfDate;
    this.snap = snapshot;
    this.ents = [makeEntry(undefined, term, index, undefined)];
    return undefined;
  }

  /**
   * Makes the snapshot that snapshot() answers from now on. `confState` is the result of the last applyConfChange, or
   * undefined if there was none since the last snapshot. errSnapOutOfDate at or below the last snapshot; panics beyond
   * the last index, and below what is compacted.
   */
  createSnapshot(i: number, confState: ConfState | undefined, data: Uint8Array | undefined): Snapshot | RaftError {
    mustBeIndex("createSnapshot", i);
    if (i <= this.snap.metadata.index) return errSnapOutOfDate;
    if (i > this.lastIndex()) {
      panic(discardLogger, `snapshot ${i} is out of bound lastindex(${this.lastIndex()})`);
    }
    const { index: compacted } = this.#dummy();
    if (i < compacted) panic(discardLogger, `snapshot ${i} is out of bound: the log is compacted up to ${compacted}`);
    const term = (this.ents[i - compacted] as Entry).term;
    this.snap = makeSnapshot(i, term, confState ?? this.snap.metadata.confState, data);
    return this.snap;
  }

  /** Drops entries up to and including `compactIndex`, which must be applied. errCompacted if they are gone already. */
  compact(compactIndex: number): RaftError | undefined {
    mustBeIndex("compact", compactIndex);
    const offset = this.#dummy().index;
    if (compactIndex <= offset) return errCompacted;
    if (compactIndex > this.lastIndex()) {
      panic(discardLogger, `compact ${compactIndex} is out of bound lastindex(${this.lastIndex()})`);
    }
    const kept = this.ents.slice(compactIndex - offset);
    const last = kept[0] as Entry;
    kept[0] = makeEntry(undefined, last.term, last.index, undefined);
    this.ents = kept;
    return undefined;
  }

  /**
   * Appends; skips entries that are compacted already, and cuts the log at the first of the others. Panics on a gap, and
   * then changes nothing.
   */
  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    for (const [i, { index }] of entries.entries()) {
      mustBeIndex("append", index);
      if (index !== first.index + i) {
        panic(discardLogger, `append: entry ${index} stands where ${first.index + i} should be`);
      }
    }
    const firstKept = this.firstIndex();
    if (first.index + entries.length - 1 < firstKept) return;
    const skip = Math.max(0, firstKept - first.index);
    const at = (entries[skip] as Entry).index - this.#dummy().index;
    if (at > this.ents.length) {
      panic(discardLogger, `missing log entry [last: ${this.lastIndex()}, append at: ${first.index}]`);
    }
    this.ents.length = at;
    for (let i = skip; i < entries.length; i++) this.ents.push(entries[i] as Entry);
  }

  #dummy(): Entry {
    return this.ents[0] as Entry;
  }
}
