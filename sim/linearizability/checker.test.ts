import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkHistory } from "./checker.ts";
import { type MapOperation, mapModel } from "./model.ts";
import { registerModel } from "./porcupine.ts";
import { hasOrder, isOrderOf } from "./reference.ts";
import { del, get, linearizableHistory, load, put, smallHistory, smallRegisterHistory } from "./testing.ts";

const verdictOn = (...operations: MapOperation[]): string => checkHistory(operations, mapModel).verdict;
const lost = { outcome: "unknown", return: undefined } as const;

describe("histories with a known verdict", () => {
  test("nothing happened: linearizable", () => {
    expect(verdictOn()).toBe("linearizable");
  });

  test("a get before any put finds the key absent, and nothing else", () => {
    expect(verdictOn(get(undefined, [1, 2]))).toBe("linearizable");
    expect(verdictOn(get("a", [1, 2]))).toBe("not-linearizable");
  });

  test("a get after a put must see it", () => {
    expect(verdictOn(put("a", [1, 2]), get("a", [3, 4]))).toBe("linearizable");
    expect(verdictOn(put("a", [1, 2]), get(undefined, [3, 4]))).toBe("not-linearizable");
  });

  test("a get during a put may see it or not", () => {
    expect(verdictOn(put("a", [1, 4]), get("a", [2, 3]))).toBe("linearizable");
    expect(verdictOn(put("a", [1, 4]), get(undefined, [2, 3]))).toBe("linearizable");
  });

  test("once a get has seen a put, a later get must not see what was before", () => {
    const during = [put("a", [1, 10]), get("a", [2, 3])];
    expect(verdictOn(...during, get("a", [4, 5]))).toBe("linearizable");
    expect(verdictOn(...during, get(undefined, [4, 5]))).toBe("not-linearizable");
  });

  test("a stale read: the value of a put that another put has replaced", () => {
    const puts = [put("a", [1, 2]), put("b", [3, 4])];
    expect(verdictOn(...puts, get("b", [5, 6]))).toBe("linearizable");
    expect(verdictOn(...puts, get("a", [5, 6]))).toBe("not-linearizable");
  });

  test("two puts at once go in either order, but every get must agree on which", () => {
    const puts = [put("a", [1, 4]), put("b", [1, 4])];
    expect(verdictOn(...puts, get("a", [5, 6]), get("a", [7, 8]))).toBe("linearizable");
    expect(verdictOn(...puts, get("b", [5, 6]), get("b", [7, 8]))).toBe("linearizable");
    expect(verdictOn(...puts, get("a", [5, 6]), get("b", [7, 8]))).toBe("not-linearizable");
  });

  test("a deleted key is absent, until it is put again", () => {
    const before = [put("a", [1, 2]), del([3, 4])];
    expect(verdictOn(...before, get(undefined, [5, 6]), put("a", [7, 8]), get("a", [9, 10]))).toBe("linearizable");
    expect(verdictOn(...before, get("a", [5, 6]))).toBe("not-linearizable");
  });

  test("an operation that failed took no effect", () => {
    expect(verdictOn(put("a", [1, 2], { outcome: "fail" }), get(undefined, [3, 4]))).toBe("linearizable");
    expect(verdictOn(put("a", [1, 2], { outcome: "fail" }), get("a", [3, 4]))).toBe("not-linearizable");
    expect(verdictOn(get("never written", [1, 2], { outcome: "fail" }))).toBe("linearizable");
  });

  test("a put of unknown outcome may take effect at once, late or never", () => {
    const unknown = put("a", [1, 2], lost);
    expect(verdictOn(unknown, get("a", [3, 4]))).toBe("linearizable");
    expect(verdictOn(unknown, get(undefined, [3, 4]), get("a", [5, 6]))).toBe("linearizable");
    expect(verdictOn(unknown, get(undefined, [3, 4]), get(undefined, [5, 6]))).toBe("linearizable");
  });

  test("when the client gave up says nothing of when its operation took effect", () => {
    const unknown = put("a", [1, 2], { outcome: "unknown" });
    expect(verdictOn(unknown, get(undefined, [3, 4]), get("a", [5, 6]))).toBe("linearizable");
  });

  test("a put of unknown outcome takes effect once, and not before its call", () => {
    const unknown = put("a", [3, 4], lost);
    expect(verdictOn(get("a", [1, 2]), unknown)).toBe("not-linearizable");
    expect(verdictOn(unknown, get("a", [5, 6]), put("b", [7, 8]), get("b", [9, 10]), get("a", [11, 12]))).toBe(
      "not-linearizable",
    );
  });

  test("deletes of unknown outcome explain as many absences as there are deletes", () => {
    const gone = (from: number): MapOperation[] => [
      put("a", [from, from + 1]),
      get("a", [from + 2, from + 3]),
      get(undefined, [from + 4, from + 5]),
    ];
    expect(verdictOn(del([1, 2], lost), del([1, 2], lost), ...gone(3), ...gone(10))).toBe("linearizable");
    expect(verdictOn(del([1, 2], lost), del([1, 2], lost), ...gone(3), ...gone(10), ...gone(20))).toBe(
      "not-linearizable",
    );
  });

  test("a get of unknown outcome says nothing", () => {
    expect(verdictOn(get("never written", [1, 2], lost))).toBe("linearizable");
  });

  test("equal times count as overlapping", () => {
    expect(verdictOn(put("a", [1, 2]), get(undefined, [2, 3]))).toBe("linearizable");
    expect(verdictOn(put("a", [1, 2]), get(undefined, [3, 3]))).toBe("not-linearizable");
  });

  test("a put of the value that is there already is still a put", () => {
    const twice = [put("a", [1, 2]), put("a", [3, 6]), put("b", [4, 5])];
    expect(verdictOn(...twice, get("a", [7, 8]))).toBe("linearizable");
    expect(verdictOn(...twice, get("b", [7, 8]), get("a", [9, 10]))).toBe("not-linearizable");
  });
});

