// The log, open for appending: create, open, save, saveSnapshot, cut, release, close.
//
// Promises: the bytes of a save are in the file before the call returns, in one write; they survive a power cut once
// the promise resolves, if a sync was asked for; nothing is written twice. One call at a time: the caller waits for the
// promise of one before it makes the next. After a failed write or sync the state of the disk is unknown, so nothing is
// retried and every later call rejects with the same error: the process must stop, and the next start finds out.
//
// Ports wal.go. Leaves out its file pipeline (a segment is made when it is needed, and grows in steps of zeros), its
// locks on single segments (one lock on the directory), and the switch that turns syncs off.

import { randomInt } from "node:crypto";
import type { DirectoryLock, File, FileSystem } from "../disk/file-system.ts";
import { discardLogger, type Logger } from "../raft/logger.ts";
import { type Entry, encodeHardState, type HardState, makeHardState } from "../raft/raftpb/index.ts";
import { makeLog } from "./create.ts";
import { Encoder, encodeHead } from "./encoder.ts";
import { WalError } from "./errors.ts";
import { listSegments, segmentName } from "./names.ts";
import type { StartAt } from "./read-all.ts";
import { encodeSnapshotRecord, type RecordData, RecordType, type WalSnapshot } from "./record.ts";
import { type Recovered, recover } from "./recovery.ts";
import { allottedOf, drawSalt, writeSegment, writeZeros } from "./segment.ts";

const segmentBytes = 64_000_000;
const emptyHardState = makeHardState(0, 0, 0);

export interface WalOptions {
  readonly fileSystem: FileSystem;
  readonly directory: string;
  /** A segment that has reached this size is followed by a new one; 64,000,000 as in etcd unless given. */
  readonly segmentBytes?: number | undefined;
  readonly logger?: Logger | undefined;
  /** An integer in [0, n) that clients cannot guess, for the salts of new segments; node:crypto's unless given. */
  readonly random?: ((n: number) => number) | undefined;
}

export interface CreateOptions extends WalOptions {
  /** Written at the head of each segment. */
  readonly metadata: Uint8Array;
  /**
   * Replaces an existing log. Only for one in which nothing was ever saved; the caller must keep others from opening
   * it.
   */
  readonly replaces?: boolean | undefined;
}

export interface OpenOptions extends WalOptions {
  /** The snapshot to read on from; the log must have its record. The empty log's 0/0 unless given. */
  readonly startAt?: StartAt | undefined;
}

interface State {
  readonly lock: DirectoryLock;
  readonly metadata: Uint8Array;
  readonly hardState: HardState;
  readonly lastIndex: number;
  readonly snapshotIndex: number;
  readonly sequence: number;
  readonly file: File;
  readonly encoder: Encoder;
  readonly offset: number;
  readonly zeroedTo: number;
  readonly allotted: number;
}

export class Wal {
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  readonly #segmentBytes: number;
  readonly #random: (n: number) => number;
  readonly #logger: Logger;
  readonly #lock: DirectoryLock;
  readonly #metadata: Uint8Array;
  readonly #encoder: Encoder;
  #hardState: HardState;
  /** Index of the last entry, or of the snapshot that it has to follow. */
  #lastIndex: number;
  /** Index of the newest snapshot that is recorded and committed: reading may start there. */
  #snapshotIndex: number;
  /** Index of a snapshot that is recorded and not committed yet: the leader sent it, and it replaces the log. */
  #replacement: number | undefined;
  #sequence: number;
  #file: File;
  /** Where the next record goes. */
  #offset: number;
  /** Everything below is known to be durable; so are all earlier segments. */
  #durable: number;
  /** The file holds zeros from #offset to here. */
  #zeroedTo: number;
  /** The file must not become shorter than this. */
  #allotted: number;
  #running: Promise<void> | undefined;
  #failure: WalError | undefined;
  #closed = false;

  private constructor(options: WalOptions, state: State) {
    this.#fileSystem = options.fileSystem;
    this.#directory = trimmed(options.directory);
    this.#segmentBytes = segmentBytesOf(options);
    this.#random = randomOf(options);
    this.#logger = options.logger ?? discardLogger;
    this.#lock = state.lock;
    this.#metadata = state.metadata;
    this.#encoder = state.encoder;
    this.#hardState = state.hardState;
    this.#lastIndex = state.lastIndex;
    this.#snapshotIndex = state.snapshotIndex;
    this.#sequence = state.sequence;
    this.#file = state.file;
    this.#offset = state.offset;
    this.#durable = state.offset;
    this.#zeroedTo = state.zeroedTo;
    this.#allotted = state.allotted;
  }

