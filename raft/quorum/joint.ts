// Two majorities that must agree: joint consensus (paper section 6, thesis 4.3).
//
// While a configuration changes, the incoming voters and the outgoing ones each decide by majority, and only what both
// decide stands. Outside of a change the outgoing half is empty.
//
// Ports quorum/joint.go; its array [2]MajorityConfig has names here.

import { MajorityConfig } from "./majority.ts";
import type { AckedIndexer, VoteResult, Votes } from "./quorum.ts";

export class JointConfig {
  readonly incoming: MajorityConfig;
  readonly outgoing: MajorityConfig;

  constructor(incoming: MajorityConfig = new MajorityConfig(), outgoing: MajorityConfig = new MajorityConfig()) {
    this.incoming = incoming;
    this.outgoing = outgoing;
  }

  isJoint(): boolean {
    return this.outgoing.size > 0;
  }

  has(id: number): boolean {
    return this.incoming.has(id) || this.outgoing.has(id);
  }

  /** The voters of either half. */
  ids(): Set<number> {
    return new Set([...this.incoming.ids, ...this.outgoing.ids]);
  }

  toString(): string {
    return this.isJoint() ? `${this.incoming}&&${this.outgoing}` : this.incoming.toString();
  }

  describe(acked: AckedIndexer): string {
    return new MajorityConfig(this.ids()).describe(acked);
  }

  /** The highest index that both halves have committed. */
  committedIndex(acked: AckedIndexer): number {
    return Math.min(this.incoming.committedIndex(acked), this.outgoing.committedIndex(acked));
  }

  /** Won if both halves won, lost as soon as one has lost. */
  voteResult(votes: Votes): VoteResult {
    const incoming = this.incoming.voteResult(votes);
    const outgoing = this.outgoing.voteResult(votes);
    if (incoming === outgoing) return incoming;
    return incoming === "VoteLost" || outgoing === "VoteLost" ? "VoteLost" : "VotePending";
  }
}
