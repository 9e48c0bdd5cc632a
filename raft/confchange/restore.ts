// Rebuilds a configuration from the ConfState of a snapshot, by making the changes that lead to it.
//
// A joint one is rebuilt in two steps: first the outgoing voters are added one by one, then one joint change removes
// them all and adds the incoming voters, the learners and the staged learners. For example, voters (1 2 3) && (1 2 4
// 6), learners (5), learners next (4): add 1 2 4 6; then enter joint with remove 1 2 4 6, add 1 2 3, learner 5, learner
// 4.
//
// Ports confchange/restore.go.

import { type ConfChangeSingle, ConfChangeType, type ConfState } from "../raftpb/index.ts";
import { ProgressTracker } from "../tracker/tracker.ts";
import { Changer, type ConfChangeError, type Configuration } from "./confchange.ts";

const { ConfChangeAddNode, ConfChangeRemoveNode, ConfChangeAddLearnerNode } = ConfChangeType;

/** The configuration that `cs` describes. The changer must stand on an empty one. */
export function restore(changer: Changer, cs: ConfState): Configuration | ConfChangeError {
  const change = (type: ConfChangeType) => (nodeId: number) => ({ type, nodeId });
  const outgoing = cs.votersOutgoing.map(change(ConfChangeAddNode));
  const incoming = [
    ...cs.votersOutgoing.map(change(ConfChangeRemoveNode)),
    ...cs.voters.map(change(ConfChangeAddNode)),
    ...cs.learners.map(change(ConfChangeAddLearnerNode)),
    ...cs.learnersNext.map(change(ConfChangeAddLearnerNode)),
  ];

  const simple = (cc: ConfChangeSingle) => (chg: Changer) => chg.simple([cc]);
  const steps =
    outgoing.length === 0
      ? incoming.map(simple)
      : [...outgoing.map(simple), (chg: Changer) => chg.enterJoint(cs.autoLeave, incoming)];

  let current: Changer = changer;
  for (const step of steps) {
    const result = step(current);
    if (result instanceof Error) return result;
    const { maxInflight, maxInflightBytes } = changer.tracker;
    const tracker = new ProgressTracker(maxInflight, maxInflightBytes, result.config, result.progress);
    current = new Changer(tracker, changer.lastIndex);
  }
  return { config: current.tracker.config, progress: current.tracker.progress };
}
