// Linearizable reads (thesis 6.4): many clients' reads share one read index.
//
//     queued --- a round starts: one readIndex for all ---> asked --- ReadState(index) ---> confirmed --- applied >= index ---> ready
//
// A read joins only a round that starts after it came, since an earlier round's index may be older than a write that the reader knows
// of. One round is under way at a time; if no answer comes (messages may be lost, leaders change) its reads start over, under a new
// context: with the old one a late answer could confirm a read that came after it (etcd#20418).

import { encodeEnvelope, type RequestId } from "./envelope.ts";
import type { ReadOutcome } from "./member.ts";

interface Read {
  readonly deadline: number;
  readonly settle: (outcome: ReadOutcome) => void;
}

interface Round {
  readonly counter: number;
  readonly startedAt: number;
  readonly reads: readonly Read[];
}

const noBytes = new Uint8Array(0);

export interface ReadLimits {
  readonly maxWaiting: number;
  readonly timeoutMs: number;
  /** After this time without an answer a round is started over. */
  readonly retryMs: number;
}

export class Reads {
  private readonly member: number;
  private readonly epoch: number;
  private readonly limits: ReadLimits;
  private counter = 0;
  private queued: Read[] = [];
  private asked: Round | undefined;
  private confirmed: { readonly index: number; readonly reads: readonly Read[] }[] = [];
  private waiting = 0;

  constructor(member: number, epoch: number, limits: ReadLimits) {
    this.member = member;
    this.epoch = epoch;
    this.limits = limits;
  }

  add(now: number): Promise<ReadOutcome> {
    if (this.waiting >= this.limits.maxWaiting) {
      const message = `${this.waiting} reads are waiting on this member already`;
      return Promise.resolve({ kind: "refused", code: "TOO_MANY_WAITING", message });
    }
    this.waiting++;
    return new Promise((resolve) => {
      const settle = (outcome: ReadOutcome): void => {
        this.waiting--;
        resolve(outcome);
      };
      this.queued.push({ deadline: now + this.limits.timeoutMs, settle });
    });
  }

  hasQueued(): boolean {
    return this.queued.length > 0 && this.asked === undefined;
  }

  /** Starts a round for all that is queued, unless one is under way. */
  flush(now: number, readIndex: (context: Uint8Array) => void): void {
    if (!this.hasQueued()) return;
    const reads = this.queued;
    this.queued = [];
    const counter = ++this.counter;
    this.asked = { counter, startedAt: now, reads };
    readIndex(encodeEnvelope({ member: this.member, epoch: this.epoch, counter }, noBytes));
  }

  /** The answer to a round; one to an earlier round is too late and ignored. */
  answered({ member, epoch, counter }: RequestId, index: number): void {
    if (this.asked === undefined || this.asked.counter !== counter) return;
    if (member !== this.member || epoch !== this.epoch) return;
    this.confirmed.push({ index, reads: this.asked.reads });
    this.asked = undefined;
  }

  /** The state machine has applied up to here. */
  appliedTo(applied: number): void {
    if (this.confirmed.length === 0) return;
    this.confirmed = this.confirmed.filter(({ index, reads }) => {
      if (index > applied) return true;
      for (const { settle } of reads) settle({ kind: "ready" });
      return false;
    });
  }

  /** Settles those whose time is up, and starts a round over that has had no answer. */
  expire(now: number): void {
    const { timeoutMs } = this.limits;
    const orElse =
      (late: ReadOutcome) =>
      (read: Read): boolean => {
        if (read.deadline > now) return true;
        read.settle(late);
        return false;
      };
    const message = `within ${timeoutMs} ms no leader was there to confirm the read`;
    this.queued = this.queued.filter(orElse({ kind: "refused", code: "NO_LEADER", message }));
    const inTime = orElse({ kind: "timeout", message: `the read was not confirmed within ${timeoutMs} ms` });
    this.confirmed = this.confirmed.map(({ index, reads }) => ({ index, reads: reads.filter(inTime) }));
    if (this.asked === undefined) return;
    const reads = this.asked.reads.filter(inTime);
    if (now - this.asked.startedAt < this.limits.retryMs && reads.length > 0) {
      this.asked = { ...this.asked, reads };
    } else {
      this.asked = undefined;
      this.queued = [...reads, ...this.queued];
    }
  }

  /** The leader that was asked is lost, and the question with it: the next one is asked afresh. */
  restart(): void {
    if (this.asked === undefined) return;
    this.queued = [...this.asked.reads, ...this.queued];
    this.asked = undefined;
  }

  get waitingCount(): number {
    return this.waiting;
  }

  /** Refuses the reads that are not confirmed yet: no leader can confirm them now. */
  refuse(code: "NO_LEADER" | "STOPPING", message: string): void {
    const reads = [...(this.asked?.reads ?? []), ...this.queued];
    this.asked = undefined;
    this.queued = [];
    for (const { settle } of reads) settle({ kind: "refused", code, message });
  }

  /** Settles all that is left. */
  stop(message: string): void {
    this.refuse("STOPPING", message);
    for (const { reads } of this.confirmed) {
      for (const { settle } of reads) settle({ kind: "refused", code: "STOPPING", message });
    }
    this.confirmed = [];
  }
}
