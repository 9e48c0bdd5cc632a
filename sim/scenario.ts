// A small cluster that a test plays a story with: the simulator's members, network and invariants, and no faults but
// those of the story.
//
// A seed tells its story only as long as nothing is drawn differently. A bug that a seed has found once is kept as a
// story.

import { Invariants } from "./invariants.ts";
import { type MemberParts, type MemberSettings, SimMember } from "./member.ts";
import { Network } from "./network.ts";
import { Random } from "./random.ts";
import { World } from "./world.ts";

const settings: MemberSettings = {
  clusterId: 7,
  tickMs: 100,
  electionTicks: 10,
  requestTimeoutMs: 5000,
  snapshotCount: 1000,
  snapshotCatchupEntries: 100,
  segmentBytes: 32_768,
  maxSizePerMsg: 1_000_000,
  diskStallMs: 15_000,
  maxWaiting: 1000,
};

export class Scenario {
  readonly world = new World(new Random(1));
  readonly network: Network;
  readonly members: readonly SimMember[];
  /** What has happened, as the simulator counts it. */
  readonly counts = new Map<string, number>();

  constructor(count: number, changed: Partial<MemberSettings> = {}, mutation?: MemberParts["mutation"]) {
    const random = new Random(1);
    const { world } = this;
    const invariants = new Invariants(count);
    const tally = (what: string): void => void this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
    this.network = new Network(world, random.fork("network"), {
      sent: (_from, m) => invariants.sent(m.from, m),
      delivered: () => undefined,
      count: tally,
    });
    const listener = { count: tally, log: () => undefined, isTracing: false };
    const parts = { world, network: this.network, random, invariants, listener, mutation };
    const founders = Array.from({ length: count }, (_, i) => ({ id: i + 1, url: SimMember.urlOf(i + 1) }));
    this.members = founders.map(
      ({ id }) => new SimMember(id, { ...parts, settings: { ...settings, ...changed } }, { founders }),
    );
    world.watch(() => {
      for (const { id, running } of this.members) if (running !== undefined) invariants.observe(id, running);
    });
    for (const member of this.members) member.start();
  }

  member(id: number): SimMember {
    const member = this.members[id - 1];
    if (member === undefined) throw new Error(`there is no member ${id}`);
    return member;
  }

  leads(id: number): boolean {
    return this.member(id).running?.server.status().role === "leader";
  }

  /** Runs until this holds. Throws if it does not within so many ticks. */
  async until(what: string, holds: () => boolean, ticks = 200): Promise<void> {
    const { world } = this;
    await world.runUntil(world.now + ticks * settings.tickMs, holds);
    if (!holds()) throw new Error(`after ${ticks} ticks this does not hold: ${what}`);
  }

  /** Runs until the promise is settled, and resolves as it does. */
  async outcome<T>(promise: Promise<T> | undefined, ticks = 200): Promise<T> {
    if (promise === undefined) throw new Error("the member that was asked does not run");
    let found: { readonly value: T } | undefined;
    promise.then(
      (value) => (found = { value }),
      (error) => this.world.fail(error),
    );
    await this.until("the answer has come", () => found !== undefined, ticks);
    return (found as unknown as { readonly value: T }).value;
  }

  /** Makes this member the leader. */
  async giveLeadTo(id: number): Promise<void> {
    const leader = (): SimMember | undefined => this.members.find((member) => this.leads(member.id));
    await this.until("there is a leader", () => leader() !== undefined);
    if (leader()?.id !== id) await this.outcome(leader()?.running?.server.transferLeadership(id));
    await this.until(`member ${id} leads`, () => this.leads(id));
  }
}