  /**
   * Makes a new log, or nothing (create.ts has the steps). Throws WalError EXISTS if the directory is not empty,
   * FileSystemError LOCKED if another process has it, or the disk's failure.
   */
  static async create(options: CreateOptions): Promise<Wal> {
    const { fileSystem, replaces = false } = options;
    const directory = trimmed(options.directory);
    const metadata = options.metadata.slice();
    const segmentBytes = segmentBytesOf(options);
    const made = await makeLog({ fileSystem, directory, metadata, segmentBytes, random: randomOf(options), replaces });
    const empty = { hardState: emptyHardState, lastIndex: 0, snapshotIndex: 0, sequence: 0 };
    return new Wal(options, { ...empty, metadata, ...made });
  }

  /**
   * Opens a log and returns its contents; cuts off a torn write at its end, and keeps a copy. Throws WalError
   * (errors.ts lists the codes) and FileSystemError, LOCKED if another process has the log open.
   */
  static async open(options: OpenOptions): Promise<{ wal: Wal; recovered: Recovered }> {
    const { fileSystem } = options;
    const directory = trimmed(options.directory);
    if ((await fileSystem.list(directory)) === undefined) {
      throw new WalError("NOT_FOUND", `${directory}: no such directory. Create a log, or check the path.`, {
        file: directory,
      });
    }
    const lock = await fileSystem.lock(directory);
    try {
      const startAt = options.startAt ?? { index: 0, term: 0 };
      const logger = options.logger ?? discardLogger;
      const { recovered, tail } = await recover(fileSystem, directory, startAt, logger);
      const wal = new Wal(options, {
        lock,
        metadata: recovered.metadata,
        hardState: recovered.hardState ?? emptyHardState,
        lastIndex: startAt.index + recovered.entries.length,
        snapshotIndex: startAt.index,
        sequence: tail.sequence,
        file: tail.file,
        encoder: new Encoder(tail.chain, tail.salt),
        offset: tail.offset,
        zeroedTo: tail.size,
        allotted: tail.allotted,
      });
      return { wal, recovered };
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /**
   * Appends the entries, then the hard state; an undefined or empty one is not written. The bytes are written before
   * the call returns; with `mustSync` the promise resolves once they, and all before them, survive a power cut. The
   * entries continue the log or replace its end.
   *
   * The first hard state that commits a snapshot which the leader sent (see saveSnapshot) goes before the entries, and
   * is always synced: it makes the snapshot count, and after a crash entries without it would seem to continue the
   * replaced log.
   */
  save(hardState: HardState | undefined, entries: readonly Entry[], mustSync: boolean): Promise<void> {
    return this.#exclusively(async () => {
      const state = hardState === undefined || isEmpty(hardState) ? undefined : hardState;
      if (state === undefined && entries.length === 0) {
        // An earlier call may have left something unsynced, a commit index say.
        if (mustSync && this.#durable < this.#offset) await this.#sync();
        return;
      }
      const replacement = this.#replacement;
      if (replacement !== undefined) this.#commitReplacement(replacement, state, entries);
      for (const e of entries) {
        if (e.index < 1 || e.index > this.#lastIndex + 1) {
          throw new Error(`entry ${e.index} does not continue a log that ends at ${this.#lastIndex}`);
        }
        this.#append(RecordType.entry, e);
        this.#lastIndex = e.index;
      }
      if (state !== undefined) {
        this.#append(RecordType.state, encodeHardState(state));
        this.#hardState = state;
      }
      this.#write();
      if (this.#offset >= this.#segmentBytes) await this.#cut();
      else if (mustSync || replacement !== undefined) await this.#sync();
    });
  }

  #commitReplacement(index: number, state: HardState | undefined, entries: readonly Entry[]): void {
    if (state !== undefined && state.commit >= index) {
      this.#append(RecordType.state, encodeHardState({ ...state, commit: index }));
      this.#lastIndex = index;
      this.#snapshotIndex = index;
      this.#replacement = undefined;
    } else if (entries.length > 0) {
      throw new Error(`entries follow the snapshot of index ${index}, and no hard state that commits it`);
    }
  }

  /**
   * Records that the snapshot's file is durable, and syncs. `confState` may be missing only at index 0. If the leader
   * sent the snapshot, the next save has the hard state that commits it; entries then continue after it.
   */
  saveSnapshot(snapshot: WalSnapshot): Promise<void> {
    return this.#exclusively(async () => {
      if (snapshot.index > 0 && snapshot.confState === undefined) throw new Error("a snapshot needs its ConfState");
      this.#append(RecordType.snapshot, encodeSnapshotRecord(snapshot));
      if (snapshot.index > this.#hardState.commit) this.#replacement = snapshot.index;
      else this.#snapshotIndex = Math.max(this.#snapshotIndex, snapshot.index);
      this.#write();
      await this.#sync();
    });
  }

