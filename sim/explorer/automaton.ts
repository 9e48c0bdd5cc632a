// The nodes of a world as automata: numbered states, numbered inputs, and what each input makes of each state.
//
// The core is deterministic and knows nothing of the other nodes, so what an input does to a node depends on that node's state alone. The
// real core therefore runs once for each pair of node state and input; the explorer looks the rest up. A world has far fewer
// states of nodes than states of the cluster: that is what makes a full walk affordable.
//
// States and messages are numbered by their whole canonical text, kept in a map, not by a hash: two different ones cannot be confused. A real
// node cannot be forked, so a state is kept as the input that led to it from another one, and made again by doing all inputs from the start.

import { type Entry, type JointConfig, type Message, noLimit, type Snapshot } from "../../raft/index.ts";
import { canonical, queued } from "./canonical.ts";
import { type AnsweredRead, type Common, type Input, keyOf, LocalNode, snapshotKeys } from "./local-node.ts";

/** What is to be known of a node's state, without the node. */
export interface Facts {
  readonly id: number;
  readonly term: number;
  readonly state: string;
  readonly leads: boolean;
  /** A crash takes the term no further back than this. */
  readonly durableTerm: number;
  readonly commit: number;
  /** The texts of all entries, from index 1: what the node has, and what it would have after a crash. */
  readonly log: readonly string[];
  readonly logNumber: number;
  readonly durable: readonly string[];
  readonly applied: readonly string[];
  readonly voters: JointConfig;
  readonly hasReady: boolean;
  readonly canCompact: boolean;
  readonly isWriting: boolean;
  /** Of the write under way; 0 if there is none. */
  readonly pieces: number;
}

export interface Transition {
  /** The number of the state that follows. */
  readonly to: number;
  /** Numbers of the messages sent. */
  readonly sent: readonly number[];
  readonly reads: readonly AnsweredRead[];
  /** What went wrong in the node itself. */
  readonly error: Error | undefined;
}

interface State {
  readonly facts: Facts;
  /** The state before, and the input that led here from it. Undefined for a state in which a node begins. */
  readonly from: { readonly state: number; readonly input: number } | undefined;
  readonly transitions: Map<number, Transition>;
}

/** Numbers texts in the order in which they are first seen, from 0. */
export class Numbering {
  readonly #numbers = new Map<string, number>();

  get size(): number {
    return this.#numbers.size;
  }

  /** The number of the text, and whether it is new. */
  of(text: string): { number: number; isNew: boolean } {
    const known = this.#numbers.get(text);
    if (known !== undefined) return { number: known, isNew: false };
    const number = this.#numbers.size;
    this.#numbers.set(text, number);
    return { number, isNew: true };
  }
}

export class Automata {
  /** How many times the real core has done an input to find out what it does. */
  steps = 0;
  readonly #common: Common;
  readonly #states: State[] = [];
  readonly #stateNumbers = new Numbering();
  readonly #inputs: Input[] = [];
  readonly #inputNumbers = new Numbering();
  readonly #messageNumbers = new Numbering();
  readonly #messages: Message[] = [];
  readonly #logNumbers = new Numbering();
  readonly #keys = new WeakMap<Entry, string>();

  constructor(common: Common) {
    this.#common = common;
  }

  get stateCount(): number {
    return this.#states.length;
  }

  get messageCount(): number {
    return this.#messages.length;
  }

  /** The number of the state in which this node begins. */
  begin(id: number): number {
    return this.#number(new LocalNode(id, this.#common), undefined);
  }

