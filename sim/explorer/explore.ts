// Walks every state of a small world, nearest first, and checks each.
//
// Two ways. The usual one leaves out what could show nothing new: of two states that differ in the messages in flight only, the one with
// fewer of them (antichain.ts), and the states on the way to the largest such set (Cluster.saturate). It meets every combination of nodes,
// history and budgets that there is, in a third of the states over all worlds, and a hundredth in some. What is found wrong there is found
// by some way, with messages in it that it could do without. The other visits every state, so that what is found is found by one of the
// shortest ways that lead there: that is how planted bugs are looked for.
//
// States are kept in full (state-set.ts), each with the one from which it was first reached, so that the way can be told.

import { Antichain } from "./antichain.ts";
import { Cluster, type Move } from "./cluster.ts";
import { tell } from "./counterexample.ts";
import type { Mutation } from "./local-node.ts";
import { StateSet } from "./state-set.ts";
import type { World } from "./world.ts";

export interface Limits {
  /** No limit unless given. */
  readonly maxStates?: number;
  /** Called every so often. */
  readonly onProgress?: (states: number, depth: number, waiting: number) => void;
  readonly mutation?: Mutation;
  /** Visits the states that are covered by others as well: finds what is wrong by a shortest way, and takes longer. */
  readonly isShortest?: boolean;
}

export interface Counterexample {
  readonly error: Error;
  /** How many moves it takes. */
  readonly moves: number;
  /** The moves in words. */
  readonly text: string;
}

export interface Outcome {
  readonly world: World;
  /** Whether the walk came to its end, and nothing was wrong. */
  readonly isComplete: boolean;
  /** States that were kept. */
  readonly states: number;
  readonly transitions: number;
  /** Moves to the state farthest away, not counting those that saturate. */
  readonly depth: number;
  readonly nodeStates: number;
  readonly messages: number;
  /** Inputs that the real core has done to find out what they do. */
  readonly coreSteps: number;
  readonly ms: number;
  readonly counterexample: Counterexample | undefined;
}

const progressEvery = 4096;

export function explore(world: World, limits: Limits = {}): Outcome {
  const began = performance.now();
  const cluster = new Cluster(world, limits.mutation);
  const walk = new Walk(cluster, limits);
  const error = walk.run();
  const { automata } = cluster;
  return {
    world,
    isComplete: error === undefined && walk.at === walk.states,
    states: walk.states,
    transitions: walk.transitions,
    depth: walk.depth,
    nodeStates: automata.stateCount,
    messages: automata.messageCount,
    coreSteps: automata.steps,
    ms: performance.now() - began,
    counterexample: error,
  };
}

class Walk {
  at = 0;
  transitions = 0;
  depth = 0;
  readonly #cluster: Cluster;
  readonly #limits: Limits;
  readonly #seen: StateSet;
  /** Undefined if every state is visited. */
  readonly #antichain: Antichain | undefined;
  readonly #saturates: boolean;
  #parents = new Uint32Array(1 << 12);

  constructor(cluster: Cluster, limits: Limits) {
    this.#cluster = cluster;
    this.#limits = limits;
    this.#antichain = limits.isShortest ? undefined : new Antichain(cluster.messagesAt);
    this.#seen = this.#antichain?.states ?? new StateSet();
    this.#saturates = !limits.isShortest && (cluster.world.network ?? "often") === "often";
  }

  get states(): number {
    return this.#seen.size;
  }

  run(): Counterexample | undefined {
    const cluster = this.#cluster;
    const seen = this.#seen;
    const antichain = this.#antichain;
    const { maxStates = Number.POSITIVE_INFINITY, onProgress } = this.#limits;
    (antichain ?? seen).add(cluster.words, cluster.length);
    let levelEnd = 1;
    for (; this.at < seen.size && seen.size < maxStates; this.at++) {
      if (this.at === levelEnd) {
        this.depth++;
        levelEnd = seen.size;
      }
      if (this.at % progressEvery === 0) onProgress?.(seen.size, this.depth, seen.size - this.at);
      if (antichain?.isCovered(this.at)) continue;
      const found = this.#expand(this.at);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #expand(from: number): Counterexample | undefined {
    const cluster = this.#cluster;
    const seen = this.#seen;
    const antichain = this.#antichain;
    cluster.length = seen.read(from, cluster.words);
    for (const move of cluster.moves(from === 0)) {
      try {
        if (!cluster.make(move)) continue;
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        return this.#counterexample([...this.#pathTo(from), move], error);
      }
      this.transitions++;
      if (this.#saturates) {
        if (antichain?.covers(cluster.next, cluster.nextLength)) continue;
        cluster.saturate();
      }
      const { number, isNew } = (antichain ?? seen).add(cluster.next, cluster.nextLength);
      if (isNew) this.#setParent(number, from);
    }
    return undefined;
  }

  #setParent(number: number, parent: number): void {
    if (number >= this.#parents.length) {
      const larger = new Uint32Array(this.#parents.length * 2);
      larger.set(this.#parents);
      this.#parents = larger;
    }
    this.#parents[number] = parent;
  }

  #counterexample(path: readonly Move[], error: Error): Counterexample {
    const cluster = this.#cluster;
    const seen = this.#seen;
    cluster.length = seen.read(0, cluster.words);
    return { error, moves: path.length, text: tell(cluster, path, error) };
  }

  /** The moves that lead from the first state to this one. */
  #pathTo(target: number): Move[] {
    const path: Move[][] = [];
    for (let state = target; state !== 0; state = this.#parents[state] as number) {
      path.push(this.#movesBetween(this.#parents[state] as number, state));
    }
    return path.reverse().flat();
  }

  #movesBetween(from: number, to: number): Move[] {
    const cluster = this.#cluster;
    const seen = this.#seen;
    cluster.length = seen.read(from, cluster.words);
    for (const move of cluster.moves(from === 0)) {
      if (!cluster.make(move)) continue;
      const more = this.#saturates ? cluster.saturate() : [];
      if (seen.equals(to, cluster.next, cluster.nextLength)) return [move, ...more];
    }
    throw new Error(`no move leads from state ${from} to state ${to}`);
  }
}
