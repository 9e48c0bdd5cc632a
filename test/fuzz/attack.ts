// How well others are served while the client port is attacked, as a target: a ratio, since no rate means anything on a
// machine of unknown speed.
//
// A real member in a process of its own, well-behaved clients here, and the attack from a third process (attacker.ts).
// An input is a round: a phase of peace, one under attack, one of peace again, each of some seconds. What the clients
// are answered in the second is divided by what they are answered in the other two, so that a machine that becomes
// slower meanwhile slows both. The attack takes its own processor time from the member's and the clients', so the true
// ratio is rather higher.
//
// The oracle: no well-behaved request fails, ever; and the ratio is not below a bound so low that only a port that is
// blocked comes under it. What is aimed for is half the normal rate: the outcomes tell, in tenths. One attack has no
// bound, and is only measured: node:http takes all requests that a packet holds, hundreds of them, before anyone else
// has a turn, so floods of them leave others the little that it can parse meanwhile.
//
// Input: one byte for the attack, four for the seed of what it sends.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../../sim/random.ts";
import { TestCluster } from "../cluster.ts";
import { expect, type Session, type Target } from "./target.ts";

const attacks = ["slow", "oversize", "pipelining", "bad", "all"] as const;
export type AttackName = (typeof attacks)[number];

const leastRatio = 0.2;
const goodClients = 8;
const warmRequests = 200;

export interface Round {
  readonly attack: AttackName;
  /** Requests a second that were answered well. */
  readonly normal: number;
  readonly attacked: number;
  /** Connections that the attack has made. */
  readonly connections: number;
}

/** The input of a round. */
export const roundInput = (attack: AttackName, seed: number): Uint8Array => {
  const input = new Uint8Array(5);
  input[0] = attacks.indexOf(attack);
  new DataView(input.buffer).setUint32(1, seed);
  return input;
};

class GoodClients {
  answered = 0;
  #failure: string | undefined;
  readonly #agent = new http.Agent({ keepAlive: true });
  readonly #port: number;
  #isOver = false;
  readonly #ends: Promise<void>[];

  constructor(port: number) {
    this.#port = port;
    this.#ends = Array.from({ length: goodClients }, (_, i) => this.#goOn(i));
  }

