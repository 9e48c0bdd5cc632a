// What can be wrong with a snapshot file or its directory, as one error class with a code.
//
// Each message names the file or directory and says what to do next. A failed call of the disk is a SnapError too,
// whose cause is the FileSystemError with the system's code. So the caller of save() can tell the disk's failures from
// those of the source, whose own errors pass through unchanged.
//
// Counterpart of the error values at the top of snapshotter.go. Differs: a file that is sound and cannot be understood
// has a code of its own, because it must not be set aside as a broken one.

import { FileSystemError } from "../disk/file-system.ts";

export type SnapErrorCode =
  /** There is no snapshot of this term and index. */
  | "NOT_FOUND"
  /** The checksum does not match, the layout is not a snapshot's, or the position is not the one in the name. */
  | "DAMAGED"
  /** The checksum matches, but the metadata cannot be decoded: it has an id beyond 2^53 - 1, say. */
  | "UNREADABLE"
  /** More data than a file can hold: 32 GiB. */
  | "TOO_LARGE"
  /** Another process, or this one, has the directory open. */
  | "LOCKED"
  /** The directory could not be locked; `cause` says why. */
  | "NO_LOCK"
  /** A call of the disk failed; `cause` has the call and the system's code. */
  | "DISK_FAILED"
  /** The store has been closed, or is being closed. */
  | "CLOSED";

export class SnapError extends Error {
  override readonly name = "SnapError";
  readonly code: SnapErrorCode;
  /** Path of the file or directory that is at fault. */
  readonly file: string;

  constructor(code: SnapErrorCode, file: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.file = file;
  }
}

/** A file that must not be used. */
export function damaged(file: string, reason: string): SnapError {
  return new SnapError("DAMAGED", file, `${file}: not a sound snapshot: ${reason}. Go on from an older one.`);
}

/** A file that is sound, as its checksum shows, but has contents that this version does not understand. */
export function unreadable(file: string, reason: string): SnapError {
  const text = `${file}: ${reason}. Another program, or a newer version, has written it: go on with that one.`;
  return new SnapError("UNREADABLE", file, text);
}

/** Calls the disk, and turns its error into a SnapError. */
export async function disk<T>(call: () => T | Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    if (!(cause instanceof FileSystemError)) throw cause;
    if (cause.call === "lock") {
      throw new SnapError(cause.code === "LOCKED" ? "LOCKED" : "NO_LOCK", cause.path, cause.message, cause);
    }
    const text = cause.isExplained ? cause.message : `${cause.message}; the disk failed: mend it`;
    throw new SnapError("DISK_FAILED", cause.path, text, cause);
  }
}
