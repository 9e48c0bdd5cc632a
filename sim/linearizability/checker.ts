// Is a history linearizable? Could every operation have taken effect at one instant between its call and its return,
// one after the other, so that each returned what it did?
//
// After Wing & Gong 1993 (search for an order, deepest first), Lowe 2017 (remember what was tried: the same operations
// done with the same state need no second look), and Horn & Kroening 2015 (each key by itself), as porcupine and
// knossos do it.
//   - An operation that failed never took effect. One whose outcome is unknown may have, at any time after its call, or
//     never.
//   - Equal times count as overlapping: a clock too coarse to order two operations must not condemn a history.
//   - Never a hang: a key whose search turns back more than `maxBacktracks` times is "undecided". It is a count and not
//     a time, so that the same history gets the same verdict on any machine.
//   - A read of a value that no operation can have written, for which a search would try every order, is found before
//     it (unexplained.ts).
//   - Pure: no clock, no files; runs in a browser.
// search.ts has the search, demand.ts what it sees from afar; model.ts the key-value map that this project checks.

import { Search } from "./search.ts";
import type { Model, Operation } from "./specification.ts";
import { firstUnexplained } from "./unexplained.ts";

/** The first return that nothing explains. */
export interface Contradiction<O extends Operation, S> {
  /** The history of the key up to the return of this operation, and with it, has no order. */
  readonly operation: O;
  /** An order of the history just before that return. Operations that had not returned by then may be in it or not. */
  readonly order: readonly O[];
  /** The state that this order leaves. */
  readonly state: S;
}

export type Verdict = "linearizable" | "not-linearizable" | "undecided";

/** What was found out about one key: `operations` are all of its operations, as given; `order` is a witness. */
export type KeyResult<O extends Operation, S> = {
  readonly key: string;
  readonly operations: readonly O[];
  /** How often the search took back a choice. */
  readonly backtracks: number;
} & (
  | { readonly verdict: "linearizable"; readonly order: readonly O[] }
  | { readonly verdict: "not-linearizable"; readonly contradiction: Contradiction<O, S> }
  | { readonly verdict: "undecided" }
);

export interface Result<O extends Operation, S> {
  /** Linearizable if every key is; else not linearizable if one is known not to be; else undecided. */
  readonly verdict: Verdict;
  /** In the order in which the keys first occur. */
  readonly keys: readonly KeyResult<O, S>[];
}

export interface CheckOptions {
  /**
   * For each key by itself; without it, 1,000,000. The more operations overlap, the dearer each is: seconds, at worst a
   * minute.
   */
  readonly maxBacktracks?: number;
}

/**
 * Checks the operations, in any order, key by key. Every one that ended "ok" needs its return, not before its call, or
 * a RangeError is thrown; one that did not must not be left out if it may have taken effect, or what it did will look
 * like a fault.
 */
export function checkHistory<O extends Operation, S>(
  operations: Iterable<O>,
  model: Model<O, S>,
  { maxBacktracks = 1_000_000 }: CheckOptions = {},
): Result<O, S> {
  const byKey = new Map<string, O[]>();
  for (const operation of operations) {
    if (operation.outcome === "ok") requireReturn(operation);
    const same = byKey.get(operation.key);
    if (same === undefined) byKey.set(operation.key, [operation]);
    else same.push(operation);
  }
  const keys = [...byKey].map(([key, ofKey]) => checkKey(key, ofKey, model, maxBacktracks));
  const found = (verdict: Verdict): boolean => keys.some((k) => k.verdict === verdict);
  const verdict = found("not-linearizable") ? "not-linearizable" : found("undecided") ? "undecided" : "linearizable";
  return { verdict, keys };
}

function requireReturn({ client, key, call, return: returned }: Operation): void {
  if (returned !== undefined && call <= returned) return;
  throw new RangeError(
    `the operation of client ${client} on key ${key}, called at ${call}, is "ok", but it returned at ${returned}: give the time of its return, at or after its call`,
  );
}

function checkKey<O extends Operation, S>(
  key: string,
  operations: readonly O[],
  model: Model<O, S>,
  maxBacktracks: number,
): KeyResult<O, S> {
  const unexplained = firstUnexplained(operations, model);
  if (unexplained !== undefined) {
    const contradiction = firstContradiction(operations, model, maxBacktracks, unexplained);
    return { key, operations, backtracks: 0, verdict: "not-linearizable", contradiction };
  }
  const search = searchFor(operations, model);
  const verdict = search.run(maxBacktracks);
  const common = { key, operations, backtracks: search.backtracks };
  switch (verdict) {
    case "linearizable":
      return { ...common, verdict, order: search.order() };
    case "not-linearizable":
      return { ...common, verdict, contradiction: firstContradiction(operations, model, maxBacktracks) };
    case "undecided":
      return { ...common, verdict };
  }
}

function searchFor<O extends Operation, S>(operations: readonly O[], model: Model<O, S>): Search<O, S> {
  return new Search(
    operations.filter((o) => o.outcome === "ok" || (o.outcome === "unknown" && !model.isRead(o))),
    model,
  );
}

/**
 * Halves its way to the shortest beginning of the history that has no order. A beginning that the budget does not
 * suffice for ends that: the contradiction is true even so, but may not be the first. `suspect`, if it is known that
 * nothing explains its return: mostly all is well before it, so that is looked at first.
 */
function firstContradiction<O extends Operation, S>(
  operations: readonly O[],
  model: Model<O, S>,
  maxBacktracks: number,
  suspect?: O,
): Contradiction<O, S> {
  const returned = operations.filter((o) => o.outcome === "ok").sort((a, b) => a.return! - b.return!);
  let order: readonly O[] = [];
  let state = model.initial;
  // The beginning with the first `good` returns has an order; that with the first `bad` returns has none.
  let good = 0;
  let bad = suspect === undefined ? returned.length : returned.indexOf(suspect) + 1;
  let middle = suspect === undefined ? bad >>> 1 : bad - 1;
  for (; good + 1 < bad; middle = (good + bad) >>> 1) {
    const { search, originals } = searchBeginning(
      operations,
      new Set(returned.slice(0, middle)),
      returned[middle - 1]!.return!,
      model,
    );
    const verdict = search.run(maxBacktracks);
    if (verdict === "undecided") break;
    if (verdict === "not-linearizable") bad = middle;
    else {
      good = middle;
      const found = search.order();
      order = found.map((o) => originals.get(o) ?? o);
      // Every step of an order that was found is legal.
      state = found.reduce((before, o) => model.step(before, o) as S, model.initial);
    }
  }
  return { operation: returned[bad - 1]!, order, state };
}

/** The history as it was known at `time`: what was called and had not ended, may have taken effect or not. */
function searchBeginning<O extends Operation, S>(
  operations: readonly O[],
  ended: ReadonlySet<O>,
  time: number,
  model: Model<O, S>,
): { search: Search<O, S>; originals: ReadonlyMap<O, O> } {
  const originals = new Map<O, O>();
  const beginning = operations
    .filter((o) => o.call <= time)
    .map((o) => {
      if (o.outcome !== "ok" || ended.has(o)) return o;
      const open: O = { ...o, outcome: "unknown" };
      originals.set(open, o);
      return open;
    });
  return { search: searchFor(beginning, model), originals };
}
