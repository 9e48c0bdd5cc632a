// The active configuration, and a leader's progress of each node in it; on a candidate, the votes.
//
// Config and ProgressMap are replaced as wholes, never changed in place, so what was handed out stays as it was; a
// Progress itself is live. Nodes are visited in ascending order of id: the order in which messages go out must not
// depend on a map.
//
// Ports tracker/tracker.go. Its maps that are nil when empty are empty sets here.

import { JointConfig } from "../quorum/joint.ts";
import { MajorityConfig } from "../quorum/majority.ts";
import type { VoteResult } from "../quorum/quorum.ts";
import type { ConfState } from "../raftpb/index.ts";
import type { Progress, ProgressMap } from "./progress.ts";

export interface ConfigFields {
  readonly voters: JointConfig;
  readonly learners: ReadonlySet<number>;
  readonly learnersNext: ReadonlySet<number>;
  readonly autoLeave: boolean;
}

/** The voters, and the learners, which get the log and do not vote. */
export class Config implements ConfigFields {
  readonly voters: JointConfig;
  /** Never intersects the voters of either half: a node has one role. */
  readonly learners: ReadonlySet<number>;
  /**
   * Voters of the outgoing half that become learners when the joint configuration is left. They cannot be learners
   * before, because until then they still vote.
   */
  readonly learnersNext: ReadonlySet<number>;
  /** The joint configuration is left without the application asking. */
  readonly autoLeave: boolean;

  constructor(fields: Partial<ConfigFields> = {}) {
    this.voters = fields.voters ?? new JointConfig();
    this.learners = fields.learners ?? new Set();
    this.learnersNext = fields.learnersNext ?? new Set();
    this.autoLeave = fields.autoLeave ?? false;
  }

  toString(): string {
    let text = `voters=${this.voters}`;
    if (this.learners.size > 0) text += ` learners=${new MajorityConfig(this.learners)}`;
    if (this.learnersNext.size > 0) text += ` learners_next=${new MajorityConfig(this.learnersNext)}`;
    if (this.autoLeave) text += " autoleave";
    return text;
  }
}

const ascending = (ids: Iterable<number>): number[] => [...ids].sort((a, b) => a - b);

export class ProgressTracker {
  config: Config;
  progress: ProgressMap = new Map();
  votes: Map<number, boolean> = new Map();
  readonly maxInflight: number;
  readonly maxInflightBytes: number;
  ids: readonly number[] = [];
  readonly #matchOf = (id: number): number | undefined => this.progress.get(id)?.match;

  constructor(maxInflight: number, maxInflightBytes: number, config = new Config(), progress: ProgressMap = new Map()) {
    this.maxInflight = maxInflight;
    this.maxInflightBytes = maxInflightBytes;
    this.config = config;
    this.setConfig(config, progress);
  }

  setConfig(config: Config, progress: ProgressMap): void {
    this.config = config;
    this.progress = progress;
    this.ids = ascending(progress.keys());
  }

  confState(): ConfState {
    const { voters, learners, learnersNext, autoLeave } = this.config;
    return {
      voters: voters.incoming.slice(),
      learners: ascending(learners),
      votersOutgoing: voters.outgoing.slice(),
      learnersNext: ascending(learnersNext),
      autoLeave,
    };
  }

  /** Whether there is one voter in all. */
  isSingleton(): boolean {
    return this.config.voters.incoming.size === 1 && !this.config.voters.isJoint();
  }

  /** The highest index that the voters have acknowledged to this leader as a quorum. */
  committed(): number {
    return this.config.voters.committedIndex(this.#matchOf);
  }

  visit(visitor: (id: number, pr: Progress) => void): void {
    for (const id of this.ids) visitor(id, this.progress.get(id) as Progress);
  }

  /** Whether a quorum of voters was heard from since the last check. */
  quorumActive(): boolean {
    const votes = new Map<number, boolean>();
    for (const [id, pr] of this.progress) if (!pr.isLearner) votes.set(id, pr.recentActive);
    return this.config.voters.voteResult(votes) === "VoteWon";
  }

  voterNodes(): number[] {
    return ascending(this.config.voters.ids());
  }

  learnerNodes(): number[] {
    return ascending(this.config.learners);
  }

  resetVotes(): void {
    this.votes = new Map();
  }

  /** Records a vote; a node's first vote counts. */
  recordVote(id: number, granted: boolean): void {
    if (!this.votes.has(id)) this.votes.set(id, granted);
  }

  tallyVotes(): { granted: number; rejected: number; result: VoteResult } {
    let granted = 0;
    let rejected = 0;
    for (const [id, pr] of this.progress) {
      // Votes of nodes that have left the configuration, or do not vote in it, are not counted.
      const vote = pr.isLearner ? undefined : this.votes.get(id);
      if (vote === true) granted++;
      else if (vote === false) rejected++;
    }
    return { granted, rejected, result: this.config.voters.voteResult(this.votes) };
  }
}
