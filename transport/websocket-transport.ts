// A transport over WebSockets: the peer port of a member, and its way to every peer.
//
// `listen` takes the port, `start` begins to send and receive. They are two calls for three reasons: the log must be
// open before a message arrives; the node that handles messages needs the transport, and the transport needs the node;
// and a taken port should be noticed before any byte is written to disk. Until `start`, a peer that connects is told to
// retry.
//
// Promises: `send` never blocks and never calls the handler. The messages to one peer in one turn of the event loop
// leave in one frame, and a peer that lost a message is reported once for that turn. After `close` the handler is not
// called again.
//
// addPeer and removePeer say to which members this one sends; from which ones it accepts messages the handler decides,
// per connection. The two sets differ while members come and go: a member that was just added calls before this one has
// heard of it.
//
// Its counterpart upstream is etcd's server/etcdserver/api/rafthttp: streams, snapshots, remote and peer status. Left
// out: TLS, and the pipeline of single requests that etcd keeps beside its streams.

import type { WebSocket } from "ws";
import type { Message } from "../raft/raftpb/index.ts";
import type { Address, RequestOutcome, TransportHandler } from "./contract.ts";
import type { DialTarget } from "./dial.ts";
import type { Identity } from "./handshake.ts";
import { IncomingConnection } from "./incoming.ts";
import {
  defaultLimits,
  PeerCounters,
  TransportError,
  type TransportLimits,
  type TransportOptions,
  type TransportStats,
} from "./options.ts";
import { OutgoingPeer } from "./outgoing.ts";
import { PeerPort } from "./peer-port.ts";
import { isMemberId, originOf } from "./peer-url.ts";
import { RequestSender } from "./requests.ts";
import { SnapshotReceiver } from "./snapshot-receiver.ts";
import { endChunks, sendSnapshot } from "./snapshot-sender.ts";
import { closeCode, closeSocket } from "./socket.ts";
import { isCarried } from "./validate.ts";

interface Peer {
  readonly counters: PeerCounters;
  /** The way to it; undefined for a peer that was admitted and whose address is not known. */
  way: { readonly target: DialTarget; readonly outgoing: OutgoingPeer } | undefined;
  /** The newest connection from the peer: an older one that still exists is half-open. */
  incoming: IncomingConnection | undefined;
}

const removed = "the member was removed";

export class WebSocketTransport {
  readonly #options: TransportOptions;
  readonly #limits: TransportLimits;
  readonly #peerPort: PeerPort;
  readonly #peers = new Map<number, Peer>();
  readonly #sending = new Map<number, AbortController>();
  readonly #receiving = new Map<number, SnapshotReceiver>();
  readonly #requests: RequestSender;
  readonly #abortRequests = new AbortController();
  #handler: TransportHandler | undefined;
  #closing: Promise<void> | undefined;
  /** Work that ends by itself after its peer was removed, its connection replaced or its snapshot aborted. */
  readonly #ending = new Set<Promise<unknown>>();
  readonly #unreachable = new Set<number>();
  #flushScheduled = false;
  #droppedUnknown = 0;
  #address: Address | undefined;

