// Liars against a cluster that serves (serving.ts), while clients write and read: two targets, for there are two kinds
// of them.
//
// `strangers`: clients of the peer port that are no members and show it: a removed one, one of another cluster, one
// under a member's id with another data directory, an unknown one without an address. No message of theirs reaches a
// node, no member dials them, every client's request succeeds, and the history of the clients has an order. One cluster
// withstands them all.
//
// `traitors`: who is taken for a member: the third voter, in whose place, at whose address and with whose incarnation
// the liar speaks, and a newcomer, whose addition the members may have missed and who says where it is reached. Raft
// does not withstand them: they can end leaderships, overwrite what was committed, have members removed. So this alone
// is asked for: no member fails, not even with an assertion. It goes only if the liar has told it, as a voter may, that
// it was removed or has lost its data. And when the liar is gone, the two serve on, unless it has had the members
// changed, or has had them commit different entries. Each input has a cluster of its own.
//
// Input: a byte for who lies, one for how it answers those who dial it, then lies, eight bytes each (told-lies.ts).

import { put, type TestMember } from "../../server/testing.ts";
import { checkHistory } from "../../sim/linearizability/checker.ts";
import { mapModel } from "../../sim/linearizability/model.ts";
import type { Random } from "../../sim/random.ts";
import { LyingServer, mannerAt, tellsToGo } from "./lying-server.ts";
import { removedId, Serving, stoppedId } from "./serving.ts";
import { type Identity, Liar } from "./speaking.ts";
import { expect, type Session, type Target } from "./target.ts";
import { someLies } from "./told-lies.ts";

const unknownId = 9;
const clusterId = 7;
const operationsBefore = 4;
const operationsAfter = 12;

type Kind = (serving: Serving, url: string) => Identity;

const strangers: Readonly<Record<string, Kind>> = {
  "a removed member": ({ removedIncarnation: incarnation }) => ({ from: removedId, incarnation, clusterId }),
  "a removed member that has moved": ({ removedIncarnation: incarnation }, url) => ({
    from: removedId,
    incarnation,
    clusterId,
    address: url,
  }),
  "another data directory": ({ incarnation }, url) => ({
    from: stoppedId,
    incarnation: incarnation + 1,
    clusterId,
    address: url,
  }),
  "no data directory": (_serving, url) => ({ from: stoppedId, incarnation: 0, clusterId, address: url }),
  "another cluster": ({ incarnation }, url) => ({
    from: stoppedId,
    incarnation,
    clusterId: clusterId + 1,
    address: url,
  }),
  "an unknown one": () => ({ from: unknownId, incarnation: 99, clusterId }),
};

const traitors: Readonly<Record<string, Kind>> = {
  "a voter": ({ incarnation }) => ({ from: stoppedId, incarnation, clusterId }),
  "a voter that has moved": ({ incarnation }, url) => ({ from: stoppedId, incarnation, clusterId, address: url }),
  "a newcomer": (_serving, url) => ({ from: unknownId, incarnation: 99, clusterId, address: url }),
};

const drawn = (random: Random): Uint8Array =>
  Uint8Array.of(random.below(256), random.below(256), ...someLies(random, 1 + random.below(12)));

const kindAt = (kinds: Readonly<Record<string, Kind>>, byte: number): [string, Kind] => {
  const all = Object.entries(kinds);
  return all[byte % all.length] as [string, Kind];
};

class StrangersSession implements Session {
  readonly #serving: Serving;
  readonly #server: LyingServer;
  readonly #reached: string[] = [];
  #runs = 0;

  private constructor(serving: Serving, server: LyingServer) {
    this.#serving = serving;
    this.#server = server;
    for (const member of serving.honest) this.#watch(member);
  }

  static async open(spoil: (member: TestMember) => void): Promise<StrangersSession> {
    const serving = await Serving.open({ tickMs: 20, electionTicks: 20 }, { withRemoved: true });
    for (const member of serving.honest) spoil(member);
    return new StrangersSession(serving, await LyingServer.listen());
  }

  draw = drawn;

  /** Notes the messages that reach a node from other peers than the two. */
  #watch({ id, server: { inbox } }: TestMember): void {
    const known = this.#serving.honest.map((member) => member.id);
    for (const name of ["receive", "receiveSnapshot", "request"] as const) {
      const call = inbox[name].bind(inbox) as (...given: unknown[]) => unknown;
      const watched = (from: number, ...rest: unknown[]): unknown => {
        if (!known.includes(from)) this.#reached.push(`${name} of ${from} at member ${id}`);
        return call(from, ...rest);
      };
      Object.assign(inbox, { [name]: watched });
    }
  }

  async run(input: Uint8Array): Promise<string> {
    const serving = this.#serving;
    const server = this.#server;
    const { clients, honest } = serving;
    const [name, kind] = kindAt(strangers, input[0] ?? 0);
    server.manner = mannerAt(input[1] ?? 0);
    const terms = honest.map((member) => member.server.status().term);
    clients.start(`run-${this.#runs++}`);
    const liar = new Liar(kind(serving, server.url), serving);
    await liar.tell(input.subarray(2));
    await clients.more(operationsAfter);
    await liar.close();
    const history = await clients.rest();
    expect(liar.letIn === 0, `${name} is let in`);
    expect(this.#reached.length === 0, `${name} is heard: ${this.#reached[0]}`);
    expect(server.dials === 0, `${name} is called at the address that it gave`);
    for (const [i, { id, failures, rejections, server: member }] of honest.entries()) {
      expect(failures.length === 0, `member ${id} has failed: ${failures[0]?.message}`);
      expect(rejections.length === 0, `member ${id} goes: ${rejections[0]?.message}`);
      expect(member.status().term === terms[i], `member ${id} is at another term`);
    }
    const failed = history.find(({ outcome }) => outcome !== "ok");
    expect(failed === undefined, `a client's ${failed?.op} came to ${failed?.outcome}`);
    const { verdict } = checkHistory(history, mapModel);
    expect(verdict === "linearizable", `the history of the clients is ${verdict}`);
    return name;
  }

  async close(): Promise<void> {
    await this.#server.close();
    await this.#serving.close();
  }
}

