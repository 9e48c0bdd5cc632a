// A change of the membership, tried before it is proposed: what raft would make of it, and what it would cost the cluster.
//
// raft takes any change that is well formed, then replaces one that comes too early by an empty entry, without a word, and stops the
// process at one that has no result. It also accepts a voter that no member can reach, which in a small cluster can cost the majority. So
// the leader tries each change on a copy of its configuration first, and refuses it while nothing has happened yet.
//
// Its counterpart upstream is etcd's strict reconfiguration check (server/etcdserver/server.go, mayAddMember, mayRemoveMember,
// isLearnerReady). Stricter here: a new voter counts as one that is away, also beside a single member.

import { ConfChangeError, type Configuration, type NodeView } from "../../raft/index.ts";
import type { Conflict, MemberChange } from "../member.ts";
import { toConfChange } from "./conf-change-context.ts";
import type { Members } from "./members.ts";

/** A learner that has this part of the leader's log has caught up; etcd's figure. */
const caughtUp = 0.9;

export interface View {
  readonly node: NodeView;
  readonly members: Members;
  /** Whether this member itself, or one that was heard of within an election timeout. */
  readonly isActive: (id: number) => boolean;
}

/** Why a leader that has applied all that came before must not propose these changes; undefined if it may. */
export function tryChanges(changes: readonly MemberChange[], view: View): Conflict | undefined {
  const { node } = view;
  if (node.hasPendingConfChange() || node.config.voters.isJoint()) {
    return conflict(
      "CHANGE_PENDING",
      "an earlier change of the members is not finished",
      "wait a moment, then try again",
    );
  }
  const urls = new Set<string>();
  for (const change of changes) {
    const found = wrongWith(change, changes, view);
    if (found !== undefined) return found;
    if (!("peerUrl" in change)) continue;
    if (urls.has(change.peerUrl))
      return conflict("INVALID_CHANGE", `${change.peerUrl} would be the address of two members`, ownUrl);
    urls.add(change.peerUrl);
  }
  const cc = toConfChange(changes, { member: 0, epoch: 0, counter: 0 });
  const result = node.tryConfChange(cc);
  if (result instanceof ConfChangeError) {
    return conflict("INVALID_CHANGE", `the changes lead to no valid configuration: ${result.message}`, lookFirst);
  }
  return quorumAtRisk(result, view);
}

const ownUrl = "give each member a peer URL of its own";
const lookFirst = "look at GET /_members, then try again";

const conflict = (code: Conflict["code"], message: string, next: string): Conflict => ({
  kind: "conflict",
  code,
  message,
  next,
});

function wrongWith(change: MemberChange, all: readonly MemberChange[], view: View): Conflict | undefined {
  const { id } = change;
  const known = view.members.get(id);
  /** Whether the same changes give this member another address: two may swap theirs. */
  const leaves = (other: number): boolean => all.some((one) => one.id === other && one.kind === "update");
  if (change.kind === "add" || change.kind === "update") {
    for (const other of view.members.all()) {
      if (other.id !== id && other.url === change.peerUrl && !leaves(other.id)) {
        const message = `member ${other.id} has the address ${change.peerUrl} already`;
        return conflict("INVALID_CHANGE", message, ownUrl);
      }
    }
  }
  if (change.kind === "add") {
    if (view.members.wasRemoved(id)) {
      const message = `member ${id} was removed, and a removed id is spent`;
      return conflict("ID_SPENT", message, "choose an id that no member has ever had, and an empty data directory");
    }
    if (known === undefined) return undefined;
    const next = "change its address with PUT /_members/<id>, or its role with promote or demote";
    return conflict("INVALID_CHANGE", `member ${id} is a member already`, next);
  }
  if (known === undefined) {
    const message = view.members.wasRemoved(id) ? `member ${id} was removed already` : `there is no member ${id}`;
    return conflict("INVALID_CHANGE", message, lookFirst);
  }
  const votes = view.node.config.voters.has(id);
  if (change.kind === "promote") {
    if (votes) return conflict("INVALID_CHANGE", `member ${id} is a voter already`, lookFirst);
    return learnerBehind(id, view);
  }
  if (change.kind === "demote" && !votes) {
    return conflict("INVALID_CHANGE", `member ${id} is a learner already`, lookFirst);
  }
  return undefined;
}

function learnerBehind(id: number, { node, isActive }: View): Conflict | undefined {
  const match = node.match(id) ?? 0;
  const leader = node.match(node.id) ?? 0;
  const next = "start it, wait until it has caught up (GET /_status shows its progress), then promote it";
  if (!isActive(id)) {
    return conflict("LEARNER_BEHIND", `learner ${id} has not been heard of for an election timeout`, next);
  }
  if (match >= caughtUp * leader) return undefined;
  return conflict("LEARNER_BEHIND", `learner ${id} has ${match} of ${leader} entries`, next);
}

/** The voters after the change must hold a majority of members that are up now. */
function quorumAtRisk({ config }: Configuration, { node, isActive }: View): Conflict | undefined {
  const before = node.config.voters;
  const voters = [...config.voters.incoming.ids].sort((a, b) => a - b);
  const after = voters.filter((id) => isActive(id) && node.match(id) !== undefined);
  const quorum = Math.floor(voters.length / 2) + 1;
  if (after.length >= quorum) return undefined;
  const away = voters.filter((id) => !after.includes(id)).join(", ");
  const message = `of the voters ${voters.join(", ")} a majority of ${quorum} would be needed, and ${away} cannot be reached`;
  const adds = voters.some((id) => !before.has(id));
  const next = adds
    ? "add the member as a learner, start it with --join, and promote it when it has caught up"
    : "bring the members that are away back first, or remove those";
  return conflict("QUORUM_AT_RISK", message, next);
}
