// A member's status as its API tells it: raft's own status, in plain words, with addresses.

import type { NodeView, StateType } from "../raft/index.ts";
import type { MemberStatus, PeerProgress } from "./member.ts";
import type { Peers } from "./membership/admission.ts";
import type { Members } from "./membership/members.ts";

const roles: Readonly<Record<StateType, MemberStatus["role"]>> = {
  StateFollower: "follower",
  StatePreCandidate: "pre-candidate",
  StateCandidate: "candidate",
  StateLeader: "leader",
};

const states = { StateProbe: "probe", StateReplicate: "replicate", StateSnapshot: "snapshot" } as const;

export function memberStatus(
  node: NodeView,
  clusterId: number,
  members: Members,
  peers: Peers,
  position: { readonly applied: number; readonly snapshot: number },
): MemberStatus {
  const { id, term, lead, commit, raftState } = node;
  let progress: PeerProgress[] | undefined;
  if (raftState === "StateLeader") {
    const all: PeerProgress[] = [];
    node.withProgress((peer, _type, pr) => {
      const { match, next } = pr;
      // Not raft's own flag, which its check of the quorum clears each time, to see who answers.
      const recentActive = peers.isActive(peer);
      all.push({ id: peer, match, next, state: states[pr.state], recentActive, inflight: pr.inflights.count() });
    });
    progress = all;
  }
  const list = members.list(node.config);
  return {
    id,
    clusterId,
    role: roles[raftState],
    term,
    leader: lead,
    commit,
    ...position,
    members: list,
    progress,
    warnings: peers.warnings(),
  };
}
