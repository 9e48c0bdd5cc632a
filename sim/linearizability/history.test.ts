import { describe, expect, test } from "vitest";
import { formatOperation, HistoryError, parseHistory } from "./history.ts";
import { del, get, load, put } from "./testing.ts";

const good = { client: 1, op: "put", key: "k", value: "v", call: 1, return: 2, outcome: "ok" };
const line = (changes: Record<string, unknown>): string => JSON.stringify({ ...good, ...changes });
const errorOf = (text: string): unknown => {
  try {
    return parseHistory(text);
  } catch (error) {
    return error;
  }
};

test("parseHistory reads back what formatOperation wrote", () => {
  const operations = [
    put('line\nbreak, \u2028 and "quotes"', [0, 1], { client: "c1" }),
    get(undefined, [1, 2]),
    get("", [1, 2], { outcome: "fail" }),
    del([3, 4]),
    put("v", [5, 0], { outcome: "unknown", return: undefined }),
    ...load({ count: 200, clients: 4, keys: 3, unknown: 0.2, seed: 3 }),
  ];
  expect(parseHistory(operations.map(formatOperation).join(""))).toEqual(operations);
});

test("formatOperation writes one line, with its keys in a fixed order", () => {
  expect(formatOperation(get(undefined, [12, 13], { client: 7 }))).toBe(
    '{"client":7,"op":"get","key":"k","value":null,"call":12,"return":13,"outcome":"ok"}\n',
  );
});

test("parseHistory ignores empty lines and unknown keys", () => {
  expect(parseHistory(`\n${line({ member: 3 })}\r\n\n`)).toEqual([put("v", [1, 2], { client: 1 })]);
});

test("parseHistory does not require the value of a delete, or of a get that did not end", () => {
  expect(parseHistory(line({ op: "delete", value: undefined }))).toEqual([del([1, 2], { client: 1 })]);
  expect(parseHistory(line({ op: "get", value: undefined, outcome: "unknown", return: undefined }))).toEqual([
    get(undefined, [1, 0], { client: 1, outcome: "unknown", return: undefined }),
  ]);
});

describe("parseHistory names a wrong line and its fault:", () => {
  test.each([
    ["not JSON", '{"client":1,"op":"pu', 'this is not JSON: {"client":1,"op":"pu'],
    ["not an object", "[1]", "expected an object with client, op, key, value, call, return and outcome, got [1]"],
    ["no client", line({ client: undefined }), "expected client, a number or a string, got nothing"],
    ["another operation", line({ op: "cas" }), 'expected op, one of "put", "get" and "delete", got "cas"'],
    ["a key that is a number", line({ key: 7 }), "expected key, a string, got 7"],
    ["another outcome", line({ outcome: "info" }), 'expected outcome, one of "ok", "fail" and "unknown", got "info"'],
    ["a call that is no time", line({ call: 1.5 }), "expected call, whole nanoseconds below 2^53, got 1.5"],
    [
      "a call beyond 2^53",
      line({ call: 2 ** 53 }),
      "expected call, whole nanoseconds below 2^53, got 9007199254740992",
    ],
    ["no return of what ended", line({ return: null }), "expected return, whole nanoseconds below 2^53, got null"],
    ["a return before the call", line({ return: 0 }), "it returned at 0, before its call at 1"],
    ["a put of nothing", line({ value: null }), "expected value, the string that was put, got null"],
    [
      "a get without an answer",
      line({ op: "get", value: undefined }),
      "expected value, the string that the get found, or null, got nothing",
    ],
  ])("%s", (_, text, message) => {
    expect(errorOf(`${line({})}\n${text}\n`)).toEqual(new HistoryError(`line 2: ${message}`));
  });

  test("and cuts long lines in the message", () => {
    expect((errorOf("x".repeat(1000)) as Error).message).toBe(`line 1: this is not JSON: ${"x".repeat(77)}...`);
  });
});
