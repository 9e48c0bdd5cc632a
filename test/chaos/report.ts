// The figures of a run: what has happened and how often, what must have, and the table.
//
// A quiet run is a failed run: one in which a kind of fault never struck, or the clients got next to nothing done, says nothing about the
// servers.

import type { Link } from "./link.ts";
import { processDeck } from "./nemesis.ts";
import { shapes } from "./shapes.ts";

export interface ChaosOptions {
  readonly seed: number;
  /** The run ends after this time, or after so many kills; whichever comes first. */
  readonly minutes?: number | undefined;
  readonly kills?: number | undefined;
  /** Modules that the members load before main.ts: how mutants.ts makes them err. */
  readonly preload?: readonly string[] | undefined;
}

export interface Figures {
  readonly options: ChaosOptions;
  readonly tally: Tally;
  readonly seconds: number;
  readonly operations: { readonly ok: number; readonly fail: number; readonly unknown: number };
  /** The longest time without any acknowledged operation, under faults and in rolling restarts. */
  readonly longestOutageMs: number;
  readonly longestRollingGapMs: number;
  readonly longestHistory: { readonly operations: number; readonly ms: number };
  readonly links: readonly Link[];
}

/** How often things have happened. */
export class Tally {
  readonly #counts = new Map<string, number>();

  add(what: string, by = 1): void {
    this.#counts.set(what, this.get(what) + by);
  }

  get(what: string): number {
    return this.#counts.get(what) ?? 0;
  }

  /** Those whose name begins so: how many kinds there were, and how often in all. */
  group(prefix: string): { readonly kinds: number; readonly total: number } {
    const counts = [...this.#counts].filter(([what]) => what.startsWith(prefix));
    return { kinds: counts.length, total: counts.reduce((sum, [, n]) => sum + n, 0) };
  }

  get all(): readonly (readonly [what: string, count: number])[] {
    return [...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

/** How many come after the faults: three in two minutes, or one for twenty kills. */
export const rollingRestarts = ({ minutes, kills = 0 }: ChaosOptions): number =>
  minutes === undefined ? Math.floor(kills / 20) : Math.round(1.5 * minutes);

const fullRunMinutes = 2;
const okPerMinute = 500;
const okPerKill = 15;
const shapesInShortRun = 3;

type Damage = Pick<Link, "resets" | "damaged">;

/** What should have happened in such a run and has not, or too seldom. */
export function missing(
  { minutes, kills = 0 }: ChaosOptions,
  tally: Tally,
  ok: number,
  links: readonly Damage[],
): string[] {
  const found: string[] = [];
  const need = (what: string, has: number, least: number): void => {
    if (has < least) found.push(`too quiet a run: ${what} should be at least ${least} and is ${has}`);
  };
  const byKills = minutes === undefined || kills > 0;
  const isFull = !byKills && minutes >= fullRunMinutes;
  need("acknowledged operations", ok, byKills ? okPerKill * kills : okPerMinute * minutes);
  need("kills", tally.get("kills"), isFull ? 10 * minutes : kills);
  need("pauses", tally.get("pauses"), 1);
  need("kinds of network shapes", tally.group("network:").kinds, isFull ? shapes.length : shapesInShortRun);
  need("membership changes", tally.group("membership:").total, 1);
  if (!isFull) return found;
  for (const fault of new Set(processDeck)) need(fault, tally.get(fault), 1);
  need("kinds of membership changes", tally.group("membership:").kinds, 5);
  need("removed members that ended by themselves", tally.get("removed member ended by itself"), 1);
  need("leadership transferred", tally.get("leadership transferred"), 1);
  need("members wiped", tally.get("members wiped"), 1);
  need("connections reset", sumOf(links, "resets"), 1);
  need("bits turned over", sumOf(links, "damaged"), 1);
  need("snapshots sent to members that were behind", tally.get("snapshot sent to a member that was behind"), 1);
  return found;
}

const sumOf = <K extends string>(links: readonly Readonly<Record<K, number>>[], what: K): number =>
  links.reduce((total, link) => total + link[what], 0);

/** The rows of the table. */
export function rowsOf(figures: Figures): [string, string][] {
  const { options, tally, seconds, operations, longestHistory, links } = figures;
  const number = (n: number): string => Math.round(n).toLocaleString("en-US");
  const sum = (what: "bytes" | "resets" | "damaged"): string => number(sumOf(links, what));
  const shapesSeen = tally.group("network:");
  return [
    ["seed", String(options.seed)],
    ["seconds", number(seconds)],
    ["kills survived (kill -9)", number(tally.get("kills"))],
    ["pauses (SIGSTOP)", number(tally.get("pauses"))],
    ["network shapes", `${number(shapesSeen.total)}, of ${shapesSeen.kinds} kinds`],
    ["membership changes", number(tally.group("membership:").total)],
    ["rolling restarts", number(tally.get("rolling restarts"))],
    ["operations ok", number(operations.ok)],
    ["operations refused", number(operations.fail)],
    ["operations of unknown outcome", number(operations.unknown)],
    ["longest outage under faults", `${number(figures.longestOutageMs)} ms`],
    ["longest outage in a rolling restart", `${number(figures.longestRollingGapMs)} ms`],
    ["longest history checked", `${number(longestHistory.operations)} operations in ${number(longestHistory.ms)} ms`],
    ["bytes between members, all through proxies", sum("bytes")],
    ["connections reset, bits turned over", `${sum("resets")}, ${sum("damaged")}`],
    ...tally.all.map(([what, n]): [string, string] => [`  ${what}`, number(n)]),
  ];
}
