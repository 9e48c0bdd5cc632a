// Finds a return that no order can explain, without a search: what it needs is a state that nothing called by then can have left.
//
// A value that is damaged, that belongs to another key, or that no client has put yet: to be sure that no order has it, the search would
// try all of them, and run out of its budget. Here it takes one look at each operation.
// Sound for every model with `reach`: in any order an operation finds either the initial state or one that an operation before it left,
// which was called before this one returned, and did not fail. Nothing else is found here: a stale read saw what was once written.

import type { Model, Operation } from "./specification.ts";

/** Of those that nothing explains the one that returned first; undefined if there is none, or if the model cannot tell. */
export function firstUnexplained<O extends Operation, S>(operations: readonly O[], model: Model<O, S>): O | undefined {
  const { reach } = model;
  if (reach === undefined) return undefined;
  /** By state, when the first operation was called that may leave it. */
  const since = new Map<S, number>();
  for (const operation of operations) {
    if (operation.outcome === "fail") continue;
    for (const state of reach(operation).leaves) {
      since.set(state, Math.min(operation.call, since.get(state) ?? Number.POSITIVE_INFINITY));
    }
  }
  since.set(model.initial, Number.NEGATIVE_INFINITY);
  let first: O | undefined;
  for (const operation of operations) {
    if (operation.outcome !== "ok" || (first !== undefined && operation.return! >= first.return!)) continue;
    const needs = reach(operation).needs;
    const isExplained =
      needs === undefined || needs.some((state) => (since.get(state) ?? Number.POSITIVE_INFINITY) <= operation.return!);
    if (!isExplained) first = operation;
  }
  return first;
}
