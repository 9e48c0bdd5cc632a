// A configuration takes effect (thesis chapter 4): when its change is applied, not when it is appended as in the paper.
//
// Ports applyConfChange and switchToConfig of raft.go.

import { Changer, type ConfChangeError, type Configuration } from "./confchange/confchange.ts";
import { restore } from "./confchange/restore.ts";
import { panic } from "./logger.ts";
import type { Raft } from "./raft.ts";
import { type ConfChangeV2, type ConfState, confStatesEquivalent, enterJoint, leaveJoint } from "./raftpb/index.ts";
import { bcastAppend, maybeCommit, maybeSendAppend } from "./replication.ts";
import { abortLeaderTransfer, becomeFollower } from "./role.ts";
import { ProgressTracker } from "./tracker/tracker.ts";
import { none } from "./types.ts";
import { hex } from "./util.ts";

/**
 * Applies a committed change. Panics if it is not valid for the active configuration: the application tries it first.
 */
export function applyConfChange(r: Raft, cc: ConfChangeV2): ConfState {
  const result = nextConfiguration(r, cc);
  if (result instanceof Error) panic(r.logger, result.message);
  return switchToConfig(r, result);
}

/** The configuration that the change leads to, on a copy, or why it leads to none. */
export function nextConfiguration(r: Raft, cc: ConfChangeV2): Configuration | ConfChangeError {
  const changer = new Changer(r.trk, r.raftLog.lastIndex());
  if (leaveJoint(cc)) return changer.leaveJoint();
  const joint = enterJoint(cc);
  return joint === undefined ? changer.simple(cc.changes) : changer.enterJoint(joint.autoLeave, cc.changes);
}

/** Replaces the configuration by the one that a snapshot, or the storage at start, describes. */
export function restoreConfig(r: Raft, cs: ConfState): void {
  r.trk = new ProgressTracker(r.trk.maxInflight, r.trk.maxInflightBytes);
  const result = restore(new Changer(r.trk, r.raftLog.lastIndex()), cs);
  if (result instanceof Error) {
    panic(r.logger, `unable to restore config ${JSON.stringify(cs)}: ${result.message}`);
  }
  const restored = switchToConfig(r, result);
  if (!confStatesEquivalent(cs, restored)) {
    panic(r.logger, `ConfStates not equivalent: ${JSON.stringify(cs)} restored as ${JSON.stringify(restored)}`);
  }
}

function switchToConfig(r: Raft, { config, progress }: Configuration): ConfState {
  r.trk.setConfig(config, progress);
  r.logger.info?.(`${hex(r.id)} switched to configuration ${config}`);
  const cs = r.trk.confState();
  const pr = progress.get(r.id);
  r.isLearner = pr?.isLearner ?? false;

  if ((pr === undefined || r.isLearner) && r.state === "StateLeader") {
    // This leader is removed or demoted.
    if (r.config.stepDownOnRemoval) becomeFollower(r, r.term, none);
    return cs;
  }
  if (r.state !== "StateLeader" || cs.voters.length === 0) return cs;

  if (maybeCommit(r)) {
    // A smaller quorum may commit what the larger one had not: all nodes need to learn of it.
    bcastAppend(r);
  } else {
    // A new node need not wait for the next heartbeat or proposal to be probed.
    r.trk.visit((id) => {
      if (id !== r.id) maybeSendAppend(r, id, "skipIfEmpty");
    });
  }
  if (r.leadTransferee !== none && !config.voters.has(r.leadTransferee)) abortLeaderTransfer(r);
  return cs;
}
