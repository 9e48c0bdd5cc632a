// What must hold at every step, whatever is lost, late or broken: the properties of the paper's figure 3, and what this
// server promises on top.
//
//   election safety        at most one leader in a term
//   leader append-only     a leader never changes or drops an entry of its own log
//   log matching           an entry of one index and term is the same everywhere, and so is the one before it
//   leader completeness    what was committed in an earlier term is in each later leader's log
//   state machine safety   no two members commit, or apply, different entries at one index
//   durability             a commit index is ahead of no quorum's disks; a vote or an acknowledgement leaves only when
//                          the disk has it; a leader was elected by votes that a quorum has on disk; a member applies
//                          only what its own disk has
//   one vote               a member votes for one candidate in a term, over all its lives
//   applied order          a state machine has applied the committed commands, in order, up to its member's applied
//                          index; equal commands gave equal data, and equal changes equal members: their ids, their
//                          addresses, the spent ids
//   transfer               a leader offers its place only to a member that has its whole log
//   recovery               a start finds all that was durable
//   acknowledged writes    an acknowledged write is committed at the index that the client was given
//
// Seen from outside: the logs and the messages pass through here, and each member is inspected after each event. Throws
// what is wrong.

import { type Entry, EntryType, type HardState, type Message, MessageType, type RawNode } from "../raft/index.ts";
import { decodeEnvelope } from "../server/envelope.ts";
import type { Recovered } from "../server/interfaces.ts";
import type { Server } from "../server/server.ts";
import { LogFacts } from "./log-image.ts";
import { chained, type WatchedMap } from "./watched-map.ts";

export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/** What the invariants look at in a running member. */
export interface Watched {
  readonly server: Server;
  readonly map: WatchedMap;
}

interface Committed {
  readonly term: number;
  /** The term of the leader that committed it, or an earlier one. */
  readonly inTerm: number;
  /** The fingerprint of a state machine that has applied it last. */
  readonly chain: number;
  /** The client's command, if it is one. */
  readonly command: Uint8Array | undefined;
}

interface Known {
  readonly previousTerm: number;
  readonly type: number;
  readonly data: Uint8Array;
}

/** What was seen of a member at the last look. */
interface Seen {
  server: Server | undefined;
  term: number;
  leads: boolean;
  commit: number;
  applied: number;
  last: { index: number; term: number };
}

const noBytes = new Uint8Array(0);

export class Invariants {
  readonly committed: Committed[] = [];
  readonly #founders: number;
  readonly #facts = new Map<number, LogFacts>();
  readonly #seen = new Map<number, Seen>();
  readonly #leaders = new Map<number, number>();
  readonly #votes = new Map<string, number>();
  /** By term and index. */
  readonly #entries = new Map<string, Known>();
  readonly #data = new Map<number, number>();
  readonly #offered = new WeakSet<Message>();
  /** By the index that was applied. */
  readonly #configurations = new Map<number, string>();

  /** `founders`: entries that each of them begins with, and holds for committed. */
  constructor(founders: number) {
    this.#founders = founders;
  }

  factsOf(id: number): LogFacts {
    const facts = this.#facts.get(id) ?? new LogFacts();
    this.#facts.set(id, facts);
    return facts;
  }

  /** Terms that had a leader. */
  get elections(): number {
    return this.#leaders.size;
  }

  /** A member hands this to its log. */
  saving(id: number, entries: readonly Entry[]): void {
    let previousTerm: number | undefined;
    for (const e of entries) {
      previousTerm ??= this.#termBefore(id, e.index);
      this.#logMatching(id, e, previousTerm);
      previousTerm = e.term;
    }
  }

  /** The disk of a member has this for good. */
  saved(id: number, { term, vote }: HardState): void {
    if (vote !== 0) this.#voted(id, term, vote);
  }

