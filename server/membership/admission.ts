// Who may talk to this member, who has talked lately, and where the others are reached.
//
// This member refuses, for good, a removed member and one that comes back with another incarnation than the noted one. Any other member of
// this cluster may talk: this member's own log may be behind, and not know yet which member leads the others. It learns their addresses from
// the log, and from the members: each gives its address in its handshake, and the index of the log as of which it holds, so that of two
// addresses the newer one counts. Without that a member that was away while the others were replaced, or have moved, could hear them and not
// answer. The addresses of --peers-moved override those that the log held at the start; later ones override them. The flag may have stayed in
// a script after the log got newer addresses: so a dial that fails at the address of the flag is tried at that of the log, and the other way
// round. The handshake ensures that no other member passes for the dialled one.
// (The cluster id and the network keep strangers out: see transport/handshake.ts.) A member that asks whether it may join gives no address,
// and is refused if it is not a member.
//
// The incarnations that peers show are what the leader's notes are made of (notes.ts): each is proposed once, and again only when that has
// come to nothing within an election timeout.
//
// Its counterpart upstream is the X-PeerURLs header and AddRemote of etcd's rafthttp.

import type { Logger } from "../../raft/index.ts";
import type { Address, Rejection, Remaining } from "../../transport/contract.ts";
import type { Transport } from "../interfaces.ts";
import type { Warning } from "../member.ts";
import type { ServerOptions } from "../options.ts";
import type { KnownMember, Members } from "./members.ts";
import { OtherCluster } from "./other-cluster.ts";

const maxStrangers = 64;
/** Election timeouts between two looks for a member at another address, at most. */
const longestSearch = 32;

export interface PeersParts {
  readonly transport: Transport;
  readonly logger: Logger;
  readonly now: () => number;
  readonly remaining: () => Remaining;
}

export interface Self extends Started {
  readonly clusterId: number;
}

export interface Started {
  readonly id: number;
  readonly incarnation: number;
}

export class Peers {
  private readonly self: Self;
  private readonly members: Members;
  private readonly electionMs: number;
  private readonly parts: PeersParts;
  /** The newest known address of each, from any source. */
  private readonly addresses = new Map<number, Address>();
  /** The addresses of --peers-moved, which override the entries of the log up to `movedAsOf`. */
  private readonly movedTo = new Map<number, string>();
  private movedAsOf = 0;
  /** Members that were not found where they were dialled: when to try another of their addresses, and how long to wait after that. */
  private readonly searches = new Map<number, { readonly nextAt: number; readonly waitMs: number }>();
  private readonly heard = new Map<number, number>();
  /** What each member has shown in its latest handshake. */
  private readonly seen = new Map<number, number>();
  /** Unconfirmed ids: their addresses come from handshakes alone, and this member's log does not have them; oldest first. */
  private readonly strangers = new Set<number>();
  private readonly proposedAt = new Map<number, number>();
  private readonly otherCluster: OtherCluster;

  constructor(self: Self, members: Members, electionMs: number, parts: PeersParts) {
    this.self = self;
    this.members = members;
    this.electionMs = electionMs;
    this.parts = parts;
    this.otherCluster = new OtherCluster(self, members, parts.logger);
    this.seen.set(self.id, self.incarnation);
  }

  /** The members' addresses as the start gave them; the log ends at `lastIndex`. */
  given({ how, list }: ServerOptions["peers"], lastIndex: number): void {
    if (how === "join") for (const { id, url } of list) this.learn(id, { url, since: 0 });
    if (how === "moved") this.moved(list, lastIndex);
  }

  /** Members with other addresses than the log has up to this index. This member, if it is among them, announces its own. */
  private moved(list: ServerOptions["peers"]["list"], asOf: number): void {
    this.movedAsOf = asOf;
    for (const { id, url } of list) {
      this.movedTo.set(id, url);
      // `since: 0` for the others: an address that one of them announces itself may be newer.
      this.learn(id, { url, since: id === this.self.id ? asOf + 1 : 0 });
    }
  }

  /** The remaining members of the cluster that this member was removed from, as reported by a peer. */
  contactRemaining({ asOf, members }: Remaining): void {
    for (const { id, url } of members)
      if (url !== "" && id !== this.self.id) this.learnByWord(id, { url, since: asOf });
  }

  admit(id: number, incarnation: number, address: Address | undefined): Rejection | undefined {
    if (this.members.wasRemoved(id)) {
      return {
        kind: "removed",
        message: `member ${id} was removed from the cluster, and a removed id never comes back`,
        remaining: this.parts.remaining(),
      };
    }
    const known = this.members.get(id);
    if (known === undefined && address === undefined) {
      return {
        kind: "unknown",
        message: `member ${id} is not known to member ${this.self.id}: it must be added first`,
      };
    }
    if (known !== undefined && known.incarnation !== 0 && known.incarnation !== incarnation) {
      const message =
        `member ${id} has another data directory than the one it had: what it promised is lost, and it cannot come back under ` +
        "this id. Remove it, then add it with a new id and an empty data directory";
      return { kind: "lost-data", message };
    }
    this.otherCluster.forget(id);
    // Also for an id that the log does not have yet: its connection may outlast the entry that adds it.
    if (incarnation !== 0) this.seen.set(id, incarnation);
    if (address !== undefined) this.learnByWord(id, address);
    return undefined;
  }

