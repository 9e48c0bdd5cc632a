import { expect, test } from "vitest";
import { formOf } from "./accept.ts";

test.each([
  [undefined, "bytes"],
  ["*/*", "bytes"],
  ["application/*", "bytes"],
  ["application/octet-stream", "bytes"],
  ["APPLICATION/JSON", "json"],
  ["application/json", "json"],
  ["application/json;charset=UTF-8", "json"],
  ['application/json ; charset="utf-8" ; q=1', "json"],
  ["application/json, */*", "json-or-bytes"],
  ["application/json, text/plain, */*", "json-or-bytes"],
  ["application/json;q=0.1, */*", "bytes"],
  ["application/json;q=0.1, */*;q=0.2", "bytes"],
  ["application/json;q=0.2, */*;q=0.1", "json-or-bytes"],
  ["application/*;q=0.5, application/json", "json-or-bytes"],
  ["*/*;q=0.9, application/json;q=0.901", "json-or-bytes"],
  ["application/octet-stream;q=0.5, application/json;q=0.4", "bytes"],
  ["application/octet-stream;q=0.4, application/json;q=0.5", "json-or-bytes"],
  ["application/octet-stream, application/json", "bytes"],
  ["application/json;q=0, */*", "bytes"],
  ["application/octet-stream;q=0, */*", "json"],
  ["application/octet-stream;q=0, application/*;q=0.1", "json"],
  ["text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", "bytes"],
  ["text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "bytes"],
  ["garbage, application/json", "json"],
])("formOf(%j) is %s", (accept, form) => {
  expect(formOf(accept)).toBe(form);
  expect(formOf(accept)).toBe(form); // the same from memory
});

test.each([
  "",
  ",",
  "garbage",
  "text/html",
  "text/*",
  "application/json;q=0",
  "application/json;q=0.000, application/octet-stream;q=0",
  "*/*;q=0",
  "application/json;q=none",
  "application/json;profile=x",
  "application/jsonp",
  "application/json-seq",
])("formOf(%j) is 406 NOT_ACCEPTABLE", (accept) => {
  expect(formOf(accept)).toMatchObject({ status: 406, code: "NOT_ACCEPTABLE" });
});

test("formOf does not read a header without end, and remembers only so many", () => {
  expect(formOf("a/b,".repeat(4000))).toMatchObject({ status: 431, code: "HEADERS_TOO_LARGE" });
  for (let i = 0; i < 1000; i++) expect(formOf(`text/x-${i}, application/json`)).toBe("json");
});
