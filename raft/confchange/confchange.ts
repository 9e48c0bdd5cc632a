// Configuration changes: given the active configuration, what the next one is, or why there is none.
//
// simple:      one voter added or removed (and any number of learners): old and new majorities overlap (thesis 4.1)
// enterJoint:  any changes; from then on the old and the new voters must both agree (thesis 4.3)
// leaveJoint:  the new voters alone decide, and staged learners become learners
//
// Changes are made to the incoming half; the outgoing one is a copy of the voters before. A Changer never alters what
// it was given: it returns the new configuration, or a ConfChangeError. The invariants are checked before and after.
//
// Ports confchange/confchange.go.

import { JointConfig } from "../quorum/joint.ts";
import { MajorityConfig } from "../quorum/majority.ts";
import { type ConfChangeSingle, ConfChangeType, confChangeTypeName } from "../raftpb/index.ts";
import { Inflights } from "../tracker/inflights.ts";
import { Progress, type ProgressMap } from "../tracker/progress.ts";
import { Config, type ProgressTracker } from "../tracker/tracker.ts";

export interface Configuration {
  readonly config: Config;
  readonly progress: ProgressMap;
}

/** The change does not lead from this configuration to a legal one. */
export class ConfChangeError extends Error {
  override readonly name = "ConfChangeError";
  readonly code = "CONF_CHANGE";
}

/** A configuration under construction. */
interface Draft {
  readonly incoming: Set<number>;
  readonly outgoing: Set<number>;
  readonly learners: Set<number>;
  readonly learnersNext: Set<number>;
  readonly progress: Map<number, Progress>;
}

export class Changer {
  readonly tracker: ProgressTracker;
  readonly lastIndex: number;

  /** `lastIndex` is the log's: a node that is added is probed from there. */
  constructor(tracker: ProgressTracker, lastIndex: number) {
    this.tracker = tracker;
    this.lastIndex = lastIndex;
  }

  enterJoint(autoLeave: boolean, changes: readonly ConfChangeSingle[]): Configuration | ConfChangeError {
    return this.#attempt((draft) => {
      if (draft.outgoing.size > 0) throw new ConfChangeError("config is already joint");
      // An empty configuration may be filled by a simple change, but has no voter that could leave a joint one.
      if (draft.incoming.size === 0) throw new ConfChangeError("can't make a zero-voter config joint");
      for (const id of draft.incoming) draft.outgoing.add(id);
      this.#apply(draft, changes);
      return autoLeave;
    });
  }

  leaveJoint(): Configuration | ConfChangeError {
    return this.#attempt((draft) => {
      if (draft.outgoing.size === 0) throw new ConfChangeError("can't leave a non-joint config");
      for (const id of draft.learnersNext) {
        draft.learners.add(id);
        (draft.progress.get(id) as Progress).isLearner = true;
      }
      draft.learnersNext.clear();
      for (const id of draft.outgoing) {
        if (!draft.incoming.has(id) && !draft.learners.has(id)) draft.progress.delete(id);
      }
      draft.outgoing.clear();
      return false;
    });
  }

  simple(changes: readonly ConfChangeSingle[]): Configuration | ConfChangeError {
    return this.#attempt((draft) => {
      if (draft.outgoing.size > 0) throw new ConfChangeError("can't apply simple config change in joint config");
      this.#apply(draft, changes);
      if (symdiff(this.tracker.config.voters.incoming.ids, draft.incoming) > 1) {
        throw new ConfChangeError("more than one voter changed without entering joint config");
      }
      return false;
    });
  }

  #attempt(change: (draft: Draft) => boolean): Configuration | ConfChangeError {
    try {
      const draft = this.#checkAndCopy();
      const autoLeave = change(draft);
      return checkAndReturn(draft, autoLeave);
    } catch (error) {
      if (error instanceof ConfChangeError) return error;
      throw error;
    }
  }

  #checkAndCopy(): Draft {
    const { config, progress } = this.tracker;
    checkInvariants({ config, progress });
    const copies = new Map<number, Progress>();
    // Sharing the inflights is right: of a progress that is kept, only isLearner changes here.
    for (const [id, pr] of progress) copies.set(id, pr.clone());
    return {
      incoming: new Set(config.voters.incoming.ids),
      outgoing: new Set(config.voters.outgoing.ids),
      learners: new Set(config.learners),
      learnersNext: new Set(config.learnersNext),
      progress: copies,
    };
  }

  #apply(draft: Draft, changes: readonly ConfChangeSingle[]): void {
    for (const cc of changes) {
      const id = cc.nodeId ?? 0;
      // An application that refuses a change when it applies it sets the node id to 0: nothing happens then.
      if (id === 0) continue;
      const type = cc.type ?? ConfChangeType.ConfChangeAddNode;
      if (type === ConfChangeType.ConfChangeAddNode) this.#makeVoter(draft, id);
      else if (type === ConfChangeType.ConfChangeAddLearnerNode) this.#makeLearner(draft, id);
      else if (type === ConfChangeType.ConfChangeRemoveNode) remove(draft, id);
      else if (type !== ConfChangeType.ConfChangeUpdateNode) {
        throw new ConfChangeError(`unexpected conf type ${type}`);
      }
    }
    if (draft.incoming.size === 0) throw new ConfChangeError("removed all voters");
  }

  #makeVoter(draft: Draft, id: number): void {
    const pr = draft.progress.get(id);
    if (pr === undefined) {
      this.#initProgress(draft, id, false);
      return;
    }
    pr.isLearner = false;
    draft.learners.delete(id);
    draft.learnersNext.delete(id);
    draft.incoming.add(id);
  }

  /** A voter of the outgoing half is staged in learnersNext; any other node is a learner at once. */
  #makeLearner(draft: Draft, id: number): void {
    const pr = draft.progress.get(id);
    if (pr === undefined) {
      this.#initProgress(draft, id, true);
      return;
    }
    if (pr.isLearner) return;
    remove(draft, id);
    draft.progress.set(id, pr);
    if (draft.outgoing.has(id)) {
      draft.learnersNext.add(id);
    } else {
      pr.isLearner = true;
      draft.learners.add(id);
    }
  }

  #initProgress(draft: Draft, id: number, isLearner: boolean): void {
    (isLearner ? draft.learners : draft.incoming).add(id);
    const { maxInflight, maxInflightBytes } = this.tracker;
    // Active at first, or a check of the quorum before it had a chance to speak would make the leader step down.
    const recentActive = true;
    const next = Math.max(this.lastIndex, 1);
    draft.progress.set(
      id,
      new Progress(0, next, new Inflights(maxInflight, maxInflightBytes), isLearner, recentActive),
    );
  }
}

