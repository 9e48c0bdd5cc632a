// Sends one snapshot to a peer, on a connection of its own: a long transfer must not hold up heartbeats.
//
// Promises: the outcome is a value, never an error, and it is true only if the peer has said so. One chunk of the data lies in this
// process at a time: the next is asked for when the system has taken the last one, and the event loop gets a turn between two
// frames. The source is always ended, so that a file behind it is closed. Silence ends a transfer, never its duration.
//
// Its counterpart upstream is etcd's rafthttp/snapshot_sender.go, which posts the whole as one HTTP body; a peer that dies without a word
// holds it up until the keep-alive of TCP gives up.

import { WebSocket } from "ws";
import { encodeMessage, type Message } from "../raft/raftpb/index.ts";
import { seal } from "./checksum.ts";
import { Dial, type DialTarget } from "./dial.ts";
import { peerPath } from "./handshake.ts";
import type { PeerCounters, TransportLogger } from "./options.ts";
import { maxSnapshotFrameBytes, readAnswer, Sum } from "./snapshot-frames.ts";
import { closeCode, closeSocket, printable, watchSilence } from "./socket.ts";

export interface SnapshotTarget extends DialTarget {
  readonly logger: TransportLogger;
  readonly counters: PeerCounters;
}

/**
 * Sends a MsgSnap without data, and the data behind it; true once the peer has taken them. Resolves when the connection is gone. An
 * aborted signal ends it early, for the signal's reason. A chunk must not change once it has been given.
 */
export async function sendSnapshot(
  target: SnapshotTarget,
  message: Message,
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<boolean> {
  const { counters, identity, limits, logger } = target;
  const metadata = message.snapshot?.metadata;
  const about = { peer: identity.to, index: metadata?.index, term: metadata?.term };
  const iterator = chunks[Symbol.asyncIterator]();
  const transfer = new Transfer(target);
  const abort = (): void => transfer.dial.end(String(signal.reason));
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort);
  logger.info?.(about, "sending a snapshot to peer");
  transfer.run(message, iterator).catch((error: unknown) => {
    transfer.dial.end(`the snapshot cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  });
  const failure = await transfer.answered;
  endChunks(iterator, identity.to, logger);
  await closeSocket(transfer.dial.socket, closeCode.normal, "", limits.closeTimeoutMs);
  signal.removeEventListener("abort", abort);
  if (failure === undefined) {
    counters.sentSnapshots++;
    logger.info?.({ ...about, bytes: transfer.sum.size }, "peer has taken a snapshot");
    return true;
  }
  // Called off on purpose, or the peer shuts down or was removed: the leader sends another snapshot if one is still needed.
  const isExpected = signal.aborted || transfer.dial.ending === "going-away" || transfer.dial.ending === "removed";
  logger[isExpected ? "info" : "warn"]?.(
    { ...about, bytes: transfer.sum.size, reason: failure },
    "cannot send a snapshot to peer",
  );
  return false;
}

/** Tells a source of data that no more of it is wanted. Its answer is not waited for: it may be stuck in its next(). */
export function endChunks(iterator: AsyncIterator<Uint8Array>, peer: number, logger: TransportLogger): void {
  const end = async (): Promise<unknown> => iterator.return?.();
  end().catch((error: unknown) => logger.warn?.({ peer, error }, "the source of a snapshot did not end well"));
}

class Transfer {
  readonly dial: Dial;
  readonly sum = new Sum();
  /** Why the snapshot was not taken, undefined if it was. */
  readonly answered: Promise<string | undefined>;
  private readonly counters: PeerCounters;
  private readonly opened: Promise<void>;
  private heard: () => void = () => {};
  private over = false;

  constructor(target: SnapshotTarget) {
    const { counters, limits } = target;
    this.counters = counters;
    this.dial = new Dial(target, peerPath.snapshot);
    const { dial } = this;
    const { socket } = dial;
    this.opened = new Promise((resolve) => {
      socket.once("open", () => {
        this.heard = watchSilence(
          socket,
          limits.idleTimeoutMs,
          () => dial.end(`the peer was silent for ${limits.idleTimeoutMs} ms`),
          () => {
            if (socket.readyState === WebSocket.OPEN) socket.ping();
          },
        );
        resolve();
      });
    });
    socket.on("ping", () => this.heard());
    socket.on("pong", () => this.heard());
    this.answered = new Promise((resolve) => {
      socket.on("message", (data, isBinary) => {
        const answer = isBinary ? undefined : readAnswer(String(data));
        this.over = true;
        if (answer === true) resolve(undefined);
        else if (answer !== undefined) resolve(`refused by the peer: ${printable(answer)}`);
        else dial.end("the peer answered with something else than taken or refused");
      });
      socket.on("close", () => {
        this.over = true;
        resolve(dial.failure);
      });
    });
  }

  /** Sends message, data and end; stops early when there is an answer. Rejects with the error of `chunks`. */
  async run(message: Message, chunks: AsyncIterator<Uint8Array>): Promise<void> {
    await this.opened;
    await this.send(seal(encodeMessage(message)));
    while (!this.over) {
      const next = await chunks.next();
      if (this.over) return;
      if (next.done === true) {
        await this.send(this.sum.toString());
        return;
      }
      for (let offset = 0; offset < next.value.length && !this.over; offset += maxSnapshotFrameBytes) {
        const frame = next.value.subarray(offset, offset + maxSnapshotFrameBytes);
        this.sum.add(frame);
        this.counters.sentSnapshotBytes += frame.length;
        await this.send(frame);
      }
    }
  }

  /** Resolves a turn of the event loop after the system has taken the frame, or the connection has broken. */
  private send(frame: Uint8Array | string): Promise<void> {
    return new Promise((resolve) => {
      this.dial.socket.send(frame, () => {
        this.heard();
        setImmediate(resolve);
      });
    });
  }
}