  private constructor(options: TransportOptions) {
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#requests = new RequestSender(this.#limits.maxRequests, this.#abortRequests.signal);
    this.#peerPort = new PeerPort(options, this.#limits, {
      messages: (socket, from, handler) => this.#acceptMessages(socket, from, handler),
      snapshot: (socket, from, handler) => this.#acceptSnapshot(socket, from, handler),
    });
  }

  /** Takes the port; nothing is sent or received before `start`. Throws TransportError. */
  static async listen(options: TransportOptions): Promise<WebSocketTransport> {
    const transport = new WebSocketTransport(options);
    for (const [id, url] of options.peers) transport.addPeer(id, url);
    await transport.#peerPort.listen(options.host, options.port);
    return transport;
  }

  /** The port that was taken. */
  get port(): number {
    return this.#peerPort.port;
  }

  /** Dials every peer and lets peers in. Called once. */
  start(handler: TransportHandler): void {
    if (this.#handler !== undefined) throw new Error("a transport is started once");
    this.#handler = handler;
    this.#peerPort.open(handler);
    for (const { way } of this.#peers.values()) way?.outgoing.dial();
  }

  /** Queues each message for its `to`, or drops it and reports the peer as unreachable a moment later. */
  send(messages: readonly Message[]): void {
    if (this.#closing !== undefined) return;
    for (const m of messages) {
      const peer = this.#peers.get(m.to);
      if (peer?.way === undefined) this.#droppedUnknown++;
      else if (!isCarried(m.type)) peer.counters.dropped++;
      else if (peer.way.outgoing.push(m)) continue;
      this.#unreachable.add(m.to);
    }
    this.#scheduleFlush();
  }

  /**
   * Sends a MsgSnap, whose snapshot has no data, then the data, on a connection of its own. Resolves to true once the
   * peer has taken it; to false if it has not, if the outcome is unknown, or if another snapshot to this peer is under
   * way. Never rejects, and always ends `chunks`.
   */
  async sendSnapshot(message: Message, chunks: AsyncIterable<Uint8Array>): Promise<boolean> {
    const { to } = message;
    const { logger } = this.#options;
    const peer = this.#peers.get(to);
    if (
      peer?.way === undefined ||
      this.#sending.has(to) ||
      this.#handler === undefined ||
      this.#closing !== undefined
    ) {
      endChunks(chunks[Symbol.asyncIterator](), to, logger);
      return false;
    }
    const controller = new AbortController();
    this.#sending.set(to, controller);
    const target = { ...peer.way.target, logger, counters: peer.counters };
    const sent = sendSnapshot(target, message, chunks, controller.signal).finally(() => this.#sending.delete(to));
    this.#keepUntilEnded(sent);
    return sent;
  }

  /** Forwards a request of at most maxRequestBytes to a peer; never rejects. */
  async request(to: number, body: Uint8Array): Promise<RequestOutcome> {
    const way = this.#peers.get(to)?.way;
    if (way !== undefined && this.#handler !== undefined) return this.#requests.send(way.target, body);
    const why = way === undefined ? `the address of member ${to} is not known` : "this member is starting";
    return { kind: "unsent", message: why };
  }

  /** Tells peers from now on that this member listens there: they may know an older address, or none. */
  announce(address: Address): void {
    this.#address = address;
  }

  /** Makes a peer known, or gives it a new address. Throws TransportError for an id or URL that cannot be one. */
  addPeer(id: number, url: string): void {
    if (!isMemberId(id)) {
      throw new TransportError("BAD_MEMBER_ID", `${id} is not a member id: it must be an integer in [1, 2^53)`);
    }
    const origin = originOf(url);
    if (id === this.#options.id || this.#closing !== undefined) return;
    const peer = this.#peers.get(id) ?? this.#addUnknown(id);
    if (peer.way?.target.url === origin) return;
    if (peer.way !== undefined) {
      this.#keepUntilEnded(peer.way.outgoing.stop("the peer has a new address", this.#limits.closeTimeoutMs));
    }
    const { logger, random } = this.#options;
    const target: DialTarget = {
      identity: this.#identityFor(id),
      url: origin,
      limits: this.#limits,
      onRejected: (rejection) => {
        if (rejection.kind !== "unknown" && this.#closing === undefined) this.#handler?.rejectedBy(id, rejection);
      },
      onAnswered: (clusterId) => {
        // A dial of an address that the peer no longer has says nothing about its present one.
        const isCurrent = this.#peers.get(id)?.way?.target === target && this.#closing === undefined;
        if (isCurrent) this.#handler?.dialled(id, origin, clusterId);
      },
    };
    const onLost = (): void => {
      this.#unreachable.add(id);
      this.#scheduleFlush();
    };
    const outgoing = new OutgoingPeer({ ...target, logger, random, counters: peer.counters, onLost });
    peer.way = { target, outgoing };
    if (this.#handler !== undefined) outgoing.dial();
  }

  #identityFor(to: number): Identity {
    const { clusterId, id: from, incarnation = 0 } = this.#options;
    const current = (): Address | undefined => this.#address;
    return {
      clusterId,
      from,
      incarnation,
      to,
      // Read at the time of each dial.
      get address() {
        return current();
      },
    };
  }

  #addUnknown(id: number): Peer {
    const peer: Peer = { counters: new PeerCounters(), way: undefined, incoming: undefined };
    this.#peers.set(id, peer);
    return peer;
  }

  /** Forgets a peer: its queue still leaves, then every connection to and from it is closed. */
  removePeer(id: number): void {
    const peer = this.#peers.get(id);
    this.#sending.get(id)?.abort(removed);
    this.#endReceiving(id, closeCode.removed, removed);
    if (peer === undefined) return;
    this.#peers.delete(id);
    if (peer.way !== undefined) this.#keepUntilEnded(peer.way.outgoing.stop(removed, this.#limits.removeTimeoutMs));
    if (peer.incoming !== undefined) this.#keepUntilEnded(peer.incoming.end(closeCode.removed, removed));
  }

  stats(): TransportStats {
    const peers = [...this.#peers].map(([id, { counters, way }]) => ({
      id,
      url: way?.target.url,
      ...counters,
      connected: way?.outgoing.connected ?? false,
      waitingMessages: way?.outgoing.waitingMessages ?? 0,
      waitingBytes: way?.outgoing.waitingBytes ?? 0,
      sendingSnapshot: this.#sending.has(id),
      receivingSnapshot: this.#receiving.has(id),
    }));
    return { refused: this.#peerPort.refused, droppedUnknown: this.#droppedUnknown, peers };
  }

  /** Closes every connection and the port; resolves when no socket and no timer is left. */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async #closeAll(): Promise<void> {
    const reason = "the member is shutting down";
    this.#abortRequests.abort();
    for (const controller of this.#sending.values()) controller.abort(reason);
    for (const from of this.#receiving.keys()) this.#endReceiving(from, closeCode.goingAway, reason);
    for (const { way, incoming } of this.#peers.values()) {
      if (way !== undefined) this.#keepUntilEnded(way.outgoing.stop(reason, this.#limits.closeTimeoutMs));
      if (incoming !== undefined) this.#keepUntilEnded(incoming.end(closeCode.goingAway, reason));
    }
    await Promise.all([...this.#ending, this.#peerPort.close()]);
  }

  #keepUntilEnded(end: Promise<unknown>): void {
    this.#ending.add(end);
    void end.then(() => this.#ending.delete(end));
  }

  #endReceiving(from: number, code: number, reason: string): void {
    const receiver = this.#receiving.get(from);
    if (receiver !== undefined) this.#keepUntilEnded(receiver.end(code, reason));
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#flushScheduled = false;
    for (const { way } of this.#peers.values()) way?.outgoing.flush();
    const lost = [...this.#unreachable];
    this.#unreachable.clear();
    if (this.#closing !== undefined) return;
    for (const id of lost) this.#handler?.reportUnreachable(id);
  }

  #acceptMessages(socket: WebSocket, from: number, handler: TransportHandler): void {
    const peer = this.#peers.get(from) ?? this.#addUnknown(from);
    const { id, logger } = this.#options;
    if (peer.incoming !== undefined) {
      logger.warn?.({ peer: from }, "a new connection from peer replaces one that is still open");
      this.#keepUntilEnded(peer.incoming.end(closeCode.goingAway, "replaced by a newer connection"));
    }
    const { counters } = peer;
    counters.accepts++;
    logger.info?.({ peer: from }, "accepted a connection from peer");
    const incoming = new IncomingConnection(socket, {
      link: { self: id, peer: from },
      handler,
      limits: this.#limits,
      logger,
      counters,
      onClosed: () => {
        if (peer.incoming === incoming) peer.incoming = undefined;
        const forgotten = peer.way === undefined && peer.incoming === undefined;
        if (forgotten && this.#peers.get(from) === peer) this.#peers.delete(from);
      },
    });
    peer.incoming = incoming;
    // The peer is up: if the way to it pauses between two dials, the pause ends now.
    peer.way?.outgoing.dial();
  }

  #acceptSnapshot(socket: WebSocket, from: number, handler: TransportHandler): void {
    const limits = this.#limits;
    const busy = this.#receiving.has(from)
      ? `a snapshot from member ${from} is under way`
      : this.#receiving.size >= limits.maxIncomingSnapshots
        ? "too many snapshots are under way"
        : undefined;
    if (busy !== undefined) {
      // Without a listener an error of the socket would end the process.
      socket.on("error", () => {});
      this.#keepUntilEnded(closeSocket(socket, closeCode.tryAgainLater, `${busy}; try again`, limits.closeTimeoutMs));
      return;
    }
    const { id, logger } = this.#options;
    const counters = this.#peers.get(from)?.counters ?? new PeerCounters();
    const link = { self: id, peer: from };
    const receiver = new SnapshotReceiver(socket, { link, handler, limits, logger, counters });
    this.#receiving.set(from, receiver);
    void receiver.ended.then(() => this.#receiving.delete(from));
  }
}
