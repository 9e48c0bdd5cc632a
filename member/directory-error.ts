// Why a member cannot start from a data directory although no disk has failed: the content does not fit the flags.

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