describe("keys", () => {
  const onKeys = [
    put("a", [1, 2], { key: "x" }),
    get("a", [3, 4], { key: "x" }),
    put("a", [1, 2], { key: "y" }),
    get("b", [3, 4], { key: "y" }),
  ];

  test("are judged each by itself, and one that fails fails the history", () => {
    const result = checkHistory(onKeys, mapModel);
    expect(result.keys.map(({ key, verdict }) => [key, verdict])).toEqual([
      ["x", "linearizable"],
      ["y", "not-linearizable"],
    ]);
    expect(result.verdict).toBe("not-linearizable");
  });

  test("may have any name", () => {
    const named = ["__proto__", "constructor", ""].flatMap((key) => [
      put("a", [1, 2], { key }),
      get("b", [3, 4], { key }),
    ]);
    expect(checkHistory(named, mapModel).keys.map(({ verdict }) => verdict)).toEqual([
      "not-linearizable",
      "not-linearizable",
      "not-linearizable",
    ]);
  });
});

describe("what a verdict comes with", () => {
  test("a contradiction is the first return that nothing explains, with an order of all that was before", () => {
    const explained = [put("a", [1, 2]), put("b", [3, 4]), get("b", [5, 6])];
    const stale = get("a", [7, 8]);
    const [key] = checkHistory([...explained, stale, get("a", [9, 10]), put("c", [11, 12])], mapModel).keys;
    expect(key).toMatchObject({ verdict: "not-linearizable" });
    expect(key?.verdict === "not-linearizable" && key.contradiction).toEqual({
      operation: stale,
      order: explained,
      state: "b",
    });
  });

  test("without a return, ending or not, the checker refuses to judge", () => {
    expect(() => verdictOn(put("a", [1, 2], { return: undefined }))).toThrow("it returned at undefined");
    expect(() => verdictOn(put("a", [2, 1]))).toThrow("called at 2");
  });
});

