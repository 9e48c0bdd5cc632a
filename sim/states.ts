// How much of what a cluster can look like a run has seen.
//
// The states of a real cluster are without number; this is a rough picture of one: of each member its role, and whether
// it trails behind, waits for its disk, knows the leader, is joint or learns; members in no order. Two runs that see
// different pictures have been to different places. What matters is that the number goes on growing with more seeds,
// and not what it is.

import type { SimMember } from "./member.ts";

/** The picture of a cluster at this moment. */
export function pictureOf(members: readonly SimMember[]): string {
  const pictures: string[] = [];
  let term = 0;
  let commit = 0;
  for (const { running } of members) {
    if (running === undefined) continue;
    const { raft } = running.server.node;
    term = Math.max(term, raft.term);
    commit = Math.max(commit, raft.raftLog.committed);
  }
  for (const { running, gone } of members) {
    if (gone !== undefined) continue;
    if (running === undefined) {
      pictures.push("down");
      continue;
    }
    const { raft } = running.server.node;
    const { raftLog, trk } = raft;
    const flags = [
      raft.term < term,
      raftLog.committed < commit,
      raftLog.lastIndex() > raftLog.committed,
      raftLog.applied < raftLog.committed,
      raft.hasLeader(),
      trk.config.voters.isJoint(),
      raft.isLearner,
      raft.leadTransferee !== 0,
      raftLog.hasNextOrInProgressSnapshot(),
      running.process.isPaused,
    ];
    pictures.push(raft.state.slice(5, 9) + flags.map((flag) => (flag ? 1 : 0)).join(""));
  }
  return pictures.sort().join(" ");
}
