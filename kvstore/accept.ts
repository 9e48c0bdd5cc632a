// The form in which a client wants a value, by its Accept header (RFC 9110, 12.5.1).
//
// A value has two forms: its bytes, and JSON if it is UTF-8. The form with the higher quality wins. Of two with the
// same quality, a form that the header names wins over one that only a range such as */* covers, then the form named
// first, then the bytes. So no header, */* and application/* give bytes, and `application/json, */*` gives JSON. JSON
// is always UTF-8, so a client may ask for it with that charset.
//
// A malformed part of the header accepts nothing, and the other parts count. The RFC lets a server ignore a header that
// takes neither form; this server refuses it, because the client could not use the answer.

import Negotiator from "negotiator";
import { type Problem, quoted } from "./problem.ts";

/** "json-or-bytes": JSON is preferred, and bytes are accepted for a value that is not UTF-8. */
export type Form = "bytes" | "json" | "json-or-bytes";

const bytes = "application/octet-stream";
const available = [bytes, "application/json", "application/json; charset=utf-8"];

/** A part costs microseconds, so a header of nothing but parts would cost much more than it takes to send. */
const maxAcceptChars = 512;
const maxRemembered = 100;
/** Headers seen before: a client sends the same one again and again. */
const remembered = new Map<string, Form | Problem>([
  ["*/*", "bytes"],
  ["application/json", "json"],
]);

export function formOf(accept: string | undefined): Form | Problem {
  if (accept === undefined) return "bytes";
  const seen = remembered.get(accept);
  if (seen !== undefined) return seen;
  if (accept.length > maxAcceptChars) return tooLong;
  const form = negotiate(accept);
  if (remembered.size < maxRemembered) remembered.set(accept, form);
  return form;
}

function negotiate(accept: string): Form | Problem {
  const accepted = new Negotiator({ headers: { accept } }).mediaTypes(available);
  if (accepted[0] === undefined) return notAcceptable(accept);
  if (accepted[0] === bytes) return "bytes";
  return accepted.includes(bytes) ? "json-or-bytes" : "json";
}

function notAcceptable(accept: string): Problem {
  return {
    status: 406,
    code: "NOT_ACCEPTABLE",
    message: `the Accept header accepts neither form of a value, bytes or JSON: ${quoted(accept)}`,
    next: "leave it out or send Accept: application/octet-stream for the bytes, or Accept: application/json for JSON",
  };
}

const tooLong: Problem = {
  status: 431,
  code: "HEADERS_TOO_LARGE",
  message: `the Accept header has more than ${maxAcceptChars} characters`,
  next: "leave it out, or send Accept: application/json",
};
