// What can be wrong with a log on disk, as one error class with a code.
//
// Each message names the file and, where there is one, the offset, and says what to do next. A call that the disk failed is a
// FileSystemError (file-system.ts) while a log is created or opened, and the cause of a WalError "FAILED" afterwards.

export type WalErrorCode =
  /** create: the directory holds a log, or something else. */
  | "EXISTS"
  /** open: there is no log in the directory, or none that reaches back to the index asked for. */
  | "NOT_FOUND"
  /** A segment is missing between others, or two have the same sequence number. */
  | "NOT_CONTIGUOUS"
  /** A second reading gave other bytes than the first. The log was not changed: start again. */
  | "OTHER_BYTES"
  /** Bytes that are known to have been durable do not verify. */
  | "DAMAGED"
  /** Another program, such as etcd, has written behind this one's records. */
  | "FOREIGN"
  /** A sound record of a type that this version does not know. */
  | "NEWER_FORMAT"
  /** A sound record with contents that cannot be decoded, such as an id beyond 2^53 - 1. */
  | "UNREADABLE"
  /** Two metadata records differ. */
  | "METADATA_CONFLICT"
  /** Metadata that is not etcd's message, or holds an id beyond 2^53 - 1. */
  | "BAD_METADATA"
  /** An entry is missing between two others. */
  | "ENTRY_GAP"
  /** The snapshot to start at is not recorded in the log. */
  | "SNAPSHOT_NOT_FOUND"
  /** The log records another term for the snapshot to start at. */
  | "SNAPSHOT_MISMATCH"
  /** A snapshot that the leader sent replaced the log, and reading was to start before it. */
  | "SNAPSHOT_NEEDED"
  /** More was committed than the log holds: its end has been lost. */
  | "LOST_TAIL"
  /** An earlier write or sync failed; the log takes no more. */
  | "FAILED"
  /** The log has been closed. */
  | "CLOSED";

export class WalError extends Error {
  override readonly name = "WalError";
  readonly code: WalErrorCode;
  /** Path of the file or directory that is at fault. */
  readonly file: string | undefined;
  /** Where in the file, in bytes. */
  readonly offset: number | undefined;

  constructor(code: WalErrorCode, message: string, at: { file?: string; offset?: number; cause?: unknown } = {}) {
    super(message, at.cause === undefined ? undefined : { cause: at.cause });
    this.code = code;
    this.file = at.file;
    this.offset = at.offset;
  }
}

/** What to do with a member whose log cannot be trusted; ends the messages that refuse one. */
export const replaceThisMember =
  "Do not edit or delete the log. If the other members still form a majority, replace this one: remove it from the cluster, " +
  "and add a new one, with a new id and an empty data directory. Otherwise restore the cluster from a backup.";

/** Damage: the error has its place and the way out. */
export function damaged(file: string, offset: number, reason: string): WalError {
  return new WalError("DAMAGED", `${file}: damaged at offset ${offset}: ${reason}. ${replaceThisMember}`, {
    file,
    offset,
  });
}

/** What makes a log be refused. */
export interface Refused {
  readonly file: string;
  readonly offset: number;
  readonly reason: string;
  /** Whether nothing is damaged: from there on all records are another program's. */
  readonly isForeign?: boolean;
}

/** In a few words, where reading ends and for which of the two reasons. */
export const endText = ({ offset, isForeign = false }: Omit<Refused, "reason">): string =>
  isForeign ? `another program's from offset ${offset} on` : `damaged at offset ${offset}`;

export function refusal({ file, offset, reason, isForeign = false }: Refused): WalError {
  if (!isForeign) return damaged(file, offset, reason);
  const text =
    `${file}: from offset ${offset} on all records are another program's, such as etcd's; they are sound, but this one cannot go on behind ` +
    `them. Go on with that program. ${replaceThisMember}`;
  return new WalError("FOREIGN", text, { file, offset });
}

/** What was read of a file, and what was made of it, does not hold: the next start reads what the disk really has. */
export function otherBytes(file: string): WalError {
  const text = `${file}: gave other bytes when it was read again. After a failed sync the system may show what the disk never got, and forget it. The log was not changed: start again; if this goes on, replace the disk.`;
  return new WalError("OTHER_BYTES", text, { file });
}
