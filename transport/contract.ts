// The contract between a transport and what it serves: what the transport calls, and the values that pass between them.
//
// Types only, so that server/ can import this file, and no other of this room, without a line of code that talks to the
// network. What server/ calls in its turn is the interface Transport in server/interfaces.ts: websocket-transport.ts is
// one, sim/endpoint.ts another.

import type { Message } from "../raft/raftpb/index.ts";

/** What a transport calls on the member that it serves. */
export interface TransportHandler {
  /**
   * Takes messages that have passed validate.ts, in the order in which the peer sent them. Returns the rule that one of
   * them breaks in view of the node's state, or undefined: the transport closes the connection of a peer that breaks
   * one. Byte fields are views of the received frame, which is never written again. Copy bytes that you keep longer
   * than the log does, or they keep the whole frame alive.
   */
  receive(from: number, messages: readonly Message[]): string | undefined;
  /** A message to this peer was probably lost. Never called from inside `send`. */
  reportUnreachable(id: number): void;
  /**
   * A peer sends a snapshot: the message, without data, and behind it the data, which throws unless it arrives whole.
   * Resolves once the snapshot is taken: it is durable and raft has it, or raft has no use for it, and then not all of
   * the data may have been read. Rejects if it is not taken. Never called twice at a time for one peer.
   */
  receiveSnapshot(from: number, message: Message, chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /** A peer passes on a request of at most maxRequestBytes; the answer, of at most as many, goes back to it. */
  request(from: number, body: Uint8Array): Promise<Uint8Array>;
  /**
   * Whether this peer may talk to this member. An incarnation of 0 is an unknown one. The address is where the peer
   * says that it is reached; a peer that asks whether it may join gives none. Asked at each connection and request.
   */
  admit(from: number, incarnation: number, address: Address | undefined): Rejection | undefined;
  /**
   * A peer has refused this member for good ("removed" or "lost-data"); called at each such answer.
   */
  rejectedBy(id: number, rejection: Rejection): void;
  /**
   * A dial of this peer at this address has ended. `clusterId` is the cluster that the answer named; undefined without
   * an answer that named one. A cluster other than this member's own was the reason of a refusal; the next dial may
   * find another.
   */
  dialled(id: number, url: string, clusterId: number | undefined): void;
  /** All members with their addresses, for one that joins; none while this member does not know them. */
  addresses(): readonly MemberAddress[];
}

export interface MemberAddress {
  readonly id: number;
  /** http://host:port */
  readonly url: string;
}

/** Where a member is reached, as of an entry of the log: of two addresses the one with the higher `since` is newer. */
export interface Address {
  readonly url: string;
  readonly since: number;
}

/** Why a peer may not talk to a member. */
export interface Rejection {
  /**
   * unknown: it is not a member, or not yet. removed: it was one, and its id is spent. lost-data: it has another
   * incarnation than the member of this id that the cluster knows, so its log was lost or replaced, and with it what
   * it had promised.
   */
  readonly kind: "unknown" | "removed" | "lost-data";
  readonly message: string;
  /** With "removed": the members that are left, since the removed one may have been away for long. */
  readonly remaining?: Remaining | undefined;
}

/**
 * The members, learners included, once the entry of the log at index `asOf` has been applied. An address that is not
 * known is empty.
 */
export interface Remaining {
  readonly asOf: number;
  readonly members: readonly MemberAddress[];
}

/** How a request to a peer ended. */
export type RequestOutcome =
  | { readonly kind: "answered"; readonly body: Uint8Array }
  /** The peer has certainly not seen it. */
  | { readonly kind: "unsent"; readonly message: string }
  /** It may have been carried out, or may yet be. */
  | { readonly kind: "unknown"; readonly message: string };
