// One run: a cluster of real members on a simulated network, disk and clock, clients that use it, and faults that hit it; all from one seed.
//
// First the safety phase: faults come and go, the invariants are looked at after each event. Then the liveness phase: all faults end, and the
// cluster must come to rest in bounded time: one leader, all members equal, every client served. At last the history that
// the clients wrote down is checked for linearizability.
//
// Promises: a seed and the same options give the same run, event for event; `traceHash` says so in 32 bits.

import { describeMessage, type Message } from "../raft/index.ts";
import { Client, type HistoryEntry } from "./clients.ts";
import { Faults } from "./faults.ts";
import { Invariants } from "./invariants.ts";
import { checkHistory } from "./linearizability/checker.ts";
import { mapModel } from "./linearizability/model.ts";
import { type MemberParts, SimMember } from "./member.ts";
import { Network } from "./network.ts";
import { makePlan, type Plan, type PlanOptions } from "./plan.ts";
import { Random } from "./random.ts";
import { pictureOf } from "./states.ts";
import { chained } from "./watched-map.ts";
import { type Process, World } from "./world.ts";

export interface RunOptions {
  readonly seed: number;
  readonly ticks?: number | undefined;
  /** Only these of the faults that the seed draws. */
  readonly only?: PlanOptions["only"];
  /** Takes each line of the run's text. */
  /** Called with each line, and with its member's id, or "world". */
  readonly trace?: ((line: string, who: string) => void) | undefined;
  readonly mutation?: MemberParts["mutation"];
}

export interface RunResult {
  readonly seed: number;
  /** What was wrong; undefined if nothing was. */
  readonly error: Error | undefined;
  readonly plan: Plan;
  /** Virtual time. */
  readonly simulatedMs: number;
  readonly steps: number;
  /** How long it took to come to rest after the faults had ended; undefined if it did not get there. */
  readonly restTicks: number | undefined;
  readonly traceHash: number;
  /** How often what happened. */
  readonly counts: ReadonlyMap<string, number>;
  readonly entries: number;
  readonly elections: number;
  readonly operations: number;
  /** The pictures of the cluster that were seen (states.ts). */
  readonly states: ReadonlySet<string>;
  readonly history: readonly HistoryEntry[];
}

/** After the faults have ended, all must be well within so many ticks. */
export const livenessTicks = 300;

export async function simulate(options: RunOptions): Promise<RunResult> {
  const simulation = new Simulation(options);
  let error: Error | undefined;
  try {
    await simulation.run();
  } catch (caught) {
    error = caught instanceof Error ? caught : new Error(String(caught));
  }
  return simulation.result(error);
}

class Simulation {
  readonly #options: RunOptions;
  readonly #plan: Plan;
  readonly #random: Random;
  readonly #world: World;
  readonly #network: Network;
  readonly #invariants: Invariants;
  readonly #members = new Map<number, SimMember>();
  readonly #faults: Faults;
  readonly #clients: Client[];
  readonly #history: HistoryEntry[] = [];
  readonly #counts = new Map<string, number>();
  readonly #memberParts: MemberParts;
  readonly #states = new Set<string>();
  #traceHash = 0;
  #moments = 0;
  #restTicks: number | undefined;

