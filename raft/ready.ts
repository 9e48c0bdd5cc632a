// Ready: what an application must do next for its node. Everything in it is read-only.
//
// Ports type Ready of node.go and MustSync of rawnode.go.

import type { Entry, HardState, Message, Snapshot } from "./raftpb/index.ts";
import type { ReadState, SoftState } from "./types.ts";

export interface Ready {
  /** If it changed. */
  readonly softState: SoftState | undefined;
  /** To be persisted before messages are sent, if it changed. */
  readonly hardState: HardState | undefined;
  /** Reads whose index is now known. */
  readonly readStates: readonly ReadState[];
  /** To be persisted before messages are sent. */
  readonly entries: readonly Entry[];
  /** To be persisted and restored. */
  readonly snapshot: Snapshot | undefined;
  /** To be applied to the state machine, in order. */
  readonly committedEntries: readonly Entry[];
  /**
   * To be sent once entries and hard state are durable; with async storage writes at once, since the storage messages
   * carry those that must wait. The application reports how a MsgSnap fared: reportSnapshot.
   */
  readonly messages: readonly Message[];
  /** Whether entries and hard state need an fsync before messages promise them; a new commit index alone does not. */
  readonly mustSync: boolean;
}

/** Log, term and vote must be durable before a node answers (paper figure 2); the commit index can be learnt again. */
export function mustSync(hs: HardState, previous: HardState, entries: number): boolean {
  return entries !== 0 || hs.vote !== previous.vote || hs.term !== previous.term;
}
