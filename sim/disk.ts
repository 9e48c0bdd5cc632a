// A disk in memory, behind the same seam as the real one (disk/file-system.ts): deterministic, and able to do the worst
// that the seam allows, no more.
//
//   - Power cuts. powerCut gives the disk that the next start finds: all that was synced, and any part of the rest,
//     down to single sectors, which may also hold zeros or garbage (disk-nodes.ts has the rules). survivor does the
//     same and leaves this disk on, so that one run of a workload can be cut at each of its calls; fork copies it as it
//     is. killed is the end of a process while the machine goes on.
//   - Failures. failWhen and failNext make calls fail, until heal. A failed call has changed nothing, with two
//     exceptions: a short write has written half, and a failed sync leaves its changes doubtful: forget takes them from
//     the readers.
//   - Time. Every asynchronous call waits for `wait`, which a simulator ties to its virtual clock; hangWhen holds calls
//     up until they are released. A running sync does not cover bytes that are written meanwhile.
//   - `watch` sees each call before it is made.
//
// Without `wait` a call takes effect before it returns its promise, so the order of effects is the order of calls. Only
// `random` makes choices. Directories have their locks, and moves within one directory only.

import type { DirectoryLock, File, FileSystem } from "../disk/file-system.ts";
import {
  Calls,
  type DiskCall,
  type Failure,
  type FakeDiskOptions,
  failed,
  type Matches,
  namesOf,
} from "./disk-calls.ts";
import { type Choice, DirectoryNode, type DiskNode, drawn, FileNode, type Unsynced } from "./disk-nodes.ts";

export type { DiskCall, Failure, FakeDiskOptions, Matches } from "./disk-calls.ts";
export { type Choice, drawn, type Fate, sectorBytes, type Unsynced } from "./disk-nodes.ts";

export class FakeDisk implements FileSystem {
  readonly #options: FakeDiskOptions;
  readonly #root: DirectoryNode;
  readonly #locks = new Set<DirectoryNode>();
  readonly #calls: Calls;
  #open = 0;

  constructor(options: FakeDiskOptions, found: { root: DirectoryNode; calls: number } | undefined = undefined) {
    this.#options = options;
    this.#root = found?.root ?? new DirectoryNode();
    this.#calls = new Calls(options, found?.calls ?? 0);
  }

  /** How many calls there have been. */
  get calls(): number {
    return this.#calls.count;
  }

  /** Files that are open now. */
  get openFiles(): number {
    return this.#open;
  }

