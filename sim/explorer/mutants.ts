// Bugs, planted one at a time around the real core, to see whether the explorer finds them: a world in which none is found proves nothing.
//
// They are those of ../mutants.ts that lie in the core or in the order of persistence, and some of the rules of the paper, each left out.
// They sit in what the explorer puts around a node, or in methods that are exchanged on one object; the product has no switch for them. A
// bug shows by what follows from it, not by being there: in two leaders of a term, in a committed entry that a leader does not have.

import { type MemoryStorage, type Message, MessageType, makeConfChangeV2, type RawNode } from "../../raft/index.ts";
import type { Mutation } from "./local-node.ts";
import type { World } from "./world.ts";
import { worldNamed } from "./worlds.ts";

export interface Mutant {
  readonly name: string;
  /** Where it shows. */
  readonly world: World;
  readonly mutation: Mutation;
}

const { MsgAppResp, MsgVoteResp, MsgPreVoteResp, MsgHeartbeat } = MessageType;
const isPromiseBut =
  (early: MessageType) =>
  ({ type }: Message): boolean =>
    type !== early && (type === MsgAppResp || type === MsgVoteResp || type === MsgPreVoteResp);

const matchOf = ({ raft }: RawNode, id: number): number => raft.trk.progress.get(id)?.match ?? 0;

/** A leader commits what these acknowledgements of these nodes make it commit. */
const commitsBy =
  (committed: (node: RawNode) => number) =>
  (node: RawNode): void => {
    node.raft.trk.committed = () => committed(node);
  };

function majorityWithLearners(node: RawNode): number {
  const all = [...node.raft.trk.progress.keys()].map((id) => matchOf(node, id)).sort((a, b) => b - a);
  return all[all.length >> 1] ?? 0;
}

function commitsEarlierTerms({ raft }: RawNode): void {
  const { raftLog } = raft;
  const commit = raftLog.maybeCommit.bind(raftLog);
  raftLog.maybeCommit = ({ term, index }) => {
    const found = raftLog.term(index);
    return commit({ term: typeof found === "number" ? found : term, index });
  };
}

function ignoresTermOfPrevious({ raft }: RawNode): void {
  const { raftLog } = raft;
  const append = raftLog.maybeAppend.bind(raftLog);
  raftLog.maybeAppend = (slice, committed) => {
    const ours = raftLog.term(slice.prev.index);
    const term = typeof ours === "number" ? ours : slice.prev.term;
    return append({ ...slice, prev: { index: slice.prev.index, term } }, committed);
  };
}

function tellsCommitToAll({ raft }: RawNode): void {
  const send = raft.send.bind(raft);
  raft.send = (m) => send(m.type === MsgHeartbeat ? { ...m, commit: raft.raftLog.committed } : m);
}

function winsAlone({ raft }: RawNode): void {
  const tally = raft.trk.tallyVotes.bind(raft.trk);
  raft.trk.tallyVotes = () => ({ ...tally(), result: "VoteWon" });
}

function readsWithoutAsking(node: RawNode): void {
  const ask = node.readIndex.bind(node);
  const { raft } = node;
  node.readIndex = (requestCtx) => {
    if (raft.state === "StateLeader") raft.readStates.push({ index: raft.raftLog.committed, requestCtx });
    else ask(requestCtx);
  };
}

function changesOneByOne(node: RawNode): void {
  const apply = node.applyConfChange.bind(node);
  node.applyConfChange = (cc) => {
    if (cc.kind === "v1") return apply(cc);
    for (const change of cc.changes) apply(makeConfChangeV2([change]));
    return node.raft.trk.confState();
  };
}

function forgetsVote(storage: MemoryStorage): void {
  const { hardState } = storage.initialState();
  if (hardState !== undefined) storage.setHardState({ ...hardState, vote: 0 });
}

/** As if the node were alone. */
function forgetsMembers(storage: MemoryStorage, id: number): void {
  const inside = storage as unknown as { snap: { metadata: { confState: { voters: number[] } } } };
  const { metadata } = inside.snap;
  inside.snap = { ...inside.snap, metadata: { ...metadata, confState: { ...metadata.confState, voters: [id] } } };
}

export const mutants: readonly Mutant[] = [
  {
    name: "the vote is forgotten in a crash",
    world: worldNamed("one crash"),
    mutation: { crash: forgetsVote },
  },
  {
    name: "a vote is sent before it is on the disk",
    world: worldNamed("slow election"),
    mutation: { isPromise: isPromiseBut(MsgVoteResp) },
  },
  {
    name: "a vote is not synced unless entries come with it",
    world: worldNamed("one crash"),
    mutation: { isSynced: (rd) => rd.entries.length > 0 },
  },
  {
    name: "an append is acknowledged before it is on the disk",
    world: worldNamed("slow append"),
    mutation: { isPromise: isPromiseBut(MsgAppResp) },
  },
  {
    name: "a leader counts its own entries before they are on its disk",
    world: worldNamed("slow append"),
    mutation: {
      node: commitsBy((node) => {
        const { id, raftLog, trk } = node.raft;
        return trk.config.voters.committedIndex((other) => (other === id ? raftLog.lastIndex() : matchOf(node, other)));
      }),
    },
  },
  {
    name: "the commit index is written before the entries",
    world: worldNamed("torn write"),
    mutation: { hardStateFirst: true },
  },
  {
    name: "a candidate wins whoever votes for it",
    world: worldNamed("two candidates"),
    mutation: { node: winsAlone },
  },
  {
    name: "a vote is given to a candidate with an older log",
    world: worldNamed("one crash"),
    mutation: {
      node: ({ raft }) => {
        raft.raftLog.isUpToDate = () => true;
      },
    },
  },
  {
    name: "a leader commits what one node has",
    world: worldNamed("two candidates"),
    mutation: { node: commitsBy((node) => matchOf(node, node.raft.id)) },
  },
  {
    name: "an entry of an earlier term is committed by counting",
    world: worldNamed("figure 8"),
    mutation: { node: commitsEarlierTerms },
  },
  {
    name: "an append is taken whatever the term of the entry before it",
    world: worldNamed("figure 8"),
    mutation: { node: ignoresTermOfPrevious },
  },
  {
    name: "a heartbeat tells the commit index to nodes that do not have the entries",
    world: worldNamed("heartbeats"),
    mutation: { node: tellsCommitToAll },
  },
  {
    name: "a learner counts in the quorum",
    world: worldNamed("learner"),
    mutation: { node: commitsBy(majorityWithLearners) },
  },
  {
    name: "several members change at once, without a joint configuration",
    world: worldNamed("joint change, proposal"),
    mutation: { node: changesOneByOne },
  },
  {
    name: "a change of the members is taken into use when it is appended",
    world: worldNamed("joint change, replaced"),
    mutation: { changesWhenAppended: true },
  },
  {
    name: "a crash forgets the members that the snapshot names",
    world: worldNamed("snapshot"),
    mutation: { crash: forgetsMembers },
  },
  {
    name: "a leader serves reads without asking the others",
    world: worldNamed("reads"),
    mutation: { node: readsWithoutAsking },
  },
];
