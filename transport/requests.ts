// Requests that one member forwards to another, such as a change of the members to the leader: POST /raft/request.
//
// The handler gives body and answer their meaning. The transport adds certainty about the outcome: "answered"; "unsent"
// when the handler of the peer has certainly not been called, so that the caller may try again or elsewhere; and
// "unknown" for all else. So every status below 500, and 503, means that the handler was not called, and 500 that it
// was.
//
// Promises: outgoing requests are bounded in number, size and time, incoming ones in number and size (the handler
// bounds its time). Its counterpart upstream is etcd's etcdserver/cluster_util.go (promoteMemberHTTP), which forwards
// one kind of request in this way.

import type { IncomingMessage, ServerResponse } from "node:http";
import { fits } from "./checksum.ts";
import type { RequestOutcome, TransportHandler } from "./contract.ts";
import type { DialTarget } from "./dial.ts";
import { bodyChecksumHeader, handshakeHeaders, peerPath, refuseRequest, rejectionIn } from "./handshake.ts";
import { BodyTooLarge, bodyHeaders, collect, exchange } from "./http-client.ts";
import { maxRequestBytes, type TransportLogger } from "./options.ts";
import { printable } from "./socket.ts";

const statusUnavailable = 503;
const maxReasonBytes = 1024;

/** Counts what is under way, by peer. */
class Gate {
  readonly #counts = new Map<number, number>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  /** Runs it, or returns undefined if too many run for this peer. */
  async enter<T>(peer: number, run: () => Promise<T>): Promise<T | undefined> {
    const count = this.#counts.get(peer) ?? 0;
    if (count >= this.#max) return undefined;
    this.#counts.set(peer, count + 1);
    try {
      return await run();
    } finally {
      const left = (this.#counts.get(peer) ?? 1) - 1;
      if (left === 0) this.#counts.delete(peer);
      else this.#counts.set(peer, left);
    }
  }
}

/** The asking side. */
export class RequestSender {
  readonly #gate: Gate;
  readonly #signal: AbortSignal;

  /** An aborted signal ends the requests under way. */
  constructor(maxRequests: number, signal: AbortSignal) {
    this.#gate = new Gate(maxRequests);
    this.#signal = signal;
  }

  async send(target: DialTarget, body: Uint8Array): Promise<RequestOutcome> {
    const peer = target.identity.to;
    if (body.length > maxRequestBytes) return unsent(`a request of ${body.length} bytes, above ${maxRequestBytes}`);
    const outcome = await this.#gate.enter(peer, () => this.#exchange(target, body));
    return outcome ?? unsent(`too many requests to member ${peer} are under way; try again`);
  }

  async #exchange({ identity, url, limits, onRejected }: DialTarget, body: Uint8Array): Promise<RequestOutcome> {
    const answer = await exchange({
      origin: url,
      path: peerPath.request,
      headers: { ...handshakeHeaders(identity), "Content-Type": "application/octet-stream" },
      body,
      timeoutMs: limits.requestTimeoutMs,
      maxAnswerBytes: maxRequestBytes,
      signal: this.#signal,
    });
    const about = `request to member ${identity.to}`;
    if (answer.kind === "failed") {
      const message = `${about}: ${answer.message}`;
      return answer.connected ? { kind: "unknown", message } : unsent(message);
    }
    if (answer.status === 200) return { kind: "answered", body: answer.body };
    const said = printable(Buffer.from(answer.body.subarray(0, maxReasonBytes)).toString());
    const rejection = rejectionIn(answer.status, answer.headers, said);
    if (rejection !== undefined) onRejected(rejection);
    const message = `${about}: HTTP status ${answer.status}: ${said}`;
    return answer.status < 500 || answer.status === statusUnavailable ? unsent(message) : { kind: "unknown", message };
  }
}

const unsent = (message: string): RequestOutcome => ({ kind: "unsent", message });

/** The answering side. */
export class RequestAnswerer {
  readonly #gate: Gate;
  readonly #logger: TransportLogger;

  constructor(maxRequests: number, logger: TransportLogger) {
    this.#gate = new Gate(maxRequests);
    this.#logger = logger;
  }

  /**
   * Answers a request whose sender has been admitted. Asks for the handler once the body has come: by then there may be
   * none.
   */
  async answer(
    from: number,
    request: IncomingMessage,
    response: ServerResponse,
    handler: () => TransportHandler | undefined,
  ): Promise<void> {
    const done = await this.#gate.enter(from, async () => {
      await this.#run(from, request, response, handler);
      return true;
    });
    if (done === undefined) refuse(response, statusUnavailable, "too many requests are under way; try again");
  }

  async #run(
    from: number,
    request: IncomingMessage,
    response: ServerResponse,
    handler: () => TransportHandler | undefined,
  ): Promise<void> {
    let body: Uint8Array;
    try {
      body = await collect(request, maxRequestBytes);
    } catch (error) {
      if (error instanceof BodyTooLarge) refuse(response, 413, `${error.message}; a request must be smaller`);
      return;
    }
    if (!fits(request.headers[bodyChecksumHeader], body)) {
      refuse(response, 400, "the request was changed on the way; send it again");
      return;
    }
    const asked = handler();
    if (asked === undefined) {
      refuse(response, statusUnavailable, "this member is shutting down; ask another");
      return;
    }
    try {
      const answer = await asked.request(from, body);
      if (answer.length > maxRequestBytes) throw new Error(`an answer of ${answer.length} bytes`);
      const headers = { Connection: "close", "Content-Type": "application/octet-stream", ...bodyHeaders(answer) };
      response.writeHead(200, headers);
      response.end(answer);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#logger.warn?.({ peer: from, reason }, "a request from peer failed");
      refuse(response, 500, `the request failed, and may have been carried out: ${reason}`);
    }
  }
}

// Node reads and drops the rest of a body: a connection that closes on unread bytes may lose the answer.
const refuse = (response: ServerResponse, status: number, reason: string): void =>
  refuseRequest(response, { status, reason });
