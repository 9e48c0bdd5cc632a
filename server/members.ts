// Who the members are and where they are reached: replicated state, built by applying configuration changes.
//
// A change carries the address in its context. Changes come from the log alone: --peers counts only when a cluster is started.

import { ConfChangeType, type ConfChangeV2, type TrackerConfig } from "../raft/index.ts";
import type { MemberInfo } from "./interfaces.ts";

const decoder = new TextDecoder();

export class Members {
  private readonly urls = new Map<number, string>();

  /** Takes note of an applied change. Returns the members whose address is new and those that are gone. */
  apply(cc: ConfChangeV2): { added: [id: number, url: string][]; gone: number[] } {
    const added: [number, string][] = [];
    const gone: number[] = [];
    for (const { type, nodeId } of cc.changes) {
      const id = nodeId ?? 0;
      if (id === 0) continue;
      if (type === ConfChangeType.ConfChangeRemoveNode) {
        if (this.urls.delete(id)) gone.push(id);
      } else if (cc.context !== undefined && cc.context.length > 0 && cc.changes.length === 1) {
        const url = decoder.decode(cc.context);
        this.urls.set(id, url);
        added.push([id, url]);
      }
    }
    return { added, gone };
  }

  /** In ascending order of id. */
  list({ voters, learners, learnersNext }: TrackerConfig): MemberInfo[] {
    const ids = [...new Set([...voters.ids(), ...learners, ...learnersNext])].sort((a, b) => a - b);
    return ids.map((id) => {
      const role = voters.has(id) ? "voter" : "learner";
      return { id, peerUrl: this.urls.get(id) ?? "", role };
    });
  }
}
