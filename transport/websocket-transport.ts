// A transport over WebSockets: the peer port of a member, and its way to every peer.
//
// `listen` takes the port, `start` begins to talk. The two are apart because the log must be open before a message arrives, because the
// node that handles messages needs the transport and the transport needs it, and because a port that is taken should
// be found out before anything is written to disk. Until `start` a peer that connects is told to come again.
//
// Promises: `send` never blocks and never calls the handler; what is sent to one peer in one turn of the event loop leaves in one frame, and
// a peer to whom something was dropped is reported once for that turn. After `close` the handler is not called again.
//
// Its counterpart upstream is etcd's server/etcdserver/api/rafthttp: streams, remote and peer status. Left out: snapshots, which need a
// stream of their own, TLS, and the pipeline of single requests that etcd keeps beside its streams.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { Message } from "../raft/raftpb/index.ts";
import { checkHandshake, peerPath, type Refusal, refuse } from "./handshake.ts";
import { IncomingConnection } from "./incoming.ts";
import {
  defaultLimits,
  PeerCounters,
  TransportError,
  type TransportHandler,
  type TransportLimits,
  type TransportOptions,
  type TransportStats,
} from "./options.ts";
import { OutgoingPeer } from "./outgoing.ts";
import { closeCode } from "./socket.ts";
import { isCarried } from "./validate.ts";

const maxConnections = 256;
const maxHeaderBytes = 8 * 1024;

interface Peer {
  readonly url: string;
  readonly counters: PeerCounters;
  readonly outgoing: OutgoingPeer;
  /** The newest connection from the peer: an older one that is still there is half-open. */
  incoming: IncomingConnection | undefined;
}

export class WebSocketTransport {
  private readonly options: TransportOptions;
  private readonly limits: TransportLimits;
  private readonly server: Server;
  private readonly webSockets: WebSocketServer;
  private readonly peers = new Map<number, Peer>();
  private handler: TransportHandler | undefined;
  private closing: Promise<void> | undefined;
  /** Closing handshakes that run on after their peer was removed or its connection replaced. */
  private readonly ending = new Set<Promise<void>>();
  private readonly unreachable = new Set<number>();
  private flushScheduled = false;
  private boundPort = 0;
  private refused = 0;
  private droppedUnknown = 0;

