// What a member offers to the rooms above it: writes, reads, changes of the membership, status, and how each may end.
//
// Outcomes are values with a code, for a caller to turn into words of its own: an HTTP answer, a line on a terminal. Each request has
// exactly one.

/** A request was not, and will not be, carried out. */
export interface Refused {
  readonly kind: "refused";
  /**
   * NO_LEADER: none is known, or the leader cannot take it now; TOO_MANY_WAITING: this member's queue is full;
   * TOO_LARGE: the command exceeds a limit; STOPPING: this member is shutting down.
   */
  readonly code: "NO_LEADER" | "TOO_MANY_WAITING" | "TOO_LARGE" | "STOPPING";
  readonly message: string;
}

export type ProposeOutcome =
  | { readonly kind: "applied"; readonly index: number; readonly result: unknown }
  | Refused
  /** The deadline passed: the command may be applied, now or later, or never. */
  | { readonly kind: "unknown"; readonly message: string };

export type ReadOutcome =
  /** Every write that was acknowledged before the request has been applied here. */
  { readonly kind: "ready" } | Refused | { readonly kind: "timeout"; readonly message: string };

/** One change of the membership. A learner receives the log and does not vote. */
export type MemberChange =
  | { readonly kind: "add"; readonly id: number; readonly peerUrl: string; readonly learner: boolean }
  | { readonly kind: "update"; readonly id: number; readonly peerUrl: string }
  | { readonly kind: "promote" | "demote" | "remove"; readonly id: number };

/** A change that was tried dry and found wrong: nothing was proposed. */
export interface Conflict {
  readonly kind: "conflict";
  /**
   * INVALID_CHANGE: it does not fit the members as they are; CHANGE_PENDING: an earlier change is not finished; ID_SPENT: a removed member had
   * this id; QUORUM_AT_RISK: too few of the voters would be reachable; LEARNER_BEHIND: the learner has to catch up first;
   * TRANSFER_FAILED: leadership stayed where it was.
   */
  readonly code:
    | "INVALID_CHANGE"
    | "CHANGE_PENDING"
    | "ID_SPENT"
    | "QUORUM_AT_RISK"
    | "LEARNER_BEHIND"
    | "TRANSFER_FAILED";
  readonly message: string;
  /** What to do about it. */
  readonly next: string;
}

export type ChangeOutcome =
  /** Carried out, and applied on this member unless that took too long; a joint configuration has been left again. */
  { readonly kind: "applied" } | Conflict | Refused | { readonly kind: "unknown"; readonly message: string };

export interface MemberInfo {
  readonly id: number;
  readonly peerUrl: string;
  readonly role: "voter" | "learner";
}

export interface PeerProgress {
  readonly id: number;
  readonly match: number;
  readonly next: number;
  readonly state: "probe" | "replicate" | "snapshot";
  /** Whether the peer was heard of within an election timeout. */
  readonly recentActive: boolean;
  readonly inflight: number;
}

/** A condition that an operator should know of while the member runs. */
export interface Warning {
  /** For programs: UPPER_CASE, the same in every release. */
  readonly code: string;
  /** One sentence: what is wrong, with its values, and what to do next. */
  readonly message: string;
}

export interface MemberStatus {
  readonly id: number;
  readonly clusterId: number;
  /** removed: it is no member any more, and stays only until all members know that. */
  readonly role: "follower" | "pre-candidate" | "candidate" | "leader" | "removed";
  readonly term: number;
  /** 0 when none is known. */
  readonly leader: number;
  readonly commit: number;
  readonly applied: number;
  /** Index of the newest snapshot that this member has; 0 if it has none. */
  readonly snapshot: number;
  readonly members: readonly MemberInfo[];
  /** Each peer's progress, on the leader only. */
  readonly progress: readonly PeerProgress[] | undefined;
  /** Empty while all is well. */
  readonly warnings: readonly Warning[];
}

/** A member as a state machine's API sees it. */
export interface Member {
  /** Replicates the command and settles when it is applied here, definitely refused, or the deadline passes. */
  propose(command: Uint8Array): Promise<ProposeOutcome>;
  /** Settles once a read of the local state machine is linearizable (thesis 6.4). */
  readIndex(): Promise<ReadOutcome>;
  /** Changes the membership; several changes are one joint change (thesis 4.3). On any member: it is the leader's to decide. */
  changeMembers(changes: readonly MemberChange[]): Promise<ChangeOutcome>;
  /** Hands leadership to this member (thesis 3.10); on any member. */
  transferLeadership(transferee: number): Promise<ChangeOutcome>;
  status(): MemberStatus;
}
