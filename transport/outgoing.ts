// The way to one peer: a connection that is dialled until it stands, and a bounded queue in front of it.
//
// Each member dials each peer and sends on the connection it dialled; what comes back is pongs. So a pair of members has two connections,
// each with one writer, and no rule is needed for which of two crossing dials survives. etcd's rafthttp streams work the same way.
//
// Promises: `push` never blocks, never calls back, and holds no more than the limits allow. While there is no connection nothing is
// queued at all: raft repeats what matters, and what it has to say to a peer that was away is not what it said meanwhile. A peer that
// takes connections and breaks them at once is dialled ever more slowly: only a pong, never the mere opening, resets the backoff.

import { WebSocket } from "ws";
import { encodeMessage, type Message, messageTypeName } from "../raft/raftpb/index.ts";
import { seal, sealBytes } from "./checksum.ts";
import { Dial, type DialTarget, type Ending } from "./dial.ts";
import { FrameWriter, framingBytes, itemsOf, maxFrameItems } from "./frame.ts";
import { peerPath } from "./handshake.ts";
import type { PeerCounters, TransportLogger } from "./options.ts";
import { closeCode, closeSocket, watchSilence } from "./socket.ts";

export interface OutgoingOptions extends DialTarget {
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
  /** What was logged last, with its level: a peer that stays away is worth one line, not one for each dial. */
  private lastLine: string | undefined;
  /** Since when the peer may be starting: it is new here, or has said that it shuts down. */
  private expectedSince = Date.now();

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
    const dial = new Dial(this.options, peerPath.messages);
    this.socket = dial.socket;
    this.follow(dial);
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
    socket.send(seal(this.frame.take()), (error) => {
      if (this.socket !== socket) return;
      this.messagesInSocket -= messages;
      if (error) this.options.counters.dropped += messages;
    });
  }

  /** Ends for good, once what was pushed has left or `timeoutMs` have passed; resolves when the socket is gone. */
  async stop(reason: string, timeoutMs: number): Promise<void> {
    this.stopped = true;
    clearTimeout(this.redial);
    if (this.socket === undefined) return;
    this.flush();
    // The close frame goes behind what was pushed, and the peer answers it when it has read that.
    await closeSocket(this.socket, closeCode.goingAway, reason, timeoutMs);
  }

  private enqueue(message: Message): boolean {
    const { limits, logger, identity } = this.options;
    if (this.waitingMessages >= limits.maxWaitingMessages) return false;
    const encoded = encodeMessage(message);
    const size = encoded.length + framingBytes + sealBytes;
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

  private follow(dial: Dial): void {
    const { counters, identity, limits, logger, url } = this.options;
    const { socket } = dial;
    let opened = false;
    socket.on("open", () => {
      opened = true;
      this.opened(dial);
    });
    socket.on("message", () => {
      if (dial.failure !== undefined) return;
      counters.violations++;
      dial.fail("the peer sent a message on a connection that is not its own");
      const reason = "this connection is for messages of its dialler";
      void closeSocket(socket, closeCode.policyViolation, reason, limits.closeTimeoutMs);
    });
    socket.on("close", () => this.closed(opened, dial));
    logger.debug?.({ peer: identity.to, url }, "dialling peer");
  }

  private opened(dial: Dial): void {
    const { counters, identity, limits, logger, url } = this.options;
    const { socket } = dial;
    counters.connects++;
    this.lastLine = undefined;
    logger.info?.({ peer: identity.to, url }, "connected to peer");
    const heard = watchSilence(
      socket,
      limits.idleTimeoutMs,
      () => dial.end(`the peer was silent for ${limits.idleTimeoutMs} ms`),
      () => {
        if (socket.readyState === WebSocket.OPEN) socket.ping();
      },
    );
    socket.on("pong", () => {
      heard();
      this.backoffMs = limits.backoffMinMs;
    });
  }

  private closed(opened: boolean, { ending, failure = "" }: Dial): void {
    const { counters, identity, logger, onLost, url } = this.options;
    counters.dropped += this.waitingMessages;
    if (this.frame.messages > 0) this.frame.take();
    this.messagesInSocket = 0;
    this.socket = undefined;
    if (this.stopped) return;
    if (ending === "going-away") this.expectedSince = Date.now();
    const level = this.isExpected(ending) ? "info" : "warn";
    const line = `${level} ${failure}`;
    const what = opened ? "lost the connection to peer" : "cannot connect to peer";
    logger[line === this.lastLine ? "debug" : level]?.({ peer: identity.to, url, reason: failure }, what);
    this.lastLine = line;
    if (opened) onLost();
    this.scheduleDial();
  }

  /** Whether this is how members come and go in order: then it is no warning. */
  private isExpected(ending: Ending): boolean {
    if (ending === "removed" || ending === "going-away") return true;
    return ending === "absent" && Date.now() - this.expectedSince < this.options.limits.startupMs;
  }

  private scheduleDial(): void {
    const { limits, random } = this.options;
    // Jitter keeps the members that lost one peer together from coming back to it together.
    const pauseMs = this.backoffMs * (1 - random() / 2);
    this.backoffMs = Math.min(this.backoffMs * 2, limits.backoffMaxMs);
    this.redial = setTimeout(() => this.dial(), pauseMs);
  }
}