  private constructor(options: TransportOptions) {
    this.options = options;
    this.limits = { ...defaultLimits, ...options.limits };
    const { handshakeTimeoutMs, maxPayloadBytes } = this.limits;
    this.server = createServer({
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: handshakeTimeoutMs,
      requestTimeout: handshakeTimeoutMs,
      // How often node looks for requests that have passed the two limits above.
      connectionsCheckingInterval: Math.ceil(handshakeTimeoutMs / 2),
    });
    this.server.maxConnections = maxConnections;
    this.server.on("request", answerPlainRequest);
    this.server.on("upgrade", (request, socket, head) => this.handleUpgrade(request, socket, head));
    this.webSockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      autoPong: false,
      maxPayload: maxPayloadBytes,
    });
    // A listener here takes over the answer to requests that are no WebSocket handshake.
    this.webSockets.on("wsClientError", (error, socket, request) => {
      this.refuse(request, socket, { status: 400, reason: error.message });
    });
  }

  /** Takes the port; nothing is sent or received before `start`. Throws TransportError. */
  static async listen(options: TransportOptions): Promise<WebSocketTransport> {
    const transport = new WebSocketTransport(options);
    for (const [id, url] of options.peers) transport.addPeer(id, url);
    const { host, port, logger } = options;
    const { server } = transport;
    await new Promise<void>((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException): void => {
        const code = error.code ?? "LISTEN";
        const hint = code === "EADDRINUSE" ? "; stop the process that holds the port or choose another" : "";
        reject(new TransportError(code, `cannot listen for peers on ${host}:${port}: ${error.message}${hint}`));
      };
      server.once("error", failed);
      server.listen(port, host, () => {
        server.off("error", failed);
        transport.boundPort = (server.address() as AddressInfo).port;
        resolve();
      });
    });
    server.on("error", (error) =>
      logger.warn?.({ reason: error.message }, "the peer port failed to take a connection"),
    );
    return transport;
  }

  /** The port that was taken. */
  get port(): number {
    return this.boundPort;
  }

  /** Dials every peer and lets peers in. Called once. */
  start(handler: TransportHandler): void {
    if (this.handler !== undefined) throw new Error("a transport is started once");
    this.handler = handler;
    for (const { outgoing } of this.peers.values()) outgoing.dial();
  }

  /** Queues each message for its `to`, or drops it and reports the peer as unreachable a moment later. */
  send(messages: readonly Message[]): void {
    if (this.closing !== undefined) return;
    for (const m of messages) {
      const peer = this.peers.get(m.to);
      if (peer === undefined) this.droppedUnknown++;
      else if (!isCarried(m.type)) peer.counters.dropped++;
      else if (peer.outgoing.push(m)) continue;
      this.unreachable.add(m.to);
    }
    this.scheduleFlush();
  }

  /** Makes a peer known, or gives it a new address. Throws TransportError for an id or URL that cannot be one. */
  addPeer(id: number, url: string): void {
    if (!Number.isSafeInteger(id) || id < 1) {
      throw new TransportError("BAD_MEMBER_ID", `${id} is not a member id: it must be an integer in [1, 2^53)`);
    }
    const origin = originOf(url);
    const known = this.peers.get(id);
    if (id === this.options.id || known?.url === origin || this.closing !== undefined) return;
    if (known !== undefined) this.keepUntilEnded(known.outgoing.stop("the peer has a new address"));
    const counters = known?.counters ?? new PeerCounters();
    const { clusterId, logger, random } = this.options;
    const outgoing = new OutgoingPeer({
      identity: { clusterId, from: this.options.id, to: id },
      url: origin,
      limits: this.limits,
      logger,
      random,
      counters,
      onLost: () => {
        this.unreachable.add(id);
        this.scheduleFlush();
      },
    });
    this.peers.set(id, { url: origin, counters, outgoing, incoming: known?.incoming });
    if (this.handler !== undefined) outgoing.dial();
  }

  /** Forgets a peer: both connections are closed, and it is refused from now on. */
  removePeer(id: number): void {
    const peer = this.peers.get(id);
    if (peer === undefined) return;
    this.peers.delete(id);
    this.keepUntilEnded(peer.outgoing.stop("the member was removed"));
    if (peer.incoming !== undefined) {
      this.keepUntilEnded(peer.incoming.end(closeCode.policyViolation, "the member was removed"));
    }
  }

  stats(): TransportStats {
    const peers = [...this.peers].map(([id, { url, counters, outgoing }]) => ({
      id,
      url,
      ...counters,
      connected: outgoing.connected,
      waitingMessages: outgoing.waitingMessages,
      waitingBytes: outgoing.waitingBytes,
    }));
    return { refused: this.refused, droppedUnknown: this.droppedUnknown, peers };
  }

  /** Closes every connection and the port; resolves when no socket and no timer is left. */
  close(): Promise<void> {
    this.closing ??= this.closeAll();
    return this.closing;
  }

  private async closeAll(): Promise<void> {
    const reason = "the member is shutting down";
    for (const { outgoing, incoming } of this.peers.values()) {
      this.keepUntilEnded(outgoing.stop(reason));
      if (incoming !== undefined) this.keepUntilEnded(incoming.end(closeCode.goingAway, reason));
    }
    const serverClosed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.server.closeAllConnections();
    await Promise.all([...this.ending, serverClosed]);
  }

  private keepUntilEnded(end: Promise<void>): void {
    this.ending.add(end);
    void end.then(() => this.ending.delete(end));
  }

  private scheduleFlush(): void {
    if (this.flushScheduled) return;
    this.flushScheduled = true;
    queueMicrotask(() => this.flush());
  }

  private flush(): void {
    this.flushScheduled = false;
    for (const { outgoing } of this.peers.values()) outgoing.flush();
    const lost = [...this.unreachable];
    this.unreachable.clear();
    if (this.closing !== undefined) return;
    for (const id of lost) this.handler?.reportUnreachable(id);
  }

  private handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // A peer that goes away in the middle of its handshake needs no answer.
    socket.on("error", () => socket.destroy());
    const { handler } = this;
    if (handler === undefined || this.closing !== undefined) {
      const now = handler === undefined ? "starting" : "shutting down";
      this.refuse(request, socket, { status: 503, reason: `member ${this.options.id} is ${now}; try again` });
      return;
    }
    const { id, clusterId } = this.options;
    const from = checkHandshake(request.url, request.headers, { id, clusterId, isPeer: (p) => this.peers.has(p) });
    if (typeof from === "object") this.refuse(request, socket, from);
    else this.webSockets.handleUpgrade(request, socket, head, (ws) => this.accept(ws, from, handler));
  }

  private refuse(request: IncomingMessage, socket: Duplex, refusal: Refusal): void {
    this.refused++;
    const { remoteAddress, remotePort } = request.socket;
    const remote = `${remoteAddress}:${remotePort}`;
    this.options.logger.warn?.({ remote, ...refusal }, "refused a connection to the peer port");
    refuse(socket, refusal);
  }

  private accept(socket: WebSocket, from: number, handler: TransportHandler): void {
    const peer = this.peers.get(from);
    // The handshake found the peer a moment ago, in this same turn.
    if (peer === undefined) throw new Error(`accepted a connection from the unknown peer ${from}`);
    const { id, logger } = this.options;
    if (peer.incoming !== undefined) {
      logger.warn?.({ peer: from }, "a new connection from peer replaces one that is still open");
      this.keepUntilEnded(peer.incoming.end(closeCode.goingAway, "replaced by a newer connection"));
    }
    const { counters } = peer;
    counters.accepts++;
    logger.info?.({ peer: from }, "accepted a connection from peer");
    const incoming = new IncomingConnection(socket, {
      link: { self: id, peer: from, isMember: (member) => member === id || this.peers.has(member) },
      handler,
      limits: this.limits,
      logger,
      counters,
      onClosed: () => {
        const current = this.peers.get(from);
        if (current?.incoming === incoming) current.incoming = undefined;
      },
    });
    peer.incoming = incoming;
    // It is up: if the way to it is in its pause between two dials, that pause is over.
    peer.outgoing.dial();
  }
}

/** A peer URL reduced to its origin. Throws TransportError unless it is http://host:port with nothing behind it. */
function originOf(url: string): string {
  const bad = (): TransportError =>
    new TransportError("BAD_PEER_URL", `peer URL ${JSON.stringify(url)} must have the form http://host:port`);
  if (!URL.canParse(url)) throw bad();
  const parsed = new URL(url);
  const bare = parsed.pathname === "/" && parsed.search === "" && parsed.hash === "" && parsed.username === "";
  if (parsed.protocol !== "http:" || !bare) throw bad();
  return parsed.origin;
}

/** The peer port speaks WebSocket on one path and nothing else. */
function answerPlainRequest(request: IncomingMessage, response: ServerResponse): void {
  const known = request.url === peerPath;
  response.writeHead(known ? 426 : 404, {
    Connection: "close",
    "Content-Type": "text/plain; charset=utf-8",
    ...(known ? { Upgrade: "websocket" } : {}),
  });
  response.end("This is a peer port: members of the cluster connect here. Clients use the client port.\n");
}
