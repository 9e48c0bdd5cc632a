// What a sequence of records amounts to: metadata, the last hard state, the entries, the snapshots.
//
// The rules, all etcd's: an entry replaces one of the same index and drops what followed it; entries up to the start are passed
// over; a gap is an error; the last hard state wins; all metadata records are equal; the snapshot to start at must be recorded
// with its term; a snapshot counts only if its index was committed, because a crash can leave the record of one that was not.
// One rule is added: a commit index beyond the last entry means that the end of the log was lost, and is refused here, where etcd
// panics later in raft.
//
// Ports ReadAll and validSnapshotEntries of wal.go. Differs: a missing start snapshot is reported in write mode too (etcd forgets
// that error), and on any error nothing is returned.

import { decodeEntry, decodeHardState, type Entry, type HardState, makeEntry } from "../raft/raftpb/index.ts";
import { damaged, replaceThisMember, WalError } from "./errors.ts";
import { decodeSnapshotRecord, RecordType, type WalRecord, type WalSnapshot } from "./record.ts";

const SLAB_SIZE = 64 * 1024;

/** The snapshot to read on from. */
export interface StartAt {
  readonly index: number;
  readonly term: number;
}

export class ReadAll {
  readonly #startAt: StartAt;
  readonly entries: Entry[] = [];
  hardState: HardState | undefined;
  metadata: Uint8Array | undefined;
  #snapshots: WalSnapshot[] = [];
  #found = false;
  #slab = new Uint8Array(0);
  #slabUsed = 0;

  constructor(startAt: StartAt) {
    this.#startAt = startAt;
  }

  /** Takes the next record, found in `file` at `offset`. Throws WalError. */
  add(record: WalRecord, file: string, offset: number): void {
    const at = { file, offset };
    switch (record.type) {
      case RecordType.entry:
        this.#addEntry(decode(record.data, decodeEntry, at), at);
        break;
      case RecordType.state: {
        const state = decode(record.data, decodeHardState, at);
        const empty = state.term === 0 && state.vote === 0 && state.commit === 0;
        this.hardState = empty ? undefined : state;
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
    if (position < 0) return;
    if (position > this.entries.length) {
      const expected = this.#startAt.index + this.entries.length + 1;
      const text = `${at.file}: entry ${e.index} at offset ${at.offset} follows a gap: expected ${expected} or lower. ${replaceThisMember}`;
      throw new WalError("ENTRY_GAP", text, at);
    }
    if (position < this.entries.length) this.entries.length = position;
    // The record's bytes lie in a buffer that the next read overwrites.
    const data = e.data && this.#copy(e.data);
    this.entries.push(makeEntry(e.type, e.term, e.index, data));
  }

  /** A copy that shares its memory with its neighbours: an allocation for each entry would be a quarter of the time to open a log. */
  #copy(bytes: Uint8Array): Uint8Array {
    if (bytes.length > SLAB_SIZE / 8) return bytes.slice();
    if (this.#slabUsed + bytes.length > this.#slab.length) {
      this.#slab = new Uint8Array(SLAB_SIZE);
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
  }

  /** Index of the last entry, or of the start if there is none. */
  get lastIndex(): number {
    return this.#startAt.index + this.entries.length;
  }

  /** To be called after the last record: what is missing? Throws WalError. */
  check(directory: string): void {
    const at = { file: directory };
    const { index, term } = this.#startAt;
    if (!this.#found) {
      const text = `${directory}: no record of the snapshot of index ${index} and term ${term}. Start at one that is recorded.`;
      throw new WalError("SNAPSHOT_NOT_FOUND", text, at);
    }
    const commit = this.hardState?.commit ?? 0;
    if (commit > this.lastIndex) {
      const text = `${directory}: index ${commit} was committed, but the log ends at ${this.lastIndex}: its end has been lost. ${replaceThisMember}`;
      throw new WalError("LOST_TAIL", text, at);
    }
  }

  /** Snapshots whose index was committed, in the order of the log. */
  validSnapshots(): WalSnapshot[] {
    const commit = this.hardState?.commit ?? 0;
    return this.#snapshots.filter((snapshot) => snapshot.index <= commit);
  }
}

interface Place {
  readonly file: string;
  readonly offset: number;
}

function decode<T>(data: Uint8Array, decoder: (bytes: Uint8Array) => T, at: Place): T {
  try {
    return decoder(data);
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    const text = `${at.file}: cannot read the record at offset ${at.offset}: ${detail}. Its checksum is right, so another program wrote it.`;
    throw new WalError("UNREADABLE", text, { ...at, cause });
  }
}

const equal = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i]);
