// The faults that come now and then: each kind strikes at random times of its own, and ends what it began.
//
// A fault strikes any member that runs, and the leader more often than others, because most failures happen there.
// Members that are down start again by themselves, as under a supervisor; one whose disk has failed only after a power
// cut (member.ts says why). Changes of the members are drawn from the asked member's view of them. The cluster may well
// refuse one: refusing is its task.

import { isNormal } from "../raft/index.ts";
import type { MemberChange } from "../server/member.ts";
import type { Invariants } from "./invariants.ts";
import type { Harm, SimMember } from "./member.ts";
import type { Network } from "./network.ts";
import { Operator } from "./operator.ts";
import { cutInShape, drawShape } from "./partitions.ts";
import type { Plan, Strike } from "./plan.ts";
import type { Random } from "./random.ts";
import { Slips } from "./slips.ts";
import type { World } from "./world.ts";

export interface FaultParts {
  readonly world: World;
  readonly random: Random;
  readonly plan: Plan;
  readonly network: Network;
  readonly members: ReadonlyMap<number, SimMember>;
  readonly invariants: Invariants;
  /** Makes a member that is to join, not started yet. */
  readonly newMember: () => SimMember;
  readonly count: (what: string) => void;
  readonly log: (text: string) => void;
}

/** At most so many members at a time. */
const maxMembers = 7;

export class Faults {
  readonly #parts: FaultParts;
  readonly #electionMs: number;
  #ended = false;
  /** Changes of the members that have not been answered. */
  #changing = 0;
  /** The commit index at which all members were first seen to know the incarnation of each. */
  readonly #notedAt = new Map<number, number>();
  readonly operator: Operator;
  readonly #slips: Slips;

  constructor(parts: FaultParts) {
    this.#parts = parts;
    this.#slips = new Slips({ ...parts, random: parts.random.fork("slips"), hasEnded: () => this.#ended });
    this.operator = new Operator({ ...parts, random: parts.random.fork("operator") });
    const { tickMs, electionTicks } = parts.plan.settings;
    this.#electionMs = tickMs * electionTicks;
  }

  start(): void {
    const { plan, random } = this.#parts;
    for (const [kind, meanMs] of plan.strikes) this.#schedule(kind, meanMs, random.fork(kind));
  }

  /** The first start of a member, perhaps with a slip. */
  firstStart(member: SimMember): void {
    if (this.#parts.plan.strikes.has("slip") && !this.#ended) this.#slips.firstStart(member);
    else member.start();
  }

  #schedule(kind: Strike, meanMs: number, random: Random): void {
    const { world } = this.#parts;
    world.after(-Math.log(1 - random.real()) * meanMs, () => {
      if (this.#ended) return;
      this.#strike(kind, random);
      this.#schedule(kind, meanMs, random);
    });
  }

  #strike(kind: Strike, random: Random): void {
    switch (kind) {
      case "partition":
        return this.#partition(random);
      case "crash":
        return this.#crash(random);
      case "kill":
        return this.#restart("kill", this.#one(random), random);
      case "orderly restart":
        return this.#restart("orderly restart", this.#one(random), random);
      case "pause":
        return this.#pause(random);
      case "slow disk":
        return this.#slowDisk(random);
      case "failing disk":
        return this.#failingDisk(random);
      case "disk hang":
        return this.#diskHang(random);
      case "damage":
        return this.#harm(random.pick(["damaged log", "damaged snapshot"]), random);
      case "wipe":
        return this.#harm("wiped", random);
      case "slip":
        return this.#slips.strike(this.#one(random));
      case "client cut":
        return this.#clientCut(random);
      case "membership":
        return this.#changeMembers(random);
      case "transfer":
        return this.#transfer(random);
    }
  }

  /** All faults end, and all members run that are not gone. */
  end(): void {
    const { network, members } = this.#parts;
    this.#ended = true;
    network.mend();
    network.clientCuts.requests.clear();
    network.clientCuts.answers.clear();
    network.faults = { loss: 0, duplicate: 0, late: 0, lateMs: 0, cutStream: 0 };
    for (const member of members.values()) {
      member.disk.heal();
      // A call that has failed already, or hangs, may tell so only later.
      if (member.diskMayFail) member.powerCut();
      member.hang = undefined;
      member.diskMayFailUntil = 0;
      member.diskTimes.sync = 3;
      member.process?.wakeUp();
      member.start();
    }
  }

  get #up(): SimMember[] {
    return [...this.#parts.members.values()].filter((member) => member.running !== undefined);
  }

