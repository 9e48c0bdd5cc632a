// The network between the members: a proxy in front of each, and a link for each direction between two of them.

import type { Random } from "../../sim/random.ts";
import { Link, type LinkFaults } from "./link.ts";
import { PeerProxy } from "./proxy.ts";

export class Network {
  readonly #random: Random;
  readonly #proxies = new Map<number, PeerProxy>();
  readonly #links = new Map<string, Link>();
  readonly #urls = new Set<string>();

  constructor(random: Random) {
    this.#random = random;
  }

  /** Puts a proxy in front of a member that is going to start; returns the URL for its peers. */
  async add(id: number): Promise<string> {
    const proxy = new PeerProxy(id, (from, to) => this.link(from, to));
    const url = await proxy.listen();
    this.#proxies.set(id, proxy);
    this.#urls.add(url);
    return url;
  }

  /** Whether this is the URL of a proxy: any other would be a way around the faults. */
  isProxy(url: string): boolean {
    return this.#urls.has(url);
  }

  /** Tells on which port the member listens for peers. */
  listensAt(id: number, port: number): void {
    const proxy = this.#proxies.get(id);
    if (proxy === undefined) throw new Error(`member ${id} has no proxy: add it first`);
    proxy.targetPort = port;
  }

  link(from: number, to: number): Link {
    const name = `${from} to ${to}`;
    let link = this.#links.get(name);
    if (link === undefined) {
      link = new Link(from, to, this.#random.fork(name));
      this.#links.set(name, link);
    }
    return link;
  }

  /** Gives every direction between these members the same faults. */
  setBetween(some: readonly number[], others: readonly number[], faults: Partial<LinkFaults>): void {
    for (const a of some) {
      for (const b of others) {
        if (a === b) continue;
        this.link(a, b).set(faults);
        this.link(b, a).set(faults);
      }
    }
  }

  heal(): void {
    for (const link of this.#links.values()) link.set({});
  }

  get all(): readonly Link[] {
    return [...this.#links.values()];
  }

  /** Connections that named no sender: none of a member's own. */
  get unnamed(): number {
    return [...this.#proxies.values()].reduce((sum, { unnamed }) => sum + unnamed, 0);
  }

  async close(): Promise<void> {
    this.heal();
    await Promise.all([...this.#proxies.values()].map((proxy) => proxy.close()));
  }
}