  /** Resolves when so many have been answered: a process that has just begun is slow. */
  async warm(count: number): Promise<void> {
    while (this.answered < count && this.#failure === undefined) await sleep(20);
  }

  /** Requests a second within a phase of this length. */
  async rate(ms: number): Promise<number> {
    const before = this.answered;
    const began = performance.now();
    await sleep(ms);
    const rate = (this.answered - before) / ((performance.now() - began) / 1000);
    expect(this.#failure === undefined, `a well-behaved client ${this.#failure}`);
    return rate;
  }

  async close(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#ends);
    this.#agent.destroy();
  }

  async #goOn(client: number): Promise<void> {
    for (let i = 0; !this.#isOver && this.#failure === undefined; i++) {
      const isPut = i % 2 === 0;
      try {
        const status = await this.#ask(isPut ? "PUT" : "GET", `/good-${client}`, isPut ? `value ${i}` : undefined);
        if (status === (isPut ? 204 : 200)) this.answered++;
        else this.#failure = `is answered ${status}`;
      } catch (error) {
        this.#failure = `meets with ${error instanceof Error ? error.message : String(error)}`;
      }
    }
  }

  async #ask(method: string, target: string, body: string | undefined): Promise<number | undefined> {
    const request = http.request({ host: "127.0.0.1", port: this.#port, method, path: target, agent: this.#agent });
    request.end(body);
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    response.resume();
    await once(response, "end");
    return response.statusCode;
  }
}

class Attacker {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(port: number) {
    const script = path.join(import.meta.dirname, "attacker.ts");
    const child = spawn(process.execPath, ["--import", "tsx", script, String(port)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** Begins an attack, or ends it; resolves to the connections made when that is done. */
  async tell(line: string): Promise<number> {
    this.#child.stdin?.write(`${line}\n`);
    const { done, value } = await this.#lines.next();
    if (done === true) throw new Error("the attacker has ended by itself");
    return Number(value);
  }

  async close(): Promise<void> {
    this.#child.kill("SIGKILL");
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, "close");
  }
}

interface Parts {
  readonly cluster: TestCluster;
  readonly attacker: Attacker;
  readonly clients: GoodClients;
}

async function openParts(): Promise<Parts> {
  const cluster = await TestCluster.start(1, "--allowed-hosts=h");
  const port = Number(new URL(cluster.member(1).clientUrl).port);
  const parts = { cluster, attacker: new Attacker(port), clients: new GoodClients(port) };
  await parts.clients.warm(warmRequests);
  return parts;
}

async function closeParts({ cluster, attacker, clients }: Parts): Promise<void> {
  await attacker.close();
  await clients.close();
  await cluster.stop();
}

class AttackSession implements Session {
  #parts: Parts;
  readonly #phaseMs: number;
  readonly #least: number;
  readonly #tell: (round: Round) => void;

  constructor(parts: Parts, phaseMs: number, least: number, tell: (round: Round) => void) {
    this.#parts = parts;
    this.#phaseMs = phaseMs;
    this.#least = least;
    this.#tell = tell;
  }

  draw = (random: Random): Uint8Array => roundInput(random.pick(attacks), random.bits());

  async run(input: Uint8Array): Promise<string> {
    const attack = attacks[(input[0] ?? 0) % attacks.length] as AttackName;
    const least = attack === "pipelining" || attack === "all" ? 0 : this.#least;
    const seed = input.slice(1, 5).reduce((sum, byte) => sum * 256 + byte, 0);
    // A port that is blocked is blocked each time; a machine that was busy with something else is not.
    let ratio = await this.#round(attack, seed);
    for (let again = 0; again < 2 && ratio < least; again++) {
      await this.#renew();
      ratio = await this.#round(attack, seed);
    }
    if (ratio < least) await this.#renew();
    expect(ratio >= least, `under the attack "${attack}" others are served at ${ratio.toFixed(2)} of their rate`);
    return `${attack}: ${ratio.toFixed(1)} of the rate`;
  }

  async #round(attack: AttackName, seed: number): Promise<number> {
    const phaseMs = this.#phaseMs;
    const parts = this.#parts;
    const { clients, attacker } = parts;
    const before = await clients.rate(phaseMs / 2);
    await attacker.tell(`${attack} ${seed}`);
    const attacked = await clients.rate(phaseMs);
    const connections = await attacker.tell("");
    const after = await clients.rate(phaseMs / 2);
    // What was sent may keep the member busy when its senders are gone. That is no peace.
    const normal = Math.max(before, (before + after) / 2);
    this.#tell({ attack, normal, attacked, connections });
    return attacked / normal;
  }

  /** What an attack has left behind must not be there when the next one begins. */
  async #renew(): Promise<void> {
    await closeParts(this.#parts);
    this.#parts = await openParts();
  }

  async close(): Promise<void> {
    await closeParts(this.#parts);
  }
}

const line = ({ attack, normal, attacked, connections }: Round): void =>
  console.log(
    `attack "${attack}", ${connections} connections: others are served at ${Math.round(attacked)}/s, ` +
      `${(attacked / normal).toFixed(2)} of their normal ${Math.round(normal)}/s`,
  );

/** Calls `tell` for each round. A round whose ratio is below `least` is repeated, and fails at the third time. */
export const makeAttackTarget = (phaseMs: number, least = leastRatio, tell: (round: Round) => void = line): Target => ({
  name: "attack",
  about: "how well others are served while the client port is attacked",
  lanes: 1,
  open: async () => new AttackSession(await openParts(), phaseMs, least, tell),
});

export const attackTarget = makeAttackTarget(3000);
