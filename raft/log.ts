// The log as raft sees it: what storage holds, then the unstable tail, and three positions in it.
//
//     first ... applied ... applying ... committed ... last
//     [--------- storage ---------][------ unstable ------]
//
// committed: known to be on a quorum. applying: handed out to be applied. applied: acknowledged as applied. Invariant:
// applied <= applying <= committed <= last. An entry at or below committed never changes; a call that would change one
// panics.
//
// Ports log.go. Go's (value, error) pairs are unions here: number | RaftError.

import { errCompacted, errUnavailable, RaftError } from "./errors.ts";
import { Unstable } from "./log-unstable.ts";
import { type Logger, panic } from "./logger.ts";
import type { Entry, Snapshot } from "./raftpb/index.ts";
import type { Storage } from "./storage.ts";
import { type EntryId, type LogSlice, noLimit } from "./types.ts";
import { entsSize, limitSize } from "./util.ts";

export class RaftLog {
  readonly storage: Storage;
  readonly unstable: Unstable;
  committed: number;
  applying: number;
  applied: number;
  /** Limit, in encoded bytes, on the entries that are handed out to be applied and not acknowledged. */
  readonly maxApplyingEntsSize: number;
  applyingEntsSize = 0;
  /** No more entries are handed out until some are acknowledged. */
  applyingEntsPaused = false;
  readonly #logger: Logger;

  /** Starts from what storage holds: committed and applied are as of its last compaction. */
  constructor(storage: Storage, logger: Logger, maxApplyingEntsSize: number = noLimit) {
    const lastCompacted = storage.firstIndex() - 1;
    this.storage = storage;
    this.unstable = new Unstable(storage.lastIndex() + 1, logger);
    this.committed = lastCompacted;
    this.applying = lastCompacted;
    this.applied = lastCompacted;
    this.maxApplyingEntsSize = maxApplyingEntsSize;
    this.#logger = logger;
  }

  toString(): string {
    const u = this.unstable;
    return (
      `committed=${this.committed}, applied=${this.applied}, applying=${this.applying}, unstable.offset=${u.offset}, ` +
      `unstable.offsetInProgress=${u.offsetInProgress}, len(unstable.Entries)=${u.entries.length}`
    );
  }