  /**
   * Deletes the segments that a start at a snapshot of this index or a later one does not need. Such a snapshot must be
   * recorded and committed. The oldest go first, each for good before the next, so that a crash leaves no gap.
   */
  release(index: number): Promise<void> {
    return this.#exclusively(async () => {
      if (index > this.#snapshotIndex)
        throw new Error(`no snapshot of index ${index} or above is recorded and committed`);
      const all = await listSegments(this.#fileSystem, this.#directory);
      const first = all.findLastIndex(({ firstIndex }) => firstIndex <= index);
      for (const { name } of all.slice(0, Math.max(first, 0))) {
        const path = `${this.#directory}/${name}`;
        await this.#fileSystem.unlink(path);
        await this.#fileSystem.syncDirectory(this.#directory);
        this.#logger.info?.(`${path}: deleted, as every snapshot that is kept is newer`);
      }
    });
  }

  /**
   * Syncs the log, then repeats the last hard state: a record that states everything before it durable, so that any
   * damage to a closed log is recognised as damage. Unlocks the directory in any case; rejects if the log had failed.
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#running?.catch(() => undefined); // its own caller gets the error
    try {
      await this.#seal().finally(() => this.#file.close());
    } catch (cause) {
      throw this.#fail(cause);
    } finally {
      await this.#lock.release(this.#directory);
    }
  }

  async #seal(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#durable < this.#offset) await this.#sync();
    this.#append(RecordType.state, encodeHardState(this.#hardState));
    this.#write();
    await this.#sync();
  }

  #exclusively(work: () => Promise<void>): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#closed) return Promise.reject(new WalError("CLOSED", `${this.#directory}: the log has been closed`));
    if (this.#running !== undefined) return Promise.reject(new Error("the log takes one call at a time"));
    this.#running = work().then(
      () => {
        this.#running = undefined;
      },
      (cause) => {
        this.#running = undefined;
        throw this.#fail(cause);
      },
    );
    return this.#running;
  }

  #fail(cause: unknown): WalError {
    if (this.#failure === undefined) {
      const detail = cause instanceof Error ? cause.message : String(cause);
      const text = `${detail}. The log takes no more: what was not yet acknowledged may be lost. Mend the cause, then restart.`;
      this.#failure = new WalError("FAILED", text, { file: this.#file.path, cause });
    }
    return this.#failure;
  }

  #append(type: RecordType, data: RecordData): void {
    this.#encoder.append(type, data, this.#offset, this.#durable);
  }

  #write(): void {
    const batch = this.#encoder.take();
    const end = this.#offset + batch.length;
    this.#zeroedTo = writeZeros(this.#file, this.#zeroedTo, end, this.#segmentBytes);
    this.#file.writeAt(batch, this.#offset);
    this.#offset = end;
    this.#zeroedTo = Math.max(this.#zeroedTo, end);
  }

  async #sync(): Promise<void> {
    const end = this.#offset;
    await this.#file.datasync();
    this.#durable = end;
  }

  /**
   * Ends this segment and begins the next. The new one gets its name only when the old one and its own head are
   * durable; a crash before that leaves the old tail, one after it the new.
   */
  async #cut(): Promise<void> {
    const fileSystem = this.#fileSystem;
    await this.#file.truncate(Math.max(this.#offset, this.#allotted));
    await this.#sync();
    const path = `${this.#directory}/${segmentName(this.#sequence + 1, this.#lastIndex + 1)}`;
    const allotted = allottedOf(this.#segmentBytes);
    const state = { type: RecordType.state, data: encodeHardState(this.#hardState) };
    encodeHead(this.#encoder, this.#metadata, state, allotted, drawSalt(this.#random));
    const sizes = await writeSegment(fileSystem, `${path}.tmp`, this.#encoder.take(), this.#segmentBytes);
    await fileSystem.rename(`${path}.tmp`, path);
    await fileSystem.syncDirectory(this.#directory);
    const old = this.#file;
    this.#file = await fileSystem.open(path, "write");
    await old.close();
    this.#sequence++;
    this.#offset = sizes.offset;
    this.#durable = sizes.offset;
    this.#zeroedTo = sizes.zeroedTo;
    this.#allotted = allotted;
    this.#logger.info?.(`${path}: began a new segment`);
  }
}

/** Without the slash at its end, so that `.tmp` can follow. */
const trimmed = (directory: string): string => directory.replace(/(?<=.)\/+$/, "");

const isEmpty = (hs: HardState): boolean => hs.term === 0 && hs.vote === 0 && hs.commit === 0;

const segmentBytesOf = (options: WalOptions): number => options.segmentBytes ?? segmentBytes;

const randomOf = (options: WalOptions): ((n: number) => number) => options.random ?? ((n) => randomInt(n));
