// The peer port: an HTTP server that finds out who asks, and passes a connection or a request to the part that serves
// it.
//
// Every path but one makes the same checks in the same order: path and method, whether this member is ready, the
// handshake, the handler's admission. The port answers a refusal itself. Before it is opened, and once it is closing,
// it tells a peer to come again. The exception says at any time which member of which cluster this is: a starting
// member must be able to find out that its directory belongs to another cluster, and so must two that wait for each
// other. Every answer names the cluster except the 101 of an upgrade: only a member of the same cluster gets one.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { TransportHandler } from "./contract.ts";
import {
  type Asked,
  checkHandshake,
  checkJoiner,
  clusterHeaders,
  peerPath,
  type Refusal,
  refuseRequest,
  refuseUpgrade,
} from "./handshake.ts";
import { bodyHeaders } from "./http-client.ts";
import { encodeMembers } from "./join.ts";
import { TransportError, type TransportLimits, type TransportLogger, type TransportOptions } from "./options.ts";
import { RequestAnswerer } from "./requests.ts";
import { maxSnapshotFrameBytes } from "./snapshot-frames.ts";

const maxConnections = 256;
const maxHeaderBytes = 8 * 1024;
const maxNoted = 256;
const statusUnavailable = 503;

/** Takes a connection of an admitted peer. */
export type Accept = (socket: WebSocket, from: number, handler: TransportHandler) => void;

interface Stream {
  readonly webSockets: WebSocketServer;
  readonly accept: Accept;
}

export class PeerPort {
  /** Handshakes and requests refused. */
  refused = 0;
  /** Refusals already logged, by peer and reason. A refused peer dials again and again: its later dials are no news. */
  readonly #noted = new Set<string>();
  readonly #id: number;
  readonly #clusterId: number;
  readonly #logger: TransportLogger;
  readonly #server: Server;
  readonly #streams: ReadonlyMap<string | undefined, Stream>;
  readonly #requests: RequestAnswerer;
  #handler: TransportHandler | undefined;
  #closing = false;
  #boundPort = 0;

