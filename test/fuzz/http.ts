// The client port as a target: a real member behind it, requests as bytes over TCP, many connections at a time.
//
// The oracle:
//   - the bytes that come back are a sequence of legal answers, not more of them than there were requests, and none of
//     them says 500: the statuses are 100, 200, 204, 4xx, 501, 503 and 504;
//   - no key is written, deleted or changed that a plain request did not ask for, byte for byte, as a second reader of
//     the same bytes has it (http-reference.ts), and no request is carried out that must be refused (http-rules.ts);
//   - no request is refused by one of those rules without cause;
//   - meanwhile another client's linearizable reads are answered.
//
// Changes of the members reach no member: this file makes up their outcomes. A fuzzer that adds members would have a
// real server dial any address that it makes up.

import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { decodeCommand } from "../../kvstore/command.ts";
import { createKvServer } from "../../kvstore/index.ts";
import type { ChangeOutcome, Member, MemberChange } from "../../server/member.ts";
import { put, type TestMember, TestServers } from "../../server/testing.ts";
import type { Random } from "../../sim/random.ts";
import { readAnswers } from "./http-answers.ts";
import { someRequests } from "./http-inputs.ts";
import { readRequests } from "./http-reference.ts";
import { allowedEffects, causeless, changeEffect, deleteEffect, ownName, putEffect } from "./http-rules.ts";
import { joined, mutate } from "./mutate.ts";
import { RawConnection, settled } from "./raw.ts";
import { expect, type Session, type Target } from "./target.ts";

