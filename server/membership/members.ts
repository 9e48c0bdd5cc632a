// Who the members are, where they are reached, and who can never be one again: replicated state, built by applying configuration
// changes and the server's own notes, and carried in each snapshot.
//
// Promises: equal logs give equal members on every member. An id that was removed never comes back: a member that missed its removal could
// otherwise vote for what it no longer remembers. An incarnation, once noted, stays: it is the random number that was drawn when the member's
// log was made, so a member that comes back under the id with another one has lost that log, and with it its promises.
//
// Changes come from the log alone: --peers counts only when a cluster is started or joined.

import { ConfChangeType, type ConfChangeV2, changesOf, type TrackerConfig } from "../../raft/index.ts";
import type { Remaining } from "../../transport/contract.ts";
import type { MemberInfo } from "../member.ts";
import { contextOf } from "./conf-change-context.ts";

export interface KnownMember {
  readonly id: number;
  /** Empty if none was ever given. */
  readonly url: string;
  /** Index of the entry that gave it. */
  readonly since: number;
  /** 0 until it is known. */
  readonly incarnation: number;
}

export interface MembersState {
  readonly members: readonly KnownMember[];
  readonly removed: readonly number[];
}

export class Members {
  private readonly known = new Map<number, KnownMember>();
  private readonly removed = new Set<number>();

  get(id: number): KnownMember | undefined {
    return this.known.get(id);
  }

  all(): Iterable<KnownMember> {
    return this.known.values();
  }

  wasRemoved(id: number): boolean {
    return this.removed.has(id);
  }

  /** Why the change must not be applied, undefined if it may. What raft itself has against it is not looked at. */
  refusal(cc: ConfChangeV2): string | undefined {
    for (const { type, nodeId: id } of changesOf(cc)) {
      if (type !== ConfChangeType.ConfChangeRemoveNode && this.removed.has(id)) {
        return `member ${id} was removed, and a removed id is spent`;
      }
    }
    return undefined;
  }

  /**
   * Takes note of the change at this index, which raft has applied and which led to `config`. Returns the addresses that are new and the
   * members that are gone: those that no half of a joint configuration knows any more.
   */
  apply(cc: ConfChangeV2, config: TrackerConfig, index: number): { addresses: KnownMember[]; gone: number[] } {
    const present = idsOf(config);
    for (const id of present) {
      if (!this.known.has(id)) this.known.set(id, { id, url: "", since: 0, incarnation: 0 });
    }
    const addresses: KnownMember[] = [];
    for (const [id, url] of contextOf(cc).urls) {
      const member = this.known.get(id);
      if (member === undefined || !present.has(id) || member.url === url) continue;
      const moved = { ...member, url, since: index };
      this.known.set(id, moved);
      addresses.push(moved);
    }
    const gone = [...this.known.keys()].filter((id) => !present.has(id));
    for (const id of gone) {
      this.known.delete(id);
      this.removed.add(id);
    }
    return { addresses, gone };
  }

  /** A member has started with this incarnation; only the first one noted counts. */
  started(id: number, incarnation: number): void {
    const member = this.known.get(id);
    if (member !== undefined && member.incarnation === 0) this.known.set(id, { ...member, incarnation });
  }

  state(): MembersState {
    return { members: [...this.known.values()].sort((a, b) => a.id - b.id), removed: ascending(this.removed) };
  }

  restore({ members, removed }: MembersState): void {
    this.known.clear();
    for (const member of members) this.known.set(member.id, member);
    this.removed.clear();
    for (const id of removed) this.removed.add(id);
  }

  /** The members that a removed one has to wait for, once the entry at `asOf` has been applied. */
  remaining(config: TrackerConfig, asOf: number): Remaining {
    // A learner that no member has seen yet has never voted, nor led, and need not know of the removal.
    const has = (id: number): boolean => this.known.get(id)?.incarnation !== 0;
    const list = this.list(config).filter(({ id, role }) => role === "voter" || has(id));
    return { asOf, members: list.map(({ id, peerUrl }) => ({ id, url: peerUrl })) };
  }

  /** In ascending order of id. */
  list(config: TrackerConfig): MemberInfo[] {
    return ascending(idsOf(config)).map((id) => {
      const role = config.voters.has(id) ? "voter" : "learner";
      return { id, peerUrl: this.known.get(id)?.url ?? "", role };
    });
  }
}

const ascending = (ids: Iterable<number>): number[] => [...ids].sort((a, b) => a - b);

/** All that any part of the configuration names. */
const idsOf = ({ voters, learners, learnersNext }: TrackerConfig): Set<number> =>
  new Set([...voters.ids(), ...learners, ...learnersNext]);
