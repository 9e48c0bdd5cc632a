import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkHistory, type Result } from "./checker.ts";
import { type MapOperation, mapModel } from "./model.ts";
import { type AppendOperation, appendModel, type RegisterOperation, registerModel } from "./porcupine.ts";
import { hasOrder, isOrderOf } from "./reference.ts";
import type { Model, Operation } from "./specification.ts";
import { del, get, load, put, smallHistory, smallRegisterHistory } from "./testing.ts";
import { firstUnexplained } from "./unexplained.ts";

const found = (...operations: MapOperation[]): MapOperation | undefined => firstUnexplained(operations, mapModel);

describe("a get of the map", () => {
  const read = get("a", [5, 6]);

  test("is explained by a put of its value that ended, or may have happened, or was called just before it returned", () => {
    expect(found(put("a", [1, 2]), read)).toBeUndefined();
    expect(found(put("a", [1, 2], { outcome: "unknown", return: undefined }), read)).toBeUndefined();
    expect(found(put("a", [6, 9]), read)).toBeUndefined();
    expect(found(put("a", [7, 9]), put("a", [6, 9]), put("a", [8, 9]), read)).toBeUndefined();
  });

  test("is not explained by a put that failed, that has another value, or that was called later", () => {
    expect(found(put("a", [1, 2], { outcome: "fail" }), read)).toBe(read);
    expect(found(put("b", [1, 2]), read)).toBe(read);
    expect(found(put("a", [7, 9]), read)).toBe(read);
  });

  test("that finds nothing is explained by the beginning, deletes or not", () => {
    expect(found(put("a", [1, 2]), get(undefined, [5, 6]))).toBeUndefined();
    expect(found(put("a", [1, 2]), del([3, 4]), get(undefined, [5, 6]))).toBeUndefined();
  });

  test("needs no explanation if it failed, or if it is unknown what it saw", () => {
    expect(found(get("a", [5, 6], { outcome: "fail" }), get("a", [5, 6], { outcome: "unknown" }))).toBeUndefined();
  });

  test("is reported before those that returned later", () => {
    expect(found(get("c", [1, 9]), get("b", [2, 7]), get("d", [1, 8]))?.value).toBe("b");
  });
});

describe("a register with compare-and-set", () => {
  const at = { client: 0, key: "r", call: 1, return: 2, outcome: "ok", swapped: false } as const;
  const write: RegisterOperation = { ...at, op: "write", values: [1] };
  const swap: RegisterOperation = { ...at, op: "cas", values: [1, 2], swapped: true };
  const read: RegisterOperation = { ...at, op: "read", values: [2] };

  test("a read is explained by whatever swap asked for its value: that one was refused may have been told only later", () => {
    expect(firstUnexplained([write, swap, read], registerModel)).toBeUndefined();
    expect(firstUnexplained([write, { ...swap, swapped: false }, read], registerModel)).toBeUndefined();
    expect(firstUnexplained([write, { ...swap, values: [1, 3] }, read], registerModel)).toBe(read);
  });

  test("a swap of a value that was never written is not explained; a refused one always is", () => {
    expect(firstUnexplained([swap], registerModel)).toBe(swap);
    expect(firstUnexplained([{ ...swap, swapped: false }], registerModel)).toBeUndefined();
  });
});

test("a map with appends is left to the search, which finds such a get by itself", () => {
  const at = { client: 0, key: "k", call: 1, return: 2, outcome: "ok" } as const;
  const append: AppendOperation = { ...at, op: "append", value: "a" };
  const read: AppendOperation = { ...at, op: "get", value: "aa" };
  expect(firstUnexplained([append, append, read], appendModel)).toBeUndefined();
  expect(checkHistory([append, { ...append }, read], appendModel).verdict).toBe("linearizable");
  expect(checkHistory([append, read], appendModel).verdict).toBe("not-linearizable");
});

describe("against a search through every order", () => {
  /** Of two that return at one time either may be named. */
  function firstFailure<O extends Operation, S>({ keys: [key] }: Result<O, S>): unknown {
    return key?.verdict === "not-linearizable" ? key.contradiction.operation.return : undefined;
  }

  function agree<O extends Operation, S>(small: fc.Arbitrary<O[]>, model: Model<O, S>): void {
    const { reach: _, ...searched } = model;
    const counts = { linearizable: 0, unexplained: 0 };
    fc.assert(
      fc.property(small, (operations) => {
        const expected = hasOrder(operations, model);
        const unexplained = firstUnexplained(operations, model);
        if (unexplained !== undefined) {
          expect(expected).toBe(false);
          // What was called after it returned has nothing to do with that.
          const before = operations.filter((o) => o.call <= unexplained.return!);
          expect(hasOrder(before, model)).toBe(false);
          expect(firstUnexplained(before, model)).toBe(unexplained);
        }
        const result = checkHistory(operations, model);
        expect(result.verdict).toBe(expected ? "linearizable" : "not-linearizable");
        expect(firstFailure(result)).toEqual(firstFailure(checkHistory(operations, searched)));
        if (unexplained !== undefined) counts.unexplained++;
        else if (expected) counts.linearizable++;
      }),
      { numRuns: 3000 },
    );
    expect(Math.min(counts.linearizable, counts.unexplained)).toBeGreaterThan(300);
  }

  test("a small history of the map has no order where a get is unexplained, and the contradiction is the search's", () =>
    agree(smallHistory(7), mapModel));

  test("a small history of a register has none where a read or a swap is", () =>
    agree(smallRegisterHistory(7), registerModel));
});

describe("one get of 10,000 operations on one key, of 20 clients, one in 20 of unknown outcome", () => {
  const history = load({ count: 10_000, clients: 20, keys: 1, unknown: 0.05, seed: 1 });
  const at = history.findIndex((o, number) => number > 3000 && o.op === "get" && o.outcome === "ok");
  const later = history.find((o) => o.op === "put" && o.call > history[at]!.return!);

  test.each([
    ["nobody wrote", "never written"],
    ["somebody wrote later", later?.value],
  ])("of what %s: no choice is taken back for the verdict, and few for the order before it", (_, value) => {
    expect(value).toBeDefined();
    const wrong = { ...history[at]!, value };
    const [key] = checkHistory(history.with(at, wrong), mapModel, { maxBacktracks: 5000 }).keys;
    expect(key).toMatchObject({ verdict: "not-linearizable", backtracks: 0 });
    if (key?.verdict !== "not-linearizable") return;
    const { operation, order, state } = key.contradiction;
    expect(operation).toBe(wrong);
    expect(isOrderOf(order, order, mapModel)).toBe(true);
    const placed = new Set(order);
    const ended = history.filter((o) => o.outcome === "ok" && o.return! < wrong.return!);
    expect(ended.length).toBeGreaterThan(2500);
    expect(ended.every((o) => placed.has(o))).toBe(true);
    expect(state).toBe(order.reduce<string | undefined>((before, o) => mapModel.step(before, o) as string, undefined));
  });
});
