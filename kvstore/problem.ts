// How the API refuses: every error is JSON with a `code` for programs, a `message` that says what was wrong, and `next`, which says
// what to do about it.
//
// An answer may go out before the request's body has come in. What is left of the body must then be read or the connection be
// closed, or its bytes would be taken for the next request. node:http reads and drops the rest by itself, which is right for a
// small rest: the connection stays usable. For a large rest, or one of unknown size, the answer carries `connection: close`, and
// the socket lingers a moment: closed while the client still sends, TCP would answer with a reset, and a reset can destroy the
// answer before the client has read it.

import { type IncomingHttpHeaders, type OutgoingHttpHeaders, type ServerResponse, STATUS_CODES } from "node:http";

export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly next: string;
  readonly headers?: OutgoingHttpHeaders;
  /** More fields for the body. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** How long a socket that is about to be closed goes on reading, so that the client can read the answer. */
export const LINGER_MS = 1000;
const MAX_REST_BYTES = 65_536;

/** Answers with the problem and takes care of the request's unread body. */
export function sendProblem(res: ServerResponse, problem: Problem): void {
  const body = bodyOf(problem);
  const headers: OutgoingHttpHeaders = {
    "content-type": "application/json",
    "content-length": body.length,
    "x-content-type-options": "nosniff",
    ...problem.headers,
  };
  if (res.req.complete || declaredBodySize(res.req.headers) <= MAX_REST_BYTES) {
    res.writeHead(problem.status, headers);
    res.end(body);
    return;
  }
  res.writeHead(problem.status, { ...headers, connection: "close" });
  res.write(body); // complete for the client, by its content-length; end() only starts the closing
  const timer = setTimeout(() => res.end(), LINGER_MS);
  res.once("close", () => clearTimeout(timer));
  res.req.once("end", () => res.end());
  res.req.resume();
}

/** Answers 200 with a value as JSON. It describes the present, so no cache may keep it. */
export function sendJson(res: ServerResponse, value: unknown): void {
  const body = Buffer.from(`${JSON.stringify(value)}\n`);
  res.writeHead(200, {
    "content-type": "application/json",
    "content-length": body.length,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  res.end(body);
}

/** The whole answer as bytes for a socket that has no response object: its request could not be parsed. */
export function problemAsBytes(problem: Problem): Buffer {
  const body = bodyOf(problem);
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    "content-type: application/json",
    `content-length: ${body.length}`,
    "x-content-type-options: nosniff",
    "connection: close",
  ];
  return Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`), body]);
}

/** Bytes of body that the headers announce: 0 for none, Infinity for a chunked body, whose size shows at its end. */
export function declaredBodySize(headers: IncomingHttpHeaders): number {
  if (headers["transfer-encoding"] !== undefined) return Number.POSITIVE_INFINITY;
  return Number(headers["content-length"] ?? 0);
}

const QUOTED_CHARS = 60;

/** Text of a client's as a message shows it: on one line, and not without end. */
export function quoted(text: string): string {
  return JSON.stringify(text.length <= QUOTED_CHARS ? text : `${text.slice(0, QUOTED_CHARS)}...`);
}

function bodyOf({ code, message, next, details }: Problem): Buffer {
  return Buffer.from(`${JSON.stringify({ code, message, next, ...details })}\n`);
}
