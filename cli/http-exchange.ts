// One HTTP exchange of a client command with one endpoint, bounded in time and in size.
//
// Promises: a redirect is an answer like any other and is never followed; the path goes out byte for byte; every exchange ends, whatever
// the endpoint does, and leaves no socket and no timer behind; an error says whether the endpoint may have seen the request.
//
// Time. The head of the answer must come within the deadline, counted from the start; a body that is read as a whole must end
// within it too. Every 64 KiB that move, in either direction, add a second: a large value on a slow line arrives, and an endpoint that
// drips bytes gains nothing by it. A body that is read as a stream may take as long as it likes: silence ends it, never duration.
//
// On node:http, not on fetch: fetch folds the path `/..` to `/`, refuses some ports, hides a 407, and decodes encoded bodies. Each
// exchange has a connection of its own: a reused one may close just as the request is written, and the outcome would be unknown.

import http, { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { urlToHttpOptions } from "node:url";

export interface Body {
  readonly bytes: Uint8Array;
  readonly contentType: string;
}

export interface HttpRequest {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** Percent-encoded, with its query. */
  readonly path: string;
  readonly body?: Body | undefined;
}

/** The head of an answer; its body, once, as a whole or as a stream. */
export interface Head {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Throws BodyTooLarge, ExchangeError. */
  whole(maxBytes: number): Promise<Buffer>;
  /** Throws ExchangeError. */
  stream(): AsyncGenerator<Buffer, void, void>;
}

/** No answer came, or not all of it. */
export class ExchangeError extends Error {
  override readonly name = "ExchangeError";
  /** The endpoint may have seen the request: a connection was made. */
  readonly sent: boolean;

  constructor(message: string, sent: boolean) {
    super(message);
    this.sent = sent;
  }
}

export class BodyTooLarge extends Error {
  override readonly name = "BodyTooLarge";
}

const MAX_HEADER_BYTES = 16 * 1024;
const LEAST_BYTES_PER_SECOND = 64 * 1024;

/** Sends the request and hands the answer to `read`, whose errors it passes on; throws ExchangeError if none came in time. */
export async function exchange<T>(
  origin: string,
  request: HttpRequest,
  timeoutMs: number,
  read: (head: Head) => Promise<T>,
): Promise<T> {
  const outgoing = begin(origin, request);
  let connected = false;
  let response: IncomingMessage | undefined;
  let late: string | undefined;
  let cut = (): void => void outgoing.destroy(new Error("late"));
  const failure = (error: NodeJS.ErrnoException): ExchangeError =>
    new ExchangeError(late ?? failureText(error, connected), connected);
  const deadline = new Deadline((waitedMs) => {
    const seconds = `${Number((waitedMs / 1000).toPrecision(2))} s`;
    if (response !== undefined) late = `hung: the rest of its answer did not come within ${seconds}`;
    else late = connected ? `hung: no answer within ${seconds}` : `not reached within ${seconds}`;
    cut();
  });
  outgoing.once("socket", (socket) => {
    socket.once("connect", () => {
      connected = true;
    });
  });

  try {
    deadline.set(timeoutMs);
    deadline.extend(movingMs(request.body?.bytes.length ?? 0));
    response = await responseTo(outgoing, request.body?.bytes).catch((error) => {
      throw failure(error);
    });
    const body = response;
    cut = () => void body.destroy(new Error("late"));
    return await read({
      status: body.statusCode ?? 0,
      headers: body.headers,
      whole: (maxBytes) =>
        collect(
          chunksOf(body, (size) => deadline.extend(movingMs(size)), failure),
          maxBytes,
        ),
      stream: () =>
        paced(
          chunksOf(body, () => deadline.set(timeoutMs), failure),
          deadline,
          timeoutMs,
        ),
    });
  } finally {
    deadline.stop();
    outgoing.destroy();
  }
}

function begin(origin: string, { method, path, body }: HttpRequest): ClientRequest {
  const sized = body !== undefined || method === "POST" || method === "PUT";
  return http.request({
    ...urlToHttpOptions(new URL(origin)),
    path,
    method,
    headers: {
      ...(body === undefined ? {} : { "content-type": body.contentType }),
      ...(sized ? { "content-length": body?.bytes.length ?? 0 } : {}),
    },
    agent: false,
    maxHeaderSize: MAX_HEADER_BYTES,
  });
}

function responseTo(outgoing: ClientRequest, bytes: Uint8Array | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    outgoing.on("error", reject);
    outgoing.on("response", (response) => {
      response.on("error", () => undefined); // the reader of the body throws it; without a reader it does not matter
      resolve(response);
    });
    outgoing.on("upgrade", (_response, socket) => {
      socket.destroy();
      reject(new Error("it answers 101, to speak another protocol"));
    });
    outgoing.on("close", () => reject(new Error("closed without an answer")));
    outgoing.end(bytes);
  });
}

async function* chunksOf(
  response: IncomingMessage,
  moved: (bytes: number) => void,
  failure: (error: NodeJS.ErrnoException) => ExchangeError,
): AsyncGenerator<Buffer, void, void> {
  const chunks = response[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  for (;;) {
    const next = await chunks.next().catch((error) => {
      throw failure(error);
    });
    if (next.done === true) return;
    moved(next.value.length);
    yield next.value;
  }
}

/** The deadline pauses while the reader works on a chunk: a slow disk here does not count as the endpoint's silence. */
async function* paced(
  chunks: AsyncIterable<Buffer>,
  deadline: Deadline,
  timeoutMs: number,
): AsyncGenerator<Buffer, void, void> {
  deadline.set(timeoutMs);
  for await (const chunk of chunks) {
    deadline.stop();
    yield chunk;
    deadline.set(timeoutMs);
  }
}

async function collect(chunks: AsyncIterable<Buffer>, maxBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > maxBytes) throw new BodyTooLarge(`its body is larger than ${maxBytes} bytes`);
    parts.push(chunk);
  }
  return Buffer.concat(parts, size);
}

const movingMs = (bytes: number): number => (bytes / LEAST_BYTES_PER_SECOND) * 1000;

function failureText({ code, message }: NodeJS.ErrnoException, connected: boolean): string {
  if (code?.startsWith("HPE_") === true) return `the answer is not HTTP as a member speaks it (${code})`;
  const cause = code ?? message;
  return connected ? `the connection broke (${cause})` : `not reached (${cause})`;
}

/** Calls `passed` once, with the time waited, unless it is stopped or set anew before. */
class Deadline {
  private readonly passed: (waitedMs: number) => void;
  private timer: NodeJS.Timeout | undefined;
  private from = 0;
  private ms = 0;

  constructor(passed: (waitedMs: number) => void) {
    this.passed = passed;
  }

  set(ms: number): void {
    this.from = performance.now();
    this.ms = ms;
    this.arm();
  }

  extend(ms: number): void {
    this.ms += ms;
    this.arm();
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private arm(): void {
    this.stop();
    const left = this.from + this.ms - performance.now();
    this.timer = setTimeout(() => this.passed(this.ms), Math.max(0, left));
  }
}
