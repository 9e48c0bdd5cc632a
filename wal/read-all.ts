// What a sequence of records amounts to, read from a snapshot on: metadata, the last hard state, the entries that
// follow the snapshot.
//
// An entry replaces one of the same index and drops what followed it, also at or below the start; a gap is an error;
// the last hard state wins; all metadata records are equal; the log must record the start with its term.
//
// A snapshot of the member's own state leaves the log as it is. A snapshot that the leader sent replaces it: the
// earlier log, even beyond the snapshot's index, is void. Both leave the same record; they differ in whether the log
// then held that very entry, index and term. The second kind counts only from the hard state on that commits it: a
// crash between the two leaves a record without meaning, and the log before it stays in force. So a log whose start
// came from the leader drops the earlier records when that hard state comes, and a log read from further back is
// refused, as it lacks the entries in between.
//
// Ports ReadAll of wal.go. Differs: etcd keeps every entry beyond the start that no record overwrote. Entries of a
// replaced log, or of an end that was overwritten up to the start only, then follow the snapshot with lower terms, and
// the member claims a wrong last term in elections until a leader finds the conflict. etcd also reads a replaced log
// from further back as if it had not been replaced, ignores a missing start in write mode, and panics later in raft
// where the end of the log was lost.

import {
  decodeEntry,
  decodeHardState,
  type Entry,
  type HardState,
  makeEntry,
  makeHardState,
} from "../raft/raftpb/index.ts";
import { damaged, replaceThisMember, WalError } from "./errors.ts";
import { decodeSnapshotRecord, RecordType, type WalRecord, type WalSnapshot } from "./record.ts";

const slabSize = 64 * 1024;

/** The snapshot to read on from. */
export interface StartAt {
  readonly index: number;
  readonly term: number;
}

export class ReadAll {
  readonly #startAt: StartAt;
  /** Contiguous, from the index after the start on. */
  readonly entries: Entry[] = [];
  hardState: HardState | undefined;
  metadata: Uint8Array | undefined;
  /** The first file that was read. */
  #first: string | undefined;
  readonly #snapshots: WalSnapshot[] = [];
  #found = false;
  /** The term that the log, as read so far, has at the start's index; undefined if the log does not reach it. */
  #termAtStart: number | undefined;
  /** The start is recorded and the log did not lead up to it: it replaces the log as soon as it is committed. */
  #replacing = false;
  readonly #withData: boolean;
  #slab = new Uint8Array(0);
  #slabUsed = 0;

  /** Without their data the entries of a large log take little room: enough to check that all are there. */
  constructor(startAt: StartAt, data: "with data" | "without data" = "with data") {
    this.#startAt = startAt;
    this.#withData = data === "with data";
    if (startAt.index === 0) this.#termAtStart = 0;
  }

  /** Takes the next record, found in `file` at `offset`. Throws WalError. */
  add(record: WalRecord, file: string, offset: number): void {
    const at = { file, offset };
    this.#first ??= file;
    switch (record.type) {
      case RecordType.entry:
        this.#addEntry(decode(record.data, decodeEntry, at), at);
        break;
      case RecordType.state: {
        const state = decode(record.data, decodeHardState, at);
        const empty = state.term === 0 && state.vote === 0 && state.commit === 0;
        this.hardState = empty ? undefined : state;
        this.#replaceIfCommitted();
        break;
      }
      case RecordType.metadata:
        if (this.metadata !== undefined && !equal(this.metadata, record.data)) {
          const text = `${file}: metadata at offset ${offset} differs from that before it: segments of two logs in one directory? ${replaceThisMember}`;
          throw new WalError("METADATA_CONFLICT", text, at);
        }
        this.metadata ??= record.data.slice();
        break;
      case RecordType.snapshot:
        this.#addSnapshot(decode(record.data, decodeSnapshotRecord, at), at);
        break;
      case RecordType.crc:
        break; // the decoder has checked it
      default:
        if (record.durable === undefined) throw damaged(file, offset, `unknown record type ${record.type}`);
        throw new WalError(
          "NEWER_FORMAT",
          `${file}: record type ${record.type} at offset ${offset} is unknown here: a newer version wrote this log. Start that version.`,
          at,
        );
    }
  }

