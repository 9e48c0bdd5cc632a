// The options of a transport: its identity, its handler, its logger and its limits.
//
// Every limit has a default that suits members in one data centre; tests make the durations small. Nothing here waits or queues
// by itself: the limits are read by outgoing.ts (dialling and queues), incoming.ts (what is received), snapshot-sender.ts,
// snapshot-receiver.ts and requests.ts. What it serves is in contract.ts.

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
  /** How long a new peer, or one that shuts down, may be absent: until then a dial that finds nothing there logs no warning. */
  readonly startupMs: number;
  /** A connection whose other side has been silent for this long is dead. Pings go out four times as often. */
  readonly idleTimeoutMs: number;
  /** Time for the closing handshake, after which the socket is destroyed. */
  readonly closeTimeoutMs: number;
  /** Time for what is queued to a peer when it is removed: it may be the very message that tells it so. */
  readonly removeTimeoutMs: number;
  /** Time for a request to a peer, from the first packet to the last byte of its answer. */
  readonly requestTimeoutMs: number;
  /** Requests that may be under way at a time to one peer, and from one peer. */
  readonly maxRequests: number;
  /** Snapshots that may be arriving at a time; from one peer it is one. */
  readonly maxIncomingSnapshots: number;
}

export const defaultLimits: TransportLimits = {
  maxFrameBytes: 4 * 1024 * 1024,
  maxPayloadBytes: 64 * 1024 * 1024,
  maxWaitingMessages: 8192,
  maxWaitingBytes: 16 * 1024 * 1024,
  backoffMinMs: 50,
  backoffMaxMs: 2000,
  handshakeTimeoutMs: 3000,
  startupMs: 10_000,
  idleTimeoutMs: 5000,
  closeTimeoutMs: 500,
  removeTimeoutMs: 1000,
  requestTimeoutMs: 15_000,
  maxRequests: 64,
  maxIncomingSnapshots: 4,
};

/** The largest body of a request, of its answer, and of the answer to one who joins. */
export const maxRequestBytes = 64 * 1024;

export interface TransportOptions {
  /** This member's id. */
  readonly id: number;
  readonly clusterId: number;
  /** A number drawn when this member's log was created, by which peers tell it from one that lost its log; 0 or absent: unknown. */
  readonly incarnation?: number;
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

/** What has passed between this member and one peer since the peer became known; from `connected` on it is the present state. */
export interface PeerStats {
  readonly id: number;
  /** Undefined for one that was let in and whose address is not known. */
  readonly url: string | undefined;
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
  /** Snapshots that the peer has taken, and that were taken from it; the bytes count those of broken transfers as well. */
  readonly sentSnapshots: number;
  readonly receivedSnapshots: number;
  readonly sentSnapshotBytes: number;
  readonly receivedSnapshotBytes: number;
  readonly connected: boolean;
  readonly waitingMessages: number;
  readonly waitingBytes: number;
  readonly sendingSnapshot: boolean;
  readonly receivingSnapshot: boolean;
}

export interface TransportStats {
  /** Handshakes and requests refused here. */
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
  sentSnapshots = 0;
  receivedSnapshots = 0;
  sentSnapshotBytes = 0;
  receivedSnapshotBytes = 0;
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
