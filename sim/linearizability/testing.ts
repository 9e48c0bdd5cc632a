// What the tests of this room share: short ways to write histories of the map down, and random ones.
//
// Small ones, so that overlaps, ties and contradictions are common and reference.ts can judge them; and long ones, as a
// cluster leaves them.

import fc from "fast-check";
import type { MapOperation } from "./model.ts";
import type { RegisterOperation } from "./porcupine.ts";

type Answer = Partial<Pick<MapOperation, "client" | "key" | "return" | "outcome">>;

/** An operation on key "k" by client 0, with times [call, return]; `rest` says otherwise. */
function operation(
  op: MapOperation["op"],
  value: string | undefined,
  [call, returned]: readonly [number, number],
  rest: Answer,
): MapOperation {
  return { client: 0, key: "k", op, value, call, return: returned, outcome: "ok", ...rest };
}

type Times = readonly [number, number];
export const put = (value: string, times: Times, rest: Answer = {}): MapOperation =>
  operation("put", value, times, rest);
export const get = (value: string | undefined, times: Times, rest: Answer = {}): MapOperation =>
  operation("get", value, times, rest);
export const del = (times: Times, rest: Answer = {}): MapOperation => operation("delete", undefined, times, rest);

/**
 * A few operations on a few values at a few times, so that overlaps, ties, repeated values and contradictions are
 * common.
 */
export const smallHistory = (maxLength: number): fc.Arbitrary<MapOperation[]> =>
  fc.array(
    fc
      .record({
        client: fc.nat({ max: 3 }),
        op: fc.constantFrom("put", "put", "get", "get", "delete"),
        value: fc.constantFrom("a", "b", "c", undefined),
        call: fc.nat({ max: 12 }),
        duration: fc.nat({ max: 8 }),
        outcome: fc.constantFrom("ok", "ok", "ok", "unknown", "fail"),
      })
      .map(({ client, op, value, call, duration, outcome }): MapOperation => {
        const kept = op === "put" ? (value ?? "a") : op === "get" ? value : undefined;
        return { client, key: "k", op, value: kept, call, return: call + duration, outcome };
      }),
    { maxLength },
  );

/** The same for a register with compare-and-set. */
export const smallRegisterHistory = (maxLength: number): fc.Arbitrary<RegisterOperation[]> =>
  fc.array(
    fc
      .record({
        op: fc.constantFrom("read", "write", "cas", "cas"),
        values: fc.tuple(fc.nat({ max: 2 }), fc.nat({ max: 2 })),
        swapped: fc.boolean(),
        call: fc.nat({ max: 12 }),
        duration: fc.nat({ max: 8 }),
        outcome: fc.constantFrom("ok", "ok", "ok", "unknown", "fail"),
      })
      .map(({ duration, ...o }): RegisterOperation => ({ client: 0, key: "r", ...o, return: o.call + duration })),
    { maxLength },
  );

/**
 * Small and linearizable by making: each operation took effect at a moment of its own, within its times, and gets saw
 * what was there.
 */
export const linearizableHistory = (maxLength: number): fc.Arbitrary<MapOperation[]> =>
  smallHistory(maxLength)
    .chain((operations) =>
      fc.tuple(
        fc.constant(operations),
        fc.array(fc.nat({ max: 20 }), { minLength: maxLength, maxLength }),
        fc.infiniteStream(fc.boolean()),
      ),
    )
    .map(([operations, moments, happened]) => {
      const at = (number: number): number => {
        const { call, return: returned, outcome } = operations[number]!;
        return outcome === "unknown" ? call + moments[number]! : call + (moments[number]! % (returned! - call + 1));
      };
      const tookEffect = operations
        .map((_, number) => number)
        .filter(
          (number) =>
            operations[number]!.outcome === "ok" ||
            (operations[number]!.outcome === "unknown" && happened.next().value),
        )
        .sort((a, b) => at(a) - at(b));
      let state: string | undefined;
      const seen = new Map<number, string | undefined>();
      for (const number of tookEffect) {
        const { op, value } = operations[number]!;
        if (op === "get") seen.set(number, state);
        else state = value;
      }
      return operations.map((o, number) => (o.op === "get" ? { ...o, value: seen.get(number) } : o));
    });

/** A random stream of numbers in [0, 1) that is the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface LoadOptions {
  readonly count: number;
  readonly clients: number;
  readonly keys: number;
  /** How many distinct values there are; without it, every put has its own. */
  readonly values?: number;
  /** How likely an operation ends with its outcome unknown; every second of these takes effect, late. */
  readonly unknown: number;
  readonly seed: number;
}

/** What clients would record who work on a map without a fault: linearizable, however long. */
export function load({ count, clients, keys, values, unknown, seed }: LoadOptions): MapOperation[] {
  const random = seededRandom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const freeAt = new Array<number>(clients).fill(0);
  const operations = Array.from({ length: count }, (_, number): { effect: number; made: MapOperation } => {
    const client = freeAt.indexOf(Math.min(...freeAt));
    const call = freeAt[client]! + below(100);
    const effect = call + below(1000);
    const returned = effect + below(1000);
    freeAt[client] = returned + 1;
    const kind = random();
    const op = kind < 0.5 ? "get" : kind < 0.9 ? "put" : "delete";
    const value = op === "put" ? `v${values === undefined ? number : below(values)}` : undefined;
    const isUnknown = random() < unknown;
    const made: MapOperation = {
      client,
      key: `k${below(keys)}`,
      op,
      value,
      call,
      return: returned,
      outcome: isUnknown ? "unknown" : "ok",
    };
    if (!isUnknown) return { effect, made };
    return { effect: random() < 0.5 ? Number.POSITIVE_INFINITY : effect + below(5000), made };
  });
  const state = new Map<string, string | undefined>();
  const results = [...operations].sort((a, b) => a.effect - b.effect);
  const seen = new Map<MapOperation, string | undefined>();
  for (const { effect, made } of results) {
    if (made.op === "get") seen.set(made, state.get(made.key));
    else if (effect !== Number.POSITIVE_INFINITY) state.set(made.key, made.value);
  }
  return operations.map(({ made }) => (made.op === "get" ? { ...made, value: seen.get(made) } : made));
}
