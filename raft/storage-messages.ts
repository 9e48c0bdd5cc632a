// The messages between a node and its two storage threads, and what the node hears back when their work is done.
//
// Without async storage writes the same responses are stepped by advance().
//
// Ports newStorageAppendMsg, newStorageAppendRespMsg, newStorageApplyMsg and newStorageApplyRespMsg of rawnode.go, and their
// conditions.

import type { Raft } from "./raft.ts";
import { type Entry, type Message, MessageType, makeMessage } from "./raftpb/index.ts";
import type { Ready } from "./ready.ts";
import { isEmptyHardState, isEmptySnap, localAppendThread, localApplyThread } from "./types.ts";

const { MsgStorageAppend, MsgStorageAppendResp, MsgStorageApply, MsgStorageApplyResp } = MessageType;

/** To the append thread: persist, then deliver the responses. Undefined if there is nothing to persist and nothing waits for it. */
export function newStorageAppendMsg(r: Raft, rd: Ready): Message | undefined {
  const { hardState, snapshot, entries } = rd;
  const needed =
    entries.length > 0 || !isEmptyHardState(hardState) || !isEmptySnap(snapshot) || r.msgsAfterAppend.length > 0;
  if (!needed) return undefined;
  // Term, vote and commit are set all three, or none: then the hard state did not change.
  const { term, vote, commit } = hardState ?? { term: 0, vote: 0, commit: 0 };
  // The acknowledgement comes last: the leader's ack of its own entries is cheaper while they are still in the unstable tail.
  const appended = newStorageAppendRespMsg(r, rd);
  return makeMessage(MsgStorageAppend, {
    to: localAppendThread,
    from: r.id,
    entries,
    term,
    vote,
    commit,
    snapshot: isEmptySnap(snapshot) ? undefined : snapshot,
    responses: appended === undefined ? r.msgsAfterAppend : [...r.msgsAfterAppend, appended],
  });
}

/**
 * From the append thread: all that was unstable when the Ready was taken is stable now. Undefined if nothing was.
 *
 * It names the last unstable entry, and the term in which it was made. Both are needed: entries A may be replaced by B of another
 * leader, and B by A again, with three writes under way; the acknowledgement of the first write matches A, yet B's write is still
 * to come. But each replacement needs a new term, so an acknowledgement from an older term is not believed. And since that could
 * leave stable entries in the unstable tail for ever, every acknowledgement names the last entry, not only those of entries.
 */
export function newStorageAppendRespMsg(r: Raft, rd: Ready): Message | undefined {
  const hasEntries = r.raftLog.hasNextOrInProgressUnstableEnts();
  const snapshot = isEmptySnap(rd.snapshot) ? undefined : rd.snapshot;
  if (!hasEntries && snapshot === undefined) return undefined;
  const last = hasEntries ? r.raftLog.lastEntryId() : { term: 0, index: 0 };
  return makeMessage(MsgStorageAppendResp, {
    to: r.id,
    from: localAppendThread,
    term: r.term,
    index: last.index,
    logTerm: last.term,
    snapshot,
  });
}

/** To the apply thread. Term 0: what is committed belongs to no term. Undefined if there is nothing to apply. */
export function newStorageApplyMsg(r: Raft, entries: readonly Entry[]): Message | undefined {
  if (entries.length === 0) return undefined;
  return makeMessage(MsgStorageApply, {
    to: localApplyThread,
    from: r.id,
    entries,
    responses: [newStorageApplyRespMsg(r, entries)],
  });
}

/** From the apply thread: these entries are applied. */
export function newStorageApplyRespMsg(r: Raft, entries: readonly Entry[]): Message {
  return makeMessage(MsgStorageApplyResp, { to: r.id, from: localApplyThread, entries });
}