  dialled(id: number, url: string, clusterId: number | undefined): void {
    this.otherCluster.dialled(id, url, clusterId);
    if (clusterId === this.self.clusterId) this.searches.delete(id);
    else this.search(id, url);
  }

  /** Its own word, the operator's and the log's may each be out of date: the next one is tried, ever more seldom. */
  private search(id: number, url: string): void {
    const word = this.movedTo.get(id);
    const known = this.members.get(id);
    if (word === undefined || known === undefined || known.url === "" || known.since > this.movedAsOf) return;
    const now = this.parts.now();
    const { nextAt, waitMs } = this.searches.get(id) ?? { nextAt: 0, waitMs: this.electionMs };
    if (now < nextAt) return;
    this.searches.set(id, { nextAt: now + waitMs, waitMs: Math.min(2 * waitMs, longestSearch * this.electionMs) });
    const places = [...new Set([this.addresses.get(id)?.url ?? word, word, known.url])];
    this.dialAt(id, places[(places.indexOf(url) + 1) % places.length] as string);
  }

  /** The message that refuses a request while no leader is known. */
  noLeader(): string {
    const why = this.otherCluster.warning()?.message;
    return why ?? "this member knows no leader at the moment: an election is probably under way";
  }

  warnings(): readonly Warning[] {
    const warning = this.otherCluster.warning();
    return warning === undefined ? [] : [warning];
  }

  heardOf(id: number): void {
    this.heard.set(id, this.parts.now());
  }

  /** This member itself, or one that was heard of within an election timeout. */
  isActive(id: number): boolean {
    if (id === this.self.id) return true;
    const at = this.heard.get(id);
    return at !== undefined && this.parts.now() - at <= this.electionMs;
  }

  /** Members whose incarnation has been seen but is not noted in the log; each is given out once in an election timeout. */
  unrecorded(): Started[] {
    const found: Started[] = [];
    for (const { id, incarnation } of this.members.all()) {
      const seen = this.seen.get(id) ?? 0;
      if (incarnation !== 0 || seen === 0) continue;
      const now = this.parts.now();
      const at = this.proposedAt.get(id);
      if (at !== undefined && now - at <= this.electionMs) continue;
      this.proposedAt.set(id, now);
      found.push({ id, incarnation: seen });
    }
    return found;
  }

  changed(addresses: readonly KnownMember[], gone: readonly number[]): void {
    for (const member of addresses) this.learnFromLog(member);
    for (const id of gone) this.forget(id);
  }

  /** All members are known afresh, from a snapshot. */
  restored(): void {
    for (const id of this.members.state().removed) this.forget(id);
    for (const member of this.members.all()) if (member.url !== "") this.learnFromLog(member);
  }

  private forget(id: number): void {
    this.addresses.delete(id);
    this.heard.delete(id);
    this.seen.delete(id);
    this.searches.delete(id);
    this.otherCluster.forget(id);
    this.parts.transport.removePeer(id);
  }

  /** Bounds the unconfirmed addresses that are kept. */
  private learnByWord(id: number, address: Address): void {
    const { strangers } = this;
    if (this.members.get(id) === undefined) {
      strangers.delete(id);
      strangers.add(id);
    }
    for (const oldest of strangers) {
      const isMember = this.members.get(oldest) !== undefined;
      if (!isMember && strangers.size <= maxStrangers) break;
      strangers.delete(oldest);
      if (!isMember) this.forget(oldest);
    }
    this.learn(id, address);
  }

  private learnFromLog({ id, url, since }: KnownMember): void {
    const moved = since <= this.movedAsOf ? this.movedTo.get(id) : undefined;
    const known = this.addresses.get(id);
    // Of two addresses as of one index the log's is right: the other comes from a handshake.
    if (known?.since === since) this.addresses.delete(id);
    this.learn(id, { url: moved ?? url, since });
  }

  private learn(id: number, address: Address): void {
    const known = this.addresses.get(id);
    if (known !== undefined && known.since >= address.since) return;
    this.addresses.set(id, address);
    if (id === this.self.id) this.parts.transport.announce(address);
    else this.dialAt(id, address.url);
  }

  private dialAt(id: number, url: string): void {
    const { transport, logger } = this.parts;
    try {
      transport.addPeer(id, url);
    } catch (error) {
      // An address that cannot be dialled is an operator's mistake, committed; it must not stop the members that apply it.
      logger.error?.(`member ${id} cannot be reached: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}
