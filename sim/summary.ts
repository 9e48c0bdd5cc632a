// What a run leaves for the table, and the tables.

import { type FaultName, faultNames } from "./plan.ts";
import { livenessTicks, type RunResult } from "./simulation.ts";

export interface Job {
  readonly seed: number;
  readonly ticks: number;
  readonly only?: readonly FaultName[] | undefined;
  /** The name of the bug that is planted. */
  readonly mutant?: string | undefined;
}

/** A result that can be sent from thread to thread. */
export interface Summary {
  readonly seed: number;
  readonly error: string | undefined;
  readonly simulatedMs: number;
  readonly steps: number;
  readonly restTicks: number | undefined;
  readonly traceHash: number;
  readonly entries: number;
  readonly elections: number;
  readonly operations: number;
  readonly counts: readonly (readonly [what: string, count: number])[];
  readonly states: readonly string[];
}

export function summaryOf(result: RunResult): Summary {
  const { seed, simulatedMs, steps, restTicks, traceHash, entries, elections, operations } = result;
  const error = result.error?.message;
  const numbers = { seed, simulatedMs, steps, restTicks, traceHash, entries, elections, operations };
  return { ...numbers, error, counts: [...result.counts], states: [...result.states] };
}

/** What must have happened at least once in a long run: each fault, and what faults are to bring about. */
export const mustHappen: readonly string[] = [
  "lost message",
  "duplicate message",
  "late message",
  "message into a cut",
  "message that came a second late",
  "clock more than a tick off",
  "partition: one alone",
  "partition: one does not hear",
  "partition: one is not heard",
  "partition: two groups",
  "partition: two groups and a bridge",
  "partition: one link",
  "partition: some directions",
  "crash: one",
  "crash: two",
  "crash: all",
  "kill",
  "orderly restart",
  "pause",
  "event held up by a pause",
  "slow disk",
  "sync longer than an election timeout",
  "failing disk",
  "stopped by its disk",
  "torn log repaired",
  "disk hang",
  "stopped by its hanging disk",
  "damaged log",
  "damaged log: it refuses to start",
  "damaged snapshot",
  "damaged snapshot: it starts all the same",
  "wiped",
  "member turned away: lost-data",
  "member replaced",
  "slip",
  "slip: refused",
  "slip: made",
  "slip: made anew",
  "slip: cut short",
  "change: add",
  "change: promote",
  "change: demote",
  "change: remove",
  "joint change",
  "change conflict ID_SPENT",
  "member turned away: removed",
  "transfer applied",
  "snapshot sent",
  "snapshot cut",
  "client cut",
  "lost request",
  "lost answer",
  "put unknown",
];

/** Adds up the runs of many seeds. */
export class Totals {
  runs = 0;
  failures: { readonly seed: number; readonly error: string }[] = [];
  #simulatedMs = 0;
  #steps = 0;
  #entries = 0;
  #elections = 0;
  #operations = 0;
  #longestRestTicks = 0;
  readonly #counts = new Map<string, number>();
  readonly #states = new Set<string>();

  add(summary: Summary): void {
    this.runs++;
    this.#simulatedMs += summary.simulatedMs;
    this.#steps += summary.steps;
    this.#entries += summary.entries;
    this.#elections += summary.elections;
    this.#operations += summary.operations;
    this.#longestRestTicks = Math.max(this.#longestRestTicks, summary.restTicks ?? 0);
    for (const [what, count] of summary.counts) this.#counts.set(what, (this.#counts.get(what) ?? 0) + count);
    for (const state of summary.states) this.#states.add(state);
    if (summary.error !== undefined) this.failures.push({ seed: summary.seed, error: summary.error });
  }

  /** What should have happened and never did. */
  get missing(): string[] {
    return mustHappen.filter((what) => !this.#counts.has(what));
  }

  /** The figures of the runs, in words and numbers. */
  get #figures(): [string, string][] {
    return [
      ["seeds", number(this.runs)],
      ["failures", number(this.failures.length)],
      ["simulated hours", (this.#simulatedMs / 3_600_000).toFixed(1)],
      ["events", number(this.#steps)],
      ["committed entries", number(this.#entries)],
      ["elections", number(this.#elections)],
      ["client operations, checked for linearizability", number(this.#operations)],
      ["cluster states seen", number(this.#states.size)],
      [`ticks to rest without faults, at most (bound: ${livenessTicks})`, number(this.#longestRestTicks)],
    ];
  }

  /** For a terminal: the figures, and how often what happened. */
  table(): string {
    const counts = [...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1));
    const rows = [
      ...this.#figures,
      ["", ""] as const,
      ...counts.map(([what, n]): readonly [string, string] => [what, number(n)]),
    ];
    const widths = [0, 1].map((column) => Math.max(...rows.map((row) => (row[column] as string).length)));
    return rows
      .map(([what, n]) => `${what.padEnd(widths[0] as number)}  ${n.padStart(widths[1] as number)}`.trimEnd())
      .join("\n");
  }

  /** For a page: the figures, those that are handed in too, then each fault and what it was to bring about. */
  markdown(more: readonly (readonly [string, string])[]): string {
    const counts = mustHappen.map((what) => [what, number(this.#counts.get(what) ?? 0)] as const);
    const rows = (list: readonly (readonly [string, string])[]): string =>
      list.map(([what, n]) => `| ${what} | ${n} |`).join("\n");
    const head = (what: string): string => `| ${what} | |\n| --- | ---: |\n`;
    return `${head("figure")}${rows([...this.#figures, ...more])}\n\n${head("fault, or what it brings about")}${rows(counts)}`;
  }
}

const number = (n: number): string => Math.round(n).toLocaleString("en-US");

/** Names of faults, as the command line has them: separated by commas. Throws for one that is none. */
/** "crash,loss", or "none". Throws for what is no fault. */
export function parseFaults(text: string): FaultName[] {
  if (text.trim() === "none") return [];
  return text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "")
    .map((name) => {
      const found = faultNames.find((other) => other === name);
      if (found === undefined) throw new Error(`there is no fault "${name}": there are ${faultNames.join(", ")}`);
      return found;
    });
}
