// The clients: each does one operation after the other over HTTP, on a few keys that all of them share, and notes how
// it ended.
//
// What an answer means is what kvstore/outcome.ts promises: 204 a write is done, 200 and 404 a read is; 4xx and 503
// nothing was done and never will be; 504, 500, a connection that broke or an answer that did not come: unknown. The
// checker holds the members to that: a refused write that shows up later is as much of a failure as an acknowledged one
// that does not.
//
// Every put has a value of its own, made long by padding, so that a damaged message is likely to be damaged there; the
// history has it without, unless what was read is no value of any put. The keys are changed after so many
// operations, so that those of unknown outcome, which the checker must consider at every later moment, stay few on
// each.

import { setTimeout as sleep } from "node:timers/promises";
import type { Outcome } from "../../sim/linearizability/specification.ts";
import type { Random } from "../../sim/random.ts";
import { type Answer, HttpClient, type Request } from "./http.ts";
import type { ChaosMember, Members } from "./members.ts";
import type { Kind, Recorder } from "./recorder.ts";

const keysAtATime = 5;
const operationsPerGeneration = 500;
const pauseAfterFailureMs = 50;
const padding = " and so on".repeat(20);

export interface ClientsOptions {
  readonly count: number;
  readonly members: Members;
  readonly recorder: Recorder;
  readonly random: Random;
  readonly deadlineMs: number;
}

export class Clients {
  /** All keys that were ever written. */
  readonly keys: string[] = [];
  readonly #options: ClientsOptions;
  readonly #clients: Client[];
  #current: readonly string[] = [];
  #left = 0;
  #running: Promise<unknown> | undefined;
  #resting = true;

  constructor(options: ClientsOptions) {
    this.#options = options;
    this.#clients = Array.from({ length: options.count }, (_, i) => new Client(i + 1, options, this));
  }

  start(): void {
    this.#options.recorder.startGap();
    this.#resting = false;
    this.#running = Promise.all(this.#clients.map((client) => client.run()));
  }

  /** Resolves when all have had the end of their last operation. The next start is on new keys. */
  async rest(): Promise<void> {
    this.#resting = true;
    await this.#running;
    this.#left = 0;
  }

  get isResting(): boolean {
    return this.#resting;
  }

  /** The key of the next operation. */
  nextKey(random: Random): string {
    if (this.#left === 0) {
      const generation = this.keys.length / keysAtATime;
      this.#current = Array.from({ length: keysAtATime }, (_, k) => `g${generation}-k${k}`);
      this.keys.push(...this.#current);
      this.#left = operationsPerGeneration;
    }
    this.#left--;
    return random.pick(this.#current);
  }

  /**
   * Reads these keys, each until it has an answer, spread over the members. Returns those that gave none within the
   * time.
   */
  async readAll(keys: readonly string[], ms: number): Promise<readonly string[]> {
    const end = performance.now() + ms;
    const queue = [...keys];
    const unread: string[] = [];
    const work = async (client: Client): Promise<void> => {
      for (let key = queue.pop(); key !== undefined; key = queue.pop()) {
        let outcome: Outcome = "fail";
        while (outcome !== "ok" && performance.now() < end) outcome = await client.perform("get", key);
        if (outcome !== "ok") unread.push(key);
      }
    };
    await Promise.all(this.#clients.map(work));
    return unread;
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }
}

class Client {
  readonly #id: number;
  readonly #options: ClientsOptions;
  readonly #clients: Clients;
  readonly #random: Random;
  readonly #http = new HttpClient();
  #member: ChaosMember | undefined;
  #puts = 0;

  constructor(id: number, options: ClientsOptions, clients: Clients) {
    this.#id = id;
    this.#options = options;
    this.#clients = clients;
    this.#random = options.random.fork(`client ${id}`);
  }

  async run(): Promise<void> {
    const random = this.#random;
    const clients = this.#clients;
    while (!clients.isResting) {
      const draw = random.real();
      const op = draw < 0.4 ? "put" : draw < 0.5 ? "delete" : "get";
      const outcome = await this.perform(op, clients.nextKey(random));
      if (outcome !== "ok") await sleep(pauseAfterFailureMs);
    }
  }

  async perform(op: Kind, key: string): Promise<Outcome> {
    const { recorder, deadlineMs } = this.#options;
    const value = op === "put" ? `${this.#id}.${++this.#puts}` : undefined;
    const member = this.#choose();
    if (member === undefined) {
      await sleep(pauseAfterFailureMs);
      return "fail";
    }
    const end = recorder.begin(this.#id, op, key, value);
    const answer = await this.#http.ask(member.clientPort, requestOf(op, key, value), deadlineMs);
    const outcome = outcomeOf(op, answer);
    end(outcome, answer.kind === "answer" && answer.status === 200 ? valueIn(answer.body) : undefined);
    if (outcome !== "ok") this.#member = undefined;
    return outcome;
  }

  close(): void {
    this.#http.close();
  }

  /** The one that answered last, now and then another. A paused one is as good as any: who pauses does not say so. */
  #choose(): ChaosMember | undefined {
    const { members } = this.#options;
    const chosen = this.#member;
    if (chosen === undefined || chosen.clientPort === 0 || this.#random.chance(0.05)) {
      const up = members.all.filter(({ clientPort }) => clientPort !== 0);
      this.#member = up.length === 0 ? undefined : this.#random.pick(up);
    }
    return this.#member;
  }
}

function requestOf(op: Kind, key: string, value: string | undefined): Request {
  const path = `/${key}`;
  if (op === "put") return { method: "PUT", path, body: value + padding };
  return { method: op === "get" ? "GET" : "DELETE", path };
}

function valueIn(body: Buffer): string {
  const text = String(body);
  return text.endsWith(padding) ? text.slice(0, -padding.length) : text;
}

function outcomeOf(op: Kind, answer: Answer): Outcome {
  if (answer.kind === "refused") return "fail";
  if (answer.kind === "broken") return "unknown";
  const { status } = answer;
  if (op === "get" ? status === 200 || status === 404 : status === 204) return "ok";
  return status === 503 || (status >= 400 && status < 500) ? "fail" : "unknown";
}
