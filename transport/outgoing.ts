// The way to one peer: a connection that is dialled until it stands, and a bounded queue in front of it.
//
// Each member dials each peer and sends on the connection it dialled; what comes back is pongs. So a pair of members has two connections,
// each with one writer, and nobody has to settle which of two crossing dials survives. etcd's rafthttp streams work the same way.
//
// Promises: `push` never blocks, never calls back, and holds no more than the limits allow. While there is no connection nothing is
// queued at all: raft repeats what matters, and what it has to say to a peer that was away is not what it said meanwhile. A peer that
// takes connections and breaks them at once is dialled ever more slowly: only a pong, never the mere opening, resets the backoff.

import type { IncomingMessage } from "node:http";
import { WebSocket } from "ws";
import { encodeMessage, type Message, messageTypeName } from "../raft/raftpb/index.ts";
import { FrameWriter, framingBytes, itemsOf, maxFrameItems } from "./frame.ts";
import { handshakeHeaders, type Identity, peerPath } from "./handshake.ts";
import type { PeerCounters, TransportLimits, TransportLogger } from "./options.ts";
import { closeCode, closeSocket, printable, watchSilence } from "./socket.ts";

const maxRefusalBytes = 2048;
/** The peer sends nothing but control frames here, and those are small. */
const maxReceivedBytes = 1024;

export interface OutgoingOptions {
  readonly identity: Identity;
  /** Origin of the peer: http://host:port. */
  readonly url: string;
  readonly limits: TransportLimits;
  readonly logger: TransportLogger;
  readonly random: () => number;
  readonly counters: PeerCounters;
  /** Messages that were on their way when the connection broke may be lost. */
  readonly onLost: () => void;
}

export class OutgoingPeer {
  private readonly options: OutgoingOptions;
  /** The present dial or connection; undefined between two dials. */
  private socket: WebSocket | undefined;
  private redial: NodeJS.Timeout | undefined;
  private backoffMs: number;
  private stopped = false;
  private readonly frame = new FrameWriter();
  /** Messages in frames that the socket has not passed to the system yet. */
  private messagesInSocket = 0;
  /** The last failure that was logged aloud: a peer that stays away is told of once, not at every dial. */
  private lastFailure: string | undefined;

  constructor(options: OutgoingOptions) {
    this.options = options;
    this.backoffMs = options.limits.backoffMinMs;
  }