  #addEntry(e: Entry, at: Place): void {
    const position = e.index - this.#startAt.index - 1;
    this.#replacing = false; // the log goes on as it was
    if (position < 0) {
      this.entries.length = 0;
      this.#termAtStart = position === -1 ? e.term : undefined;
      return;
    }
    if (position > this.entries.length) throw this.#gap(e.index, at);
    if (position < this.entries.length) this.entries.length = position;
    // The next read overwrites the buffer of the record's bytes.
    const data = this.#withData && e.data !== undefined ? this.#copy(e.data) : undefined;
    this.entries.push(makeEntry(e.type, e.term, e.index, data));
  }

  #gap(index: number, at: Place): WalError {
    const expected = this.lastIndex + 1;
    const between = this.#snapshots.findLast((snapshot) => snapshot.index >= expected && snapshot.index < index);
    if (between !== undefined) return this.#snapshotNeeded(between, at.file);
    const text = `${at.file}: entry ${index} at offset ${at.offset} follows a gap: expected ${expected} or lower. ${replaceThisMember}`;
    return new WalError("ENTRY_GAP", text, at);
  }

  /**
   * A copy that shares its memory with its neighbours: an allocation for each entry would be a quarter of the time to
   * open a log.
   */
  #copy(bytes: Uint8Array): Uint8Array {
    if (bytes.length > slabSize / 8) return bytes.slice();
    if (this.#slabUsed + bytes.length > this.#slab.length) {
      this.#slab = new Uint8Array(slabSize);
      this.#slabUsed = 0;
    }
    const start = this.#slabUsed;
    this.#slabUsed += bytes.length;
    this.#slab.set(bytes, start);
    return this.#slab.subarray(start, this.#slabUsed);
  }

  #addSnapshot(snapshot: WalSnapshot, at: Place): void {
    this.#snapshots.push(snapshot);
    if (snapshot.index !== this.#startAt.index) return;
    if (snapshot.term !== this.#startAt.term) {
      const text = `${at.file}: the snapshot of index ${snapshot.index} at offset ${at.offset} has term ${snapshot.term}, not ${this.#startAt.term} as asked: the snapshot file belongs to another log.`;
      throw new WalError("SNAPSHOT_MISMATCH", text, at);
    }
    this.#found = true;
    this.#replacing = this.#termAtStart !== snapshot.term;
    this.#replaceIfCommitted();
  }

  #replaceIfCommitted(): void {
    if (!this.#replacing || this.#commit < this.#startAt.index) return;
    this.entries.length = 0;
    this.#termAtStart = this.#startAt.term;
    this.#replacing = false;
  }

  get #commit(): number {
    return this.hardState?.commit ?? 0;
  }

  /** Index of the last entry, or of the start if there is none. */
  get lastIndex(): number {
    return this.#startAt.index + this.entries.length;
  }

  /** To be called after the last record: checks that the log is complete. Returns the metadata. Throws WalError. */
  finish(directory: string): Uint8Array {
    const { index, term } = this.#startAt;
    if (this.metadata === undefined) throw damaged(this.#first ?? directory, 0, "no metadata record");
    if (!this.#found) {
      const text = `${directory}: no record of the snapshot of index ${index} and term ${term}. Start at one that is recorded.`;
      throw new WalError("SNAPSHOT_NOT_FOUND", text, { file: directory });
    }
    if (index > 0) this.hardState = reaching(this.#startAt, this.hardState);
    this.#replaceIfCommitted();
    const commit = this.#commit;
    const missing = this.#snapshots.findLast(
      (s) => s.index > index && s.index <= commit && this.entries[s.index - index - 1]?.term !== s.term,
    );
    if (missing !== undefined) throw this.#snapshotNeeded(missing, directory);
    if (commit > this.lastIndex) {
      const text = `${directory}: index ${commit} was committed, but the log ends at ${this.lastIndex}: its end has been lost. ${replaceThisMember}`;
      throw new WalError("LOST_TAIL", text, { file: directory });
    }
    return this.metadata;
  }

  #snapshotNeeded(snapshot: WalSnapshot, file: string): WalError {
    const text =
      `${file}: the log goes on from a snapshot of index ${snapshot.index} and term ${snapshot.term} that the leader sent; nothing leads ` +
      `there from index ${this.#startAt.index}. If the file of that snapshot was moved or renamed, put it back. ${replaceThisMember}`;
    return new WalError("SNAPSHOT_NEEDED", text, { file });
  }
}

/**
 * The hard state of a member that starts at this snapshot. Only a crash in between explains that it had not saved the
 * snapshot's commit, or not even its term: then it has not voted in that term either.
 */
function reaching({ index, term }: StartAt, state: HardState | undefined): HardState {
  const known = state ?? makeHardState(0, 0, 0);
  const vote = known.term < term ? 0 : known.vote;
  return makeHardState(Math.max(known.term, term), vote, Math.max(known.commit, index));
}

export interface Place {
  readonly file: string;
  readonly offset: number;
}

/** Decodes a record's data. Throws WalError UNREADABLE. */
export function decode<T>(data: Uint8Array, decoder: (bytes: Uint8Array) => T, at: Place): T {
  try {
    return decoder(data);
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    const text = `${at.file}: cannot read the record at offset ${at.offset}: ${detail}. Its checksum is right, so another program wrote it.`;
    throw new WalError("UNREADABLE", text, { ...at, cause });
  }
}

const equal = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i]);
