// How a member goes that the cluster has no place for any more.
//
// One that has lost what it had promised goes at once: whatever it said would rest on nothing. One that was removed goes when nobody needs it any
// longer. Its removal is committed, but the others may not know that yet. Until they do they count on its vote, and a leader of theirs on its
// copy of the log: of two voters, the one that stays cannot be elected alone before it has heard that it is alone. So the removed
// member answers its peers as before, and goes when it does not lead and has had no message for three election timeouts: whoever knows no
// leader asks for votes within two of them, and a leader sends heartbeats all the time.
//
// This narrows the gap and does not close it: a peer that is cut off all that time, and comes back without knowing, still finds it gone.

import type { Rejection } from "./interfaces.ts";

const patienceInElections = 3;

export interface DepartureParts {
  readonly electionMs: number;
  readonly now: () => number;
  /** The member is to end now. */
  readonly onRejected: (rejection: Rejection) => void;
}

export class Departure {
  private readonly parts: DepartureParts;
  private rejection: Rejection | undefined;
  private neededAt = 0;
  private hasGone = false;

  constructor(parts: DepartureParts) {
    this.parts = parts;
  }

  /** Whether there is no way back. */
  get isDecided(): boolean {
    return this.rejection !== undefined;
  }

  decide(rejection: Rejection): void {
    this.rejection = rejection;
    this.needed();
    if (rejection.kind === "lost-data") this.go(rejection);
  }

  /** A peer has sent something. */
  needed(): void {
    this.neededAt = this.parts.now();
  }

  tick(leads: boolean): void {
    const { rejection, parts, neededAt } = this;
    if (rejection === undefined) return;
    if (leads) this.needed();
    else if (parts.now() - neededAt > patienceInElections * parts.electionMs) this.go(rejection);
  }

  private go(rejection: Rejection): void {
    if (this.hasGone) return;
    this.hasGone = true;
    this.parts.onRejected(rejection);
  }
}
