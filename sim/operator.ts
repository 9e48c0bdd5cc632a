// The operator of the cluster: replaces a member that will never come back, with the calls that a real operator has.
//
// It removes the member, adds a new one as a learner, and promotes the new one. It asks any member that runs, accepts a
// refusal and tries again. It goes on after all other faults have ended, since the cluster owes a replacement for a
// lost disk. One replacement at a time.

import type { MemberChange } from "../server/member.ts";
import type { SimMember } from "./member.ts";
import type { Random } from "./random.ts";
import type { World } from "./world.ts";

export interface OperatorParts {
  readonly world: World;
  readonly random: Random;
  readonly members: ReadonlyMap<number, SimMember>;
  readonly newMember: () => SimMember;
  readonly count: (what: string) => void;
  readonly log: (text: string) => void;
}

const pauseMs = 500;

export class Operator {
  readonly #parts: OperatorParts;
  #lost: SimMember | undefined;
  #next: SimMember | undefined;
  #asking = false;

  constructor(parts: OperatorParts) {
    this.#parts = parts;
  }

  /** A member is to be replaced, as soon as it has gone. */
  get isBusy(): boolean {
    return this.#lost !== undefined;
  }

  /** What it waits for, in words. */
  get task(): string | undefined {
    if (this.#lost === undefined) return undefined;
    if (this.#lost.gone === undefined)
      return `member ${this.#lost.id} was not turned away, though its data directory was ${this.#lost.harm}`;
    return this.#next === undefined
      ? `member ${this.#lost.id} is to be removed`
      : `member ${this.#next.id} is to take its place`;
  }

  replace(lost: SimMember): void {
    this.#lost = lost;
    this.#look();
  }

  #look(): void {
    const lost = this.#lost;
    if (lost === undefined) return;
    // It got over what was done to it.
    if (lost.harm === undefined) this.#lost = undefined;
    else if (lost.gone !== undefined && !this.#asking) this.#act(lost);
    this.#parts.world.after(pauseMs, () => this.#look());
  }

  #act(lost: SimMember): void {
    const { members, random, count, newMember } = this.#parts;
    const up = [...members.values()].filter(({ running }) => running !== undefined);
    if (up.length === 0) return;
    const asked = random.pick(up);
    const known = asked.running?.server.status().members ?? [];
    if (known.some(({ id }) => id === lost.id)) return this.#ask(asked, { kind: "remove", id: lost.id });
    // Whoever was asked may know less than the others, or be no member at all.
    if (known.length === 0) return;
    this.#next ??= newMember();
    const { id, url, gone } = this.#next;
    const found = known.find((member) => member.id === id);
    if (found?.role === "voter" || gone !== undefined) {
      count(gone === undefined ? "member replaced" : "the one that took its place was removed");
      this.#lost = undefined;
      this.#next = undefined;
    } else if (found === undefined) {
      this.#ask(asked, { kind: "add", id, peerUrl: url, learner: true });
    } else {
      this.#ask(asked, { kind: "promote", id });
    }
  }

  #ask(asked: SimMember, change: MemberChange): void {
    const { running } = asked;
    if (running === undefined) return;
    this.#asking = true;
    const text = `operator: ${change.kind} ${change.id}`;
    const ended = (outcome: string): void => {
      this.#asking = false;
      this.#parts.log(`${text}: ${outcome}`);
    };
    const forget = running.process.whenDead(() => ended("the asked process has ended"));
    running.process.after(1, () => {
      void running.server.changeMembers([change]).then((outcome) => {
        forget();
        ended(outcome.kind === "conflict" ? `${outcome.kind} ${outcome.code}` : outcome.kind);
      });
    });
  }
}