  facts(state: number): Facts {
    return (this.#states[state] as State).facts;
  }

  message(number: number): Message {
    return this.#messages[number] as Message;
  }

  /** The number of an input; deliveries have the number of their message, see deliver(). */
  input(input: Input): number {
    const { number, isNew } = this.#inputNumbers.of(JSON.stringify(input));
    if (isNew) this.#inputs.push(input);
    return -1 - number;
  }

  inputOf(number: number): Input {
    return number >= 0 ? { kind: "deliver", message: this.message(number) } : (this.#inputs[-1 - number] as Input);
  }

  /** What this input does in this state. */
  transition(state: number, input: number): Transition {
    const { transitions } = this.#states[state] as State;
    const known = transitions.get(input);
    if (known !== undefined) return known;
    const found = this.#find(state, input);
    transitions.set(input, found);
    return found;
  }

  #find(state: number, input: number): Transition {
    const node = this.make(state);
    this.steps++;
    try {
      node.do(this.inputOf(input));
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return { to: state, sent: [], reads: [], error };
    }
    const sent = node.outgoing.map((m) => this.#numberOf(m));
    const to = this.#number(node, { state, input });
    const error = checkStep(this.facts(state), this.facts(to), this.inputOf(input));
    return { to, sent, reads: node.reads, error };
  }

  /** A real node in this state. */
  make(state: number): LocalNode {
    const path: number[] = [];
    let { from, facts } = this.#states[state] as State;
    while (from !== undefined) {
      path.push(from.input);
      ({ from, facts } = this.#states[from.state] as State);
    }
    const node = new LocalNode(facts.id, this.#common);
    for (const input of path.reverse()) node.do(this.inputOf(input));
    return node;
  }

  #numberOf(m: Message): number {
    const { number, isNew } = this.#messageNumbers.of(canonical(m));
    if (isNew) this.#messages.push(m);
    return number;
  }

  #number(node: LocalNode, from: State["from"]): number {
    const { number, isNew } = this.#stateNumbers.of(textOf(node));
    if (isNew) this.#states.push({ facts: this.#factsOf(node), from, transitions: new Map() });
    return number;
  }

  #factsOf(node: LocalNode): Facts {
    const { raft } = node.raft;
    const { raftLog, trk } = raft;
    const entries = raftLog.allEntries();
    const log = this.#logOf(raftLog.unstable.snapshot ?? node.snapshot, entries);
    const { storage } = node;
    const stored = storage.entries(storage.firstIndex(), storage.lastIndex() + 1, noLimit);
    return {
      id: node.id,
      term: raft.term,
      state: raft.state,
      leads: raft.state === "StateLeader",
      durableTerm: node.durable.term,
      commit: raftLog.committed,
      log,
      logNumber: this.#logNumbers.of(log.join("\n")).number,
      durable: this.#logOf(node.snapshot, Array.isArray(stored) ? stored : []),
      applied: node.applied,
      voters: trk.config.voters,
      hasReady: node.pending === undefined && node.raft.hasReady(),
      canCompact: node.canCompact,
      isWriting: node.pending !== undefined,
      pieces: node.piecesUnderWay,
    };
  }

  #logOf(snapshot: Snapshot, entries: readonly Entry[]): string[] {
    return [...snapshotKeys(snapshot), ...entries.map((e) => this.#keyOf(e))];
  }

  #keyOf(e: Entry): string {
    const known = this.#keys.get(e);
    if (known !== undefined) return known;
    const key = keyOf(e);
    this.#keys.set(e, key);
    return key;
  }
}

/** All that a node's future depends on. */
export function textOf({ id, raft, storage, applied, durable, pending, voted }: LocalNode): string {
  return canonical([id, raft, storage, applied, durable, pendingFields(pending), voted]);
}

/** What is still to be done of a Ready that was taken. */
function pendingFields(pending: LocalNode["pending"]): unknown {
  if (pending === undefined) return undefined;
  const { entries, hardState, snapshot, mustSync } = pending.ready;
  return [entries, hardState, snapshot, mustSync, queued(pending.promises), pending.unapplied];
}

/** What one step of one node must not do, whatever the others do: undefined if it does not. */
function checkStep(before: Facts, after: Facts, input: Input): Error | undefined {
  const { id } = before;
  if (after.durableTerm < before.durableTerm) {
    return new Error(
      `durability: member ${id} had term ${before.durableTerm} on disk, and now has ${after.durableTerm}`,
    );
  }
  if (input.kind === "crash") return undefined;
  if (after.term < before.term) return new Error(`member ${id} went from term ${before.term} back to ${after.term}`);
  if (after.commit < before.commit) {
    return new Error(`member ${id} takes its commit index back from ${before.commit} to ${after.commit}`);
  }
  const led = before.leads && after.leads && before.term === after.term;
  if (led && before.log.some((key, offset) => after.log[offset] !== key)) {
    return new Error(`leader append-only: member ${id} leads term ${after.term} and changed its log`);
  }
  return undefined;
}
