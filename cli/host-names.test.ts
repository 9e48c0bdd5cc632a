import { expect, test } from "vitest";
import { parseHostNames } from "./host-names.ts";

test("parseHostNames takes names with commas between them, in any case, each once", () => {
  expect(parseHostNames("KV.example, kv,my_host,kv")).toEqual(["kv.example", "kv", "my_host"]);
});

test.each([
  "",
  ",",
  "a,",
  ",a",
  "a,,b",
  "a:2379",
  "*.example",
  ".example",
  "example.",
  "http://a",
  "a b",
  "[::1]",
  "u@a",
  "k\u00f6ln",
])("parseHostNames refuses what is no host name: %s", (value) => {
  expect(() => parseHostNames(value)).toThrow(/is no host name; write names without port or wildcard/);
});

test("parseHostNames refuses a flag that is given twice", () => {
  expect(() => parseHostNames(["a", "b"])).toThrow(/more than once/);
});