function remove(draft: Draft, id: number): void {
  if (!draft.progress.has(id)) return;
  draft.incoming.delete(id);
  draft.learners.delete(id);
  draft.learnersNext.delete(id);
  // While it still votes in the outgoing half its progress is needed.
  if (!draft.outgoing.has(id)) draft.progress.delete(id);
}

function checkAndReturn(draft: Draft, autoLeave: boolean): Configuration {
  const config = new Config({
    voters: new JointConfig(new MajorityConfig(draft.incoming), new MajorityConfig(draft.outgoing)),
    learners: draft.learners,
    learnersNext: draft.learnersNext,
    autoLeave,
  });
  const result = { config, progress: draft.progress };
  checkInvariants(result);
  return result;
}

function checkInvariants({ config, progress }: Configuration): void {
  const { voters, learners, learnersNext } = config;
  for (const ids of [voters.ids(), learners, learnersNext]) {
    for (const id of ids) if (!progress.has(id)) throw new ConfChangeError(`no progress for ${id}`);
  }
  for (const id of learnersNext) {
    if (!voters.outgoing.has(id)) throw new ConfChangeError(`${id} is in LearnersNext, but not Voters[1]`);
    if (progress.get(id)?.isLearner) {
      throw new ConfChangeError(`${id} is in LearnersNext, but is already marked as learner`);
    }
  }
  for (const id of learners) {
    if (voters.outgoing.has(id)) throw new ConfChangeError(`${id} is in Learners and Voters[1]`);
    if (voters.incoming.has(id)) throw new ConfChangeError(`${id} is in Learners and Voters[0]`);
    if (!progress.get(id)?.isLearner) {
      throw new ConfChangeError(`${id} is in Learners, but is not marked as learner`);
    }
  }
  if (!voters.isJoint()) {
    if (learnersNext.size > 0) throw new ConfChangeError("cfg.LearnersNext must be nil when not joint");
    if (config.autoLeave) throw new ConfChangeError("AutoLeave must be false when not joint");
  }
}

/** How many ids are in one of the sets but not in the other. */
function symdiff(a: ReadonlySet<number>, b: ReadonlySet<number>): number {
  let n = 0;
  for (const id of a) if (!b.has(id)) n++;
  for (const id of b) if (!a.has(id)) n++;
  return n;
}

/** `ConfChangeAddNode(1) ConfChangeRemoveNode(2)`. */
export function describe(changes: readonly ConfChangeSingle[]): string {
  return changes.map((cc) => `${confChangeTypeName(cc.type ?? 0)}(${cc.nodeId ?? 0})`).join(" ");
}