describe("against a search through every order", () => {
  // Without the look that comes first, or most histories that have no order would never get as far as the search.
  const { reach: _, ...searched } = mapModel;

  test("small histories get the same verdict, and a witness that holds", () => {
    let linearizable = 0;
    let not = 0;
    fc.assert(
      fc.property(fc.oneof(smallHistory(7), linearizableHistory(7)), (operations) => {
        const expected = hasOrder(operations, mapModel);
        const [key] = checkHistory(operations, searched).keys;
        if (key === undefined) return;
        expect(key.verdict).toBe(expected ? "linearizable" : "not-linearizable");
        if (key.verdict === "linearizable") expect(isOrderOf(key.order, operations, mapModel)).toBe(true);
        if (expected) linearizable++;
        else not++;
      }),
      { numRuns: 4000 },
    );
    expect(linearizable).toBeGreaterThan(400);
    expect(not).toBeGreaterThan(400);
  });

  test("a history that was made linearizable is found so; with one get changed, the verdicts agree", () => {
    let spoiled = 0;
    fc.assert(
      fc.property(
        linearizableHistory(7),
        fc.nat(),
        fc.constantFrom("a", "b", "c", undefined),
        (operations, which, seen) => {
          expect(checkHistory(operations, searched).verdict).toBe("linearizable");
          const gets = operations.filter((o) => o.op === "get" && o.outcome === "ok");
          const changed = gets[which % Math.max(1, gets.length)];
          const mutated = operations.map((o) => (o === changed ? { ...o, value: seen } : o));
          const expected = hasOrder(mutated, mapModel);
          expect(checkHistory(mutated, searched).verdict).toBe(expected ? "linearizable" : "not-linearizable");
          if (!expected) spoiled++;
        },
      ),
      { numRuns: 3000 },
    );
    expect(spoiled).toBeGreaterThan(300);
  });

  test("the contradiction is the first: the history before that return has an order, with it none", () => {
    fc.assert(
      fc.property(smallHistory(7), (operations) => {
        const [key] = checkHistory(operations, searched).keys;
        if (key?.verdict !== "not-linearizable") return;
        const { operation, order } = key.contradiction;
        const end = operation.return!;
        const known = (ended: (o: MapOperation) => boolean): MapOperation[] =>
          operations
            .filter((o) => o.call <= end)
            .map((o) => (o.outcome === "ok" && !ended(o) ? { ...o, outcome: "unknown" } : o));
        expect(
          hasOrder(
            known((o) => o.return! <= end),
            mapModel,
          ),
        ).toBe(false);
        expect(
          hasOrder(
            known((o) => o.return! < end),
            mapModel,
          ),
        ).toBe(true);
        expect(isOrderOf(order, order, mapModel)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test("a register with compare-and-set, too", () => {
    const { reach: _, ...searched } = registerModel;
    const verdicts = { linearizable: 0, "not-linearizable": 0, undecided: 0 };
    fc.assert(
      fc.property(smallRegisterHistory(7), (operations) => {
        const { verdict } = checkHistory(operations, searched);
        expect(verdict).toBe(hasOrder(operations, registerModel) ? "linearizable" : "not-linearizable");
        verdicts[verdict]++;
      }),
      { numRuns: 3000 },
    );
    expect(Math.min(verdicts.linearizable, verdicts["not-linearizable"])).toBeGreaterThan(300);
  });
});

describe("long histories", () => {
  const options = { count: 10_000, clients: 8, keys: 10, unknown: 0.02, seed: 1 };

  test("10,000 operations on ten keys have an order, and it holds", () => {
    const operations = load(options);
    for (const key of checkHistory(operations, mapModel).keys) {
      expect(key.verdict).toBe("linearizable");
      expect(key.verdict === "linearizable" && isOrderOf(key.order, key.operations, mapModel)).toBe(true);
    }
  });

  test("10,000 operations on one key, with few values, have an order", () => {
    expect(checkHistory(load({ ...options, keys: 1, values: 5 }), mapModel).verdict).toBe("linearizable");
  });

  test("one stale get among 10,000 operations on one key is found, and named", () => {
    const operations = load({ ...options, keys: 1 });
    const late = operations.findLastIndex((o) => o.op === "get" && o.outcome === "ok");
    const old = operations.find((o) => o.op === "put" && o.outcome === "ok")!;
    const stale = { ...operations[late]!, value: old.value };
    operations[late] = stale;
    const [key] = checkHistory(operations, mapModel).keys;
    expect(key?.verdict === "not-linearizable" && key.contradiction.operation).toBe(stale);
  });

  test("a search that exceeds its budget is undecided, whatever the verdict would be", () => {
    const values = Array.from({ length: 40 }, (_, n) => `v${n}`);
    // Each value is put twice, all at once, and seen once: nothing tells the puts apart but their order.
    const puts = values.flatMap((value) => [put(value, [1, 100]), put(value, [1, 100])]);
    const hard = [...puts, ...values.map((value) => get(value, [1, 99])), get("v0", [101, 102]), get("v1", [103, 104])];
    const result = checkHistory(hard, mapModel, { maxBacktracks: 500 });
    expect(result.verdict).toBe("undecided");
    expect(result.keys[0]?.backtracks).toBe(500);
  });
});
