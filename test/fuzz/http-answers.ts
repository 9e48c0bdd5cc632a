// Reads what the server has sent back, as strictly as a careful client does.
//
// Promises: returns the answers that are whole, and throws a Fault for bytes that are none: a status line or a header
// that RFC 9112 does not know, a chunk without a size, an answer without a certain end. What is cut off at the end of
// the connection is no fault: a server may hang up on a client that it has refused.

import { expect } from "./target.ts";

const statusLine = /^HTTP\/1\.1 ([1-5]\d\d) [ -~]*$/;
const headerLine = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+: ?[\t\x20-\x7e\x80-\xff]*$/;

export interface Answers {
  readonly statuses: readonly number[];
  /** How many of them are no 1xx. */
  readonly final: number;
}

/**
 * The answers that are whole; one that is cut off by the end of the connection is left out. `methods` are those of the
 * requests in their order: an answer to HEAD has no body. Throws a Fault for bytes that are no answer.
 */
export function readAnswers(received: Buffer, methods: readonly string[]): Answers {
  const text = received.toString("latin1");
  const statuses: number[] = [];
  let final = 0;
  for (let at = 0; at < text.length; ) {
    const headEnd = text.indexOf("\r\n\r\n", at);
    if (headEnd < 0) break;
    const [first = "", ...lines] = text.slice(at, headEnd).split("\r\n");
    const status = Number(statusLine.exec(first)?.[1]);
    expect(!Number.isNaN(status), `an answer that begins with ${JSON.stringify(first.slice(0, 60))}`);
    for (const line of lines) expect(headerLine.test(line), `a header ${JSON.stringify(line.slice(0, 60))}`);
    const isHead =
      methods[final] === "HEAD" || (methods[final] === undefined && text.startsWith("HTTP/1.1 ", headEnd + 4));
    const end =
      isHead || status < 200 || status === 204 || status === 304 ? headEnd + 4 : bodyEnd(text, headEnd + 4, lines);
    if (end === undefined || end > text.length) break;
    statuses.push(status);
    if (status >= 200) final++;
    at = end;
  }
  return { statuses, final };
}

/** Undefined if the body is not whole. */
function bodyEnd(text: string, at: number, lines: readonly string[]): number | undefined {
  const header = (name: string): string | undefined =>
    lines
      .find((line) => line.toLowerCase().startsWith(`${name}:`))
      ?.slice(name.length + 1)
      .trim();
  const length = header("content-length");
  if (length !== undefined) return at + Number(length);
  if (header("transfer-encoding") === undefined && header("connection")?.toLowerCase() === "close") return text.length;
  expect(header("transfer-encoding") === "chunked", "an answer without a length");
  for (let next = at; ; ) {
    const lineEnd = text.indexOf("\r\n", next);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(text.slice(next, lineEnd), 16);
    expect(Number.isSafeInteger(size), "an answer with a bad chunk");
    next = lineEnd + 2 + size + 2;
    if (size === 0) return next;
  }
}
