// Clients: they put, get and delete, one thing at a time each, and note each answer.
//
// An operation goes to one member; the answer may get lost on the way back. A client that was refused tries elsewhere;
// one that was left in the dark notes the operation as unknown, and often asks for the same once more, as a new
// operation. Each value belongs to one write and its repetitions, so that a read tells which it saw. In some runs
// values are large, so that records span sectors, and snapshots chunks.
//
// Checked here, since no other part sees it: a member that is alive and awake answers each request within its deadline,
// if only with a refusal.

import { encodeDelete, encodePut } from "../kvstore/command.ts";
import type { SimMember } from "./member.ts";
import type { Random } from "./random.ts";
import { Process, type World } from "./world.ts";

/**
 * One operation as the linearizability checker reads it; times are the world's order of events, so that no two are
 * equal.
 */
export interface HistoryEntry {
  readonly client: number;
  readonly op: "put" | "get" | "delete";
  readonly key: string;
  /** What was put, or what a get was answered; undefined for no value. */
  value: string | undefined;
  readonly call: number;
  return: number | undefined;
  outcome: "ok" | "fail" | "unknown";
}

export interface ClientSettings {
  readonly keys: number;
  /** Mean of the time between two operations. */
  readonly thinkMs: number;
  /** Probability that an answer gets lost. */
  readonly lostAnswers: number;
  readonly timeoutMs: number;
  /** Values are padded to any length up to this one. */
  readonly valueBytes: number;
}

export interface ClientParts {
  readonly world: World;
  readonly random: Random;
  readonly settings: ClientSettings;
  readonly history: HistoryEntry[];
  /** What gets lost of the members' requests and answers. */
  readonly cuts: { readonly requests: ReadonlySet<number>; readonly answers: ReadonlySet<number> };
  /** Those that a client may talk to now. */
  readonly members: () => readonly SimMember[];
  readonly acknowledged: (index: number, command: Uint8Array) => void;
  readonly count: (what: string) => void;
  /** The present moment, later than every other that was asked for. */
  readonly moment: () => number;
}

type Answer = { readonly outcome: "ok" | "fail"; readonly value?: string | undefined };

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const delayMs = 2;
const padding = "_";

function unpadded(bytes: Uint8Array): string {
  const text = decoder.decode(bytes);
  const end = text.indexOf(padding);
  return end < 0 ? text : text.slice(0, end);
}

export class Client {
  readonly #id: number;
  readonly #parts: ClientParts;
  readonly #process: Process;
  #writes = 0;
  #target: SimMember | undefined;
  #stopped = false;

  constructor(id: number, parts: ClientParts) {
    this.#id = id;
    this.#parts = parts;
    this.#process = new Process(parts.world, 1);
  }

  /** Runs until it is stopped. */
  async run(): Promise<void> {
    const { random, settings } = this.#parts;
    while (!this.#stopped) {
      await this.#process.sleep(2 * settings.thinkMs * random.real());
      const draw = random.real();
      const key = `k${random.below(settings.keys)}`;
      if (draw < 0.45) await this.#perform("put", key, this.#newValue());
      else if (draw < 0.55) await this.#perform("delete", key, undefined);
      else await this.#perform("get", key, undefined);
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Puts a value until that is acknowledged, and reads it back. Resolves to whether it was there. */
  async succeed(key: string): Promise<boolean> {
    const value = this.#newValue();
    while ((await this.#once("put", key, value)).outcome !== "ok") await this.#process.sleep(100);
    for (;;) {
      const read = await this.#once("get", key, undefined);
      if (read.outcome === "ok") return read.value === value;
      await this.#process.sleep(100);
    }
  }

  #newValue(): string {
    return `${this.#id}.${++this.#writes}`;
  }

  async #perform(op: HistoryEntry["op"], key: string, value: string | undefined): Promise<void> {
    const { random } = this.#parts;
    for (let attempt = 0; attempt < 4 && !this.#stopped; attempt++) {
      const { outcome } = await this.#once(op, key, value);
      if (outcome === "ok" || (outcome === "unknown" && random.chance(0.3))) return;
      await this.#process.sleep(100 * random.real());
    }
  }

  async #once(op: HistoryEntry["op"], key: string, value: string | undefined): Promise<HistoryEntry> {
    const { history, moment, settings, count } = this.#parts;
    const member = this.#choose();
    const entry: HistoryEntry = {
      client: this.#id,
      op,
      key,
      value,
      call: moment(),
      return: undefined,
      outcome: "unknown",
    };
    history.push(entry);
    const answer = await new Promise<Answer | undefined>((resolve) => {
      this.#process.after(settings.timeoutMs, () => resolve(undefined));
      this.#ask(member, op, key, value, resolve);
    });
    if (answer === undefined) {
      count(`${op} unknown`);
      // It may take effect at any time to come.
      this.#target = undefined;
      return entry;
    }
    entry.return = moment();
    entry.outcome = answer.outcome;
    if (op === "get") entry.value = answer.value;
    if (answer.outcome === "fail") this.#target = undefined;
    count(`${op} ${answer.outcome}`);
    return entry;
  }

  /** The one that answered last, now and then another. */
  #choose(): SimMember {
    const { random, members } = this.#parts;
    if (this.#target === undefined || random.chance(0.1)) this.#target = random.pick(members());
    return this.#target;
  }

  #ask(
    member: SimMember,
    op: HistoryEntry["op"],
    key: string,
    value: string | undefined,
    resolve: (answer: Answer | undefined) => void,
  ): void {
    const { random, settings, count, cuts, world } = this.#parts;
    const { running } = member;
    if (cuts.requests.has(member.id)) {
      count("lost request");
      return;
    }
    if (running === undefined) {
      this.#process.after(delayMs, () => resolve({ outcome: "fail" }));
      return;
    }
    const { process } = running;
    process.after(delayMs, () => {
      const since = world.now;
      let isAnswered = false;
      this.#process.after(settings.timeoutMs, () => {
        if (isAnswered || !process.alive || !process.wasAwakeSince(since)) return;
        world.fail(
          new Error(`answers: member ${member.id} has left a ${op} without an answer for ${settings.timeoutMs} ms`),
        );
      });
      const serving = op === "get" ? this.#read(member, key) : this.#write(member, op, key, value);
      void serving.then((answer) => {
        isAnswered = true;
        if (cuts.answers.has(member.id) || random.chance(settings.lostAnswers)) count("lost answer");
        else this.#process.after(delayMs, () => resolve(answer));
      });
    });
  }

  async #write(
    { running }: SimMember,
    op: HistoryEntry["op"],
    key: string,
    value: string | undefined,
  ): Promise<Answer | undefined> {
    const { random, settings } = this.#parts;
    const padded = value?.padEnd(random.between(0, settings.valueBytes + 1), padding);
    const command = op === "put" ? encodePut(key, encoder.encode(padded)) : encodeDelete(key);
    const outcome = await running?.server.propose(command);
    if (outcome?.kind !== "applied") return outcome?.kind === "refused" ? { outcome: "fail" } : undefined;
    this.#parts.acknowledged(outcome.index, command);
    return { outcome: "ok" };
  }

  async #read({ running }: SimMember, key: string): Promise<Answer | undefined> {
    const outcome = await running?.server.readIndex();
    if (outcome?.kind !== "ready") return { outcome: "fail" };
    const bytes = running?.map.map.get(key);
    return { outcome: "ok", value: bytes === undefined ? undefined : unpadded(bytes) };
  }
}
