// What must hold in every state of the cluster, and the little of its past that is needed to tell.
//
//   election safety          at most one leader in a term
//   leader completeness      what was committed in an earlier term is in each later leader's log
//   log matching             two logs that have the same entry at an index are the same up to it
//   state machine safety     no two members commit, or apply, different entries at one index
//   durability               what is committed is on the disks of a quorum, by the configuration of the leader that commits it
//   linearizable reads       a read is answered with an index at which all is applied that was committed when it was asked for
//
// What one member alone can break is checked where it steps (automaton.ts, local-node.ts): one vote in a term over all its lives, a leader
// that only appends to its log, terms and commit indexes that do not fall, entries applied in order.
//
// The leaders of all terms, the committed entries with the term in which that happened, and the open reads are history: they are not in the
// state of any node, so they are part of the state that is explored. The same properties, seen from outside of a whole server, are in
// ../invariants.ts.

import { type Facts, Numbering } from "./automaton.ts";
import type { AnsweredRead } from "./local-node.ts";
import { founding } from "./local-node.ts";

export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

interface Committed {
  readonly key: string;
  /** The term of the leader that committed it. */
  readonly inTerm: number;
}

interface History {
  /** By term. */
  readonly leaders: Readonly<Record<number, number>>;
  readonly committed: readonly Committed[];
  /** By the read's context: how much was committed when it was asked for. */
  readonly reads: Readonly<Record<string, number>>;
}

const beginning: History = {
  leaders: {},
  committed: [{ key: founding.key, inTerm: founding.term }],
  reads: {},
};

/** Numbered histories. The first has number 0. */
export class Histories {
  readonly #numbers = new Numbering();
  readonly #all: History[] = [];
  readonly #matching = new Set<string>();

  constructor() {
    this.#number(beginning);
  }

  /** All of a history: two of the same text are the same. */
  text(history: number): string {
    return JSON.stringify(this.#all[history]);
  }

  /** The number of the history after a node of the cluster has changed. Throws an InvariantError. */
  after(history: number, before: Facts, after: Facts, cluster: readonly Facts[]): number {
    let next = this.#all[history] as History;
    const { id, term, leads, commit, logNumber, applied } = after;
    if (leads && !(before.leads && before.term === term)) next = elected(next, after);
    if (commit > before.commit) next = commits(next, before, after, cluster);
    if (applied !== before.applied) applies(next, after);
    if (logNumber !== before.logNumber) for (const other of cluster) if (other.id !== id) this.#match(after, other);
    return next === this.#all[history] ? history : this.#number(next);
  }

  /** A read begins. */
  asked(history: number, context: string): number {
    const { leaders, committed, reads } = this.#all[history] as History;
    return this.#number({ leaders, committed, reads: { ...reads, [context]: committed.length } });
  }

  /** Throws an InvariantError if this answer is stale. */
  answered(history: number, { context, index }: AnsweredRead): void {
    const needed = (this.#all[history] as History).reads[context] ?? 0;
    if (index >= needed) return;
    throw new InvariantError(
      `linearizable reads: read ${context} is answered at index ${index}, and ${needed} was committed before it was asked for`,
    );
  }

  #number(history: History): number {
    const { number, isNew } = this.#numbers.of(JSON.stringify(history));
    if (isNew) this.#all.push(history);
    return number;
  }

  #match(a: Facts, b: Facts): void {
    const pair = a.logNumber < b.logNumber ? `${a.logNumber}/${b.logNumber}` : `${b.logNumber}/${a.logNumber}`;
    if (a.logNumber === b.logNumber || this.#matching.has(pair)) return;
    let same = Math.min(a.log.length, b.log.length);
    while (same > 0 && a.log[same - 1] !== b.log[same - 1]) same--;
    for (let offset = 0; offset < same; offset++) {
      if (a.log[offset] === b.log[offset]) continue;
      throw new InvariantError(
        `log matching: members ${a.id} and ${b.id} both have ${a.log[same - 1]}, but ${a.log[offset]} and ${b.log[offset]} before it`,
      );
    }
    this.#matching.add(pair);
  }
}

function elected(history: History, { id, term, log }: Facts): History {
  const other = history.leaders[term];
  if (other !== undefined && other !== id) {
    throw new InvariantError(`election safety: members ${other} and ${id} both lead term ${term}`);
  }
  for (const [offset, { key, inTerm }] of history.committed.entries()) {
    if (inTerm >= term || log[offset] === key) continue;
    throw new InvariantError(
      `leader completeness: ${key} was committed in term ${inTerm}, and member ${id}, the leader of term ${term}, does not have it`,
    );
  }
  return { ...history, leaders: { ...history.leaders, [term]: id } };
}

function commits(history: History, before: Facts, after: Facts, cluster: readonly Facts[]): History {
  const { id, term, log, commit, voters } = after;
  const committed = history.committed.slice();
  for (let offset = before.commit; offset < commit; offset++) {
    const key = log[offset];
    const expected = committed[offset];
    if (key === undefined) throw new InvariantError(`member ${id} commits entry ${offset + 1}, which it does not have`);
    if (expected === undefined) committed.push({ key, inTerm: term });
    else if (expected.key !== key) {
      throw new InvariantError(
        `state machine safety: member ${id} commits ${key} where ${expected.key} was committed before`,
      );
    }
  }
  if (committed.length === history.committed.length) return history;
  const last = committed[commit - 1]?.key;
  const holds = (voter: number): number => {
    const durable = cluster.find((facts) => facts.id === voter)?.durable;
    return durable?.[commit - 1] === last ? commit : 0;
  };
  // In one go with the commit, a change of the configuration may have been applied.
  if (voters.committedIndex(holds) < commit && before.voters.committedIndex(holds) < commit) {
    throw new InvariantError(`durability: member ${id} commits ${last}, which no quorum of ${voters} has on disk`);
  }
  return { ...history, committed };
}

function applies(history: History, { id, applied }: Facts): void {
  for (const [offset, key] of applied.entries()) {
    if (history.committed[offset]?.key === key) continue;
    throw new InvariantError(
      `state machine safety: member ${id} has applied ${key}, and ${history.committed[offset]?.key ?? "nothing"} is committed there`,
    );
  }
}