  /** What a power cut could undo now, oldest first. */
  get unsynced(): readonly Unsynced[] {
    const all: Unsynced[] = [];
    const seen = new Set<DiskNode>();
    const visit = (node: DiskNode): void => {
      if (seen.has(node)) return;
      seen.add(node);
      all.push(...node.unsynced);
      if (node instanceof DirectoryNode) for (const child of node.reachable()) visit(child);
    };
    visit(this.#root);
    return all.sort((a, b) => a.call - b.call);
  }

  /** Every file, as it is read now, by its path, in ascending order. */
  files(): Map<string, Uint8Array> {
    const files: [string, Uint8Array][] = [];
    const visit = (directory: DirectoryNode, path: string): void => {
      for (const [name, node] of directory.entries) {
        if (node instanceof FileNode) files.push([`${path}/${name}`, node.bytes.slice()]);
        else visit(node, `${path}/${name}`);
      }
    };
    visit(this.#root, "");
    return new Map(files.sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** Every directory, in ascending order. */
  directories(): string[] {
    const found: string[] = [];
    const visit = (directory: DirectoryNode, path: string): void => {
      for (const [name, node] of directory.entries) {
        if (!(node instanceof DirectoryNode)) continue;
        found.push(`${path}/${name}`);
        visit(node, `${path}/${name}`);
      }
    };
    visit(this.#root, "");
    return found.sort();
  }

  /**
   * Puts a file there, synced and with all its directories; one that is there is replaced. No call, so nothing can fail
   * it.
   */
  put(path: string, bytes: Uint8Array): void {
    const names = namesOf(path);
    let directory = this.#root;
    for (const name of names.slice(0, -1)) {
      let next = directory.entries.get(name);
      if (!(next instanceof DirectoryNode)) {
        next = new DirectoryNode();
        directory.put(name, next);
      }
      directory = next;
    }
    directory.put(names.at(-1) as string, new FileNode(bytes));
  }

  /** The disk that a power cut at this moment leaves, all of it synced. This one stays as it is. */
  survivor(choose: Choice, options: Partial<FakeDiskOptions> = {}): FakeDisk {
    return new FakeDisk({ ...this.#options, ...options }, { root: this.#root.survivor(choose), calls: this.calls });
  }

  /** A disk of its own that is as this one is, with what is not synced. No locks are held on it. */
  fork(options: Partial<FakeDiskOptions> = {}): FakeDisk {
    return new FakeDisk({ ...this.#options, ...options }, { root: this.#root.copy(), calls: this.calls });
  }

  /**
   * A power cut: as survivor, and this disk is off: none of its calls comes back. What survives is drawn by `random`
   * unless given.
   */
  powerCut(choose: Choice = drawn(this.#options.random), options: Partial<FakeDiskOptions> = {}): FakeDisk {
    const survivor = this.survivor(choose, options);
    this.#calls.isOff = true;
    return survivor;
  }

  /**
   * The process has ended: its locks are gone, none of its calls comes back. What it has written is there, synced or
   * not.
   */
  killed(options: Partial<FakeDiskOptions> = {}): FakeDisk {
    this.#calls.isOff = true;
    return new FakeDisk({ ...this.#options, ...options }, { root: this.#root, calls: this.calls });
  }

  /** Fails every call that matches, until heal. */
  failWhen(matches: Matches, failure: Failure): void {
    this.#calls.fail(matches, failure, false);
  }

  /** Fails the next call that matches. */
  failNext(matches: Matches, failure: Failure): void {
    this.#calls.fail(matches, failure, true);
  }

  /** No more failures. What failed syncs have left doubtful stays so. */
  heal(): void {
    this.#calls.heal();
  }

  /** The system drops the pages of the file whose sync failed: from now on it is read as the disk has it. No call. */
  forget(path: string, choose: Choice): void {
    const node = this.#find(namesOf(path));
    if (node instanceof FileNode) node.forget(this.calls, path, choose);
  }

  /** Holds up the asynchronous calls that match, until the function that it returns is called. */
  hangWhen(matches: Matches): () => void {
    return this.#calls.hold(matches);
  }

  open(path: string, mode: "create" | "write" | "read"): Promise<File> {
    return this.#calls.do(mode === "create" ? "create" : "open", path, (call) => {
      const { directory, name } = this.#parent(call);
      const found = directory.entries.get(name);
      if (mode === "create") {
        if (found !== undefined) throw failed(call, "EEXIST", "file already exists");
        const node = new FileNode();
        directory.add(call.number, call.path, name, node);
        return this.#handle(path, node);
      }
      if (found === undefined) throw failed(call, "ENOENT", "no such file or directory");
      if (found instanceof DirectoryNode) throw failed(call, "EISDIR", "is a directory");
      return this.#handle(path, found);
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#calls.do("rename", from, (call) => {
      const { directory, name } = this.#parent(call);
      const target = namesOf(to);
      if (this.#find(target.slice(0, -1)) !== directory) throw new Error("a move to another directory is not modelled");
      const node = directory.entries.get(name);
      if (node === undefined) throw failed(call, "ENOENT", "no such file or directory");
      const newName = target.at(-1) as string;
      const there = directory.entries.get(newName);
      if (there instanceof DirectoryNode && there.entries.size > 0) throw failed(call, "ENOTEMPTY", "not empty");
      directory.rename(call.number, call.path, name, newName);
    });
  }

  unlink(path: string): Promise<void> {
    return this.#calls.do("unlink", path, (call) => {
      const { directory, name } = this.#parent(call);
      const found = directory.entries.get(name);
      if (found === undefined) throw failed(call, "ENOENT", "no such file or directory");
      if (found instanceof DirectoryNode) throw failed(call, "EISDIR", "is a directory");
      directory.remove(call.number, call.path, name);
    });
  }

  list(directory: string): Promise<string[] | undefined> {
    return this.#calls.do("list", directory, (call) => {
      const found = this.#find(namesOf(directory));
      if (found instanceof FileNode) throw failed(call, "ENOTDIR", "not a directory");
      return found === undefined ? undefined : [...found.entries.keys()].sort();
    });
  }

  /** One call to sync the name of the last directory that is there, and two for each that is missing. */
  async makeDirectory(path: string): Promise<void> {
    const names = namesOf(path);
    const pathTo = (depth: number): string => `/${names.slice(0, depth).join("/")}`;
    let present = names.length;
    while (!(this.#find(names.slice(0, present)) instanceof DirectoryNode)) present--;
    await this.syncDirectory(pathTo(Math.max(present - 1, 0)));
    for (let depth = present + 1; depth <= names.length; depth++) {
      await this.#calls.do("mkdir", pathTo(depth), (call) => {
        const { directory, name } = this.#parent(call);
        if (directory.entries.has(name)) throw failed(call, "EEXIST", "file already exists");
        directory.add(call.number, call.path, name, new DirectoryNode());
      });
      await this.syncDirectory(pathTo(depth - 1));
    }
  }

  syncDirectory(directory: string): Promise<void> {
    return this.#calls.do("syncDirectory", directory, (call) =>
      this.#directory(call, namesOf(directory)).synced(call.number),
    );
  }

  lock(directory: string): Promise<DirectoryLock> {
    return this.#calls.do("lock", directory, (call) => {
      const node = this.#directory(call, namesOf(directory));
      if (this.#locks.has(node)) {
        throw failed(
          call,
          "LOCKED",
          "another process has this directory open. Stop it first, or give this one another.",
        );
      }
      this.#locks.add(node);
      return {
        release: async () => {
          this.#locks.delete(node);
        },
      };
    });
  }

  #handle(path: string, node: FileNode): File {
    let isOpen = true;
    this.#open++;
    const check = (call: DiskCall): void => {
      if (!isOpen) throw failed(call, "EBADF", "the file has been closed");
    };
    const at = <T>(
      kind: DiskCall["kind"],
      effect: (call: DiskCall) => T,
      size = 0,
      onFailure?: (c: DiskCall) => void,
    ) =>
      this.#calls.do(
        kind,
        path,
        (call) => {
          check(call);
          return effect(call);
        },
        size,
        onFailure,
      );
    const read = (into: Uint8Array, offset: number): number => {
      const bytes = node.bytes.subarray(offset, offset + into.length);
      into.set(bytes);
      return bytes.length;
    };
    return {
      path,
      read: (into, offset) => at("read", () => read(into, offset), into.length),
      writeAt: (bytes, offset) =>
        this.#calls.write(path, bytes, (call, written) => {
          check(call);
          node.write(call.number, call.path, written, offset);
        }),
      datasync: () =>
        at(
          "datasync",
          (call) => node.synced(call.number),
          0,
          (call) => node.syncFailed(call.number),
        ),
      truncate: (size) => at("truncate", (call) => node.truncate(call.number, call.path, size)),
      size: () => at("size", () => node.bytes.length),
      close: () =>
        at("close", () => {
          isOpen = false;
          this.#open--;
        }),
    };
  }

  #find(names: readonly string[]): DiskNode | undefined {
    let node: DiskNode | undefined = this.#root;
    for (const name of names) node = node instanceof DirectoryNode ? node.entries.get(name) : undefined;
    return node;
  }

  #directory(call: DiskCall, names: readonly string[]): DirectoryNode {
    const found = this.#find(names);
    if (found instanceof DirectoryNode) return found;
    throw found === undefined
      ? failed(call, "ENOENT", "no such file or directory")
      : failed(call, "ENOTDIR", "not a directory");
  }

  #parent(call: DiskCall): { directory: DirectoryNode; name: string } {
    const names = namesOf(call.path);
    return { directory: this.#directory(call, names.slice(0, -1)), name: names.at(-1) ?? "" };
  }
}
