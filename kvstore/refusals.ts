// Refuses requests that ask for more than the server does, before it does anything: an acknowledgement would say that
// it did all of it.
//
// A client that sends If-None-Match: * to take a lock, and gets 204 though another client holds it, is worse off than
// with an error. HTTP lets a server ignore headers that it does not know. So this list must have every header that
// changes what a write means; such a header is refused whatever its value, unless a value is harmless. Trailers obey
// the same list. Query parameters need no list: all but the known ones are refused.
//
// A read may ignore conditions, Range and Accept-Encoding (RFC 9110, 13.2, 14.2 and 12.5.3): the whole value is a right
// answer to all of them. Headers that change nothing about a write are ignored too: Prefer, Upgrade, Cookie and the
// like.
//
// A condition gets 501 and not 412. 412 says that the server evaluated the condition and found it false; the client
// would believe that another client holds the lock. Range on a write is refused, though HTTP tells a server to ignore
// it: the client means to write a part, and the rest of the value would be lost.

import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { type Problem, quoted } from "./problem.ts";

interface Refusal extends Omit<Problem, "message"> {
  /** The text that follows "the header NAME: VALUE" in the message. */
  readonly because: string;
  /** Whether this value is harmless; none is, unless given. */
  readonly allows?: (value: string) => boolean;
}

const condition: Refusal = {
  status: 501,
  code: "CONDITION_NOT_SUPPORTED",
  because: "makes the write depend on a condition, and this server evaluates none",
  next: "send it without the header, if the write shall happen whatever the key holds now",
};

const part: Refusal = {
  status: 400,
  code: "PARTIAL_WRITE",
  because: "writes a part of a value, and this server writes whole values",
  next: "send the whole value without the header (curl: without -C and -r)",
};

const coding: Refusal = {
  status: 415,
  code: "CONTENT_ENCODING_NOT_SUPPORTED",
  because: "asks the server to decode the body, and this server stores a body as it comes",
  next: "send the value itself, without the header; to store the encoded bytes, leave out the header only",
  headers: { "accept-encoding": "identity" }, // RFC 9110, 12.5.3
  allows: (value) => value.toLowerCase() === "identity",
};

const digest: Refusal = {
  status: 501,
  code: "DIGEST_NOT_SUPPORTED",
  because: "asks the server to check the body against a digest, which it does not do",
  next: "send it without the header, and read the value back to compare",
};

const idempotency: Refusal = {
  status: 501,
  code: "IDEMPOTENCY_NOT_SUPPORTED",
  because: "asks that a request sent twice be carried out once, which this server cannot promise",
  next: "send it without the header; a PUT or DELETE sent twice has the effect of one, unless another client writes in between",
};

const multipart: Refusal = {
  status: 415,
  code: "MULTIPART_NOT_SUPPORTED",
  because: "wraps the value in a form, and this server would store the wrapping too",
  next: "send the bytes of the value alone (curl: --data-binary @FILE or -T FILE, not -F)",
  allows: (value) => !/^multipart\/(form-data|byteranges)/i.test(value),
};

const override: Refusal = {
  status: 501,
  code: "METHOD_OVERRIDE_NOT_SUPPORTED",
  because: "names another method than the request line, and this server goes by the request line",
  next: "send the request without the header, and with the method that you mean",
};

const overrides = ["x-http-method-override", "x-http-method", "x-method-override"] as const;

/** Headers that start with If- need no line: all of them are conditions (RFC 9110, 13.1). */
const refusals = new Map<string, Refusal>([
  ["if", condition], // WebDAV, as the next two
  ["lock-token", condition],
  ["overwrite", { ...condition, allows: (value) => value.toUpperCase() === "T" }],
  ["content-range", part],
  ["range", part],
  ["upload-offset", part],
  ["upload-complete", { ...part, allows: (value) => value === "?1" }],
  ["content-encoding", coding],
  ["content-transfer-encoding", { ...coding, allows: (value) => value.toLowerCase() === "binary" }],
  ["content-md5", digest],
  ["content-digest", digest],
  ["repr-digest", digest],
  ["digest", digest],
  ["idempotency-key", idempotency],
  ["x-idempotency-key", idempotency],
  ["repeatability-request-id", idempotency],
  ["content-type", multipart],
]);

/** For a request that changes something. `wantsBody`: it has one by design. */
export function writeRefusal(req: IncomingMessage, query: string, wantsBody: boolean): Problem | undefined {
  const { headers } = req;
  const refused = (query === "" ? undefined : unknownParameter(query, none)) ?? headerRefusal(headers);
  if (refused !== undefined) return refused;
  // Of two such lines node:http keeps the first and silently drops the other.
  if (headers["content-type"] !== undefined && linesOf(req.rawHeaders, "content-type") > 1) return twoTypes;
  if (!wantsBody || headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined)
    return undefined;
  return lengthRequired;
}

/** The problem of the first header, or trailer, that asks for what the server does not do. */
export function headerRefusal(headers: IncomingHttpHeaders | NodeJS.Dict<string>): Problem | undefined {
  for (const name in headers) {
    const refusal = refusals.get(name) ?? (name.startsWith("if-") ? condition : undefined);
    if (refusal === undefined) continue;
    const value = String(headers[name]);
    if (refusal.allows === undefined || !refusal.allows(value)) return problemOf(refusal, name, value);
  }
  return undefined;
}

/** Also for a read: a client that is answered with a value may have meant to delete it. */
export function methodOverride(headers: IncomingHttpHeaders): Problem | undefined {
  for (const name of overrides) {
    const value = headers[name];
    if (value !== undefined) return problemOf(override, name, String(value));
  }
  return undefined;
}

const none: readonly string[] = [];

/** The problem of the first query parameter that is not in `known`. */
export function unknownParameter(query: string, known: readonly string[]): Problem | undefined {
  for (const name of parametersOf(query).keys()) {
    if (known.includes(name)) continue;
    return {
      status: 400,
      code: "UNKNOWN_PARAMETER",
      message: `this request has no query parameter ${quoted(name)}; nothing was done`,
      next:
        known.length > 0
          ? `leave it out; known here: ${known.join(", ")}`
          : "leave it out: only a GET or HEAD of a key or of /_snapshot has one, consistency; escape a ? that belongs to the key as %3F",
    };
  }
  return undefined;
}

/**
 * A question mark at the start of a query is a part of the first name. URLSearchParams takes one off: it gets one more.
 */
export const parametersOf = (query: string): URLSearchParams => new URLSearchParams(`?${query}`);

/** The query of a target, without its question mark; "" if there is none. */
export function queryOf(url: string): string {
  const at = url.indexOf("?");
  return at < 0 ? "" : url.slice(at + 1);
}

/** How many lines of this name the headers have. */
export function linesOf(rawHeaders: readonly string[], lowerCaseName: string): number {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (name.length === lowerCaseName.length && name.toLowerCase() === lowerCaseName) count++;
  }
  return count;
}

function problemOf({ because, allows: _, ...rest }: Refusal, name: string, value: string): Problem {
  return { ...rest, message: `the header ${name}: ${quoted(value)} ${because}; nothing was done` };
}

const twoTypes: Problem = {
  status: 400,
  code: "BAD_CONTENT_TYPE",
  message: "the request has more than one Content-Type header; nothing was done",
  next: "send one",
};

const lengthRequired: Problem = {
  status: 411,
  code: "LENGTH_REQUIRED",
  message: "the request has neither Content-Length nor Transfer-Encoding, so it has no body, and it needs one",
  next: "send a body; for an empty value, send Content-Length: 0 (curl: -d '')",
};
