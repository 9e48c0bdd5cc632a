// A second opinion for the tests: is a history linearizable, and is an order a witness of it?
//
// It tries every order, with no cleverness that could be wrong: it is right because it is the definition, and it can
// judge seven operations or so. It takes no part in checking a run.

import { illegal, type Model, type Operation } from "./specification.ts";

/** Tries every order of the operations, of one key, with and without each whose outcome is unknown. */
export function hasOrder<O extends Operation, S>(operations: readonly O[], model: Model<O, S>): boolean {
  const from = (state: S, left: readonly O[]): boolean => {
    if (left.every((o) => o.outcome === "unknown")) return true;
    return left.some((o, at) => {
      if (left.some((other) => other.outcome === "ok" && other.return! < o.call)) return false;
      const rest = left.filter((_, place) => place !== at);
      if (o.outcome === "unknown" && from(state, rest)) return true;
      const next = o.outcome === "unknown" && model.isRead(o) ? state : model.step(state, o);
      return next !== illegal && from(next, rest);
    });
  };
  return from(
    model.initial,
    operations.filter((o) => o.outcome !== "fail"),
  );
}

/** Checks a witness: legal step by step, in the order of real time, with all that ended "ok" and nothing twice. */
export function isOrderOf<O extends Operation, S>(
  order: readonly O[],
  operations: readonly O[],
  model: Model<O, S>,
): boolean {
  let state = model.initial;
  for (const o of order) {
    const next = model.step(state, o);
    if (next === illegal) return false;
    state = next;
  }
  const placed = new Set(order);
  const inTime = order.every(
    (o, at) => !order.slice(at + 1).some((later) => later.outcome === "ok" && later.return! < o.call),
  );
  const known = order.every((o) => operations.includes(o) && o.outcome !== "fail");
  return (
    placed.size === order.length && inTime && known && operations.every((o) => o.outcome !== "ok" || placed.has(o))
  );
}
