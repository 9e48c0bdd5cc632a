// Small types that every file of the core shares: special ids, roles, the soft state, entry ids and slices of a
// leader's log.
//
// Ports types.go and the constants of raft.go and node.go.

import { type Entry, type HardState, makeHardState, type Snapshot } from "./raftpb/index.ts";

/** No node: the placeholder where there is no leader, vote or transferee. */
export const none = 0;
/** The target of MsgStorageAppend: the part of the application that persists. Never encoded or decoded. */
export const localAppendThread = -1;
/** The target of MsgStorageApply: the part of the application that applies. Never encoded or decoded. */
export const localApplyThread = -2;
/** A size limit that limits nothing. */
export const noLimit = Number.POSITIVE_INFINITY;

export type StateType = "StateFollower" | "StateCandidate" | "StateLeader" | "StatePreCandidate";

/** Volatile, for observers: it need not be persisted. */
export interface SoftState {
  readonly lead: number;
  readonly raftState: StateType;
}

/**
 * How a read index is confirmed (thesis 6.4): by a round of heartbeats, or by trusting the leader's lease and thus the
 * clocks.
 */
export type ReadOnlyOption = "safe" | "leaseBased";

export type SnapshotStatus = "finish" | "failure";

/**
 * Answers a readIndex: once the state machine has applied up to `index`, the read that `requestCtx` names is
 * linearizable.
 */
export interface ReadState {
  readonly index: number;
  readonly requestCtx: Uint8Array;
}

/**
 * What identifies an entry: two logs that hold an entry of the same term and index are equal up to it (log matching,
 * paper 5.3). Every Entry is one, so an entry can be passed where its id is asked for. A pair of numbers could be
 * swapped unnoticed.
 */
export interface EntryId {
  readonly term: number;
  readonly index: number;
}

export const emptyHardState: HardState = Object.freeze(makeHardState(0, 0, 0));

export function hardStatesEqual(a: HardState, b: HardState): boolean {
  return a.term === b.term && a.vote === b.vote && a.commit === b.commit;
}

export function isEmptyHardState(hs: HardState | undefined): boolean {
  return hs === undefined || hardStatesEqual(hs, emptyHardState);
}

export function isEmptySnap(snapshot: Snapshot | undefined): boolean {
  return snapshot === undefined || snapshot.metadata.index === 0;
}

/**
 * Consecutive entries of a leader's log, as a MsgApp carries them.
 *
 * Well formed: entries follow prev without a gap, terms never fall from prev onward, and none exceeds the leader's
 * term. Slices of one leader term never differ at an index. Slices of different leader terms may, and then they differ
 * from some index onward.
 */
export interface LogSlice {
  /** The term of the leader whose log this is. */
  readonly term: number;
  readonly prev: EntryId;
  readonly entries: readonly Entry[];
}

/** Undefined if the slice is well formed, else what is wrong with it. */
export function checkLogSlice(slice: LogSlice): string | undefined {
  let { term, index } = slice.prev;
  for (const e of slice.entries) {
    if (e.term < term || e.index !== index + 1) {
      return `leader term ${slice.term}: entries {term:${term} index:${index}} and {term:${e.term} index:${e.index}} not consistent`;
    }
    term = e.term;
    index = e.index;
  }
  if (slice.term < term) return `leader term ${slice.term}: entry {term:${term} index:${index}} has a newer term`;
  return undefined;
}
