// Reading the body of a request into memory, up to a limit.
//
// A body that announces more than the limit is refused before a byte of it is read; a body of unknown size is refused
// as soon as it passes the limit. Most bodies come in one piece and are passed on as they are. Others are gathered in
// one growing buffer and not in a list: as a list, a body sent in chunks of one byte would cost a hundred times its
// size. Trailers follow the body and obey the same rules as headers. A client that goes away is no error here: no
// answer can reach it, so `done` is never called.

import type { IncomingMessage, ServerResponse } from "node:http";
import { declaredBodySize, type Problem, sendProblem } from "./problem.ts";
import { headerRefusal } from "./refusals.ts";

/**
 * Calls `done` with the whole body, of at most `limit` bytes; otherwise answers with a problem, 413. The body is valid
 * during the call.
 */
export function readBody(
  req: IncomingMessage,
  res: ServerResponse,
  limit: number,
  done: (body: Uint8Array) => void,
  refusal: (limit: number) => Problem = tooLarge,
): void {
  const announced = req.headers["transfer-encoding"] === undefined ? declaredBodySize(req.headers) : 0;
  if (announced > limit) return sendProblem(res, refusal(limit));
  if (req.headers.expect !== undefined && req.httpVersion === "1.1") tellToGoOn(res);
  let buffer: Uint8Array | undefined;
  let size = 0;
  let refused = false;

  req.on("data", (chunk: Buffer) => {
    if (refused) return;
    const end = size + chunk.length;
    if (end > limit) {
      refused = true;
      buffer = undefined;
      sendProblem(res, refusal(limit));
    } else if (buffer === undefined) {
      buffer = chunk;
    } else {
      if (end > buffer.length) {
        const larger = Buffer.allocUnsafeSlow(Math.min(limit, 2 * end));
        larger.set(buffer.subarray(0, size));
        buffer = larger;
      }
      buffer.set(chunk, size);
    }
    size = end;
  });
  req.on("end", () => {
    if (refused) return;
    const refusal = req.rawTrailers.length === 0 ? undefined : headerRefusal(req.trailers);
    if (refusal !== undefined) sendProblem(res, refusal);
    else done(buffer === undefined ? noBytes : buffer.subarray(0, size));
  });
}

/** Waits behind an earlier answer on the connection: node:http would write the 100 into the middle of that answer. */
function tellToGoOn(res: ServerResponse): void {
  if (res.socket !== null) res.writeContinue();
  else res.once("socket", () => res.headersSent || res.writeContinue());
}

const noBytes = new Uint8Array(0);
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The bytes as text, a byte order mark included; undefined if they are not UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** For a request that has no body by design, with a limit of 0: the server would ignore what the body says. */
export function unexpectedBody(): Problem {
  return {
    status: 400,
    code: "UNEXPECTED_BODY",
    message: "this request has a body, and the server takes none here: the path says it all; nothing was done",
    next: "send it without a body",
  };
}

export function tooLarge(limit: number): Problem {
  return {
    status: 413,
    code: "VALUE_TOO_LARGE",
    message: `the value or the body is larger than ${limit} bytes`,
    next: "store a smaller value, or start every member with a larger --max-value-bytes",
  };
}