  /** Of the entry that the first one of a save follows. */
  #termBefore(id: number, index: number): number {
    return this.factsOf(id).termOf(index - 1) ?? this.committed[index - 2]?.term ?? 0;
  }

  #logMatching(id: number, e: Entry, previousTerm: number): void {
    const key = `${e.term}/${e.index}`;
    const data = e.data ?? noBytes;
    const known = this.#entries.get(key);
    if (known === undefined) {
      this.#entries.set(key, { previousTerm, type: e.type ?? 0, data });
      return;
    }
    const same = known.type === (e.type ?? 0) && known.previousTerm === previousTerm && equal(known.data, data);
    if (!same) throw new InvariantError(`log matching: entry ${key} is another on member ${id} than elsewhere`);
  }

  #voted(id: number, term: number, candidate: number): void {
    const key = `${id}/${term}`;
    const before = this.#votes.get(key);
    if (before !== undefined && before !== candidate) {
      throw new InvariantError(`one vote: in term ${term} member ${id} voted for ${before}, and then for ${candidate}`);
    }
    this.#votes.set(key, candidate);
  }

  /** A member sends this. */
  sent(id: number, m: Message): void {
    if (m.reject) return;
    const { durable } = this.factsOf(id);
    if (m.type === MessageType.MsgTimeoutNow) this.#offers(id, m, durable.lastIndex);
    if (m.type === MessageType.MsgVoteResp) {
      this.#voted(id, m.term, m.to);
      const { term = 0, vote = 0 } = durable.hardState ?? {};
      if (term > m.term || (term === m.term && vote === m.to)) return;
      throw new InvariantError(
        `durability: member ${id} votes for ${m.to} in term ${m.term}, and its disk says term ${term}, vote ${vote}`,
      );
    }
    // What it took in an earlier term a leader of a later one may have replaced before it was written. That leader was
    // elected without the entry, so no majority had it, and none will: its voters take nothing of the earlier term any
    // more.
    const isCurrent = m.term >= (durable.hardState?.term ?? 0);
    if (m.type === MessageType.MsgAppResp && isCurrent && m.index > durable.lastIndex) {
      throw new InvariantError(
        `durability: member ${id} acknowledges entry ${m.index}, and its disk ends at ${durable.lastIndex}`,
      );
    }
  }

  /**
   * A leader offers its place to another: only one that has its whole log (thesis, 3.10), or the cluster might have no
   * leader for a while. Judged once, when the message is first seen: one that is stuck behind a slow disk may leave
   * after the leader has given the transfer up and gone on.
   */
  #offers(id: number, m: Message, own: number): void {
    if (this.#offered.has(m)) return;
    this.#offered.add(m);
    const has = this.factsOf(m.to).durable.lastIndex;
    if (has >= own) return;
    throw new InvariantError(
      `transfer: member ${id} offers its place to member ${m.to}, whose disk ends at ${has}, and its own log at ${own}`,
    );
  }

  /** A member starts with this. */
  recovered(id: number, found: Recovered | undefined): void {
    const wrong = this.factsOf(id).recovered(found);
    if (wrong !== undefined) throw new InvariantError(`recovery: member ${id} has lost what was durable: ${wrong}`);
  }

  /** A client was told that its write was applied at this index. */
  acknowledged(index: number, command: Uint8Array): void {
    const there = this.committed[index - 1]?.command;
    if (there !== undefined && equal(there, command)) return;
    throw new InvariantError(`acknowledged writes: the write acknowledged at index ${index} is not there`);
  }

  /** A snapshot of a state with this fingerprint had this data. */
  compare(chain: number, data: number): void {
    const before = this.#data.get(chain);
    if (before !== undefined && before !== data) {
      throw new InvariantError("applied order: the same commands gave different data on two members");
    }
    this.#data.set(chain, data);
  }

  /** Takes a look at a running member. */
  observe(id: number, { server, map }: Watched): void {
    const { node, applier } = server;
    const { raft } = node;
    const { raftLog } = raft;
    const leads = raft.state === "StateLeader";
    const seen = this.#seenOf(id, server);
    const lastIndex = raftLog.lastIndex();
    if (leads && (!seen.leads || seen.term !== raft.term)) this.#elected(id, node);
    else if (leads && (lastIndex < seen.last.index || raftLog.term(seen.last.index) !== seen.last.term)) {
      if (typeof raftLog.term(seen.last.index) === "number" || lastIndex < seen.last.index) {
        throw new InvariantError(`leader append-only: member ${id} leads term ${raft.term} and changed its log`);
      }
    }
    for (const m of raft.msgs) if (m.type === MessageType.MsgTimeoutNow) this.#offers(id, m, lastIndex);
    if (raft.term < seen.term)
      throw new InvariantError(`member ${id} went from term ${seen.term} back to ${raft.term}`);
    if (raftLog.committed !== seen.commit) this.#commits(id, node, seen.commit);
    if (applier.index !== seen.applied) {
      this.#applies(id, seen.applied, applier.index, map);
      const mayHaveChanged = this.committed
        .slice(seen.applied, applier.index)
        .some(({ command }) => command === undefined);
      if (mayHaveChanged) this.#configured(id, server, applier.index);
    }
    seen.term = raft.term;
    seen.leads = leads;
    seen.commit = raftLog.committed;
    seen.applied = applier.index;
    if (seen.last.index !== lastIndex || leads) {
      const term = raftLog.term(lastIndex);
      seen.last = { index: lastIndex, term: typeof term === "number" ? term : 0 };
    }
  }

  #seenOf(id: number, server: Server): Seen {
    let seen = this.#seen.get(id);
    if (seen === undefined || seen.server !== server) {
      seen = { server, term: 0, leads: false, commit: 0, applied: 0, last: { index: 0, term: 0 } };
      this.#seen.set(id, seen);
    }
    return seen;
  }

  #elected(id: number, { raft }: RawNode): void {
    const { term, raftLog, trk } = raft;
    const other = this.#leaders.get(term);
    if (other !== undefined && other !== id) {
      throw new InvariantError(`election safety: members ${other} and ${id} both lead term ${term}`);
    }
    this.#leaders.set(term, id);
    const { voters } = trk.config;
    const granted = [...voters.ids()].filter((voter) => this.#votes.get(`${voter}/${term}`) === id);
    if (voters.voteResult(new Map(granted.map((voter) => [voter, true]))) !== "VoteWon") {
      throw new InvariantError(
        `durability: member ${id} leads term ${term} by votes of which only those of ${granted.join(", ") || "nobody"} are on a disk`,
      );
    }
    for (const [offset, entry] of this.committed.entries()) {
      const index = offset + 1;
      if (entry.inTerm >= term || index < raftLog.firstIndex()) continue;
      if (index <= raftLog.lastIndex() && raftLog.term(index) === entry.term) continue;
      throw new InvariantError(
        `leader completeness: entry ${entry.term}/${index} was committed in term ${entry.inTerm}, and member ${id}, the leader of term ${term}, does not have it`,
      );
    }
  }

  #commits(id: number, node: RawNode, from: number): void {
    const { raftLog } = node.raft;
    const to = raftLog.committed;
    if (to < from) throw new InvariantError(`member ${id} takes its commit index back from ${from} to ${to}`);
    if (to > this.committed.length) this.#commitsFirst(id, node, to);
    for (let index = Math.max(from + 1, raftLog.firstIndex()); index <= to; index++) {
      const term = raftLog.term(index);
      const expected = this.committed[index - 1]?.term;
      if (term === expected) continue;
      throw new InvariantError(
        `state machine safety: member ${id} commits an entry of term ${term} at index ${index}, where others commit one of term ${expected}`,
      );
    }
  }

  /** Nobody has committed that far before: only a leader, and only with a quorum. */
  #commitsFirst(id: number, { raft }: RawNode, to: number): void {
    const { raftLog, trk } = raft;
    const term = raftLog.term(to);
    if (to > this.#founders) {
      if (typeof term !== "number")
        throw new InvariantError(`member ${id} commits entry ${to}, which it does not have`);
      const position = { index: to, term };
      const acked = (voter: number): number => (this.factsOf(voter).durable.has(position) ? to : 0);
      if (trk.config.voters.committedIndex(acked) < to) {
        throw new InvariantError(
          `durability: member ${id} commits entry ${term}/${to}, which no quorum of ${trk.config} has on disk`,
        );
      }
      if (raft.state === "StateLeader" && term !== raft.term) {
        throw new InvariantError(
          `member ${id} leads term ${raft.term} and commits by counting an entry of term ${term} (paper, 5.4.2)`,
        );
      }
    }
    for (let index = this.committed.length + 1; index <= to; index++) {
      const entryTerm = raftLog.term(index);
      if (typeof entryTerm !== "number") throw new InvariantError(`member ${id} commits entry ${index} unseen`);
      this.committed.push(this.#commit(index, entryTerm, raft.term));
    }
  }

  #commit(index: number, term: number, inTerm: number): Committed {
    const entry = this.#entries.get(`${term}/${index}`);
    const chain = this.committed.at(-1)?.chain ?? 0;
    // Those that the founders begin with are committed before they are written.
    const envelope = entry?.type === EntryType.EntryNormal ? decodeEnvelope(entry.data) : undefined;
    const command = envelope?.kind === "command" ? envelope.body : undefined;
    return { term, inTerm, command, chain: command === undefined ? chain : chained(chain, command) };
  }

  /**
   * What the founders begin with they apply at once, and a snapshot's configuration counts before the snapshot is
   * restored.
   */
  #configured(id: number, { node, members }: Server, applied: number): void {
    const { raftLog, trk } = node.raft;
    if (applied <= this.#founders || raftLog.hasNextOrInProgressSnapshot()) return;
    const config = `${trk.config} ${JSON.stringify(members.state())}`;
    const known = this.#configurations.get(applied) ?? config;
    this.#configurations.set(applied, known);
    if (config === known) return;
    throw new InvariantError(
      `applied order: at index ${applied} the members are ${config} for member ${id}, and ${known} for another`,
    );
  }

  #applies(id: number, from: number, to: number, map: WatchedMap): void {
    if (to < from) throw new InvariantError(`applied order: member ${id} went from index ${from} back to ${to}`);
    if (to > this.committed.length)
      throw new InvariantError(`member ${id} applies entry ${to}, which is not committed`);
    const { lastIndex } = this.factsOf(id).durable;
    if (to > this.#founders && to > lastIndex)
      throw new InvariantError(`durability: member ${id} applies entry ${to}, and its disk ends at ${lastIndex}`);
    if (map.chain === (this.committed[to - 1]?.chain ?? 0)) return;
    throw new InvariantError(
      `applied order: at index ${to} the state machine of member ${id} has not applied what was committed`,
    );
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
