// Shared by the tests of snap/: sources of chunks, a store in a fresh directory, and a file system that dies at a
// chosen call.

import fs from "node:fs";
import path from "node:path";
import { type FileSystem, FileSystemError } from "../disk/file-system.ts";
import { nodeFileSystem } from "../disk/node-file-system.ts";
import { temporary, watched } from "../disk/testing.ts";
import { makeConfState, makeSnapshot, type SnapshotMetadata } from "../raft/raftpb/index.ts";
import { Snapshotter, type SnapshotterOptions } from "./index.ts";

export const confState = makeConfState({ voters: [1, 2, 3], learners: [4] });

export const metadataAt = (index: number, term = 1): SnapshotMetadata => makeSnapshot(index, term, confState).metadata;

/** Name of the file of a snapshot. */
export const nameAt = (index: number, term = 1): string =>
  `${term.toString(16).padStart(16, "0")}-${index.toString(16).padStart(16, "0")}.snap`;

/** The bytes in chunks of this size, the last one shorter. */
export async function* chunksOf(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array, void, void> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

/** Bytes without a pattern, the same in every run. */
export function noise(size: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(size);
  let state = seed;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

const stores: Snapshotter[] = [];

export async function openStore(
  options: Partial<SnapshotterOptions> & { fileSystem?: FileSystem } = {},
): Promise<{ store: Snapshotter; directory: string; warnings: string[] }> {
  const directory = options.directory ?? path.join(temporary(), "snap");
  const warnings: string[] = [];
  const logger = { warning: (text: string) => warnings.push(text) };
  const store = await Snapshotter.open({ fileSystem: nodeFileSystem, logger, ...options, directory });
  stores.push(store);
  return { store, directory, warnings };
}

export async function closeStores(): Promise<void> {
  for (const store of stores.splice(0)) await store.close();
}

export const filesIn = (directory: string): string[] => fs.readdirSync(directory).sort();

/** What a power cut can make of a directory: each of these copies is one that the next start may find. */
export interface Wreck {
  readonly what: string;
  readonly directory: string;
}

/**
 * A machine that loses its power at the `fatal`th call of the disk; that call and all later ones fail. wrecks() lists
 * what the disk may hold then: writes without a later sync are lost or not; renames and removals without a later sync
 * of the directory are undone or not.
 */
export class PowerCut {
  readonly fileSystem: FileSystem;
  readonly #directory: string;
  readonly #unsynced = new Set<string>();
  #fatal = Number.POSITIVE_INFINITY;
  /** The directory as it was when it was last synced; undefined while nothing has changed since. */
  #synced: string | undefined;
  calls = 0;

  constructor(directory: string) {
    this.#directory = directory;
    this.fileSystem = watched((call, file) => this.#before(call, file));
  }

  get isOff(): boolean {
    return this.calls >= this.#fatal;
  }

  /** Starts counting anew. */
  dieAt(fatal: number): void {
    this.calls = 0;
    this.#fatal = fatal;
  }

  wrecks(): Wreck[] {
    const asSeen = copyOf(this.#directory);
    const found: Wreck[] = [{ what: "everything was written", directory: asSeen }];
    if (this.#unsynced.size > 0) {
      const directory = copyOf(this.#directory);
      for (const name of this.#unsynced) {
        const file = path.join(directory, name);
        if (fs.existsSync(file)) fs.truncateSync(file, Math.floor(fs.statSync(file).size / 2));
      }
      found.push({ what: "what was not synced is lost", directory });
    }
    if (this.#synced !== undefined) found.push({ what: "names are as they were", directory: copyOf(this.#synced) });
    return found;
  }

  #before(call: string, file: string): void {
    this.calls++;
    if (this.isOff) throw new FileSystemError(call, file, "EIO", "the power is off");
    const name = path.basename(file);
    if (call === "writeAt") this.#unsynced.add(name);
    if (call === "datasync") this.#unsynced.delete(name);
    if (call === "rename" || call === "unlink") this.#synced ??= copyOf(this.#directory);
    if (call === "rename" && this.#unsynced.delete(name)) this.#unsynced.add(name.replace(/\.\d+\.tmp$/, ""));
    if (call === "syncDirectory" && file === this.#directory) this.#synced = undefined;
  }
}

function copyOf(directory: string): string {
  const copy = path.join(temporary(), "snap");
  fs.cpSync(directory, copy, { recursive: true });
  return copy;
}
