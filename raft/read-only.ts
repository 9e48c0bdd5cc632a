// Read requests that wait for a quorum to confirm that this node still leads (thesis 6.4).
//
// Requests queue in the order of arrival, and each has a position: the count of all requests before it, plus one. A heartbeat
// carries the position of the newest; who answers it acknowledges all up to there. What a quorum has acknowledged is confirmed,
// by the very rule that commits entries. The position is this node's own, so a request context that a client uses twice, or
// a heartbeat response that comes late, can never confirm the wrong read.
//
// Ports read_only.go.

import type { JointConfig } from "./quorum/joint.ts";
import type { Message } from "./raftpb/index.ts";
import type { ReadOnlyOption } from "./types.ts";

export interface ReadIndexRequest {
  readonly req: Message;
  /** The commit index when the request came. */
  readonly index: number;
}

export class ReadOnly {
  readonly option: ReadOnlyOption;
  readonly acks = new Map<number, number>();
  unconfirmedReads: ReadIndexRequest[] = [];
  confirmedReads = 0;
  readonly #ackedPosition = (id: number): number | undefined => this.acks.get(id);

  constructor(option: ReadOnlyOption) {
    this.option = option;
  }

  /** The position of the newest request. */
  lastPosition(): number {
    return this.confirmedReads + this.unconfirmedReads.length;
  }

  addRequest(commitIndex: number, req: Message): void {
    this.unconfirmedReads.push({ req, index: commitIndex });
  }

  /** Notes a node's answer to a heartbeat with this context. */
  recvAck(from: number, context: Uint8Array | undefined): void {
    if (context === undefined || context.length === 0) return;
    const position = decodePosition(context);
    if (position > (this.acks.get(from) ?? 0)) this.acks.set(from, position);
  }

  /** Takes the requests that are confirmed by now out of the queue. */
  maybeAdvance(voters: JointConfig): ReadIndexRequest[] {
    const confirmed = voters.committedIndex(this.#ackedPosition);
    if (confirmed <= this.confirmedReads) return [];
    const done = this.unconfirmedReads.splice(0, confirmed - this.confirmedReads);
    this.confirmedReads = confirmed;
    return done;
  }

  /** What heartbeats carry: undefined if nothing waits. */
  heartbeatCtx(): Uint8Array | undefined {
    return this.unconfirmedReads.length === 0 ? undefined : encodePosition(this.lastPosition());
  }
}

/** A position as 8 little-endian bytes. */
function encodePosition(position: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(position), true);
  return bytes;
}

/** The position that a heartbeat context of 8 bytes holds. */
export function decodePosition(context: Uint8Array): number {
  return Number(new DataView(context.buffer, context.byteOffset, context.byteLength).getBigUint64(0, true));
}
