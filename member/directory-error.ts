// Why a data directory cannot be started from, when no disk has failed: what is in it does not fit what was asked for.

export type DirectoryErrorCode =
  /** It is another member's. */
  | "OTHER_MEMBER"
  /** It is another cluster's. */
  | "OTHER_CLUSTER"
  /** A restore or a recovery was cut short. */
  | "UNFINISHED"
  /** Snapshots without a log, or the other way round. */
  | "INCOMPLETE";

/** The message names the directory and says what to do. Nothing was changed. */
export class DirectoryError extends Error {
  override readonly name = "DirectoryError";
  readonly code: DirectoryErrorCode;

  constructor(code: DirectoryErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
