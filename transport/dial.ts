// One dial of a peer's WebSocket: the connection from its first packet to its end, with the first thing that went
// wrong.
//
// Promise: every dial ends in one "close" event, and `failure` then says why in one sentence. A refusal by the peer's
// handler goes to `onRejected`, and each dial calls `onAnswered` once with the cluster that the answer names.

import type { IncomingMessage } from "node:http";
import { WebSocket } from "ws";
import type { Rejection } from "./contract.ts";
import { clusterIn, handshakeHeaders, type Identity, rejectionIn } from "./handshake.ts";
import type { TransportLimits } from "./options.ts";
import { closeCode, printable } from "./socket.ts";

const maxRefusalBytes = 2048;
const statusMisdirected = 421;
const statusUnavailable = 503;
/** The peer sends only control frames and short answers, and those are small. */
const maxReceivedBytes = 1024;

export interface DialTarget {
  readonly identity: Identity;
  /** Origin of the peer: http://host:port. */
  readonly url: string;
  readonly limits: TransportLimits;
  readonly onRejected: (rejection: Rejection) => void;
  /**
   * Undefined: the dial failed without an answer, with one that names no cluster, or with one of another member of this
   * cluster.
   */
  readonly onAnswered: (clusterId: number | undefined) => void;
}

/**
 * How a dial ended, which decides how loudly to log it. removed: the peer says that this member was removed;
 * going-away: the peer shuts down in order; absent: there was no answer, or the peer is starting or stopping; failed:
 * all else.
 */
export type Ending = "removed" | "going-away" | "absent" | "failed";

export class Dial {
  readonly socket: WebSocket;
  /** Final by the time of "close". */
  ending: Ending = "absent";
  /** The first thing that went wrong; set by the time of "close". */
  failure: string | undefined;
  #isAnswered = false;

  constructor({ identity, url, limits, onRejected, onAnswered }: DialTarget, path: string) {
    const address = new URL(path, url);
    address.protocol = "ws:";
    const socket = new WebSocket(address, {
      headers: handshakeHeaders(identity),
      perMessageDeflate: false,
      maxPayload: maxReceivedBytes,
      autoPong: false,
      // The mask keeps a web page from writing chosen bytes through a proxy (RFC 6455, section 10.3). No page writes
      // here, and a mask of zeros spares both sides a pass over every byte.
      generateMask: (mask) => mask.fill(0),
    });
    this.socket = socket;
    const timer = setTimeout(
      () => this.end(`no answer to the handshake within ${limits.handshakeTimeoutMs} ms`),
      limits.handshakeTimeoutMs,
    );
    const answered = (clusterId: number | undefined): void => {
      if (!this.#isAnswered) onAnswered(clusterId);
      this.#isAnswered = true;
    };
    socket.on("unexpected-response", (_request, response) => {
      // Another member of this cluster: the one that was dialled is not found there.
      const isMisdirected = response.statusCode === statusMisdirected;
      const named = clusterIn(response.headers);
      answered(isMisdirected && named === identity.clusterId ? undefined : named);
      readRefusal(response, (said) => {
        const rejection = rejectionIn(response.statusCode, response.headers, said);
        if (rejection?.kind === "removed") this.ending = "removed";
        else if (response.statusCode !== statusUnavailable) this.ending = "failed";
        if (rejection !== undefined) onRejected(rejection);
        this.end(`refused with HTTP status ${response.statusCode}: ${said}`);
      });
    });
    socket.on("error", (error: NodeJS.ErrnoException) => this.fail(error.message || error.code || error.name));
    socket.on("open", () => {
      clearTimeout(timer);
      this.ending = "failed"; // unless the close frame gives a better reason
      answered(identity.clusterId); // otherwise it would have refused
    });
    socket.on("close", (code, reason) => {
      clearTimeout(timer);
      answered(undefined);
      if (code === closeCode.goingAway) this.ending = "going-away";
      if (code === closeCode.removed) this.ending = "removed";
      const said = printable(reason.toString());
      this.fail(said === "" ? `closed with code ${code}` : `closed by the peer: ${said}`);
    });
  }

  /** Notes why the connection is about to end. */
  fail(why: string): void {
    this.failure ??= why;
  }

  /** Ends it at once. */
  end(why: string): void {
    this.fail(why);
    this.socket.terminate();
  }
}

/** Reads why a peer refused, from the start of its answer; `done` is called once. */
function readRefusal(response: IncomingMessage, done: (said: string) => void): void {
  let body = "";
  const finish = (): void => {
    response
      .off("data", read)
      .off("end", finish)
      .off("error", finish)
      .on("error", () => {});
    done(printable(body));
  };
  const read = (text: string): void => {
    body = (body + text).slice(0, maxRefusalBytes);
    if (body.length === maxRefusalBytes) finish();
  };
  response.setEncoding("utf8");
  response.on("data", read).on("end", finish).on("error", finish);
}
