// Who may talk to this member, who has talked lately, and where the others are reached.
//
// A peer is let in if the log knows it, or, while this member's own log does not name it yet, if it is one of the contacts that it joined by.
// A member that was removed, or that comes back with another incarnation than the one that is noted, is told so: neither will pass.
//
// The incarnations that peers show are what the leader's notes are made of (notes.ts): each is proposed once, and again only when that has
// come to nothing within an election timeout.

import type { Logger } from "../raft/index.ts";
import type { Rejection, Transport } from "./interfaces.ts";
import type { Members } from "./members.ts";

export interface PeersParts {
  readonly transport: Transport;
  readonly logger: Logger;
  readonly now: () => number;
}

export interface Started {
  readonly id: number;
  readonly incarnation: number;
}

export class Peers {
  private readonly self: Started;
  private readonly members: Members;
  private readonly electionMs: number;
  private readonly parts: PeersParts;
  private contacts = new Set<number>();
  private readonly heard = new Map<number, number>();
  /** What each member has shown in its latest handshake. */
  private readonly seen = new Map<number, number>();
  private readonly proposedAt = new Map<number, number>();

  constructor(self: Started, members: Members, electionMs: number, parts: PeersParts) {
    this.self = self;
    this.members = members;
    this.electionMs = electionMs;
    this.parts = parts;
    this.seen.set(self.id, self.incarnation);
  }

  /** Members of the cluster that this member joins. */
  contact(list: readonly { readonly id: number; readonly url: string }[]): void {
    for (const { id, url } of list) {
      if (id === this.self.id) continue;
      this.contacts.add(id);
      this.address(id, url);
    }
  }

  admit(id: number, incarnation: number): Rejection | undefined {
    const self = this.self.id;
    if (this.members.wasRemoved(id)) {
      return {
        kind: "removed",
        message: `member ${id} was removed from the cluster, and a removed id never comes back`,
      };
    }
    const known = this.members.get(id);
    if (known === undefined) {
      if (this.contacts.has(id)) return undefined;
      return { kind: "unknown", message: `member ${id} is not known to member ${self}: it must be added first` };
    }
    if (known.incarnation !== 0 && known.incarnation !== incarnation) {
      const message =
        `member ${id} has another data directory than the one it had: what it promised is lost, and it cannot come back under ` +
        "this id. Remove it, then add it with a new id and an empty data directory";
      return { kind: "lost-data", message };
    }
    if (incarnation !== 0) this.seen.set(id, incarnation);
    return undefined;
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

  changed(addresses: readonly [id: number, url: string][], gone: readonly number[]): void {
    for (const [id, url] of addresses) this.address(id, url);
    for (const id of gone) this.forget(id);
    this.settleContacts();
  }

  /** All members are known afresh, from a snapshot. */
  restored(): void {
    for (const id of this.members.state().removed) this.forget(id);
    for (const { id, url } of this.members.all()) if (url !== "") this.address(id, url);
    this.settleContacts();
  }

  /** Once the log names this member it names all whom it needs. */
  private settleContacts(): void {
    if (this.contacts.size === 0 || this.members.get(this.self.id) === undefined) return;
    const { contacts } = this;
    this.contacts = new Set();
    for (const id of contacts) if (this.members.get(id) === undefined) this.forget(id);
  }

  private forget(id: number): void {
    this.heard.delete(id);
    this.seen.delete(id);
    this.parts.transport.removePeer(id);
  }

  private address(id: number, url: string): void {
    try {
      this.parts.transport.addPeer(id, url);
    } catch (error) {
      // An address that nobody can dial is an operator's mistake, committed; it must not stop the members that hear of it.
      this.parts.logger.error?.(
        `member ${id} cannot be reached: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }
}
