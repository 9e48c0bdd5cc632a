// Clients' writes on their way: from the queue into a proposal, from the applied entry back to the promise.
//
// Each promise settles once: applied, refused before anything was proposed, or unknown when the deadline passes first. Once a
// proposal has left this member nothing here can call it refused: another leader may yet commit it.
//
// Bounded: at most `maxWaiting` writes and `maxWaitingBytes` of them, queued or proposed. All wait equally long, so the map's order
// is the order of deadlines.

import { encodeEnvelope, type RequestId } from "./envelope.ts";
import type { ProposeOutcome, Refused } from "./member.ts";

interface Waiting {
  readonly bytes: number;
  readonly deadline: number;
  readonly settle: (outcome: ProposeOutcome) => void;
}

interface Queued {
  readonly counter: number;
  readonly data: Uint8Array;
}

export interface ProposalLimits {
  readonly maxWaiting: number;
  readonly maxWaitingBytes: number;
  readonly timeoutMs: number;
  /** Bytes in one proposal of several commands; a larger command goes alone. */
  readonly maxBatchBytes: number;
}

export class Proposals {
  private readonly member: number;
  private readonly epoch: number;
  private readonly limits: ProposalLimits;
  private counter = 0;
  private readonly waiting = new Map<number, Waiting>();
  private waitingBytes = 0;
  private queue: Queued[] = [];

  constructor(member: number, epoch: number, limits: ProposalLimits) {
    this.member = member;
    this.epoch = epoch;
    this.limits = limits;
  }

  /** Queues a command until the loop proposes it. */
  add(command: Uint8Array, now: number): Promise<ProposeOutcome> {
    const { maxWaiting, maxWaitingBytes, timeoutMs } = this.limits;
    if (this.waiting.size >= maxWaiting || this.waitingBytes + command.length > maxWaitingBytes) {
      const message = `${this.waiting.size} writes (${this.waitingBytes} bytes) are waiting on this member already`;
      return Promise.resolve({ kind: "refused", code: "TOO_MANY_WAITING", message });
    }
    const counter = ++this.counter;
    const data = encodeEnvelope({ member: this.member, epoch: this.epoch, counter }, command);
    this.queue.push({ counter, data });
    this.waitingBytes += command.length;
    return new Promise((settle) => {
      this.waiting.set(counter, { bytes: command.length, deadline: now + timeoutMs, settle });
    });
  }

  /**
   * Hands everything queued to `propose`, in batches; a batch that it refuses is settled as refused. What is proposed together stands
   * together in the log, and costs one message to each peer.
   */
  flush(propose: (batch: readonly Uint8Array[]) => Refused | undefined): void {
    const queued = this.queue;
    this.queue = [];
    for (let start = 0; start < queued.length; ) {
      let bytes = 0;
      let end = start;
      do bytes += (queued[end++] as Queued).data.length;
      while (end < queued.length && bytes + (queued[end] as Queued).data.length <= this.limits.maxBatchBytes);
      const batch = queued.slice(start, end);
      const refused = propose(batch.map(({ data }) => data));
      if (refused !== undefined) for (const { counter } of batch) this.settle(counter, refused);
      start = end;
    }
  }

  /** An entry with this request id was applied. Ids of other members, or of an earlier run of this one, mean nothing here. */
  applied({ member, epoch, counter }: RequestId, index: number, result: unknown): void {
    if (member === this.member && epoch === this.epoch) this.settle(counter, { kind: "applied", index, result });
  }

  /** Settles those whose time is up; one that was still queued was never proposed. */
  expire(now: number): void {
    const ms = this.limits.timeoutMs;
    let expired = 0;
    for (const [counter, { deadline }] of this.waiting) {
      if (deadline > now) break;
      if (this.queue[expired]?.counter === counter) {
        expired++;
        this.settle(counter, {
          kind: "refused",
          code: "NO_LEADER",
          message: `within ${ms} ms no leader took the write`,
        });
      } else {
        this.settle(counter, { kind: "unknown", message: `the write was not confirmed within ${ms} ms` });
      }
    }
    if (expired > 0) this.queue.splice(0, expired);
  }

  /** Refuses the queued proposals: no leader will take them now. */
  refuseQueued(outcome: Refused): void {
    const queued = this.queue;
    this.queue = [];
    for (const { counter } of queued) this.settle(counter, outcome);
  }

  get waitingCount(): number {
    return this.waiting.size;
  }

  /** Settles all: a queued proposal was never proposed; the outcome of the others is unknown. */
  stop(message: string): void {
    this.refuseQueued({ kind: "refused", code: "STOPPING", message });
    for (const counter of [...this.waiting.keys()]) this.settle(counter, { kind: "unknown", message });
  }

  private settle(counter: number, outcome: ProposeOutcome): void {
    const waiting = this.waiting.get(counter);
    if (waiting === undefined) return;
    this.waiting.delete(counter);
    this.waitingBytes -= waiting.bytes;
    waiting.settle(outcome);
  }
}
