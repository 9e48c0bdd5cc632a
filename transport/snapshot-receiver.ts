// Receives one snapshot from a peer and passes it to the node, chunk by chunk.
//
// Promises: the message has been checked (validate.ts), and the data ends well only if all of it has arrived: a broken
// connection, a wrong size and a wrong checksum make the iterable throw. The peer gets "taken" only after the handler
// has resolved. Not much more than maxWaitingBytes wait for the handler: then this side stops reading, and TCP holds
// the peer back.
//
// Two kinds of slowness must not be mistaken for death. While the handler writes and syncs, this side reads nothing,
// not even pings: so it sends pings of its own, which show the peer that it lives, and does not count the peer's
// silence meanwhile.

import type { RawData, WebSocket } from "ws";
import { decodeMessage, type Message } from "../raft/raftpb/index.ts";
import { unseal } from "./checksum.ts";
import type { TransportHandler } from "./contract.ts";
import type { PeerCounters, TransportLimits, TransportLogger } from "./options.ts";
import { refused, Sum, taken } from "./snapshot-frames.ts";
import { closeCode, closeSocket, maxWaitingPongBytes, printable, watchSilence } from "./socket.ts";
import { type Link, validateSnapshotMessage } from "./validate.ts";

const maxWaitingBytes = 256 * 1024;
const maxReasonBytes = 500;

export interface SnapshotReceiverOptions {
  readonly link: Link;
  readonly handler: TransportHandler;
  readonly limits: TransportLimits;
  readonly logger: TransportLogger;
  readonly counters: PeerCounters;
}

export class SnapshotReceiver {
  /**
   * Resolves when the connection is gone and the handler, if it was called, is done: only then may the next one begin.
   */
  readonly ended: Promise<void>;
  readonly #socket: WebSocket;
  readonly #options: SnapshotReceiverOptions;
  #message: Message | undefined;
  #handled: Promise<void> | undefined;
  readonly #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  readonly #sum = new Sum();
  #whole = false;
  #broken: Error | undefined;
  /** This member ended the transfer, for no fault of the peer's. */
  #calledOff = false;
  /** The answer was given, or this side ended the connection: later frames are ignored. */
  #over = false;
  #wake: () => void = () => {};

