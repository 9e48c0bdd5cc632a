// When operators slip (slip.ts has what happens then): before a member's first start, soon after it, and now and then
// later.

import type { SimMember } from "./member.ts";
import type { Plan } from "./plan.ts";
import type { Random } from "./random.ts";
import type { Slip } from "./slip.ts";
import type { World } from "./world.ts";

export interface SlipParts {
  readonly world: World;
  readonly random: Random;
  readonly plan: Plan;
  readonly count: (what: string) => void;
  readonly log: (text: string) => void;
  readonly hasEnded: () => boolean;
}

export class Slips {
  readonly #parts: SlipParts;

  constructor(parts: SlipParts) {
    this.#parts = parts;
  }

  /** Starts the member, half of the time with a slip before it or soon after it. */
  firstStart(member: SimMember): void {
    const { random, world } = this.#parts;
    const how = random.pick(["right", "slip first", "slip soon", "slip at the first term"] as const);
    if (how === "slip first") return this.#slip(member);
    member.start();
    if (how === "slip soon") world.after(random.spread(0, random.pick([60, 3000])), () => this.strike(member));
    if (how === "slip at the first term") this.#strikeAtTerm(member);
  }

  /** As soon as it has heard of a term: one that joins saves it before it has any entry. */
  #strikeAtTerm(member: SimMember): void {
    const { random, world, hasEnded } = this.#parts;
    const term = member.running?.server.node.raft.term ?? 0;
    if (term > 0) world.after(random.spread(0, 15), () => this.strike(member));
    else if (!hasEnded()) world.after(5, () => this.#strikeAtTerm(member));
  }

  /** The member is stopped, started with a slip, and then as it should be. */
  strike(member: SimMember | undefined): void {
    const { random } = this.#parts;
    if (member === undefined || member.harm !== undefined || member.diskMayFail || member.gone !== undefined) return;
    if (random.chance(0.5)) member.powerCut();
    else member.kill();
    this.#slip(member);
  }

  #slip(member: SimMember): void {
    const { random, world, count, log, hasEnded } = this.#parts;
    const slip = this.#draw(member.id);
    count("slip");
    log(`slip: member ${member.id} is started as member ${slip.id} of cluster ${slip.clusterId}`);
    member.slip(slip);
    const isCut = random.chance(0.3);
    const cutsPower = random.chance(0.7);
    const endsAt = isCut ? random.spread(0, 30) : random.spread(100, 2000);
    world.after(endsAt, () => member.endSlip(cutsPower));
    // Some operators slip twice.
    const isRepeated = random.chance(0.3);
    world.after(endsAt + random.spread(0, 1000), () => {
      if (isRepeated && !hasEnded() && member.process === undefined && member.harm === undefined) this.#slip(member);
      else member.start();
    });
  }

  #draw(id: number): Slip {
    const { random, plan } = this.#parts;
    const other = random.chance(0.2) ? id + 1 : id;
    const clusterId = plan.settings.clusterId + random.between(other === id ? 1 : 0, 3);
    const peers = Array.from({ length: plan.members + 1 }, (_, i) => ({
      id: i + 1,
      url: `http://10.9.0.${i + 1}:2380`,
    }));
    return { id: other, clusterId, peers };
  }
}
