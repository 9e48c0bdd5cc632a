// The file-system seam: every disk access of wal/ and snap/ goes through these few calls, with node:fs behind them in
// node-file-system.ts and a fake disk behind them in tests.
//
// What each call promises is what a crash test may rely on, no more:
//   - writeAt and truncate change what a reader of this process sees at once, and what survives a power cut only after
//     datasync;
//   - a created, renamed or unlinked name survives a power cut only after syncDirectory of its parent (but see
//     makeDirectory);
//   - a call that fails throws a FileSystemError; nothing is retried here or above. After a datasync that failed, a
//     later one that does not fail says nothing about what was written before: it may be read, and never reach the
//     disk, unless it is written again.
//
// writeAt is synchronous: it copies into the page cache, which costs less than a trip through the thread pool. datasync
// is not: it waits for the disk, and what arrives meanwhile shares the next one.

/** An open file. Offsets and sizes are bytes. */
export interface File {
  readonly path: string;
  /** Fills `into` from `offset`; resolves to the bytes read, fewer only at the end of the file. */
  read(into: Uint8Array, offset: number): Promise<number>;
  /** Writes all of `bytes` at `offset`; a short write is an error. */
  writeAt(bytes: Uint8Array, offset: number): void;
  /** Resolves once everything written to this file survives a power cut. */
  datasync(): Promise<void>;
  truncate(size: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

/** An exclusive hold on a directory: stays with it through a rename, and is gone with the process however that ends. */
export interface DirectoryLock {
  /** `movedTo` is where the directory is now, if it has been renamed since it was locked. */
  release(movedTo?: string): Promise<void>;
}

export interface FileSystem {
  /** "create" makes a file with mode 0600 and fails if it is there; "write" and "read" fail if it is not. */
  open(path: string, mode: "create" | "write" | "read"): Promise<File>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Names in the directory, in ascending order; undefined if there is no such directory. */
  list(directory: string): Promise<string[] | undefined>;
  /**
   * Makes the directory and its missing parents with mode 0700, each name durable before the next is made (only this
   * call knows which parents were missing). No error if it exists; its name, or that of the last existing parent, is
   * then synced all the same: the process that made it may have been killed in between.
   */
  makeDirectory(directory: string): Promise<void>;
  syncDirectory(directory: string): Promise<void>;
  /**
   * Throws FileSystemError: "LOCKED" if another process, or this one, holds it or may hold it; "NO_LOCK" if this
   * process cannot take a lock that others would see.
   */
  lock(directory: string): Promise<DirectoryLock>;
}

const notADirectory =
  "a file or a broken link is in the place of a directory: move it away, or choose another directory";
const mounted = "it is a mount point, or a mount lies in between: mount the disk at the data directory itself";

/** What an operator can do about the system's codes. */
const remedies: Readonly<Record<string, string>> = {
  EIO: "mend or replace the disk",
  ENOSPC: "make room on the disk",
  SHORT_WRITE: "make room on the disk",
  EDQUOT: "make room on the disk, or raise the quota",
  EROFS: "make the disk writable; if no operator made it read-only, it has failed: mend or replace it",
  EACCES: "give this user access to it",
  EPERM: "give this user access to it",
  ENOTDIR: notADirectory,
  ELOOP: "symbolic links form a loop: mend them, or choose another directory",
  ENAMETOOLONG: "choose a shorter path",
  EBUSY: mounted,
  EXDEV: mounted,
};

/** What the same codes mean where a directory was to be made. */
const remediesOfMkdir: Readonly<Record<string, string>> = {
  EEXIST: notADirectory,
};

/**
 * A failed call: which one, on what, the system's code (EIO, ENOSPC, ...; LOCKED, NO_LOCK: see FileSystem.lock), and
 * what to do about it.
 */
export class FileSystemError extends Error {
  override readonly name = "FileSystemError";
  readonly code: string;
  readonly call: string;
  readonly path: string;
  /** Whether the message says what to do about it. */
  readonly isExplained: boolean;

  constructor(call: string, path: string, code: string, detail: string) {
    const remedy = (call === "mkdir" ? remediesOfMkdir[code] : undefined) ?? remedies[code];
    super(`${call} ${path}: ${detail}${remedy === undefined ? "" : `; ${remedy}`}`);
    this.code = code;
    this.isExplained = remedy !== undefined;
    this.call = call;
    this.path = path;
  }
}

/** The directory that a path lies in. The seam knows paths with `/` only. */
export function parentOf(directory: string): string {
  const slash = directory.lastIndexOf("/");
  if (slash < 0) return ".";
  return slash === 0 ? "/" : directory.slice(0, slash);
}

/**
 * Removes the files that a crash left under their temporary names: what was being made or copied, and never got its own
 * name.
 */
export async function removeLeftovers(fileSystem: FileSystem, directory: string): Promise<void> {
  for (const name of (await fileSystem.list(directory)) ?? []) {
    if (name.endsWith(".tmp")) await fileSystem.unlink(`${directory}/${name}`);
  }
}
