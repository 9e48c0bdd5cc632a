// JSON as the API reads it: UTF-8, and no name twice in one object.
//
// JSON.parse keeps the last of two members with one name, and other readers keep the first: a proxy that checks a body
// would pass a value that it never saw. In JSON that parses, each member has one colon outside of strings. So the
// colons are as many as the members that JSON.parse kept, unless it dropped one.

import { textOf } from "./body.ts";

/** What is wrong with the text, worded to follow "the body". */
export class JsonError extends Error {
  override readonly name = "JsonError";
}

/** Throws JsonError. */
export function parseJson(body: Uint8Array): unknown {
  if (body.length === 0) throw new JsonError("is empty");
  const text = textOf(body);
  if (text === undefined) throw new JsonError("is not UTF-8");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new JsonError("is not JSON");
  }
  if (colonsOutsideStrings(text) !== countMembers(value)) throw new JsonError("has an object with one name twice");
  return value;
}

/** Counts the members of all objects in the value. No recursion: a body may be nested as deep as it is long. */
function countMembers(value: unknown): number {
  let count = 0;
  const left = [value];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (typeof next !== "object" || next === null) continue;
    const inner: unknown[] = Object.values(next);
    if (!Array.isArray(next)) count += inner.length;
    for (const one of inner) left.push(one);
  }
  return count;
}

function colonsOutsideStrings(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === ":") count++;
    else if (char === '"') at = endOfString(text, at);
  }
  return count;
}

/** The offset of the quotation mark that ends the string which begins at `start`. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text[end - 1 - backslashes] === "\\") backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}
