// Read requests that wait for a quorum to confirm that this node still leads (thesis 6.4).
//
// Requests queue in the order of arrival, and each has a position: the count of all requests before it, plus one. A
// heartbeat carries the position of the newest, and its answer acknowledges all up to there. The rule that commits
// entries confirms reads: a position counts once a quorum has acknowledged it. Positions are this node's own, so
// neither a request context that a client uses twice nor a late heartbeat response can confirm the wrong read.
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

  /** Records a node's answer to a heartbeat with this context. */
  recvAck(from: number, context: Uint8Array | undefined): void {
    if (context === undefined || context.length === 0) return;
    const position = decodePosition(context);
    if (position > (this.acks.get(from) ?? 0)) this.acks.set(from, position);
  }

  /** Removes the confirmed requests from the queue and returns them. */
  maybeAdvance(voters: JointConfig): ReadIndexRequest[] {
    const confirmed = voters.committedIndex(this.#ackedPosition);
    if (confirmed <= this.confirmedReads) return [];
    const done = this.unconfirmedReads.splice(0, confirmed - this.confirmedReads);
    this.confirmedReads = confirmed;
    return done;
  }

  /** The context of the next heartbeats; undefined if no read waits. */
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
