// How a member goes that the cluster has no place for any more.
//
// One that has lost what it had promised goes at once: whatever it said would rest on nothing. One that was removed goes when nobody needs it any
// longer. Its removal is committed, but the others may not know that yet. Until they do they count on its vote, and a leader of theirs on its
// copy of the log: of two voters, the one that stays cannot be elected alone before it has heard that it is alone. Even a majority that has
// heard is not enough: the log of one that has not may be the longest, and then the others cannot be elected, and it cannot without
// the removed member. raft has no message that tells of a commit, other than a leader's.
//
// So the removed member answers its peers as before, calls each voter again and again, and goes when all of them have turned it away because it was
// removed. Each does so only when the commit is on its disk (ready-loop.ts), and says with it who the voters are by now, since the
// list of one that was away may name members that are long gone. A voter that is down for good holds it up, until that one is removed,
// too, or whoever started the process stops it.

import type { Logger } from "../raft/index.ts";
import type { Rejection, Voters } from "./interfaces.ts";

/** Between two reminders of whom it waits for. */
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
  private voters: Voters = { asOf: 0, members: [] };
  /** Who has said that it knows. */
  private readonly know = new Set<number>();
  private remindedAt = 0;
  private hasGone = false;

  constructor(parts: DepartureParts) {
    this.parts = parts;
  }

  /** Whether there is no way back. */
  get isDecided(): boolean {
    return this.rejection !== undefined;
  }

  /** `voters`: those that this member knows of. */
  decide(rejection: Rejection, voters: Voters): void {
    this.rejection = rejection;
    this.voters = voters;
    this.remindedAt = this.parts.now();
    if (rejection.kind === "lost-data") this.go(rejection);
  }

  /** A voter has turned this member away, which is decided to go. True if the voters that it names are newer than those known so far. */
  turnedAwayBy(id: number, { voters }: Rejection): boolean {
    this.know.add(id);
    const isNewer = voters !== undefined && voters.asOf > this.voters.asOf;
    if (isNewer) this.voters = voters;
    if (this.rejection !== undefined && this.waitsFor().length === 0) this.go(this.rejection);
    return isNewer;
  }

  tick(): void {
    const { parts, rejection, hasGone, remindedAt } = this;
    if (rejection === undefined || hasGone || parts.now() - remindedAt < reminderInElections * parts.electionMs) return;
    this.remindedAt = parts.now();
    const ids = this.waitsFor().join(", ");
    const ways = "Should they never come back, remove them as well, or stop this member";
    parts.logger.info?.(
      `${rejection.message}; it stays until those who may need its vote know that, too: ${ids}. ${ways}`,
    );
  }

  private waitsFor(): number[] {
    const { know, parts, voters } = this;
    return voters.members.map(({ id }) => id).filter((id) => id !== parts.id && !know.has(id));
  }

  private go(rejection: Rejection): void {
    if (this.hasGone) return;
    this.hasGone = true;
    this.parts.onRejected(rejection);
  }
}
