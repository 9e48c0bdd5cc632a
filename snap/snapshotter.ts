// The snapshot files of one member: a directory that the store locks while it is open.
//
// Promises: a file has its name only when it is whole and durable, so a crash leaves the old files, or those and the
// new one. A file without a matching checksum is never used. A failed save has changed nothing, so another one may be
// tried. Calls may run at the same time, saves too: each writes a temporary file of its own.
//
// A snapshot is *confirmed* by its record in the log, which is written after the file. A crash between the two leaves a
// file without a record: a start must not go on from it, because the log may not reach it.
//
// Ports snapshotter.go. Differs: written beside and renamed, not in place; a lock on the directory; deletes released
// files (etcd purges all but the newest five). Leaves out db.go, the snapshots of etcd's database.

import { setImmediate } from "node:timers/promises";
import {
  type DirectoryLock,
  type File,
  type FileSystem,
  FileSystemError,
  parentOf,
  removeLeftovers,
} from "../disk/file-system.ts";
import { discardLogger, type Logger } from "../raft/logger.ts";
import type { SnapshotMetadata } from "../raft/raftpb/index.ts";
import { disk, SnapError } from "./errors.ts";
import { parseSnapshotName, type SnapshotPosition, samePosition, snapshotName } from "./names.ts";
import { readMetadata, readSnapshot } from "./read.ts";
import { writeSnapshot } from "./write.ts";

export interface SnapshotterOptions {
  readonly fileSystem: FileSystem;
  /** Created, with its parents, if it does not exist. */
  readonly directory: string;
  readonly logger?: Logger | undefined;
  /** Awaited after each piece that a save has written, so that other work has its turn: setImmediate unless given. */
  readonly pause?: (() => Promise<void>) | undefined;
}

export class Snapshotter {
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  readonly #logger: Logger;
  readonly #pause: () => Promise<void>;
  readonly #lock: DirectoryLock;
  readonly #running = new Set<Promise<unknown>>();
  /** How many saves have begun: their temporary files are named after it. */
  #saves = 0;
  #closing: Promise<void> | undefined;

  private constructor(options: SnapshotterOptions, directory: string, lock: DirectoryLock) {
    this.#fileSystem = options.fileSystem;
    this.#directory = directory;
    this.#logger = options.logger ?? discardLogger;
    this.#pause = options.pause ?? setImmediate;
    this.#lock = lock;
  }