  /**
   * Appends a leader's slice if this log holds its prev, replaces the entries that conflict, and raises committed as
   * far as both sides have it. Returns the index of the slice's last entry, or undefined if this log does not hold
   * prev.
   */
  maybeAppend(slice: LogSlice, committed: number): number | undefined {
    const { prev, entries } = slice;
    if (!this.matchTerm(prev)) return undefined;
    const lastNew = prev.index + entries.length;
    const conflict = this.findConflict(entries);
    if (conflict !== 0) {
      if (conflict <= this.committed) {
        panic(this.#logger, `entry ${conflict} conflict with committed entry [committed(${this.committed})]`);
      }
      const offset = prev.index + 1;
      if (conflict - offset > entries.length) {
        panic(this.#logger, `index, ${conflict - offset}, is out of range [${entries.length}]`);
      }
      this.append(conflict === offset ? entries : entries.slice(conflict - offset));
    }
    this.commitTo(Math.min(committed, lastNew));
    return lastNew;
  }

  /** Appends after cutting the log at the first entry's index; returns the last index. */
  append(entries: readonly Entry[]): number {
    const first = entries[0];
    if (first === undefined) return this.lastIndex();
    if (first.index - 1 < this.committed) {
      panic(this.#logger, `after(${first.index - 1}) is out of range [committed(${this.committed})]`);
    }
    this.unstable.truncateAndAppend(entries);
    return this.lastIndex();
  }

  /**
   * The first index at which the given consecutive entries and the log differ in term, or at which the log ends; 0 if
   * the log holds them all.
   */
  findConflict(entries: readonly Entry[]): number {
    for (const e of entries) {
      if (this.matchTerm(e)) continue;
      if (e.index <= this.lastIndex()) {
        const existing = this.zeroTermOnOutOfBounds(this.term(e.index));
        this.#logger.info?.(
          `found conflict at index ${e.index} [existing term: ${existing}, conflicting term: ${e.term}]`,
        );
      }
      return e.index;
    }
    return 0;
  }

  /**
   * A guess at where this log and another one part, when all that is known of the other is one entry id: the largest
   * index at or below its index whose term is at most its term, or is not known here (then the term returned is 0).
   * Leader and follower both use it, so that a rejected append costs at most one round per term, not per entry.
   */
  findConflictByTerm({ term, index }: EntryId): EntryId {
    for (let i = index; i > 0; i--) {
      const ours = this.term(i);
      if (typeof ours !== "number") return { term: 0, index: i };
      if (ours <= term) return { term: ours, index: i };
    }
    return { term: 0, index: 0 };
  }

  nextUnstableEnts(): Entry[] {
    return this.unstable.nextEntries();
  }

  hasNextUnstableEnts(): boolean {
    return this.unstable.hasNextEntries();
  }

  hasNextOrInProgressUnstableEnts(): boolean {
    return this.unstable.entries.length > 0;
  }

  /** Entries to apply now, within the size limit. Those not yet stable here are included only if `allowUnstable`. */
  nextCommittedEnts(allowUnstable: boolean): Entry[] {
    if (!this.hasNextCommittedEnts(allowUnstable)) return [];
    const maxSize = this.maxApplyingEntsSize - this.applyingEntsSize;
    if (maxSize <= 0) {
      panic(
        this.#logger,
        `applying entry size (${this.maxApplyingEntsSize}-${this.applyingEntsSize})=${maxSize} not positive`,
      );
    }
    const entries = this.slice(this.applying + 1, this.#maxAppliableIndex(allowUnstable) + 1, maxSize);
    if (entries instanceof RaftError) {
      panic(this.#logger, `unexpected error when getting unapplied entries (${entries.message})`);
    }
    return entries;
  }

  hasNextCommittedEnts(allowUnstable: boolean): boolean {
    // While a snapshot waits to be restored, no entries are applied: the order of the two would be undefined.
    if (this.applyingEntsPaused || this.hasNextOrInProgressSnapshot()) return false;
    return this.applying < this.#maxAppliableIndex(allowUnstable);
  }

  #maxAppliableIndex(allowUnstable: boolean): number {
    return allowUnstable ? this.committed : Math.min(this.committed, this.unstable.offset - 1);
  }

  nextUnstableSnapshot(): Snapshot | undefined {
    return this.unstable.nextSnapshot();
  }

  hasNextUnstableSnapshot(): boolean {
    return this.unstable.nextSnapshot() !== undefined;
  }

  hasNextOrInProgressSnapshot(): boolean {
    return this.unstable.snapshot !== undefined;
  }

  snapshot(): Snapshot | RaftError {
    return this.unstable.snapshot ?? this.storage.snapshot();
  }

  firstIndex(): number {
    return this.unstable.maybeFirstIndex() ?? this.storage.firstIndex();
  }

  lastIndex(): number {
    return this.unstable.maybeLastIndex() ?? this.storage.lastIndex();
  }

  /** Raises committed, never lowers it. */
  commitTo(toCommit: number): void {
    if (this.committed >= toCommit) return;
    if (this.lastIndex() < toCommit) {
      panic(
        this.#logger,
        `tocommit(${toCommit}) is out of range [lastIndex(${this.lastIndex()})]. Was the raft log corrupted, truncated, or lost?`,
      );
    }
    this.committed = toCommit;
  }

  /** Acknowledges that entries up to i, `size` encoded bytes of them, have been applied. */
  appliedTo(i: number, size: number): void {
    if (this.committed < i || i < this.applied) {
      panic(this.#logger, `applied(${i}) is out of range [prevApplied(${this.applied}), committed(${this.committed})]`);
    }
    this.applied = i;
    this.applying = Math.max(this.applying, i);
    this.applyingEntsSize = Math.max(0, this.applyingEntsSize - size);
    this.applyingEntsPaused = this.applyingEntsSize >= this.maxApplyingEntsSize;
  }

  /** Records that entries up to i, `size` encoded bytes of them, were handed out to be applied. */
  acceptApplying(i: number, size: number, allowUnstable: boolean): void {
    if (this.committed < i) {
      panic(
        this.#logger,
        `applying(${i}) is out of range [prevApplying(${this.applying}), committed(${this.committed})]`,
      );
    }
    this.applying = i;
    this.applyingEntsSize += size;
    // Pause if the quota is used up, or if the page ended before what could be applied: the next entry would exceed the
    // quota.
    this.applyingEntsPaused =
      this.applyingEntsSize >= this.maxApplyingEntsSize || i < this.#maxAppliableIndex(allowUnstable);
  }

  stableTo(id: EntryId): void {
    this.unstable.stableTo(id);
  }

  stableSnapTo(index: number): void {
    this.unstable.stableSnapTo(index);
  }

  acceptUnstable(): void {
    this.unstable.acceptInProgress();
  }

  lastEntryId(): EntryId {
    const index = this.lastIndex();
    const term = this.term(index);
    if (typeof term !== "number") {
      panic(this.#logger, `unexpected error when getting the last term at ${index}: ${term.message}`);
    }
    return { term, index };
  }

  /** The term of entry i, for i in [first - 1, last]: the one before the first is needed for matching. */
  term(i: number): number | RaftError {
    const t = this.unstable.maybeTerm(i);
    if (t !== undefined) return t;
    if (i + 1 < this.firstIndex()) return errCompacted;
    if (i > this.lastIndex()) return errUnavailable;
    return this.storage.term(i);
  }

  /** Entries from i to the last, up to `maxSize` encoded bytes but at least one. */
  entries(i: number, maxSize: number): Entry[] | RaftError {
    const last = this.lastIndex();
    return i > last ? [] : this.slice(i, last + 1, maxSize);
  }

  allEntries(): Entry[] {
    const entries = this.entries(this.firstIndex(), noLimit);
    if (entries instanceof RaftError) panic(this.#logger, entries.message);
    return entries;
  }

  /**
   * Whether a log that ends in the given entry is at least as up to date as this one: term first, then length (paper
   * 5.4.1).
   */
  isUpToDate(theirs: EntryId): boolean {
    const ours = this.lastEntryId();
    return theirs.term > ours.term || (theirs.term === ours.term && theirs.index >= ours.index);
  }

  /**
   * Whether this log holds the entry: then it equals every log that holds it, up to there (log matching, paper 5.3).
   */
  matchTerm(id: EntryId): boolean {
    return this.term(id.index) === id.term;
  }

  /**
   * Commits up to `at.index` if this log's entry there is of `at.term`, the leader's own term. An older term's entry is
   * committed only by one of this term above it: a majority may hold it and a later leader still overwrite it (paper
   * 5.4.2, figure 8).
   */
  maybeCommit(at: EntryId): boolean {
    if (at.term === 0 || at.index <= this.committed || !this.matchTerm(at)) return false;
    this.commitTo(at.index);
    return true;
  }

  /** Replaces the whole log by the snapshot. */
  restore(snapshot: Snapshot): void {
    const { index, term } = snapshot.metadata;
    this.#logger.info?.(`log [${this}] starts to restore snapshot [index: ${index}, term: ${term}]`);
    this.committed = index;
    this.unstable.restore(snapshot);
  }

  /**
   * Visits entries [lo, hi) in pages of up to `pageSize` encoded bytes until the visitor returns false. Returns a
   * RaftError if some of the entries do not exist.
   */
  scan(lo: number, hi: number, pageSize: number, visit: (page: readonly Entry[]) => boolean): RaftError | undefined {
    for (let next = lo; next < hi; ) {
      const page = this.slice(next, hi, pageSize);
      if (page instanceof RaftError) return page;
      if (page.length === 0) return new RaftError("UNAVAILABLE", `got 0 entries in [${next}, ${hi})`);
      if (!visit(page)) return undefined;
      next += page.length;
    }
    return undefined;
  }

  /**
   * Entries [lo, hi), up to `maxSize` encoded bytes but at least one, joined over the border of storage and unstable
   * tail.
   */
  slice(lo: number, hi: number, maxSize: number): Entry[] | RaftError {
    if (lo > hi) panic(this.#logger, `invalid slice ${lo} > ${hi}`);
    const first = this.firstIndex();
    if (lo < first) return errCompacted;
    if (hi > this.lastIndex() + 1) {
      panic(this.#logger, `slice[${lo},${hi}) out of bound [${first},${this.lastIndex()}]`);
    }
    if (lo === hi) return [];
    const { unstable } = this;
    if (lo >= unstable.offset) return this.#unstableUpTo(lo, hi, maxSize);

    const cut = Math.min(hi, unstable.offset);
    const stable = this.storage.entries(lo, cut, maxSize);
    if (stable instanceof RaftError) {
      if (stable === errUnavailable) panic(this.#logger, `entries[${lo}:${cut}) is unavailable from storage`);
      return stable;
    }
    // A short answer means that the next entry would have exceeded the limit.
    if (hi <= unstable.offset || stable.length < cut - lo) return stable;
    if (maxSize === noLimit) return stable.concat(unstable.slice(unstable.offset, hi));
    const size = entsSize(stable);
    if (size >= maxSize) return stable;
    const tail = this.#unstableUpTo(unstable.offset, hi, maxSize - size);
    // limitSize gives at least one entry, however large. Here one need not be given: the stable part is not empty.
    if (tail.length === 1 && size + entsSize(tail) > maxSize) return stable;
    return stable.concat(tail);
  }

  #unstableUpTo(lo: number, hi: number, maxSize: number): Entry[] {
    const { unstable } = this;
    if (lo > hi || lo < unstable.offset || hi > unstable.offset + unstable.entries.length) {
      return unstable.slice(lo, hi); // panics with the bounds
    }
    const start = lo - unstable.offset;
    return unstable.entries.slice(start, limitSize(unstable.entries, start, hi - unstable.offset, maxSize));
  }

  /** The term, or 0 where the log does not know it. */
  zeroTermOnOutOfBounds(term: number | RaftError): number {
    return typeof term === "number" ? term : 0;
  }
}
