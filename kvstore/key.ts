// From the target of a request to a key.
//
// The key is the path without its first slash, percent-decoded once; the query is not part of it. The path is taken as
// the client sent it, never through a URL parser, which would fold `/a/../b` and `//` and give two names to one key.
// Decoding is strict: a broken escape, or bytes that are not UTF-8, are refused rather than repaired. Names that start
// with `_` are the server's, also where the underscore is written %5F.

import type { Problem } from "./problem.ts";

/**
 * The longest key, in bytes of UTF-8. As escapes it takes three times as much, which still fits the limit on headers.
 */
export const maxKeyBytes = 4096;

const unescaped = /[^!-~]|#/;

/** The key that a path names, or what is wrong with it. */
export function parseKey(path: string): string | Problem {
  if (!path.startsWith("/") || path.length === 1) return badKey("there is no key in the path");
  let key = path.slice(1);
  if (unescaped.test(key)) return badKey("a # and what is not printable ASCII must be escaped in a path");
  if (key.includes("%")) {
    try {
      key = decodeURIComponent(key);
    } catch {
      return badKey("the path has a % without two hexadecimal digits after it, or is not UTF-8 once decoded");
    }
  }
  const size = Buffer.byteLength(key);
  if (size > maxKeyBytes) return badKey(`the key has ${size} bytes, more than ${maxKeyBytes}`);
  return key;
}

/** Whether the name belongs to the server. */
export function isReserved(key: string): boolean {
  return key.startsWith("_");
}

function badKey(message: string): Problem {
  return {
    status: 400,
    code: "BAD_KEY",
    message,
    next: `send /KEY, with a key of 1 to ${maxKeyBytes} bytes of UTF-8, percent-encoded (encodeURIComponent in JavaScript)`,
  };
}
