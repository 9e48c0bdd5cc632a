// A member that was started at a new address, as its operator says (--peers-moved), has that address written into the log.
//
// While all members are where the log says, an address is changed with a request to the leader. When all have moved at once there is no
// leader, since no member reaches another: so each dials the others where its operator says (admission.ts), and once they have a leader each asks
// for its own new address, as an ordinary change of the members. Only its own: the others know better where they are, and may not have moved.
// The exception is an address that another member has in the log and leaves now, as when two members swap theirs: no order of single
// changes would do, as no two members may have one address. Then the change moves that one as well.
//
// It asks until the log has the address, or has given this member another one since: then an operator has decided anew.

import type { Logger, NodeView } from "../../raft/index.ts";
import type { ChangeOutcome, MemberChange } from "../member.ts";
import type { ServerOptions } from "../options.ts";
import type { Members } from "./members.ts";

export interface MoveParts {
  readonly node: NodeView;
  readonly members: Members;
  /** Its term: that of the last applied entry. */
  readonly applier: { readonly term: number };
  readonly now: () => number;
  readonly logger: Logger;
  readonly ask: (changes: readonly MemberChange[]) => Promise<ChangeOutcome>;
}

export class Move {
  private readonly id: number;
  /** Where the members are, by their operator's word. */
  private readonly list: ServerOptions["peers"]["list"];
  /** The last index at the start: an address that a later entry gives is newer than the list. */
  private readonly asOf: number;
  private readonly pauseMs: number;
  private readonly parts: MoveParts;
  private isDone: boolean;
  private isAsking = false;
  private nextTry = 0;
  private said = "";

  constructor({ id, peers, tickMs, electionTicks }: ServerOptions, parts: MoveParts) {
    this.id = id;
    this.list = peers.list;
    this.asOf = parts.node.lastIndex();
    this.pauseMs = (tickMs * electionTicks) / 2;
    this.parts = parts;
    this.isDone = peers.how !== "moved";
  }

  /** Asks if it is time to. */
  tick(): void {
    const { node, applier, now } = this.parts;
    if (this.isDone || this.isAsking || now() < this.nextTry) return;
    // With an entry of the leader's term everything before it has been applied here: no address is taken for the present one too early.
    if (!node.hasLeader() || applier.term !== node.term) return;
    const changes = this.changes();
    if (changes.length === 0) this.isDone = true;
    else void this.ask(changes);
  }

  private async ask(changes: readonly MemberChange[]): Promise<void> {
    const { logger, now } = this.parts;
    this.isAsking = true;
    const outcome = await this.parts.ask(changes);
    this.isAsking = false;
    this.nextTry = now() + this.pauseMs;
    const text =
      outcome.kind === "applied"
        ? `the log has member ${this.id} at its new address now`
        : `the new address of member ${this.id} is not in the log yet, and is tried again: ${outcome.message}`;
    if (text !== this.said) logger.info?.(text);
    this.said = text;
  }

  /** What the log must still be told; nothing if it has the address, or a later one, or does not have this member any more. */
  private changes(): MemberChange[] {
    const { id, list, asOf } = this;
    const { members } = this.parts;
    const isWanted = (one: { readonly id: number; readonly url: string }): boolean => {
      const known = members.get(one.id);
      return known !== undefined && known.url !== one.url && known.since <= asOf;
    };
    const wanted = list.filter(isWanted);
    const changes = wanted.filter((one) => one.id === id);
    for (const { url } of changes) {
      const inTheWay = wanted.find((one) => members.get(one.id)?.url === url && !changes.includes(one));
      if (inTheWay !== undefined) changes.push(inTheWay); // and the loop goes on with it
    }
    return changes.map((one) => ({ kind: "update", id: one.id, peerUrl: one.url }));
  }
}