  constructor(socket: WebSocket, options: SnapshotReceiverOptions) {
    this.#socket = socket;
    this.#options = options;
    const { limits, link, logger } = options;
    const heard = watchSilence(
      socket,
      limits.idleTimeoutMs,
      () => {
        logger.warn?.({ peer: link.peer }, "a connection from peer was silent for too long");
        this.#breakOff("the peer was silent for too long");
        socket.terminate();
      },
      () => {
        if (socket.isPaused) heard();
        if (socket.readyState === socket.OPEN && socket.bufferedAmount <= maxWaitingPongBytes) socket.ping();
      },
    );
    socket.on("message", (data, isBinary) => {
      heard();
      if (!this.#over) this.#receive(data, isBinary);
    });
    socket.on("ping", (payload) => {
      // A dialler has the message ready: until it is there, nothing else counts as life.
      if (this.#message !== undefined) heard();
      if (this.#over || socket.readyState !== socket.OPEN) return;
      if (socket.bufferedAmount > maxWaitingPongBytes) this.#violated("pings whose answers the peer does not read");
      else socket.pong(payload);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code?.startsWith("WS_ERR_") === true) this.#violated(error.message);
      else if (!this.#whole) this.#breakOff(error.message);
    });
    this.ended = new Promise((resolve) => {
      socket.on("close", () => {
        if (!this.#whole) this.#breakOff("the connection broke before all of the snapshot was there");
        resolve(this.#handled);
      });
    });
  }

  /** Ends the connection, and with it the transfer; resolves when the socket is gone. */
  end(code: number, reason: string): Promise<void> {
    this.#calledOff ||= code !== closeCode.policyViolation;
    this.#breakOff(reason);
    return this.#close(code, reason);
  }

  #receive(data: RawData, isBinary: boolean): void {
    // ws passes one Buffer for each message by default; the test is for the type's sake.
    if (!Buffer.isBuffer(data)) return this.#violated("fragments");
    // Plain bytes, not a Buffer: the codec's views have the type of what they view.
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.length);
    if (this.#whole) this.#violated("a frame behind the end of a snapshot");
    else if (this.#message === undefined) this.#receiveMessage(bytes, isBinary);
    else if (isBinary) this.#receiveData(bytes);
    else this.#receiveEnd(data.toString());
  }

  #receiveMessage(bytes: Uint8Array, isBinary: boolean): void {
    if (!isBinary) return this.#violated("a text frame in the place of a message");
    let message: Message;
    try {
      message = decodeMessage(unseal(bytes));
    } catch (cause) {
      return this.#violated(
        `a message that does not decode: ${cause instanceof Error ? cause.message : String(cause)}`,
      );
    }
    const { handler, link, logger } = this.#options;
    const broken = validateSnapshotMessage(message, link);
    if (broken !== undefined) return this.#violated(broken);
    this.#message = message;
    const index = message.snapshot?.metadata.index;
    logger.info?.({ peer: link.peer, index }, "receiving a snapshot from peer");
    this.#handled = handler.receiveSnapshot(link.peer, message, this.#chunks()).then(
      () => this.#answer(undefined),
      (error: unknown) => this.#answer(error instanceof Error ? error.message : String(error)),
    );
  }

  #receiveData(bytes: Uint8Array): void {
    if (bytes.length === 0) return this.#violated("an empty frame of data");
    this.#sum.add(bytes);
    this.#options.counters.receivedSnapshotBytes += bytes.length;
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes > maxWaitingBytes) this.#socket.pause();
    this.#wake();
  }

  #receiveEnd(text: string): void {
    const counted = this.#sum.toString();
    if (text !== counted) return this.#violated(`"${printable(text)}" where "${counted}" must follow`);
    this.#whole = true;
    this.#wake();
  }

  async *#chunks(): AsyncGenerator<Uint8Array> {
    for (;;) {
      if (this.#broken !== undefined) throw this.#broken;
      const chunk = this.#waiting.shift();
      if (chunk !== undefined) {
        this.#waitingBytes -= chunk.length;
        yield chunk;
      } else if (this.#whole) {
        return;
      } else {
        this.#socket.resume();
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  /** Sends the outcome to the peer, unless the connection is gone or ending. */
  #answer(failure: string | undefined): void {
    const { counters, link, logger } = this.#options;
    const about = { peer: link.peer, index: this.#message?.snapshot?.metadata.index, bytes: this.#sum.size };
    if (failure === undefined) {
      counters.receivedSnapshots++;
      logger.info?.(about, "took a snapshot from peer");
    } else {
      logger[this.#calledOff ? "info" : "warn"]?.({ ...about, reason: failure }, "did not take a snapshot from peer");
    }
    if (this.#over) return;
    if (this.#socket.readyState === this.#socket.OPEN) {
      this.#socket.send(failure === undefined ? taken : refused(printable(failure).slice(0, maxReasonBytes)));
    }
    void this.#close(closeCode.normal, "");
  }

  #violated(reason: string): void {
    if (this.#over) return;
    const { counters, link, logger } = this.#options;
    counters.violations++;
    logger.warn?.({ peer: link.peer, reason }, "peer broke a rule; closing its connection");
    void this.end(closeCode.policyViolation, reason);
  }

  /** From now on, reading the data throws. */
  #breakOff(reason: string): void {
    this.#broken ??= new Error(reason);
    this.#waiting.length = 0;
    this.#wake();
  }

  #close(code: number, reason: string): Promise<void> {
    this.#over = true;
    // The peer's part in the closing handshake lies behind unread frames.
    this.#socket.resume();
    return closeSocket(this.#socket, code, reason, this.#options.limits.closeTimeoutMs);
  }
}
