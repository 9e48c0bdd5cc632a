// What a small world is: some nodes, and how much may happen to them.

import type { Config } from "../../raft/index.ts";
import type { Disk } from "./local-node.ts";

/** What happens only so many times. */
export const budgetNames = [
  "campaigns",
  "proposals",
  "crashes",
  "duplicates",
  "drops",
  "beats",
  "ticks",
  "reads",
  "transfers",
  "compactions",
] as const;
export type BudgetName = (typeof budgetNames)[number];

export interface World {
  readonly name: string;
  /** What it is there to show, in a sentence. */
  readonly about: string;
  /** Nodes 1 to `nodes`. Those that are no voters and no learners at first begin with nothing. */
  readonly nodes: number;
  /** All nodes, unless said otherwise. */
  readonly voters?: readonly number[];
  readonly learners?: readonly number[];
  /** "atomic" unless said otherwise. */
  readonly disk?: Disk;
  /** A message arrives any number of times, "often", which is so unless said otherwise; or "once" at most. */
  readonly network?: "once" | "often";
  /** The world begins with this node leading term 2, and all that it knows known to all. */
  readonly leader?: number;
  /** Those that may campaign; all, unless said otherwise. */
  readonly campaigners?: readonly number[];
  /** The campaigners campaign in the order of their list, in which one may stand several times. */
  readonly inTurn?: boolean;
  /** Changes of the configuration that a leader may propose, each once, in this order. */
  readonly changes?: readonly string[];
  readonly budgets: Readonly<Partial<Record<BudgetName, number>>>;
  readonly options?: Partial<Config>;
  /** What cannot be right in this world, as the error's message begins: a walk must find it. */
  readonly expects?: string;
  /** Takes too long for every day: walked only if asked for. */
  readonly isLarge?: boolean;
  /** All nodes are alike: the first to campaign is node 1, without loss of generality. */
  readonly isSymmetric?: boolean;
}
