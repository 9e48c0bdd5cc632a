// The tail of the log that storage does not hold yet.
//
// entries[i] has index offset + i. The offset may lie at or below storage's last index: then the next write replaces a
// tail there. Entries and snapshot pass through three stages. New. In progress: a Ready has handed them out for
// writing, and the log still reads them here. Gone: the write is acknowledged. Invariant: offset <= offsetInProgress <=
// offset + entries.length.
//
// Ports log_unstable.go. Lists that are handed out are copies, so that appending in place is safe.

import { type Logger, panic } from "./logger.ts";
import type { Entry, Snapshot } from "./raftpb/index.ts";
import type { EntryId } from "./types.ts";

export class Unstable {
  /** The leader's snapshot that is not restored yet. */
  snapshot: Snapshot | undefined = undefined;
  entries: Entry[] = [];
  offset: number;
  snapshotInProgress = false;
  /** Entries below this index are being written. */
  offsetInProgress: number;
  readonly #logger: Logger;

  constructor(offset: number, logger: Logger) {
    this.offset = offset;
    this.offsetInProgress = offset;
    this.#logger = logger;
  }

  /** The first index of the log if a snapshot says so. */
  maybeFirstIndex(): number | undefined {
    return this.snapshot === undefined ? undefined : this.snapshot.metadata.index + 1;
  }

  /** The last index of the log if it lies here. */
  maybeLastIndex(): number | undefined {
    if (this.entries.length !== 0) return this.offset + this.entries.length - 1;
    return this.snapshot?.metadata.index;
  }

  /** The term of entry i if it lies here. */
  maybeTerm(i: number): number | undefined {
    if (i < this.offset) {
      const metadata = this.snapshot?.metadata;
      return metadata !== undefined && metadata.index === i ? metadata.term : undefined;
    }
    return this.entries[i - this.offset]?.term;
  }

  /** The entries that wait for a write. */
  nextEntries(): Entry[] {
    return this.entries.slice(this.offsetInProgress - this.offset);
  }

  hasNextEntries(): boolean {
    return this.entries.length > this.offsetInProgress - this.offset;
  }

  nextSnapshot(): Snapshot | undefined {
    return this.snapshotInProgress ? undefined : this.snapshot;
  }

  /** Marks everything as being written: no Ready hands it out again. */
  acceptInProgress(): void {
    if (this.entries.length > 0) this.offsetInProgress = this.offset + this.entries.length;
    if (this.snapshot !== undefined) this.snapshotInProgress = true;
  }

  /**
   * Drops entries up to this one, which are stable. The caller attests that no write in progress can still overwrite
   * them; if the tail was replaced meanwhile, the entry here is of another term and nothing is dropped.
   */
  stableTo({ term, index }: EntryId): void {
    const ours = this.maybeTerm(index);
    if (ours === undefined) {
      this.#logger.info?.(`entry at index ${index} missing from unstable log; ignoring`);
      return;
    }
    if (index < this.offset) {
      this.#logger.info?.(`entry at index ${index} matched unstable snapshot; ignoring`);
      return;
    }
    if (ours !== term) {
      this.#logger.info?.(
        `entry at (index,term)=(${index},${term}) mismatched with entry at (${index},${ours}) in unstable log; ignoring`,
      );
      return;
    }
    const kept = index + 1 - this.offset;
    this.entries = kept === this.entries.length ? [] : this.entries.slice(kept);
    this.offset = index + 1;
    this.offsetInProgress = Math.max(this.offsetInProgress, this.offset);
  }

  stableSnapTo(index: number): void {
    if (this.snapshot?.metadata.index === index) {
      this.snapshot = undefined;
      this.snapshotInProgress = false;
    }
  }

  /** Drops all entries: the log now starts after the snapshot. */
  restore(snapshot: Snapshot): void {
    this.offset = snapshot.metadata.index + 1;
    this.offsetInProgress = this.offset;
    this.entries = [];
    this.snapshot = snapshot;
    this.snapshotInProgress = false;
  }

  /** Appends at least one entry, after cutting the tail at the first one's index. */
  truncateAndAppend(entries: readonly Entry[]): void {
    const fromIndex = (entries[0] as Entry).index;
    if (fromIndex === this.offset + this.entries.length) {
      for (const e of entries) this.entries.push(e);
    } else if (fromIndex <= this.offset) {
      this.#logger.info?.(`replace the unstable entries from index ${fromIndex}`);
      this.entries = entries.slice();
      this.offset = fromIndex;
      this.offsetInProgress = fromIndex;
    } else {
      this.#logger.info?.(`truncate the unstable entries before index ${fromIndex}`);
      this.entries = this.slice(this.offset, fromIndex).concat(entries);
      this.offsetInProgress = Math.min(this.offsetInProgress, fromIndex);
    }
  }

  /** A copy of entries [lo, hi), all of which must lie here. */
  slice(lo: number, hi: number): Entry[] {
    if (lo > hi) panic(this.#logger, `invalid unstable.slice ${lo} > ${hi}`);
    const upper = this.offset + this.entries.length;
    if (lo < this.offset || hi > upper) {
      panic(this.#logger, `unstable.slice[${lo},${hi}) out of bound [${this.offset},${upper}]`);
    }
    return this.entries.slice(lo - this.offset, hi - this.offset);
  }
}