  get connected(): boolean {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  get waitingMessages(): number {
    return this.messagesInSocket + this.frame.messages;
  }

  get waitingBytes(): number {
    return (this.socket?.bufferedAmount ?? 0) + this.frame.size;
  }

  /** Dials unless a dial or a connection is there: at the start, and early when the peer has just shown that it is up. */
  dial(): void {
    if (this.stopped || this.socket !== undefined) return;
    clearTimeout(this.redial);
    const { identity, url, limits } = this.options;
    const target = new URL(peerPath, url);
    target.protocol = "ws:";
    this.socket = new WebSocket(target, {
      headers: handshakeHeaders(identity),
      perMessageDeflate: false,
      maxPayload: maxReceivedBytes,
      autoPong: false,
      // The mask keeps a web page from writing bytes of its choice through a proxy (RFC 6455, section 10.3). No page writes here, and
      // a mask of zeros spares both sides a pass over every byte.
      generateMask: (mask) => mask.fill(0),
    });
    this.follow(this.socket, limits);
  }

  /** Takes the message for the next frame, or returns false: it is dropped. */
  push(message: Message): boolean {
    const taken = this.connected && this.enqueue(message);
    if (!taken) this.options.counters.dropped++;
    return taken;
  }

  /** Hands what was pushed to the socket, in one frame. */
  flush(): void {
    const socket = this.socket;
    const messages = this.frame.messages;
    if (socket === undefined || messages === 0) return;
    this.messagesInSocket += messages;
    this.options.counters.sentFrames++;
    this.options.counters.sentMessages += messages;
    // Called once the system has the bytes, or with an error as the socket breaks; `closed` counts what is not called back before.
    socket.send(this.frame.take(), (error) => {
      if (this.socket !== socket) return;
      this.messagesInSocket -= messages;
      if (error) this.options.counters.dropped += messages;
    });
  }

  /** Ends for good; resolves when the socket is gone. */
  async stop(reason: string): Promise<void> {
    this.stopped = true;
    clearTimeout(this.redial);
    if (this.socket === undefined) return;
    this.flush();
    await closeSocket(this.socket, closeCode.goingAway, reason, this.options.limits.closeTimeoutMs);
  }

  private enqueue(message: Message): boolean {
    const { limits, logger, identity } = this.options;
    if (this.waitingMessages >= limits.maxWaitingMessages) return false;
    const encoded = encodeMessage(message);
    const size = encoded.length + framingBytes;
    const items = itemsOf(message);
    if (size > limits.maxPayloadBytes || items > maxFrameItems) {
      const type = messageTypeName(message.type);
      logger.warn?.(
        { peer: identity.to, type, bytes: size, items },
        "a message is too large for a frame and was dropped",
      );
      return false;
    }
    const waiting = this.waitingBytes;
    if (waiting > 0 && waiting + size > limits.maxWaitingBytes) return false;
    if (this.frame.size + size > limits.maxFrameBytes || this.frame.items + items > maxFrameItems) this.flush();
    this.frame.add(encoded, items);
    return true;
  }

  /** Follows a dial from its first packet to the end of the connection. Every way it can go ends in one "close" event. */
  private follow(socket: WebSocket, limits: TransportLimits): void {
    const { counters, identity } = this.options;
    let opened = false;
    let failure: string | undefined;
    const give = (why: string): void => {
      failure ??= why;
    };
    const handshakeTimer = setTimeout(() => {
      give(`no answer to the handshake within ${limits.handshakeTimeoutMs} ms`);
      socket.terminate();
    }, limits.handshakeTimeoutMs);
    socket.on("unexpected-response", (_request, response) => {
      readRefusal(response, (why) => {
        give(why);
        socket.terminate();
      });
    });
    socket.on("error", (error: NodeJS.ErrnoException) => give(error.message || error.code || error.name));
    socket.on("open", () => {
      opened = true;
      clearTimeout(handshakeTimer);
      this.opened(socket, give);
    });
    socket.on("message", () => {
      if (failure !== undefined) return;
      counters.violations++;
      give("the peer sent a message on a connection that is not its own");
      void closeSocket(
        socket,
        closeCode.policyViolation,
        "this connection is for messages of its dialler",
        limits.closeTimeoutMs,
      );
    });
    socket.on("close", (code, reason) => {
      clearTimeout(handshakeTimer);
      const said = printable(reason.toString());
      give(said === "" ? `closed with code ${code}` : `closed by the peer: ${said}`);
      this.closed(opened, failure ?? "");
    });
    this.options.logger.debug?.({ peer: identity.to, url: this.options.url }, "dialling peer");
  }

  private opened(socket: WebSocket, give: (why: string) => void): void {
    const { counters, identity, limits, logger, url } = this.options;
    counters.connects++;
    this.lastFailure = undefined;
    logger.info?.({ peer: identity.to, url }, "connected to peer");
    const heard = watchSilence(
      socket,
      limits.idleTimeoutMs,
      () => {
        give(`the peer was silent for ${limits.idleTimeoutMs} ms`);
        socket.terminate();
      },
      () => {
        if (socket.readyState === WebSocket.OPEN) socket.ping();
      },
    );
    socket.on("pong", () => {
      heard();
      this.backoffMs = limits.backoffMinMs;
    });
  }

  private closed(opened: boolean, failure: string): void {
    const { counters, identity, logger, onLost, url } = this.options;
    counters.dropped += this.waitingMessages;
    if (this.frame.messages > 0) this.frame.take();
    this.messagesInSocket = 0;
    this.socket = undefined;
    if (this.stopped) return;
    const level = failure === this.lastFailure ? "debug" : "warn";
    this.lastFailure = failure;
    const what = opened ? "lost the connection to peer" : "cannot connect to peer";
    logger[level]?.({ peer: identity.to, url, reason: failure }, what);
    if (opened) onLost();
    this.scheduleDial();
  }

  private scheduleDial(): void {
    const { limits, random } = this.options;
    // Jitter keeps the members that lost one peer together from coming back to it together.
    const pauseMs = this.backoffMs * (1 - random() / 2);
    this.backoffMs = Math.min(this.backoffMs * 2, limits.backoffMaxMs);
    this.redial = setTimeout(() => this.dial(), pauseMs);
  }
}

/** Reads why a peer refused, from the start of its answer. */
function readRefusal(response: IncomingMessage, done: (why: string) => void): void {
  let body = "";
  const finish = (): void => done(`refused with HTTP status ${response.statusCode}: ${printable(body)}`);
  response.setEncoding("utf8");
  response.on("data", (text: string) => {
    body = (body + text).slice(0, maxRefusalBytes);
    if (body.length === maxRefusalBytes) finish();
  });
  response.on("end", finish);
  response.on("error", finish);
}