export const maxValueBytes = 4096;
/** Inputs of the past that are still held to account. */
const remembered = 64;
const canary = "another client's key";
const canaryPath = `/${encodeURIComponent(canary)}`;
/** Ends a connection on which all is well. */
const farewell = Buffer.from("GET /~?consistency=stale HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
const allowedStatuses = new Set([100, 200, 204, 501, 503, 504]);
const isAllowed = (status: number): boolean => allowedStatuses.has(status) || (status >= 400 && status < 500);

/** Makes the server in front of a member: the real one, or one that is planted with a bug. */
export type MakeServer = (options: Parameters<typeof createKvServer>[0]) => http.Server;

/** What it did to the member since it was last looked at. */
class WatchedMember implements Member {
  readonly effects: string[] = [];
  readonly #member: Member;
  #changes = 0;

  constructor(member: Member) {
    this.#member = member;
  }

  propose: Member["propose"] = (command) => {
    const decoded = decodeCommand(command);
    this.effects.push(decoded.kind === "put" ? putEffect(decoded.key, decoded.value) : deleteEffect(decoded.key));
    return this.#member.propose(command);
  };

  readIndex: Member["readIndex"] = () => this.#member.readIndex();
  status: Member["status"] = () => this.#member.status();

  changeMembers = async (changes: readonly MemberChange[]): Promise<ChangeOutcome> => {
    const ids = changes.map(({ id }) => id);
    expect(ids.length > 0 && ids.every((id) => Number.isSafeInteger(id) && id > 0), `changes of ${ids.join()}`);
    for (const change of changes) {
      if ("peerUrl" in change)
        expect(new URL(change.peerUrl).origin === change.peerUrl, "an address that is no origin");
    }
    return this.#made();
  };

  transferLeadership = async (transferee: number): Promise<ChangeOutcome> => {
    expect(Number.isSafeInteger(transferee) && transferee > 0, `a transfer to ${transferee}`);
    return this.#made();
  };

  #made(): ChangeOutcome {
    this.effects.push(changeEffect);
    const message = "made up";
    const outcomes: readonly ChangeOutcome[] = [
      { kind: "applied" },
      { kind: "conflict", code: "INVALID_CHANGE", message, next: "nothing" },
      { kind: "refused", code: "NO_LEADER", message },
      { kind: "unknown", message },
    ];
    return outcomes[this.#changes++ % outcomes.length] as ChangeOutcome;
  }
}

class HttpSession implements Session {
  readonly #servers: TestServers;
  readonly #member: TestMember;
  readonly #watched: WatchedMember;
  readonly #server: http.Server;
  readonly #corpus: readonly Uint8Array[];
  readonly #agent = new http.Agent({ keepAlive: true });
  /** What the latest inputs may do: a request is carried out at times when its connection is gone already. */
  readonly #allowed: Set<string>[] = [];
  readonly #logged: string[] = [];

  private constructor(servers: TestServers, member: TestMember, make: MakeServer, corpus: readonly Uint8Array[]) {
    this.#servers = servers;
    this.#member = member;
    this.#corpus = corpus;
    this.#watched = new WatchedMember(member.server);
    const log = (_details: object, message: string): void => void this.#logged.push(message);
    const logger = { warn: () => {}, error: log };
    const options = { maxValueBytes, raftexampleApi: true, allowedHosts: [ownName], logger };
    this.#server = make({ member: this.#watched, map: member.map, ...options });
  }

  static async open(make: MakeServer, corpus: readonly Uint8Array[]): Promise<HttpSession> {
    const servers = await TestServers.create();
    const [member] = (await servers.startCluster(1)) as [TestMember];
    await member.server.propose(put(canary, "alive"));
    const session = new HttpSession(servers, member, make, corpus);
    session.#server.listen(0, "127.0.0.1");
    await once(session.#server, "listening");
    return session;
  }

  get #port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  draw(random: Random): Uint8Array {
    return random.chance(0.4) ? mutate(random, this.#corpus) : someRequests(random);
  }

  async run(input: Uint8Array): Promise<string> {
    const sent = joined(input, farewell);
    const requests = readRequests(sent);
    this.#allowed.push(allowedEffects(requests));
    if (this.#allowed.length > remembered) this.#allowed.shift();
    const { received } = await this.#exchange(sent);
    const methods = requests.map(({ method }) => method);
    const { statuses, final } = readAnswers(received, methods);
    for (const status of statuses) expect(isAllowed(status), `answered ${status}`);
    // One that is not plain may be answered, and then once more when node:http finds fault with what follows; that ends
    // the connection.
    expect(final <= requests.length + 2, `${final} answers to ${requests.length} requests`);
    // What is not plain to the end may hold requests that only the server reads.
    const refusal = requests.at(-1)?.end === sent.length ? causeless(requests, statuses) : undefined;
    expect(refusal === undefined, `answered ${refusal} without cause`);
    this.#checkEffects();
    expect(this.#logged.length === 0, `the server has logged: ${this.#logged[0]}`);
    const { failures } = this.#member;
    expect(failures.length === 0, `the member has failed: ${failures[0]?.message}`);
    const worst = Math.max(0, ...statuses.slice(0, -1), ...(statuses.length === 1 ? statuses : []));
    return statuses.length === 0 ? "no answer" : worst < 400 ? "accepted" : `answered ${worst}`;
  }

  async #exchange(sent: Uint8Array): Promise<RawConnection> {
    // Some arrive in two pieces.
    const cut = sent.length % 8 === 0 ? sent.length >> 1 : sent.length;
    const connection = await RawConnection.open(this.#port, sent.subarray(0, cut));
    if (cut < sent.length) {
      await this.#ask();
      connection.socket.write(sent.subarray(cut));
    }
    await settled(
      connection,
      () => false,
      () => this.#ask(),
    );
    await connection.destroy();
    return connection;
  }

  #checkEffects(): void {
    for (const effect of this.#watched.effects.splice(0)) {
      const isKnown = this.#allowed.some((effects) => effects.has(effect));
      expect(isKnown, `no request has plainly asked for: ${effect.slice(0, 100)}`);
    }
  }

  /** Another client writes and reads its key, linearizably. What was asked before is answered before. */
  async #ask(): Promise<void> {
    const written = await this.#member.server.propose(put(canary, "alive"));
    expect(written.kind === "applied", `another client's write comes to ${written.kind}`);
    const request = http.get({ port: this.#port, host: "127.0.0.1", path: canaryPath, agent: this.#agent });
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    const chunks: Buffer[] = await response.toArray();
    const body = Buffer.concat(chunks).toString();
    expect(
      response.statusCode === 200 && body === "alive",
      `another client is answered ${response.statusCode} ${body}`,
    );
  }

  async close(): Promise<void> {
    this.#agent.destroy();
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
    await this.#servers.end();
    this.#checkEffects();
  }
}

/** The client port that this makes: the real one, or one that is planted with a bug. */
export const makeHttpTarget = (make: MakeServer = createKvServer): Target => ({
  name: "http",
  about: "requests to the client port",
  lanes: 16,
  open: (corpus) => HttpSession.open(make, corpus),
});

export const httpTarget = makeHttpTarget();
