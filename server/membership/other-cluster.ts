// Counts the peers that refuse this member because it belongs to another cluster, and warns when all of them do.
//
// One such refusal may be a slip: another cluster's process has taken a peer's port, or an address is wrong. It passes as soon as the right
// process listens there, so the member keeps dialling. When every other member that this one knows has refused its latest dial so, this
// member cannot reach its cluster at all, and waiting will not help. It says so once in the log, and in its status for as long as it is true.

import type { Logger } from "../../raft/index.ts";
import type { Warning } from "../member.ts";
import type { Members } from "./members.ts";

export interface Own {
  readonly id: number;
  readonly clusterId: number;
}

export class OtherCluster {
  private readonly own: Own;
  private readonly members: Members;
  private readonly logger: Logger;
  /** By peer: the cluster that it named when it refused the latest dial, and the dialled address. */
  private readonly refusals = new Map<number, { readonly clusterId: number; readonly url: string }>();
  /** The message that was logged last. */
  private said = "";

  constructor(own: Own, members: Members, logger: Logger) {
    this.own = own;
    this.members = members;
    this.logger = logger;
  }

  /** A dial of this peer has ended: by an answer that names a cluster, or without one. */
  dialled(id: number, url: string, clusterId: number | undefined): void {
    if (clusterId === undefined || clusterId === this.own.clusterId) {
      this.refusals.delete(id);
      return;
    }
    this.refusals.set(id, { clusterId, url });
    const message = this.warning()?.message;
    // Peers that come and go must not repeat the message in the log.
    if (message === undefined || message === this.said) return;
    this.said = message;
    this.logger.error?.(message);
  }

  /** This peer belongs to the same cluster after all, or is no member any more. */
  forget(id: number): void {
    this.refusals.delete(id);
  }

  /** Undefined unless every other member refuses this one so. */
  warning(): Warning | undefined {
    const { id: self, clusterId } = this.own;
    const named = new Map<number, string[]>();
    for (const { id } of this.members.all()) {
      if (id === self) continue;
      const refusal = this.refusals.get(id);
      if (refusal === undefined) return undefined;
      named.set(refusal.clusterId, [...(named.get(refusal.clusterId) ?? []), `member ${id} at ${refusal.url}`]);
    }
    if (named.size === 0) return undefined;
    const theirs = [...named].map(([theirId, who]) => `cluster ${theirId} (${who.join(", ")})`).join(" and ");
    const message =
      `member ${self} belongs to cluster ${clusterId}, and the processes at all other members' addresses belong to ${theirs}: ` +
      "they refuse this member, and it can serve nothing. If this is the wrong data directory, start with the right --data-dir. If the addresses are " +
      "out of date, start with the right --peers and --peers-moved. If the other cluster is the one to keep, stop this member, and join that " +
      "cluster with a new id and an empty data directory";
    return { code: "OTHER_CLUSTER", message };
  }
}