const serveWithinMs = 30_000;
class TraitorsSession implements Session {
  readonly #spoil: (member: TestMember) => void;

  constructor(spoil: (member: TestMember) => void) {
    this.#spoil = spoil;
  }

  draw = drawn;

  async run(input: Uint8Array): Promise<string> {
    const serving = await Serving.open({ tickMs: 5, electionTicks: 10, requestTimeoutMs: 1000 });
    try {
      for (const member of serving.honest) this.#spoil(member);
      return await this.#betray(serving, input);
    } finally {
      await serving.close();
    }
  }

  async #betray(serving: Serving, input: Uint8Array): Promise<string> {
    const { clients } = serving;
    const manner = mannerAt(input[1] ?? 0);
    const [, kind] = kindAt(traitors, input[0] ?? 0);
    const server = await LyingServer.listen(Number(new URL(serving.stoppedUrl).port));
    try {
      server.manner = manner;
      const liar = new Liar(kind(serving, server.url), serving);
      clients.start("k");
      await clients.more(operationsBefore);
      const dials = server.dials;
      await liar.tell(input.subarray(2));
      // A liar that was refused for good does not dial again.
      await Promise.race([clients.more(40), calledAgain(server, dials)]);
      await liar.close();
    } finally {
      await server.close();
    }
    await clients.rest();
    return verdictOn(serving.honest, tellsToGo(manner));
  }

  async close(): Promise<void> {}
}

async function calledAgain(server: LyingServer, before: number): Promise<void> {
  for (let i = 0; i < 1000 && server.dials < before + 4; i++) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** What has become of the members; a fault, if it should not have. */
async function verdictOn(honest: readonly TestMember[], mayGo: boolean): Promise<string> {
  const end = performance.now() + serveWithinMs;
  for (let i = 0; ; i++) {
    for (const member of honest) {
      const fate = fateOf(member, mayGo);
      if (fate !== undefined) return fate;
    }
    if (haveTwoPasts(honest)) return "two pasts are committed";
    const outcomes = await Promise.all(honest.map(({ server }) => serves(server, `after-${i}`)));
    if (outcomes.every((outcome) => outcome === "serves")) return "served on";
    expect(performance.now() < end, `${serveWithinMs / 1000} s after the liar has gone: ${outcomes.join("; ")}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/**
 * Whether the liar has had them commit different entries: neither can take the other's, and to serve would be wrong.
 */
function haveTwoPasts(honest: readonly TestMember[]): boolean {
  const logs = honest.map(({ server }) => server.node.raft.raftLog);
  const end = Math.min(...logs.map(({ committed }) => committed));
  for (let index = Math.max(...logs.map((log) => log.firstIndex())); index <= end; index++) {
    if (new Set(logs.map((log) => log.term(index))).size > 1) return true;
  }
  return false;
}

/** Why the member cannot be asked to serve, with the third one away; undefined if it must. */
function fateOf(member: TestMember, mayGo: boolean): string | undefined {
  const { id, failures, rejections, server } = member;
  expect(failures.length === 0, `member ${id} has been brought down: ${failures[0]?.stack}`);
  const wasRemoved = server.members.wasRemoved(id);
  const goes = rejections.length > 0 || server.status().role === "removed";
  expect(!goes || mayGo || wasRemoved, `member ${id} goes: ${rejections[0]?.message}`);
  if (goes) return wasRemoved ? "a member was removed" : "a member was turned away";
  const { voters } = server.node.raft.trk.config;
  return String(voters) === "(1 2 3)" ? undefined : "the members were changed";
}

async function serves(server: TestMember["server"], key: string): Promise<string> {
  const written = await server.propose(put(key));
  if (written.kind !== "applied") return `a write comes to ${JSON.stringify(written)}`;
  const read = await server.readIndex();
  return read.kind === "ready" ? "serves" : `a read comes to ${JSON.stringify(read)}`;
}

/** `spoil` plants a bug in the two that are lied to. */
export const makeStrangersTarget = (spoil: (member: TestMember) => void = () => {}): Target => ({
  name: "strangers",
  about: "lies of those who are no members, to a cluster that serves",
  lanes: 1,
  open: () => StrangersSession.open(spoil),
});

export const makeTraitorsTarget = (spoil: (member: TestMember) => void = () => {}): Target => ({
  name: "traitors",
  about: "lies of those who are taken for members, to a cluster that serves",
  lanes: 1,
  open: async () => new TraitorsSession(spoil),
});

export const strangersTarget = makeStrangersTarget();
export const traitorsTarget = makeTraitorsTarget();
