// How a member goes that the cluster has no place for any more.
//
// A member that has lost its promises goes at once: no answer of it could be trusted. A removed member goes when no other member needs it
// any longer. Its removal is committed, but the others may not know that yet. Until they do they count on its vote, and a leader of
// theirs on its copy of the log: of two voters, the one that stays cannot be elected alone before it has heard that it is alone. Even a
// majority that has heard is not enough: the log of one that has not may be the longest, and then the others cannot be elected, and it
// cannot without the removed member. In raft only a leader's messages carry the commit index.
//
// So the removed member answers its peers as before, calls each member again and again, learners too, since they may vote one day, and goes
// when all of them have turned it away because it was removed. Each does so only when the commit is on its disk (ready-loop.ts), and says
// with it which members remain, since a removed member that was away may know only members that are long gone. A member that is down delays
// it. If that member never comes back, the operator removes it as well, or stops the removed one. Likewise if every member that the
// removed one knows is gone.

import type { Logger } from "../../raft/index.ts";
import type { Rejection, Remaining } from "../../transport/contract.ts";

/** It logs the members that it waits for after one election timeout, and then each time so many have passed. */
const reminderInElections = 10;

export interface DepartureParts {
  readonly id: number;
  readonly electionMs: number;
  readonly now: () => number;
  readonly logger: Logger;
  /** The member is to end now. */
  readonly onRejected: (rejection: Rejection) => void;
}

export class Departure {
  private readonly parts: DepartureParts;
  private rejection: Rejection | undefined;
  private remaining: Remaining = { asOf: 0, members: [] };
  /** Members that have shown that they know of the removal. */
  private readonly know = new Set<number>();
  private remindAt = 0;
  private hasGone = false;

  constructor(parts: DepartureParts) {
    this.parts = parts;
  }

  /** Whether there is no way back. */
  get isDecided(): boolean {
    return this.rejection !== undefined;
  }

  /** `remaining`: those that this member knows of. */
  decide(rejection: Rejection, remaining: Remaining): void {
    const { now, electionMs } = this.parts;
    this.rejection = rejection;
    this.remaining = remaining;
    this.remindAt = now() + electionMs;
    if (rejection.kind === "lost-data") this.go(rejection);
  }

  /** A member has refused this one, which has decided to go. Returns the remaining members, if they are news. */
  turnedAwayBy(id: number, { kind, remaining }: Rejection): Remaining | undefined {
    const { rejection } = this;
    if (rejection === undefined || kind !== "removed") return undefined;
    this.know.add(id);
    const news = remaining !== undefined && remaining.asOf > this.remaining.asOf ? remaining : undefined;
    if (news !== undefined) this.remaining = news;
    if (this.waitsFor().length === 0) this.go(rejection);
    return news;
  }

  tick(): void {
    const { parts, rejection } = this;
    if (rejection === undefined || this.hasGone || parts.now() < this.remindAt) return;
    this.remindAt = parts.now() + reminderInElections * parts.electionMs;
    const ids = this.waitsFor().join(", ");
    const ways = "If they are gone for good, stop this member";
    parts.logger.info?.(`${rejection.message}; it stays until those know that who may need its vote: ${ids}. ${ways}`);
  }

  private waitsFor(): number[] {
    const { know, parts, remaining } = this;
    return remaining.members.map(({ id }) => id).filter((id) => id !== parts.id && !know.has(id));
  }

  private go(rejection: Rejection): void {
    if (this.hasGone) return;
    this.hasGone = true;
    this.parts.onRejected(rejection);
  }
}
