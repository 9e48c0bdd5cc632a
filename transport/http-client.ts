// One HTTP request to a peer port and its whole answer, within a time limit and a size.
//
// Promise: resolves once, never rejects, and leaves no socket and no timer behind. Each request has a connection of its own: one that is
// kept for reuse may be closed by the peer just as a request is written to it, and the request's outcome would be unknown.

import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { finished } from "node:stream";
import { checksumOf, fits } from "./checksum.ts";
import { bodyChecksumHeader } from "./handshake.ts";

export interface Exchange {
  /** http://host:port */
  readonly origin: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** With a body the method is POST, without one GET. */
  readonly body?: Uint8Array;
  readonly timeoutMs: number;
  readonly maxAnswerBytes: number;
  readonly signal: AbortSignal;
}

export type Answer =
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly headers: IncomingHttpHeaders;
      readonly body: Uint8Array;
    }
  /** `connected`: the peer may have seen the request. */
  | { readonly kind: "failed"; readonly connected: boolean; readonly message: string };

export function exchange(options: Exchange): Promise<Answer> {
  const { body, signal, timeoutMs } = options;
  if (signal.aborted) return Promise.resolve({ kind: "failed", connected: false, message: "it was called off" });
  return new Promise((resolve) => {
    let connected = false;
    const request = httpRequest(new URL(options.path, options.origin), {
      method: body === undefined ? "GET" : "POST",
      headers: { ...options.headers, ...(body === undefined ? {} : bodyHeaders(body)) },
      agent: false,
    });
    const settle = (answer: Answer): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      request.destroy();
      resolve(answer);
    };
    const fail = (message: string): void => settle({ kind: "failed", connected, message });
    const abort = (): void => fail("it was called off");
    const timer = setTimeout(() => fail(`no answer within ${timeoutMs} ms`), timeoutMs);
    signal.addEventListener("abort", abort);
    request.on("socket", (socket) => {
      socket.once("connect", () => {
        connected = true;
      });
    });
    request.on("error", (error: NodeJS.ErrnoException) => fail(error.message || error.code || error.name));
    request.on("response", (response) => {
      collect(response, options.maxAnswerBytes).then(
        (received) => {
          const { statusCode: status = 0, headers } = response;
          if (!fits(headers[bodyChecksumHeader], received)) fail("the answer was changed on the way");
          else settle({ kind: "answer", status, headers, body: received });
        },
        (error: Error) => fail(error.message),
      );
    });
    request.end(body);
  });
}

/** That a body is sent with. */
export const bodyHeaders = (body: Uint8Array): Record<string, string> => ({
  "Content-Length": String(body.length),
  [bodyChecksumHeader]: checksumOf(body),
});

/** The whole body; rejects if it is larger than `maxBytes` or ends early. What is left unread then is the caller's to end. */
export function collect(message: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const parts: Uint8Array[] = [];
    let size = 0;
    const take = (part: Uint8Array): void => {
      size += part.length;
      parts.push(part);
      if (size <= maxBytes) return;
      message.off("data", take);
      reject(new BodyTooLarge(`a body of more than ${maxBytes} bytes`));
    };
    message.on("data", take);
    finished(message, (error) => {
      if (error) reject(error);
      else resolve(new Uint8Array(Buffer.concat(parts, size)));
    });
  });
}

export class BodyTooLarge extends Error {
  override readonly name = "BodyTooLarge";
}