  constructor(
    { id, clusterId, logger }: TransportOptions,
    limits: TransportLimits,
    accept: { readonly messages: Accept; readonly snapshot: Accept },
  ) {
    this.#id = id;
    this.#clusterId = clusterId;
    this.#logger = logger;
    const { handshakeTimeoutMs, maxPayloadBytes, maxRequests } = limits;
    this.#requests = new RequestAnswerer(maxRequests, logger);
    this.#server = createServer({
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: handshakeTimeoutMs,
      requestTimeout: handshakeTimeoutMs,
      // How often node looks for requests that have exceeded the two limits above.
      connectionsCheckingInterval: Math.ceil(handshakeTimeoutMs / 2),
    });
    this.#server.maxConnections = maxConnections;
    this.#server.on("request", (request, response) => this.#handleRequest(request, response));
    this.#server.on("upgrade", (request, socket, head) => this.#handleUpgrade(request, socket, head));
    this.#streams = new Map([
      [peerPath.messages, { webSockets: this.#webSockets(maxPayloadBytes), accept: accept.messages }],
      [peerPath.snapshot, { webSockets: this.#webSockets(maxSnapshotFrameBytes), accept: accept.snapshot }],
    ]);
  }

  /** The port that was taken. */
  get port(): number {
    return this.#boundPort;
  }

  /** Takes the port. Rejects with TransportError. */
  async listen(host: string, port: number): Promise<void> {
    const server = this.#server;
    await new Promise<void>((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException): void => {
        const code = error.code ?? "LISTEN";
        const hint = code === "EADDRINUSE" ? "; stop the process that holds the port or choose another" : "";
        reject(new TransportError(code, `cannot listen for peers on ${host}:${port}: ${error.message}${hint}`));
      };
      server.once("error", failed);
      server.listen(port, host, () => {
        server.off("error", failed);
        this.#boundPort = (server.address() as AddressInfo).port;
        resolve();
      });
    });
    server.on("error", (error) =>
      this.#logger.warn?.({ reason: error.message }, "the peer port failed to take a connection"),
    );
  }

  /** Admits peers from now on, for this handler. */
  open(handler: TransportHandler): void {
    this.#handler = handler;
  }

  /** Admits no more peers, and ends all that is no WebSocket; resolves when all connections are gone. */
  close(): Promise<void> {
    this.#closing = true;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    return closed;
  }

  #webSockets(maxPayload: number): WebSocketServer {
    const server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      autoPong: false,
      maxPayload,
    });
    // A listener here takes over the answer to requests that are no WebSocket handshake.
    server.on("wsClientError", (error, socket, request) => {
      const refusal = { status: 400, reason: error.message };
      this.#noteRefusal(request, refusal);
      refuseUpgrade(socket, refusal, this.#clusterId);
    });
    return server;
  }

  #handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // A peer that goes away in the middle of its handshake needs no answer.
    socket.on("error", () => socket.destroy());
    const refuse = (refusal: Refusal): void => {
      this.#noteRefusal(request, refusal);
      refuseUpgrade(socket, refusal, this.#clusterId);
    };
    const stream = this.#streams.get(request.url);
    if (stream === undefined) {
      refuse({ status: 404, reason: `peers connect to ${[...this.#streams.keys()].join(" and ")}` });
      return;
    }
    const handler = this.#ready();
    if ("status" in handler) {
      refuse(handler);
      return;
    }
    const from = checkHandshake(request.headers, this.#asked(handler));
    if (typeof from === "object") refuse(from);
    else stream.webSockets.handleUpgrade(request, socket, head, (ws) => stream.accept(ws, from, handler));
  }

  #handleRequest(request: IncomingMessage, response: ServerResponse): void {
    const refuse = (refusal: Refusal): void => {
      this.#noteRefusal(request, refusal);
      refuseRequest(response, refusal);
    };
    for (const [name, value] of Object.entries(clusterHeaders(this.#clusterId))) response.setHeader(name, value);
    const wrong = wrongRequest(request);
    if (wrong !== undefined) {
      if (wrong.status === 426) response.setHeader("Upgrade", "websocket");
      refuse(wrong);
      return;
    }
    if (request.url === peerPath.identity) {
      response.writeHead(200, { Connection: "close", "Content-Type": "text/plain; charset=utf-8" });
      response.end(`member ${this.#id} of cluster ${this.#clusterId}\n`);
      return;
    }
    const handler = this.#ready();
    if ("status" in handler) {
      refuse(handler);
      return;
    }
    const joins = request.url === peerPath.cluster;
    const from = (joins ? checkJoiner : checkHandshake)(request.headers, this.#asked(handler));
    if (typeof from === "object") refuse(from);
    else if (joins) this.#answerJoiner(handler, response, refuse);
    else void this.#requests.answer(from, request, response, () => (this.#closing ? undefined : handler));
  }

  #answerJoiner(handler: TransportHandler, response: ServerResponse, refuse: (refusal: Refusal) => void): void {
    const members = handler.addresses();
    if (members.length === 0) {
      refuse({ status: 503, reason: `member ${this.#id} does not know the members yet; try again or ask another` });
      return;
    }
    const body = Buffer.from(encodeMembers({ clusterId: this.#clusterId, members }));
    response.writeHead(200, { Connection: "close", "Content-Type": "application/json", ...bodyHeaders(body) });
    response.end(body);
  }

  #ready(): TransportHandler | Refusal {
    if (this.#handler !== undefined && !this.#closing) return this.#handler;
    const now = this.#closing ? "shutting down" : "starting";
    return { status: 503, reason: `member ${this.#id} is ${now}; try again` };
  }

  #asked(handler: TransportHandler): Asked {
    const id = this.#id;
    const clusterId = this.#clusterId;
    return { id, clusterId, admit: (from, incarnation, address) => handler.admit(from, incarnation, address) };
  }

  #noteRefusal(request: IncomingMessage, refusal: Refusal): void {
    this.refused++;
    const { remoteAddress, remotePort } = request.socket;
    const remote = `${remoteAddress}:${remotePort}`;
    const { remaining: _told, ...why } = refusal;
    // A removed member calls until all know of its removal, and a peer that starts may be early.
    const isExpected = refusal.rejection === "removed" || refusal.status === statusUnavailable;
    const note = `${remoteAddress} ${refusal.status} ${refusal.reason}`;
    const level = this.#noted.has(note) ? "debug" : isExpected ? "info" : "warn";
    if (this.#noted.size === maxNoted) this.#noted.clear();
    this.#noted.add(note);
    this.#logger[level]?.({ remote, ...why }, "refused a connection to the peer port");
  }
}

/** Why the peer port refuses a plain request with this path or method, from any sender. */
function wrongRequest({ url, method }: IncomingMessage): Refusal | undefined {
  const isQuestion = url === peerPath.cluster || url === peerPath.identity;
  const wanted = url === peerPath.request ? "POST" : isQuestion ? "GET" : undefined;
  if (wanted === method) return undefined;
  const hint = "This is a peer port: members of the cluster connect here. Clients use the client port.";
  if (wanted !== undefined) return { status: 405, reason: `${url} takes ${wanted} only. ${hint}` };
  return { status: url === peerPath.messages || url === peerPath.snapshot ? 426 : 404, reason: hint };
}
