// Changes of the members while everything else happens: learners that join and are promoted, members that are demoted, removed and
// replaced, one by one and jointly, the leader among them, and leadership that is handed on.
//
// A change is asked for again until it is done, of whichever member serves: a refusal says that nothing was done, and after an unknown
// outcome the next answer tells. Every change is possible, if not at once, so one that is not done after a long time is a violation. A
// member that is going to be removed is not started again from then on.
//
// The fault atlas: at most one data directory is destroyed at a time, and its member is replaced before the next. Nothing acknowledged lies
// on it alone.

import { setTimeout as sleep } from "node:timers/promises";
import type { Request } from "./http.ts";
import type { ChaosMember } from "./members.ts";
import type { NemesisParts } from "./nemesis.ts";

export const membershipDeck = [
  "transfer",
  "demote and promote",
  "grow or shrink",
  "grow or shrink",
  "replace a wiped member",
  "replace jointly",
] as const;
export type MembershipFault = (typeof membershipDeck)[number];

const askTimeoutMs = 5000;
const patienceMs = 60_000;
const fewestVoters = 3;

export class MembershipFaults {
  readonly #parts: NemesisParts;

  constructor(parts: NemesisParts) {
    this.#parts = parts;
  }

  async strike(fault: MembershipFault): Promise<void> {
    switch (fault) {
      case "transfer":
        return this.#transfer();
      case "demote and promote":
        return this.#demoteAndPromote();
      case "grow or shrink":
        return this.#parts.members.all.length > fewestVoters ? this.#shrink() : this.#grow();
      case "replace a wiped member":
        return this.#replaceWiped();
      case "replace jointly":
        return this.#replaceJointly();
    }
  }

  /** May well fail: it is tried once. */
  async #transfer(): Promise<void> {
    const { members, random, count, journal } = this.#parts;
    const to = random.pick(members.all).id;
    const body = JSON.stringify({ transferee: to });
    const status = await this.#ask({ method: "POST", path: "/_leader", body, json: true });
    journal(`transfer to ${to}: ${status?.code ?? "no answer"}`);
    if (status?.code === 200) count("leadership transferred");
  }

  async #demoteAndPromote(): Promise<void> {
    const { id } = await this.#someone();
    await this.#change("demote", `${id}`, { method: "POST", path: `/_members/${id}/demote` }, /is a learner already/);
    await this.#promote(id);
  }

  async #grow(): Promise<void> {
    const newcomer = await this.#addLearner();
    await this.#promote(newcomer.id);
  }

  async #shrink(): Promise<void> {
    const victim = await this.#someone();
    victim.retire();
    await this.#remove(victim);
  }

  /** Its disk is lost, and with it all that it has promised: only a new member under a new id can take its place. */
  async #replaceWiped(): Promise<void> {
    const { count, journal } = this.#parts;
    const victim = await this.#someone();
    journal(`wiped: ${victim.id}`);
    victim.retire();
    count("kills");
    count("members wiped");
    await victim.kill();
    await victim.wipe();
    await this.#remove(victim);
    await this.#grow();
  }

  /** A new member for an old one, in one step, through a joint configuration. */
  async #replaceJointly(): Promise<void> {
    const newcomer = await this.#addLearner();
    const { members } = this.#parts;
    const leader = await members.leader();
    const victim = leader !== undefined && leader !== newcomer ? leader : await this.#someone(newcomer);
    victim.retire();
    const body = JSON.stringify({ changes: [{ promote: newcomer.id }, { remove: victim.id }] });
    const request: Request = { method: "PATCH", path: "/_members", body, json: true };
    await this.#change("joint replacement", `${victim.id} by ${newcomer.id}`, request, /voter already|removed already/);
  }

  async #addLearner(): Promise<ChaosMember> {
    const newcomer = await this.#parts.members.newcomer();
    const { id, url } = newcomer;
    const body = JSON.stringify({ id, peerUrl: url, learner: true });
    await this.#change("add", `${id}`, { method: "POST", path: "/_members", body, json: true }, /is a member already/);
    void newcomer.start();
    return newcomer;
  }

  #promote(id: number): Promise<void> {
    return this.#change("promote", `${id}`, { method: "POST", path: `/_members/${id}/promote` }, /is a voter already/);
  }

  #remove({ id }: ChaosMember): Promise<void> {
    return this.#change("remove", `${id}`, { method: "DELETE", path: `/_members/${id}` }, /was removed already/);
  }

  /** A member for a change: the leader as often as not. */
  async #someone(but?: ChaosMember): Promise<ChaosMember> {
    const { members, random } = this.#parts;
    const leader = await members.leader();
    if (leader !== undefined && leader !== but && !leader.removed && random.chance(0.5)) return leader;
    return random.pick(members.all.filter((member) => member !== but));
  }

  /** Asks until it is done: answered so, or refused since an earlier attempt did it after all. */
  async #change(kind: string, about: string, request: Request, isDone: RegExp): Promise<void> {
    const { count, journal, electionMs } = this.#parts;
    journal(`${kind} ${about}: asked`);
    let last = "";
    for (const end = performance.now() + patienceMs; performance.now() < end; ) {
      const answer = await this.#ask(request);
      if (answer !== undefined) last = `${answer.code} ${answer.text}`;
      if (answer?.code === 200 || (answer?.code === 409 && isDone.test(answer.text))) {
        journal(`${kind} ${about}: done`);
        count(`membership: ${kind}`);
        return;
      }
      await sleep(electionMs / 5);
    }
    throw new Error(`${kind} ${about} could not be done in ${patienceMs / 1000} s; the last answer was ${last}`);
  }

  async #ask(request: Request): Promise<{ code: number; text: string } | undefined> {
    const { members, random } = this.#parts;
    if (members.serving.length === 0) return undefined;
    const answer = await random.pick(members.serving).ask(request, askTimeoutMs);
    return answer.kind === "answer" ? { code: answer.status, text: String(answer.body) } : undefined;
  }
}
