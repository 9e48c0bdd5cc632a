// The errors of the core, of two kinds.
//
// A RaftError is an outcome that the caller handles. It is returned, never thrown, where the Go method returns an
// error. Each kind is one shared value: `=== errProposalDropped` works as in Go, and the hot path builds no stack
// trace. A RaftPanic is a broken invariant: it is thrown, and the node must not be used after it.
//
// Ports the error values of raft.go, rawnode.go, storage.go and node.go; messages are theirs.

export type RaftErrorCode =
  | "PROPOSAL_DROPPED"
  | "STEP_LOCAL_MSG"
  | "STEP_PEER_NOT_FOUND"
  | "COMPACTED"
  | "UNAVAILABLE"
  | "SNAP_OUT_OF_DATE"
  | "SNAPSHOT_TEMPORARILY_UNAVAILABLE"
  | "STOPPED"
  | "BOOTSTRAP";

export class RaftError extends Error {
  override readonly name = "RaftError";
  readonly code: RaftErrorCode;

  constructor(code: RaftErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export class RaftPanic extends Error {
  override readonly name = "RaftPanic";
  readonly code = "RAFT_PANIC";
}

/** The proposal was refused: no leader, a transfer under way, or too much uncommitted. The caller may try again. */
export const errProposalDropped = new RaftError("PROPOSAL_DROPPED", "raft proposal dropped");
/** A message type that must not come from another node. */
export const errStepLocalMsg = new RaftError("STEP_LOCAL_MSG", "raft: cannot step raft local message");
/** A response from a node that is not in the configuration. */
export const errStepPeerNotFound = new RaftError("STEP_PEER_NOT_FOUND", "raft: cannot step as peer not found");
/** The index lies before the first one that the log still holds. */
export const errCompacted = new RaftError("COMPACTED", "requested index is unavailable due to compaction");
/** The index lies beyond the last one. */
export const errUnavailable = new RaftError("UNAVAILABLE", "requested entry at index is unavailable");
/** The snapshot is not newer than the one that the storage has. */
export const errSnapOutOfDate = new RaftError(
  "SNAP_OUT_OF_DATE",
  "requested index is older than the existing snapshot",
);
/** The storage is still preparing a snapshot; raft asks again later. */
export const errSnapshotTemporarilyUnavailable = new RaftError(
  "SNAPSHOT_TEMPORARILY_UNAVAILABLE",
  "snapshot is temporarily unavailable",
);
/** The node was stopped. */
export const errStopped = new RaftError("STOPPED", "raft: stopped");
