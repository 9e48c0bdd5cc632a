// What a transport is given: who it is, whom it serves, where it logs, and how much it may hold.
//
// Every limit has a default that suits members in one data centre; tests make the durations small. Nothing here waits or queues
// by itself: the limits are read by outgoing.ts (dialling and queues) and incoming.ts (what is received).

import type { Message } from "../raft/raftpb/index.ts";

/** What a transport calls on the node that it serves. */
export interface TransportHandler {
  /**
   * Takes messages that have passed validate.ts, in the order in which the peer sent them. Returns the rule that one of them
   * breaks in view of the node's state, or undefined: the connection of a peer that breaks one is closed. Byte fields are views
   * of the received frame, which nobody reuses; what outlives the log by long copies them, or it keeps the whole frame alive.
   */
  receive(from: number, messages: readonly Message[]): string | undefined;
  /** A message to this peer was probably lost. Never called from inside `send`. */
  reportUnreachable(id: number): void;
}

type LogLine = (fields: Readonly<Record<string, unknown>>, text: string) => void;

/** Where a transport logs: values first, then the sentence. pino fits; a level that is off may have no method. */
export interface TransportLogger {
  readonly debug?: LogLine;
  readonly info?: LogLine;
  readonly warn?: LogLine;
}

export interface TransportLimits {
  /** A frame is closed before it grows past this size; one message that is larger travels alone. */
  readonly maxFrameBytes: number;
  /** No frame above this size is sent or received. */
  readonly maxPayloadBytes: number;
  /** Messages that may wait for one peer, those handed to its socket included. */
  readonly maxWaitingMessages: number;
  /** Bytes that may wait for one peer; a message that finds nothing waiting may exceed it, up to maxPayloadBytes. */
  readonly maxWaitingBytes: number;
  /** The first pause before a peer is dialled again; it doubles up to backoffMaxMs, each shortened at random by up to half. */
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** Time for a dial, from the first packet to the peer's yes or no. */
  readonly handshakeTimeoutMs: number;
  /** A connection whose other side has been silent for this long is dead. Pings go out four times as often. */
  readonly idleTimeoutMs: number;
  /** Time for the closing handshake, after which the socket is destroyed. */
  readonly closeTimeoutMs: number;
}

export const defaultLimits: TransportLimits = {
  maxFrameBytes: 4 * 1024 * 1024,
  maxPayloadBytes: 64 * 1024 * 1024,
  maxWaitingMessages: 8192,
  maxWaitingBytes: 16 * 1024 * 1024,
  backoffMinMs: 50,
  backoffMaxMs: 2000,
  handshakeTimeoutMs: 3000,
  idleTimeoutMs: 5000,
  closeTimeoutMs: 500,
};

export interface TransportOptions {
  /** This member's id. */
  readonly id: number;
  readonly clusterId: number;
  /** Where to listen; port 0 takes a free one. */
  readonly host: string;
  readonly port: number;
  /** Id and URL (http://host:port) of each member; an entry for this member itself is skipped. */
  readonly peers: Iterable<readonly [id: number, url: string]>;
  readonly logger: TransportLogger;
  /** Uniform in [0, 1): the jitter of reconnects. */
  readonly random: () => number;
  readonly limits?: Partial<TransportLimits>;
}

/** What has passed between this member and one peer since the peer became known; the last three are the present state. */
export interface PeerStats {
  readonly id: number;
  readonly url: string;
  /** Outgoing connections that the peer took, and incoming ones from it that were taken here. */
  readonly connects: number;
  readonly accepts: number;
  readonly sentFrames: number;
  readonly sentMessages: number;
  readonly receivedFrames: number;
  readonly receivedMessages: number;
  /** Messages that were not sent, or were still waiting when a connection broke. */
  readonly dropped: number;
  /** Times the peer broke a rule. */
  readonly violations: number;
  readonly connected: boolean;
  readonly waitingMessages: number;
  readonly waitingBytes: number;
}

export interface TransportStats {
  /** Handshakes refused here. */
  readonly refused: number;
  /** Messages to nodes whose address is not known. */
  readonly droppedUnknown: number;
  readonly peers: readonly PeerStats[];
}

/** The counters behind PeerStats, shared by the two directions of one peer. */
export class PeerCounters {
  connects = 0;
  accepts = 0;
  sentFrames = 0;
  sentMessages = 0;
  receivedFrames = 0;
  receivedMessages = 0;
  dropped = 0;
  violations = 0;
}

/**
 * An operating failure. BAD_PEER_URL: an address that is not http://host:port; BAD_MEMBER_ID: an id outside [1, 2^53);
 * otherwise the system's code of a failed listen, such as EADDRINUSE.
 */
export class TransportError extends Error {
  override readonly name = "TransportError";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}
