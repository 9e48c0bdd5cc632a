// A set of voters that decides by majority: floor(n / 2) + 1 of n.
//
// An empty set stands for the absent half of a joint configuration: it commits everything and wins every vote, so that
// the other half decides alone. Sets are never mutated in place.
//
// Ports quorum/majority.go.

import { type AckedIndexer, indexToString, type VoteResult, type Votes } from "./quorum.ts";

// Committed indexes are computed for every acknowledgement a leader gets: one scratch list spares an allocation each
// time.
const scratch: number[] = [];

export class MajorityConfig {
  readonly ids: ReadonlySet<number>;

  constructor(ids: Iterable<number> = []) {
    this.ids = new Set(ids);
  }

  get size(): number {
    return this.ids.size;
  }

  has(id: number): boolean {
    return this.ids.has(id);
  }

  /** Ids in ascending order. */
  slice(): number[] {
    return [...this.ids].sort((a, b) => a - b);
  }

  /** `(1 2 a)`: ids in hexadecimal, as etcd's log lines print a configuration. */
  toString(): string {
    return `(${this.slice()
      .map((id) => id.toString(16))
      .join(" ")})`;
  }

  /** The highest index that a majority has acknowledged; Infinity for the empty set. */
  committedIndex(acked: AckedIndexer): number {
    const n = this.ids.size;
    if (n === 0) return Number.POSITIVE_INFINITY;
    // Sorted by insertion, ascending; a voter without an answer counts as 0. A majority is at or above the index at n -
    // (n/2 + 1).
    let filled = 0;
    for (const id of this.ids) {
      const index = acked(id) ?? 0;
      let at = filled++;
      for (; at > 0 && (scratch[at - 1] as number) > index; at--) scratch[at] = scratch[at - 1] as number;
      scratch[at] = index;
    }
    return scratch[n - (Math.floor(n / 2) + 1)] as number;
  }

  voteResult(votes: Votes): VoteResult {
    const n = this.ids.size;
    if (n === 0) return "VoteWon";
    let granted = 0;
    let missing = 0;
    for (const id of this.ids) {
      const vote = votes.get(id);
      if (vote === undefined) missing++;
      else if (vote) granted++;
    }
    const quorum = Math.floor(n / 2) + 1;
    if (granted >= quorum) return "VoteWon";
    if (granted + missing >= quorum) return "VotePending";
    return "VoteLost";
  }

  /**
   * A picture: one line a voter with its acknowledged index and a bar whose length is the number of voters strictly
   * behind it.
   *
   *        idx
   *     x>       5    (id=1)
   */
  describe(acked: AckedIndexer): string {
    const n = this.ids.size;
    if (n === 0) return "<empty majority quorum>";
    const rows = this.slice().map((id) => ({ id, index: acked(id) }));
    const lines = rows.map(({ id, index }) => {
      const behind = rows.filter((other) => (other.index ?? 0) < (index ?? 0)).length;
      const bar = index === undefined ? `?${" ".repeat(n)}` : `${"x".repeat(behind)}>${" ".repeat(n - behind)}`;
      return `${bar} ${indexToString(index ?? 0).padStart(5)}    (id=${id.toString(16)})\n`;
    });
    return `${" ".repeat(n)}    idx\n${lines.join("")}`;
  }
}