  #leader(): SimMember | undefined {
    const leads = (member: SimMember): boolean =>
      member.running !== undefined && member.running.server.node.raft.state === "StateLeader";
    return this.#up.find(leads);
  }

  /** Any member that runs; the leader more often than others. */
  #one(random: Random, leadersShare = 0.4): SimMember | undefined {
    const leader = this.#leader();
    if (leader !== undefined && random.chance(leadersShare)) return leader;
    return this.#up.length === 0 ? undefined : random.pick(this.#up);
  }

  #tell(kind: string, text: string): void {
    this.#parts.count(kind);
    this.#parts.log(`${kind}: ${text}`);
  }

  #partition(random: Random): void {
    const { network, world, members } = this.#parts;
    const one = this.#one(random, 0.7)?.id;
    if (network.isCut || one === undefined || members.size < 2) return;
    const ids = random.shuffle([...members.keys()]);
    const shape = drawShape(random);
    cutInShape(shape, network, one, ids, random);
    this.#tell(`partition: ${shape}`, `${one} of ${ids.join(" ")}`);
    world.after(random.spread(0.2, 8) * this.#electionMs, () => network.mend());
  }

  #crash(random: Random): void {
    const up = this.#up;
    if (up.length === 0) return;
    const how = random.pick(["one", "one", "one", "two", "all"] as const);
    const first = this.#one(random) as SimMember;
    const others = random.shuffle(up.filter((member) => member !== first));
    const victims = how === "all" ? up : [first, ...others.slice(0, how === "two" ? 1 : 0)];
    this.#tell(`crash: ${how}`, victims.map(({ id }) => id).join(" "));
    for (const victim of victims) this.#restart("crash", victim, random);
  }

  #restart(how: "crash" | "kill" | "orderly restart", victim: SimMember | undefined, random: Random): void {
    if (victim?.running === undefined) return;
    const { world } = this.#parts;
    this.#tell(how, `member ${victim.id}`);
    const comeBack = (): void => world.after(random.spread(0.1, 5) * this.#electionMs, () => victim.start());
    if (how === "orderly restart") void victim.shutDown().then(comeBack);
    else if (how === "crash") victim.powerCut();
    else victim.kill();
    comeBack();
  }

  #pause(random: Random): void {
    const victim = this.#one(random);
    if (victim === undefined) return;
    this.#tell("pause", `member ${victim.id}`);
    victim.pause(random.spread(0.5, 5) * this.#electionMs);
  }

  #slowDisk(random: Random): void {
    const victim = this.#one(random);
    if (victim === undefined) return;
    this.#tell("slow disk", `member ${victim.id}`);
    victim.diskTimes.sync = random.spread(20, 1.5 * this.#electionMs);
    this.#parts.world.after(random.spread(0.5, 6) * this.#electionMs, () => {
      victim.diskTimes.sync = 3;
    });
  }

  /** One call fails. What the disk holds after it nobody knows: the machine is switched off before it is used again. */
  #failingDisk(random: Random): void {
    const victim = this.#one(random);
    if (victim?.running === undefined) return;
    const { world } = this.#parts;
    const kind = random.pick(["write", "datasync", "syncDirectory", "rename", "create"] as const);
    this.#tell("failing disk", `${kind} of member ${victim.id}`);
    victim.diskMayFailUntil = Number.POSITIVE_INFINITY;
    victim.disk.failNext((call) => call.kind === kind, random.pick(["EIO", "ENOSPC"] as const));
    world.after(random.spread(0.5, 5) * this.#electionMs, () => {
      victim.disk.heal();
      victim.powerCut();
      victim.hang = undefined;
      victim.diskMayFailUntil = world.now;
      victim.start();
    });
  }

  /**
   * Syncs do not come back: for a while, or for so long that the member must stop. Then the machine is switched off and
   * on.
   */
  #diskHang(random: Random): void {
    const victim = this.#one(random);
    if (victim?.running === undefined || victim.diskMayFail) return;
    const { world, plan } = this.#parts;
    const { diskStallMs } = plan.settings;
    const forMs = random.chance(0.5) ? random.spread(0.05, 0.4) * diskStallMs : random.spread(1.4, 2) * diskStallMs;
    this.#tell("disk hang", `member ${victim.id} for ${Math.round(forMs)} ms`);
    victim.diskMayFailUntil = Number.POSITIVE_INFINITY;
    const hang = {};
    victim.hang = hang;
    const release = victim.disk.hangWhen(({ kind }) => kind === "datasync");
    world.after(forMs, () => {
      release();
      if (victim.hang !== hang) return;
      victim.hang = undefined;
      if (victim.running === undefined) victim.powerCut();
      // It may have waited for long before.
      victim.diskMayFailUntil = world.now + diskStallMs;
      victim.start();
    });
  }

  /**
   * The power of a member fails, and its files are damaged or gone. One at a time, and only where the others can do
   * without it.
   */
  #harm(harm: Harm, random: Random): void {
    const victim = this.#one(random);
    if (victim?.running === undefined || victim.diskMayFail || !this.#canSpare(victim)) return;
    if (harm === "wiped" && !this.#isNoted(victim)) return;
    const others = this.#up.filter((member) => member !== victim).map(({ id, url }) => ({ id, url }));
    const done = victim.suffer(harm, random, others);
    this.#tell(done ?? "crash: one", `member ${victim.id}`);
    if (done !== undefined) this.operator.replace(victim);
    this.#parts.world.after(random.spread(0.1, 5) * this.#electionMs, () => victim.start());
  }

  /** No other is lost, and no change of the members is under way that would make this one matter more. */
  #canSpare({ id }: SimMember): boolean {
    const { members } = this.#parts;
    if (this.operator.isBusy || this.#changing > 0) return false;
    for (const { running, gone } of members.values()) {
      if (gone !== undefined) continue;
      if (running === undefined) return false;
      const { raftLog, trk } = running.server.node.raft;
      const { voters } = trk.config;
      if (voters.isJoint() || voters.incoming.slice().length < 3 || !trk.progress.has(id)) return false;
      const waiting = raftLog.slice(raftLog.applied + 1, raftLog.lastIndex() + 1, Number.POSITIVE_INFINITY);
      if (!Array.isArray(waiting) || !waiting.every(isNormal)) return false;
    }
    return true;
  }

  /**
   * All members know which data directory it has, and have that on disk: else they cannot tell that it came back with
   * another.
   */
  #isNoted({ id }: SimMember): boolean {
    const all = [...this.#parts.members.values()].filter(({ gone }) => gone === undefined);
    const know = all.every(({ running }) => running?.server.inbox.admit(id, 0, undefined)?.kind === "lost-data");
    if (!know) return false;
    const commits = all.map(
      (member) => this.#parts.invariants.factsOf(member.watchedAs).durable.hardState?.commit ?? 0,
    );
    const notedAt = this.#notedAt.get(id) ?? this.#parts.invariants.committed.length;
    this.#notedAt.set(id, notedAt);
    return commits.every((commit) => commit >= notedAt);
  }

  #clientCut(random: Random): void {
    const victim = this.#one(random);
    if (victim === undefined) return;
    const { requests, answers } = this.#parts.network.clientCuts;
    const cut = random.pick([[requests], [answers], [requests, answers]]);
    this.#tell("client cut", `member ${victim.id}`);
    for (const one of cut) one.add(victim.id);
    this.#parts.world.after(random.spread(0.2, 8) * this.#electionMs, () => {
      for (const one of cut) one.delete(victim.id);
    });
  }

  #transfer(random: Random): void {
    const asked = this.#one(random);
    if (asked?.running === undefined) return;
    const { running } = asked;
    const to = random.pick([...this.#parts.members.keys()]);
    this.#tell("transfer", `to member ${to}`);
    running.process.after(1, () => {
      void running.server.transferLeadership(to).then((outcome) => this.#parts.count(`transfer ${outcome.kind}`));
    });
  }

  #changeMembers(random: Random): void {
    const asked = this.#one(random);
    if (asked?.running === undefined || this.operator.isBusy) return;
    const { running } = asked;
    const changes = this.#drawChanges(running.server.status().members, random);
    if (changes === undefined) return;
    const text = changes.map((change) => `${change.kind} ${change.id}`).join(", ");
    this.#tell(changes.length > 1 ? "joint change" : `change: ${changes[0]?.kind}`, text);
    this.#changing++;
    const forget = running.process.whenDead(() => this.#changing--);
    running.process.after(1, () => {
      void running.server.changeMembers(changes).then((outcome) => {
        forget();
        this.#changing--;
        const result = outcome.kind === "conflict" ? `conflict ${outcome.code}` : outcome.kind;
        this.#parts.count(`change ${result}`);
        this.#parts.log(`change ${text}: ${result}`);
      });
    });
  }

  #drawChanges(
    known: readonly { id: number; role: "voter" | "learner" }[],
    random: Random,
  ): MemberChange[] | undefined {
    const voters = random.shuffle(known.filter(({ role }) => role === "voter").map(({ id }) => id));
    const learners = random.shuffle(known.filter(({ role }) => role === "learner").map(({ id }) => id));
    const drawn: MemberChange[] = [];
    const add = (): void => {
      if (known.length >= maxMembers) return;
      const { id, url } = this.#parts.newMember();
      drawn.push({ kind: "add", id, peerUrl: url, learner: true });
    };
    const gone = [...this.#parts.members.values()].filter(({ id }) => !known.some((one) => one.id === id));
    const draws: (() => void)[] = [
      add,
      // Most of them were removed: their ids are spent.
      () => {
        const { id, url } = gone.length === 0 ? { id: 0, url: "" } : random.pick(gone);
        if (id !== 0) drawn.push({ kind: "add", id, peerUrl: url, learner: random.chance(0.5) });
      },
      () => learners[0] !== undefined && drawn.push({ kind: "promote", id: learners[0] }),
      () => learners[0] !== undefined && drawn.push({ kind: "promote", id: learners[0] }),
      () => voters.length > 1 && drawn.push({ kind: "demote", id: voters[0] as number }),
      () => voters.length > 1 && drawn.push({ kind: "remove", id: voters[0] as number }),
      () => learners[0] !== undefined && drawn.push({ kind: "remove", id: learners[0] }),
      () => {
        // A replacement in one step.
        if (learners[0] === undefined || voters.length < 2) return;
        drawn.push(
          { kind: "promote", id: learners[0] },
          { kind: random.pick(["remove", "demote"]), id: voters[0] as number },
        );
      },
      () => {
        if (voters.length < 4) return;
        drawn.push({ kind: "demote", id: voters[0] as number }, { kind: "remove", id: voters[1] as number });
      },
    ];
    random.pick(draws)();
    return drawn.length === 0 ? undefined : drawn;
  }
}
