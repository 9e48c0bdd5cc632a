// Who may talk to this member, who has talked lately, and where the others are reached.
//
// A member that was removed, or that comes back with another incarnation than the one that is noted, is told so: neither will pass. Anyone
// else of this cluster may talk: this member's own log may be behind, and not know yet who leads the others. It learns their addresses from
// the log, and from themselves: each says in its handshake where it is reached, and as of which entry of the log, so that of two addresses the
// newer one counts. Without that a member that was away while the others were replaced, or have moved, could hear them and not answer.
// An operator's word that members have moved (--peers-moved) stands above the addresses that the log held then, and below later ones. The
// flag may have stayed in a script while the log learnt better: a member that a dial does not find where its operator says is looked for where
// the log has it, and the other way round. The handshake sees to it that no other member is taken for it.
// (What stands against strangers is the cluster's id, and the network: see transport/handshake.ts.) Who asks whether it may join says no
// address, and is told if it is not a member.
//
// The incarnations that peers show are what the leader's notes are made of (notes.ts): each is proposed once, and again only when that has
// come to nothing within an election timeout.
//
// Its counterpart upstream is the X-PeerURLs header and AddRemote of etcd's rafthttp.

import type { Logger } from "../raft/index.ts";
import type { Address, Rejection, Remaining, Transport, Warning } from "./interfaces.ts";
import type { KnownMember, Members } from "./members.ts";
import type { ServerOptions } from "./options.ts";
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
  /** The newest address that is known of each, from whatever source. */
  private readonly addresses = new Map<number, Address>();
  /** Where members are by their operator's word, which counts over the entries of the log up to `movedAsOf`. */
  private readonly movedTo = new Map<number, string>();
  private movedAsOf = 0;
  /** Members that were not found where they were dialled: when to try another of their addresses, and how long to wait after that. */
  private readonly searches = new Map<number, { readonly nextAt: number; readonly waitMs: number }>();
  private readonly heard = new Map<number, number>();
  /** What each member has shown in its latest handshake. */
  private readonly seen = new Map<number, number>();
  /** Who is reached by its own or another peer's word alone, and is no member as far as this one knows; the oldest first. */
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

  /** What the start has said of the members; the log ends at `lastIndex`. */
  given({ how, list }: ServerOptions["peers"], lastIndex: number): void {
    if (how === "join") for (const { id, url } of list) this.learn(id, { url, since: 0 });
    if (how === "moved") this.moved(list, lastIndex);
  }

  /** Members that are reached elsewhere than the log said up to this index. This one, if it is among them, says so to the others. */
  private moved(list: ServerOptions["peers"]["list"], asOf: number): void {
    this.movedAsOf = asOf;
    for (const { id, url } of list) {
      this.movedTo.set(id, url);
      // The others are known only as well as the log knew them: what one of them says of itself may be newer.
      this.learn(id, { url, since: id === this.self.id ? asOf + 1 : 0 });
    }
  }

  /** Members of the cluster that this member was removed from, as one that knew of that has told it. */
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
    // Also of one that is not known yet: its connection may outlast the entry that makes it known.
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

  /** What to answer to a request while no leader is known. */
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

  /** What is only said is believed of not too many at a time. */
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
    // Of two with one index the log is right, and the other was only said.
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
      // An address that nobody can dial is an operator's mistake, committed; it must not stop the members that hear of it.
      logger.error?.(`member ${id} cannot be reached: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}
