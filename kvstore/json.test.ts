import fc from "fast-check";
import { expect, test } from "vitest";
import { parseJson } from "./json.ts";

const parse = (text: string): unknown => parseJson(Buffer.from(text));

test("parseJson gives the result of JSON.parse if no name occurs twice", () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      expect(parse(text)).toEqual(JSON.parse(text));
    }),
  );
});

test.each([
  '{"a":1,"a":1}',
  '{"a":1,"\\u0061":2}',
  '{"":1,"":2}',
  '[{"a":{}},{"a":{"b":[{"c":1,"c":2}]}}]',
  '{"__proto__":1,"__proto__":2}',
  '{"a\\":":1,"a\\":":2}',
])("parseJson refuses an object with one name twice: %s", (text) => {
  expect(JSON.parse(text)).toBeDefined();
  expect(() => parse(text)).toThrow(/one name twice/);
});

test.each([
  '{"a":{"a":{"a":":"}},"b":"\\\\","c":"\\":","d:":":\\\\\\":"}',
  '[{"a":1},{"a":1}]',
  '{"__proto__":{"a":1},"constructor":{"a":1}}',
  '":"',
  " null ",
])("parseJson counts no colon in a string, and no name of another object: %s", (text) => {
  expect(parse(text)).toEqual(JSON.parse(text));
});

test("parseJson takes lists and objects as deep as a body is long", () => {
  const depth = 1_000_000;
  expect(() => parse(`${"[".repeat(depth)}${"]".repeat(depth)}`)).not.toThrow();
});

test.each([
  ["nothing", "", /is empty/],
  ["text that is no JSON", "{a:1}", /is not JSON/],
  ["a byte order mark", '\ufeff"a"', /is not JSON/],
])("parseJson refuses %s", (_what, text, message) => {
  expect(() => parse(text)).toThrow(message);
  expect(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22))).toThrow(/is not UTF-8/);
});
