// A cluster that serves while it is fuzzed: three members in one process, with real logs, peer ports and client ports,
// of which the third is stopped so that an impostor can take its place; and clients over HTTP, whose history is kept.
//
// Two of three are a majority, with nothing to spare: whatever takes one of the two away, even for a moment, shows in
// what the clients are answered. All members share one thread, so that a slow machine slows them alike, and no election
// comes of that.

import { once } from "node:events";
import type http from "node:http";
import type { AddressInfo } from "node:net";
import { createKvServer } from "../../kvstore/index.ts";
import type { ServerOptions } from "../../server/options.ts";
import { leaderOf, type TestMember, TestServers, until } from "../../server/testing.ts";
import type { MapOperation } from "../../sim/linearizability/model.ts";
import type { Outcome } from "../../sim/linearizability/specification.ts";
import { Random } from "../../sim/random.ts";
import { type Answer, HttpClient, type Request } from "../chaos/http.ts";

/** The member that is stopped, and in whose name lies are told. */
export const stoppedId = 3;
/** Was a learner, and was removed. */
export const removedId = 4;

const clientCount = 4;
const keysAtATime = 3;

/** The incarnations of the members, as this one knows them: no member offers them to clients. */
export const incarnationOf = ({ server }: TestMember, id: number): number => {
  const { members } = server;
  return members.get(id)?.incarnation ?? 0;
};

export class Serving {
  /** Those that run: 1 and 2. */
  readonly honest: readonly TestMember[];
  readonly clients: Clients;
  /** That of the stopped member: a process that gives it passes for that member. */
  readonly incarnation: number;
  /** What the removed one had. */
  readonly removedIncarnation: number;
  readonly stoppedUrl: string;
  readonly #servers: TestServers;
  readonly #ports: readonly http.Server[];

  private constructor(
    servers: TestServers,
    stopped: TestMember,
    incarnations: readonly [number, number],
    ports: readonly http.Server[],
  ) {
    this.#servers = servers;
    this.honest = servers.all;
    this.stoppedUrl = stopped.url;
    [this.incarnation, this.removedIncarnation] = incarnations;
    this.#ports = ports;
    this.clients = new Clients(ports.map((port) => (port.address() as AddressInfo).port));
  }

  static async open(server: Partial<ServerOptions>, { withRemoved = false } = {}): Promise<Serving> {
    const servers = await TestServers.create();
    const members = await servers.startCluster(3, { server });
    // Until the log has a member's incarnation, any process under its id is admitted.
    await until(() => members.every((one) => members.every(({ id }) => incarnationOf(one, id) > 0)));
    const removedIncarnation = withRemoved ? await removeOne(servers, server) : 0;
    const [first, , third] = members as [TestMember, TestMember, TestMember];
    const incarnation = incarnationOf(first, stoppedId);
    await third.shutDown();
    await until(() => servers.all.some((one) => one.server.status().role === "leader"));
    const ports = await Promise.all(servers.all.map(openClientPort));
    return new Serving(servers, third, [incarnation, removedIncarnation], ports);
  }

  async close(): Promise<void> {
    await this.clients.rest();
    this.clients.close();
    for (const port of this.#ports) {
      port.close();
      port.closeAllConnections();
    }
    await this.#servers.end();
  }
}

async function openClientPort({ server: member, map }: TestMember): Promise<http.Server> {
  const logger = { warn: () => {}, error: () => {} };
  const port = createKvServer({ member, map, maxValueBytes: 4096, allowedHosts: ["h"], logger });
  port.listen(0, "127.0.0.1");
  await once(port, "listening");
  return port;
}

/** Adds a learner, and removes it when all know which data it has; returns its incarnation. */
async function removeOne(servers: TestServers, server: Partial<ServerOptions>): Promise<number> {
  const { server: leader } = leaderOf(servers.all);
  const voters = servers.all;
  const joiner = await servers.join(removedId);
  await leader.changeMembers([{ kind: "add", id: removedId, peerUrl: joiner.url, learner: true }]);
  const learner = await joiner.start({ server });
  await until(() => voters.every((one) => incarnationOf(one, removedId) > 0));
  const incarnation = incarnationOf(learner, removedId);
  await leader.changeMembers([{ kind: "remove", id: removedId }]);
  await until(() => learner.rejections.length > 0);
  await learner.stop();
  return incarnation;
}

/** Put, get and delete over HTTP, one after the other, on keys that all of them share. */
export class Clients {
  readonly #ports: readonly number[];
  readonly #began = process.hrtime.bigint();
  #operations: MapOperation[] = [];
  readonly #https = Array.from({ length: clientCount }, () => new HttpClient());
  #running: Promise<unknown> | undefined;
  #isResting = true;
  #watchers: { at: number; call: () => void }[] = [];

  constructor(ports: readonly number[]) {
    this.#ports = ports;
  }

  /** Begins on new keys, which have this in front. */
  start(prefix: string): void {
    this.#operations = [];
    this.#isResting = false;
    const keys = Array.from({ length: keysAtATime }, (_, i) => `${prefix}-${i}`);
    this.#running = Promise.all(this.#https.map((_, i) => this.#run(i, keys)));
  }

  /** Resolves once so many more operations have ended, well or not. */
  more(count: number): Promise<void> {
    const at = this.#operations.length + count;
    return new Promise((call) => this.#watchers.push({ at, call }));
  }

  /** Resolves to all operations since the start, when the last of them has ended. */
  async rest(): Promise<readonly MapOperation[]> {
    this.#isResting = true;
    await this.#running;
    return this.#operations;
  }

  close(): void {
    for (const one of this.#https) one.close();
  }

  async #run(client: number, keys: readonly string[]): Promise<void> {
    const random = new Random(client + 1);
    for (let i = 0; !this.#isResting; i++) {
      const op = random.pick(["put", "put", "get", "get", "delete"] as const);
      const key = random.pick(keys);
      const value = op === "put" ? `${client}.${i}` : undefined;
      const call = this.#now();
      const answer = await this.#ask(client, requestOf(op, key, value), random.pick(this.#ports));
      const found = answer.kind === "answer" && answer.status === 200 ? String(answer.body) : undefined;
      const outcome = outcomeOf(op, answer);
      this.#operations.push({
        client,
        op,
        key,
        value: op === "get" ? found : value,
        call,
        return: this.#now(),
        outcome,
      });
      const due = this.#watchers.filter(({ at }) => this.#operations.length >= at);
      this.#watchers = this.#watchers.filter((watcher) => !due.includes(watcher));
      for (const watcher of due) watcher.call();
      // A client that is refused at once must not keep the members from their other work.
      if (outcome !== "ok") await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  #ask(client: number, request: Request, port: number): Promise<Answer> {
    return (this.#https[client] as HttpClient).ask(port, request, 20_000);
  }

  #now(): number {
    return Number(process.hrtime.bigint() - this.#began);
  }
}

function requestOf(op: MapOperation["op"], key: string, value: string | undefined): Request {
  const path = `/${key}`;
  if (op === "put") return { method: "PUT", path, body: value ?? "" };
  return { method: op === "get" ? "GET" : "DELETE", path };
}

/** What kvstore/outcome.ts promises. */
function outcomeOf(op: MapOperation["op"], answer: Answer): Outcome {
  if (answer.kind === "refused") return "fail";
  if (answer.kind === "broken") return "unknown";
  const { status } = answer;
  if (op === "get" ? status === 200 || status === 404 : status === 204) return "ok";
  return status === 503 || (status >= 400 && status < 500) ? "fail" : "unknown";
}