  constructor(options: RunOptions) {
    this.#options = options;
    const random = new Random(options.seed);
    this.#random = random;
    this.#plan = makePlan(random.fork("plan"), { ticks: options.ticks ?? 1000, only: options.only });
    const plan = this.#plan;
    this.#world = new World(random.fork("world"));
    const count = (what: string): void => this.#count(what);
    this.#network = new Network(this.#world, random.fork("network"), {
      sent: (from, m) => this.#sent(from, m),
      delivered: (to, m) => this.#delivered(to, m),
      count,
    });
    this.#network.faults = plan.network;
    this.#invariants = new Invariants(plan.members);
    const { trace } = options;
    const listener = {
      count,
      isTracing: trace !== undefined,
      log: (id: number, text: string) => this.#line(String(id), text),
    };
    const world = this.#world;
    const network = this.#network;
    const invariants = this.#invariants;
    const settings = plan.settings;
    this.#memberParts = { world, network, random, invariants, settings, listener, mutation: options.mutation };
    const ids = Array.from({ length: plan.members }, (_, i) => i + 1);
    const founders = ids.map((id) => ({ id, url: SimMember.urlOf(id) }));
    for (const id of ids) this.#add(new SimMember(id, this.#memberParts, { founders }));
    this.#clients = Array.from({ length: plan.clients }, (_, i) => this.#newClient(i + 1));
    this.#faults = new Faults({
      world,
      random: random.fork("faults"),
      plan,
      network,
      members: this.#members,
      invariants: this.#invariants,
      newMember: () => this.#newMember(),
      count,
      log: (text) => this.#line("world", text),
    });
  }

  async run(): Promise<void> {
    const world = this.#world;
    const plan = this.#plan;
    world.watch((owner) => this.#look(owner));
    for (const member of this.#members.values()) this.#faults.firstStart(member);
    for (const client of this.#clients) this.#fork(client.run());
    this.#faults.start();
    this.#takePictures();
    await world.runUntil(plan.ticks * plan.settings.tickMs);
    for (const { running } of this.#members.values()) {
      if (Math.abs(running?.process.aheadMs ?? 0) > plan.settings.tickMs) this.#count("clock more than a tick off");
    }
    await this.#comeToRest();
    await this.#checkHistory();
  }

  result(error: Error | undefined): RunResult {
    if (this.#world.heldUp > 0) this.#counts.set("event held up by a pause", this.#world.heldUp);
    const plan = this.#plan;
    const world = this.#world;
    const traceHash = this.#traceHash;
    const counts = this.#counts;
    const history = this.#history;
    const options = this.#options;
    return {
      seed: options.seed,
      error,
      plan,
      simulatedMs: world.now,
      steps: world.steps,
      restTicks: this.#restTicks,
      traceHash: chained(traceHash, new TextEncoder().encode(`${world.now} ${world.steps} ${JSON.stringify(history)}`)),
      counts,
      entries: this.#invariants.committed.length,
      elections: this.#invariants.elections,
      operations: history.length,
      states: this.#states,
      history,
    };
  }

  #add(member: SimMember): SimMember {
    this.#members.set(member.id, member);
    const { drift } = this.#plan;
    member.rate = 1 + this.#random.fork(`clock ${member.id}`).spread(-drift, drift);
    return member;
  }

  /** It asks to join from now on, as a process that an operator has started. */
  #newMember(): SimMember {
    const id = Math.max(...this.#members.keys()) + 1;
    const contacts = [...this.#members.values()]
      .filter(({ gone }) => gone === undefined)
      .map(({ id, url }) => ({ id, url }));
    const member = this.#add(new SimMember(id, this.#memberParts, { contacts }));
    this.#faults.firstStart(member);
    return member;
  }

  #newClient(id: number): Client {
    const world = this.#world;
    const random = this.#random;
    const plan = this.#plan;
    const history = this.#history;
    return new Client(id, {
      world,
      random: random.fork(`client ${id}`),
      settings: plan.client,
      cuts: this.#network.clientCuts,
      history,
      members: () => [...this.#members.values()].filter(({ gone }) => gone === undefined),
      acknowledged: (index, command) => this.#check(() => this.#invariants.acknowledged(index, command)),
      count: (what) => this.#count(what),
      moment: () => ++this.#moments,
    });
  }

  #takePictures(): void {
    this.#states.add(pictureOf([...this.#members.values()]));
    this.#world.after(this.#plan.settings.tickMs, () => this.#takePictures());
  }

  /** What goes wrong in it ends the run. */
  #fork(work: Promise<unknown>): void {
    work.catch((error) => this.#world.fail(error));
  }

  #check(look: () => void): void {
    try {
      look();
    } catch (error) {
      this.#world.fail(error);
    }
  }

  /** At the member whose event it was, which changes no other; at all after one of the world. */
  #look(owner: Process | undefined): void {
    try {
      for (const { watchedAs, running } of this.#members.values()) {
        if (running === undefined) continue;
        if (owner === undefined || owner === running.process) this.#invariants.observe(watchedAs, running);
      }
    } catch (error) {
      this.#world.fail(error);
    }
  }

  #count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  #line(who: string, text: string): void {
    this.#options.trace?.(`${this.#world.now.toFixed(3).padStart(12)} ${who}: ${text}`, who);
  }

  #sent(from: Process, m: Message): void {
    const member = this.#members.get(m.from);
    if (member?.process === from) this.#check(() => this.#invariants.sent(member.watchedAs, m));
  }

  #delivered(to: number, m: Message): void {
    this.#mix(this.#world.now * 1000);
    this.#mix(to);
    this.#mix(m.from);
    this.#mix(m.type);
    this.#mix(m.term);
    this.#mix(m.index);
    this.#mix(m.commit);
    this.#mix(m.entries.length);
    if (this.#options.trace !== undefined) this.#line(String(to), `received ${describeMessage(m)}`);
  }

  #mix(n: number): void {
    this.#traceHash = (Math.imul(this.#traceHash ^ (n | 0), 0x01000193) + (n | 0)) | 0;
  }

  /** The liveness phase. */
  async #comeToRest(): Promise<void> {
    const world = this.#world;
    const plan = this.#plan;
    const clients = this.#clients;
    this.#faults.end();
    this.#line("world", "all faults have ended");
    for (const client of clients) client.stop();
    const { tickMs } = plan.settings;
    const began = world.now;
    const deadline = began + livenessTicks * tickMs;
    let served = 0;
    const last = this.#newClient(0);
    this.#fork(
      last.succeed("last").then((found) => {
        if (!found) throw new Error("liveness: a value that was just put is not there");
        served++;
      }),
    );
    let restless: string | undefined = "the run has not begun";
    while (restless !== undefined && world.now < deadline) {
      await world.runUntil(world.now + tickMs);
      restless = served === 0 ? "a client waits for its answer" : (this.#faults.operator.task ?? this.#restless());
    }
    if (restless !== undefined) throw new Error(`liveness: after ${livenessTicks} ticks without faults ${restless}`);
    this.#restTicks = Math.round((world.now - began) / tickMs);
    this.#count("came to rest");
    for (const { running } of this.#members.values()) {
      if (running !== undefined) this.#invariants.compare(running.map.chain, await running.map.data());
    }
  }

  /** Why the cluster has not come to rest; undefined if it has. */
  #restless(): string | undefined {
    const up = [...this.#members.values()].flatMap(({ running }) => (running === undefined ? [] : [running.server]));
    const statuses = up.map((server) => server.status());
    const term = Math.max(...statuses.map((status) => status.term));
    const leader = statuses.find((status) => status.role === "leader" && status.term === term);
    if (leader === undefined) return "no member leads the newest term";
    const server = up.find((one) => one.status().id === leader.id);
    if (server === undefined || server.node.raft.trk.config.voters.isJoint()) return "the members are changing";
    for (const { id } of leader.members) {
      const status = statuses.find((one) => one.id === id);
      if (status === undefined) return `member ${id} does not run`;
      if (status.leader !== leader.id) return `member ${id} does not know the leader`;
      if (status.applied !== leader.applied || leader.applied !== server.node.raft.raftLog.lastIndex()) {
        return `member ${id} has applied ${status.applied} entries, and the leader has ${server.node.raft.raftLog.lastIndex()}`;
      }
    }
    return undefined;
  }

  async #checkHistory(): Promise<void> {
    const result = checkHistory(this.#history, mapModel, {});
    this.#count(`history ${result.verdict}`);
    if (result.verdict === "linearizable") return;
    const keys = result.keys.filter(({ verdict }) => verdict === result.verdict).map(({ key }) => key);
    const why = result.verdict === "undecided" ? "is too hard to order" : "cannot be put in any order";
    throw new Error(`linearizability: the history of ${keys.join(", ")} ${why}`);
  }
}
