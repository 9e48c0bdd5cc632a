// One connection that a peer opened: its frames are decoded, checked and passed to the node.
//
// Promises: a frame is passed on whole, in order, and only if every message in it passes validate.ts. The first broken
// rule ends the connection with a reason, is counted and logged, and later bytes on it are ignored. No bytes from a
// peer throw out of here; an error of the handler is this node's own broken invariant and passes through, to stop the
// process.
//
// The peer's correct messages need no answer, and its pings get one only while it reads the earlier ones: a peer that
// floods and does not read cannot make this side collect pongs.

import type { RawData, WebSocket } from "ws";
import type { Message } from "../raft/raftpb/index.ts";
import { unseal } from "./checksum.ts";
import type { TransportHandler } from "./contract.ts";
import { decodeFrame } from "./frame.ts";
import type { PeerCounters, TransportLimits, TransportLogger } from "./options.ts";
import { closeCode, closeSocket, maxWaitingPongBytes, watchSilence } from "./socket.ts";
import { type Link, validateMessage } from "./validate.ts";

export interface IncomingOptions {
  readonly link: Link;
  readonly handler: TransportHandler;
  readonly limits: TransportLimits;
  readonly logger: TransportLogger;
  readonly counters: PeerCounters;
  readonly onClosed: () => void;
}

export class IncomingConnection {
  readonly #socket: WebSocket;
  readonly #options: IncomingOptions;
  #ended = false;

  constructor(socket: WebSocket, options: IncomingOptions) {
    this.#socket = socket;
    this.#options = options;
    const { limits, link, logger } = options;
    const peer = link.peer;
    const heard = watchSilence(socket, limits.idleTimeoutMs, () => {
      logger.warn?.({ peer }, "a connection from peer was silent for too long");
      socket.terminate();
    });
    socket.on("message", (data, isBinary) => {
      heard();
      if (!this.#ended) this.#receive(data, isBinary);
    });
    socket.on("ping", (payload) => {
      heard();
      if (socket.readyState !== socket.OPEN) return;
      if (socket.bufferedAmount > maxWaitingPongBytes) this.#violated("pings whose answers the peer does not read");
      else socket.pong(payload);
    });
    // ws closes the connection by itself before it reports an error; an error with a WS_ code is the peer's breach of
    // RFC 6455.
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code?.startsWith("WS_ERR_") === true) this.#violated(error.message);
      else logger.debug?.({ peer, reason: error.message }, "a connection from peer failed");
    });
    socket.on("close", (code) => {
      logger.info?.({ peer, code }, "a connection from peer was closed");
      options.onClosed();
    });
  }

  /** Ends the connection and ignores what still arrives; resolves when the socket is gone. */
  end(code: number, reason: string): Promise<void> {
    this.#ended = true;
    return closeSocket(this.#socket, code, reason, this.#options.limits.closeTimeoutMs);
  }

  #receive(data: RawData, isBinary: boolean): void {
    const { counters, handler, link } = this.#options;
    const messages = this.#take(data, isBinary);
    if (messages === undefined) return;
    counters.receivedFrames++;
    counters.receivedMessages += messages.length;
    const broken = handler.receive(link.peer, messages);
    if (broken !== undefined) this.#violated(broken);
  }

  /** The frame's messages if all of them keep the rules. */
  #take(data: RawData, isBinary: boolean): Message[] | undefined {
    // ws passes one Buffer for each message by default; the test is for the type's sake.
    if (!isBinary || !Buffer.isBuffer(data)) return this.#violated("a text frame");
    let messages: Message[];
    try {
      // Plain bytes, not a Buffer: the codec's views have the type of what they view.
      messages = decodeFrame(unseal(new Uint8Array(data.buffer, data.byteOffset, data.length)));
    } catch (cause) {
      return this.#violated(`a frame that does not decode: ${cause instanceof Error ? cause.message : String(cause)}`);
    }
    for (const m of messages) {
      const broken = validateMessage(m, this.#options.link);
      if (broken !== undefined) return this.#violated(broken);
    }
    return messages;
  }

  #violated(reason: string): undefined {
    if (this.#ended) return;
    const { counters, link, logger } = this.#options;
    counters.violations++;
    logger.warn?.({ peer: link.peer, reason }, "peer broke a rule; closing its connection");
    void this.end(closeCode.policyViolation, reason);
  }
}
