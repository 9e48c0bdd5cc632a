// The messages between a node and its two storage threads, and what the node hears back when their work is done.
//
// Without async storage writes the same responses are stepped by advance().
//
// Ports newStorageAppendMsg, newStorageAppendRespMsg, newStorageApplyMsg and newStorageApplyRespMsg of rawnode.go, and
// their conditions.

import type { Raft } from "./raft.ts";
import { type Entry, type Message, MessageType, makeMessage } from "./raftpb/index.ts";
import type { Ready } from "./ready.ts";
import { isEmptyHardState, isEmptySnap, localAppendThread, localApplyThread } from "./types.ts";

const { MsgStorageAppend, MsgStorageAppendResp, MsgStorageApply, MsgStorageApplyResp } = MessageType;

/**
 * To the append thread: persist, then deliver the responses. Undefined if there is nothing to persist and nothing waits
 * for it.
 */
export function newStorageAppendMsg(r: Raft, rd: Ready): Message | undefined {
  const { hardState, snapshot, entries } = rd;
  const needed =
    entries.length > 0 || !isEmptyHardState(hardState) || !isEmptySnap(snapshot) || r.msgsAfterAppend.length > 0;
  if (!needed) return undefined;
  // Term, vote and commit are set all three, or none: then the hard state did not change.
  const { term, vote, commit } = hardState ?? { term: 0, vote: 0, commit: 0 };
  // The acknowledgement comes last: the leader's ack of its own entries is cheaper while they are still in the unstable
  // tail.
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
 * The answer names the last entry of the unstable tail, and carries the term that the node was in when it ordered the
 * write. When it comes back, the entries up to that one leave the tail and are read from Storage from then on, if two
 * things hold: the tail still has that very entry (Unstable.stableTo), and the node is still in that term
 * (handleLowerTerm in step.ts).
 *
 * Why the term, when an id stands for one entry for ever? Because a write of another entry may still be on its way to
 * the same place. Of five nodes, look at the log of node 2 at index 7, and at the writes that it has ordered and that
 * are not done:
 *
 *     term 5   Node 1 leads. It appends an entry at index 7, which only node 2 receives, and crashes.
 *              Node 2 orders write 1: index 7, term 5.
 *     term 6   Node 3 leads, elected by nodes 4 and 5. It appends an entry of its own at index 7, which only node 2
 *              receives, and crashes. Node 2 replaces its entry, and orders write 2: index 7, term 6.
 *     term 7   Node 1 is back and leads, elected by nodes 4 and 5. It still has its entry of term 5 at index 7, and
 *              sends it again. Node 2 replaces its entry once more, and orders write 3: index 7, term 5.
 *
 * Now write 1 is done. Its answer names index 7, term 5, and the tail has just that entry: A, then B, then A again. But
 * if the entry left the tail now, write 2 would next put the entry of term 6 into Storage, and until write 3 is done
 * the node would read an entry that it has given up: it would misjudge a leader's append, or a candidate's log. So the
 * answer is not believed: it is of term 5, and the node is in term 7. Within one term this cannot happen, because only
 * another leader replaces entries, and a term has one leader.
 *
 * Not believing answers creates a danger of its own: if no entries follow, stable ones could stay in the tail for ever.
 * So every answer names the last entry of the tail, not only the answer to a write of entries. Each new term changes
 * the hard state, which is written; writes are done in order, so the answer to that one attests the entries before it
 * too, and it is of the new term.
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
