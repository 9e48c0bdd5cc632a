// What a seed makes of a run: how large the cluster is, what is set how, and which faults hit it how often.
//
// A swarm: each run has some of the faults and not the others, each in its own strength. Runs that have everything at
// once are all alike, and a cluster that is hit all the time gets little done that could go wrong.

import type { ClientSettings } from "./clients.ts";
import type { MemberSettings } from "./member.ts";
import { type NetworkFaults, noNetworkFaults } from "./network.ts";
import type { Random } from "./random.ts";

/** Faults that come now and then. */
export const strikes = [
  "partition",
  "crash",
  "kill",
  "orderly restart",
  "pause",
  "slow disk",
  "failing disk",
  "disk hang",
  "damage",
  "wipe",
  "slip",
  "client cut",
  "membership",
  "transfer",
] as const;
export type Strike = (typeof strikes)[number];

/** Faults that are there all the time. */
export const conditions = ["loss", "duplication", "delay", "broken streams", "clock drift"] as const;
export type Condition = (typeof conditions)[number];

export type FaultName = Strike | Condition;
export const faultNames: readonly FaultName[] = [...strikes, ...conditions];

export interface Plan {
  readonly members: number;
  readonly clients: number;
  /** Length of the safety phase. */
  readonly ticks: number;
  readonly settings: MemberSettings;
  readonly client: ClientSettings;
  readonly network: NetworkFaults;
  /** By member, drawn as they come: the rates of their clocks lie within this much of 1. */
  readonly drift: number;
  /** Mean time between two of a kind. */
  readonly strikes: ReadonlyMap<Strike, number>;
  readonly faults: readonly FaultName[];
}

export interface PlanOptions {
  readonly ticks: number;
  /** Only these of the faults that the seed draws; all unless given. */
  readonly only?: readonly FaultName[] | undefined;
}

const tickMs = 100;
const electionTicks = 10;

export function makePlan(random: Random, { ticks, only }: PlanOptions): Plan {
  const drawn = new Map(faultNames.map((name) => [name, random.fork(`fault ${name}`)] as const));
  const has = (name: FaultName): boolean =>
    (drawn.get(name) as Random).chance(0.5) && (only === undefined || only.includes(name));
  const present = new Set(faultNames.filter(has));
  const strength = (name: FaultName, lo: number, hi: number): number => (drawn.get(name) as Random).spread(lo, hi);
  const given = (name: FaultName, lo: number, hi: number): number => {
    const value = strength(name, lo, hi);
    return present.has(name) ? value : 0;
  };
  const electionMs = tickMs * electionTicks;
  return {
    members: random.pick([1, 3, 3, 3, 3, 5, 5, 5]),
    clients: random.between(2, 6),
    ticks,
    settings: {
      clusterId: 7,
      tickMs,
      electionTicks,
      requestTimeoutMs: 2 * electionMs,
      snapshotCount: random.between(5, 51),
      snapshotCatchupEntries: random.between(0, 20),
      segmentBytes: random.pick([2048, 8192, 32_768]),
      maxSizePerMsg: random.pick([50, 500, 1_000_000]),
      diskStallMs: 15 * electionMs,
      maxWaiting: random.pick([1000, 1000, 2]),
    },
    client: {
      keys: random.between(1, 9),
      thinkMs: random.pick([50, 150, 500]),
      lostAnswers: random.pick([0, 0.02, 0.1]),
      timeoutMs: 3 * electionMs,
      valueBytes: random.pick([0, 0, 0, 0, 0, 0, 500, 30_000]),
    },
    network: {
      ...noNetworkFaults,
      loss: given("loss", 0, 0.3),
      duplicate: given("duplication", 0, 0.3),
      late: given("delay", 0, 0.3),
      lateMs: given("delay", 10, 3 * electionMs),
      cutStream: given("broken streams", 0, 0.4),
    },
    drift: given("clock drift", 0, 0.25),
    strikes: new Map(
      strikes.filter((name) => present.has(name)).map((name) => [name, strength(name, 2, 20) * electionMs] as const),
    ),
    faults: [...present],
  };
}
