// What all kinds of faults share, and the two kinds that strike processes and the network.
//
// Faults of the three kinds (processes, network, membership) strike at the same time, each kind one after the other. All choices are drawn
// from the seed; what they meet depends on the machine, so a seed does not repeat a run, but a mixture of faults. Each fault that has
// really happened is counted and written, with its time, to the journal of the run.

import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../../sim/random.ts";
import type { ChaosMember, Members } from "./members.ts";
import type { Network } from "./network.ts";
import type { Recorder } from "./recorder.ts";
import { applyShape, type Shape, shapes } from "./shapes.ts";

export interface NemesisParts {
  readonly members: Members;
  readonly network: Network;
  readonly recorder: Recorder;
  readonly random: Random;
  /** The shortest election timeout. */
  readonly electionMs: number;
  readonly count: (what: string, by?: number) => void;
  readonly journal: (text: string) => void;
}

/** Restarting members is not waited for longer: one that joins may have to wait until the network is healed. */
const startPatienceMs = 5000;
/** Between two faults of a kind the clients get so much done, unless that takes too long: the other kinds strike meanwhile. */
export const okBetweenFaults = 20;
export const recoveryMs = 3000;
const pollMs = 50;

/** The mixture of a round: eleven kills or so, and two pauses. */
export const processDeck = [
  "kill leader",
  "kill leader",
  "kill follower",
  "kill two",
  "kill all",
  "kill all",
  "pause leader",
  "pause any",
] as const;
export type ProcessFault = (typeof processDeck)[number];

export class ProcessFaults {
  readonly #parts: NemesisParts;

  constructor(parts: NemesisParts) {
    this.#parts = parts;
  }

  /** Strikes, and mends it again; then waits until the clients have had something of it, if they can. */
  async strike(fault: ProcessFault): Promise<void> {
    const { recorder } = this.#parts;
    let victims = await this.#victims(fault);
    // After the last fault there may be no leader yet.
    for (const end = performance.now() + recoveryMs; victims.length === 0; victims = await this.#victims(fault)) {
      if (performance.now() > end) return;
      await sleep(pollMs);
    }
    this.#parts.journal(`${fault}: ${victims.map(({ id }) => id).join(", ")}`);
    if (fault === "pause leader" || fault === "pause any") await this.#pause(fault, victims);
    else await this.#kill(fault, victims);
    await recorder.moreOk(okBetweenFaults, recoveryMs);
  }

  async #victims(fault: ProcessFault): Promise<readonly ChaosMember[]> {
    const { members, random } = this.#parts;
    const up = random.shuffle(members.all.filter(({ process }) => process !== undefined));
    const leader = await members.leader();
    const followers = up.filter((member) => member !== leader);
    switch (fault) {
      case "kill leader":
      case "pause leader":
        return leader === undefined ? [] : [leader];
      case "kill follower":
        return followers.slice(0, 1);
      case "pause any":
        return up.slice(0, 1);
      case "kill two":
        return up.length < 2 ? [] : up.slice(0, 2);
      case "kill all":
        return up;
    }
  }

  async #kill(fault: ProcessFault, victims: readonly ChaosMember[]): Promise<void> {
    const { count, random, recorder, electionMs } = this.#parts;
    count(fault);
    count("kills", victims.length);
    await Promise.all(victims.map((victim) => victim.kill()));
    // Some come back at once, some when the others have gone on without them.
    if (random.chance(0.5)) await recorder.moreOk(random.between(1, 50), 2 * electionMs);
    const started = Promise.all(victims.map((victim) => victim.start()));
    await Promise.race([started, sleep(startPatienceMs, undefined, { ref: false })]);
  }

  async #pause(fault: ProcessFault, victims: readonly ChaosMember[]): Promise<void> {
    const { count, random, electionMs } = this.#parts;
    count(fault);
    count("pauses");
    for (const victim of victims) victim.pause();
    await sleep(random.spread(1, 3) * electionMs);
    for (const victim of victims) victim.resume();
  }
}

export class NetworkFaults {
  readonly #parts: NemesisParts;
  #deck: Shape[] = [];

  constructor(parts: NemesisParts) {
    this.#parts = parts;
  }

  /** Puts the network into the next shape, each in turn in an order of its own, for one to three election timeouts, and heals it. */
  async strike(): Promise<void> {
    const { members, network, random, electionMs, recorder, count, journal } = this.#parts;
    if (this.#deck.length === 0) this.#deck = random.shuffle(shapes);
    const shape = this.#deck.pop() as Shape;
    const ids = random.shuffle(members.all.map(({ id }) => id));
    const leader = (await members.leader())?.id ?? (ids[0] as number);
    const followers = ids.filter((id) => id !== leader);
    const behind = applyShape(shape, { network, random, leader, followers });
    journal(`network: ${shape} (leader ${leader}, others ${followers.join(", ")})`);
    count(`network: ${shape}`);
    if (behind !== undefined) {
      await this.#untilCompactedPast(behind.id);
      behind.next();
    }
    await sleep(random.spread(1, 3) * electionMs);
    network.heal();
    journal("network: healed");
    await recorder.moreOk(okBetweenFaults, recoveryMs);
  }

  /** Until the leader has thrown away what this member would need next; not for ever, since there may be no leader for long. */
  async #untilCompactedPast(id: number): Promise<void> {
    const { members, electionMs } = this.#parts;
    const applied = (await members.get(id)?.status())?.applied ?? 0;
    for (const end = performance.now() + 8 * electionMs; performance.now() < end; ) {
      const statuses = await members.statuses();
      if (statuses.some(({ role, snapshot }) => role === "leader" && snapshot > applied)) return;
      await sleep(pollMs);
    }
  }
}