  /** Opens the directory, and removes the files of saves that a crash ended. Throws SnapError LOCKED, DISK_FAILED. */
  static async open(options: SnapshotterOptions): Promise<Snapshotter> {
    const { fileSystem } = options;
    const directory = options.directory.replace(/(?<=.)\/+$/, "");
    await disk(() => fileSystem.makeDirectory(directory));
    const lock = await disk(() => fileSystem.lock(directory));
    try {
      await disk(() => removeLeftovers(fileSystem, directory));
      // A crash may have come after a start made the directory, or a save a name, and before that was durable.
      await disk(() => fileSystem.syncDirectory(directory));
      await disk(() => fileSystem.syncDirectory(parentOf(directory)));
      for (const name of (await disk(() => fileSystem.list(directory))) ?? []) {
        if (name.endsWith(".snap") && parseSnapshotName(name) === undefined) {
          options.logger?.warning?.(`${directory}/${name}: not the name of a snapshot; it is not looked at`);
        }
      }
      return new Snapshotter(options, directory, lock);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /**
   * Writes a snapshot, in place of any of the same index and term; when the promise resolves it survives a power cut.
   * An error of `chunks` passes through unchanged. Otherwise throws SnapError: DISK_FAILED, TOO_LARGE, CLOSED. Either
   * way the temporary file is removed, and `chunks` has been ended. Only a failed sync of the directory, the last step,
   * leaves a file: it is whole, and not confirmed.
   */
  async save(metadata: SnapshotMetadata, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const source = chunks[Symbol.asyncIterator]();
    try {
      await this.#run(() => this.#save(metadata, source));
    } catch (error) {
      // The one place that ends a source: it may hold a resource, and may not have been asked for a chunk yet. This
      // error says more than an error of its own would.
      await Promise.resolve(source.return?.()).catch(() => undefined);
      throw error;
    }
  }

  /**
   * The data, in chunks of 256 KiB. The file is opened for the first chunk, and from then on may be released or
   * replaced. Throws SnapError: NOT_FOUND, CLOSED, DISK_FAILED, and DAMAGED or UNREADABLE, which may come after the
   * last chunk only: do not use the data before the end.
   */
  async *read(position: SnapshotPosition): AsyncGenerator<Uint8Array, void, void> {
    this.#checkOpen();
    const file = await this.#open(position);
    try {
      yield* readSnapshot(file, position);
    } finally {
      await disk(() => file.close());
    }
  }

  /**
   * Index, term and ConfState alone: reads no data and checks no checksum. Throws SnapError as read does, but not
   * UNREADABLE.
   */
  readMetadata(position: SnapshotPosition): Promise<SnapshotMetadata> {
    return this.#run(() => this.#with(position, (file) => readMetadata(file, position)));
  }

  /** Reads the whole file, and returns its metadata if the checksum matches. Throws SnapError as read does. */
  verify(position: SnapshotPosition): Promise<SnapshotMetadata> {
    return this.#run(() => this.#verify(position));
  }

  /**
   * The newest snapshot to start from: the log has a record of it, with the same index and term, and its checksum
   * matches. A file with a wrong checksum is renamed to `<name>.broken`, with a warning, and the next older one is
   * tried. Undefined if none is left: the caller knows whether the log reaches back to its beginning and can do
   * without. Snapshots that are not confirmed stay as they are. Throws SnapError UNREADABLE, DISK_FAILED, CLOSED.
   */
  newest(confirmed: readonly SnapshotPosition[]): Promise<SnapshotMetadata | undefined> {
    return this.#run(async () => {
      for (const position of (await this.#list()).reverse()) {
        if (!confirmed.some((other) => samePosition(other, position))) continue;
        try {
          return await this.#verify(position);
        } catch (error) {
          if (!(error instanceof SnapError && error.code === "DAMAGED")) throw error;
          await this.#setAside(position, error.message);
        }
      }
      return undefined;
    });
  }

  /**
   * Deletes the snapshots that the log has no record of: crashes left them, and no start will use them. Call it, if at
   * all, after newest and before the first save, which is not confirmed yet either. Returns how many there were.
   */
  async discardUnconfirmed(confirmed: readonly SnapshotPosition[]): Promise<number> {
    if (this.#saves > 0) throw new Error("unconfirmed snapshots are discarded before the first save, or never");
    return this.#run(async () => {
      const all = await this.#list();
      const orphans = all.filter((position) => !confirmed.some((other) => samePosition(other, position)));
      await this.#delete(orphans.map(snapshotName));
      return orphans.length;
    });
  }

  /** The snapshots in the directory, from the oldest to the newest, sound or not. */
  list(): Promise<readonly SnapshotPosition[]> {
    return this.#run(() => this.#list());
  }

  /**
   * Deletes the snapshots of a lower index, the oldest first, and broken ones of a lower index with them: with a newer
   * one in use they are of no more help.
   */
  release(index: number): Promise<void> {
    return this.#run(async () => {
      const names = (await disk(() => this.#fileSystem.list(this.#directory))) ?? [];
      await this.#delete(
        names.filter((name) => {
          const position = parseSnapshotName(name.replace(/\.broken$/, ""));
          return position !== undefined && position.index < index;
        }),
      );
    });
  }

  /**
   * Releases the directory. A running save ends with SnapError CLOSED after the present piece, and its temporary file
   * is removed. A source that does not yield its next chunk holds up the closing, so a caller that can end the source
   * does so first. A read goes on.
   */
  close(): Promise<void> {
    this.#closing ??= Promise.allSettled([...this.#running]).then(() => disk(() => this.#lock.release()));
    return this.#closing;
  }

  #run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) return Promise.reject(this.#closed());
    const running = work().finally(() => this.#running.delete(running));
    this.#running.add(running);
    return running;
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw this.#closed();
  }

  #closed(): SnapError {
    return new SnapError("CLOSED", this.#directory, `${this.#directory}: the snapshots have been closed`);
  }

  #path(position: SnapshotPosition): string {
    return `${this.#directory}/${snapshotName(position)}`;
  }

  async #save(metadata: SnapshotMetadata, source: AsyncIterator<Uint8Array>): Promise<void> {
    if (metadata.index === 0) throw new Error("the snapshot of index 0 stands for no entry and is not saved");
    const fileSystem = this.#fileSystem;
    const path = this.#path(metadata);
    const temporary = `${path}.${++this.#saves}.tmp`;
    const chunks = { [Symbol.asyncIterator]: () => ({ next: () => source.next() }) };
    const turn = async (): Promise<void> => {
      await this.#pause();
      this.#checkOpen();
    };
    const file = await disk(() => fileSystem.open(temporary, "create"));
    try {
      try {
        await writeSnapshot(file, metadata, chunks, turn);
      } finally {
        await disk(() => file.close());
      }
      await disk(() => fileSystem.rename(temporary, path));
    } catch (error) {
      await this.#removeTemporary(temporary);
      throw error;
    }
    await disk(() => fileSystem.syncDirectory(this.#directory));
  }

  async #removeTemporary(temporary: string): Promise<void> {
    try {
      await this.#fileSystem.unlink(temporary);
    } catch (error) {
      // The save's first failure is the error to report; the next start removes the file.
      this.#logger.warning?.(`${temporary}: left behind, because it cannot be removed: ${(error as Error).message}`);
    }
  }

  async #open(position: SnapshotPosition): Promise<File> {
    try {
      return await this.#fileSystem.open(this.#path(position), "read");
    } catch (cause) {
      if (!(cause instanceof FileSystemError && cause.code === "ENOENT")) return disk(() => Promise.reject(cause));
      const { index, term } = position;
      const what = `no snapshot of index ${index} and term ${term}`;
      const text = `${this.#directory}: ${what}. It may have been released: ask for the newest.`;
      throw new SnapError("NOT_FOUND", this.#path(position), text, cause);
    }
  }

  async #with<T>(position: SnapshotPosition, work: (file: File) => Promise<T>): Promise<T> {
    const file = await this.#open(position);
    try {
      return await work(file);
    } finally {
      await disk(() => file.close());
    }
  }

  #verify(position: SnapshotPosition): Promise<SnapshotMetadata> {
    return this.#with(position, async (file) => {
      const reading = readSnapshot(file, position);
      for (;;) {
        const step = await reading.next();
        if (step.done === true) return step.value;
      }
    });
  }

  async #list(): Promise<SnapshotPosition[]> {
    const names = (await disk(() => this.#fileSystem.list(this.#directory))) ?? [];
    return names.map(parseSnapshotName).filter((position) => position !== undefined);
  }

  async #setAside(position: SnapshotPosition, reason: string): Promise<void> {
    const path = this.#path(position);
    // Not synced: if a power cut undoes it, the next start finds the file broken again.
    await disk(() => this.#fileSystem.rename(path, `${path}.broken`));
    this.#logger.warning?.(`${reason} It is kept as ${path}.broken`);
  }

  /** In the order given. */
  async #delete(names: readonly string[]): Promise<void> {
    for (const name of names) await disk(() => this.#fileSystem.unlink(`${this.#directory}/${name}`));
    if (names.length > 0) await disk(() => this.#fileSystem.syncDirectory(this.#directory));
  }
}
