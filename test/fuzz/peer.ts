// The peer port as a target, over real sockets, twice.
//
// `door`: whole connections, to one of three members that serve. Who is not let in changes nothing: no message of
// theirs reaches a node, and the three go on and hold the same. No connection is admitted as one of the three. Who the
// mutator happens to get let in as somebody else (it takes the cluster's id and an address) is counted, and what it
// says is dropped.
//
// `frames`: what a peer sends once it is in, to a member of its own. Raft trusts its members, so what they say may well
// end leaderships and change state. The bar is: the member lives, its memory stays bounded, and what does not decode is
// cut off with a reason.

import { leaderOf, put, type TestMember, TestServers, until } from "../../server/testing.ts";
import type { Random } from "../../sim/random.ts";
import { seal } from "../../transport/checksum.ts";
import { joined, mutate } from "./mutate.ts";
import { admitted, frame } from "./peer-inputs.ts";
import { RawConnection, settled } from "./raw.ts";
import { someLie } from "./some-lies.ts";
import { frameOf } from "./some-messages.ts";
import { expect, type Session, type Target } from "./target.ts";

const portOf = (member: TestMember): number => Number(new URL(member.url).port);

/** A question that every member answers, on a connection of its own: a path that there is not. */
async function ask(port: number): Promise<void> {
  const connection = await RawConnection.open(port, Buffer.from("GET /none HTTP/1.1\r\nHost: h\r\n\r\n"));
  await connection.until(() => false);
  expect(connection.received.toString("latin1").startsWith("HTTP/1.1 404 "), "the peer port does not answer any more");
}

/** Whatever addresses a fuzzed peer may say: nothing outside of this machine is ever dialled. */
function dialNoPeer(member: TestMember): void {
  Object.assign(member.transport, { addPeer: () => undefined });
}

/** The incarnations of the members, as this one knows them: no member offers them to clients. */
const incarnationsOf = (server: TestMember["server"]): number[] => {
  const { members } = server;
  return members.state().members.map(({ incarnation }) => incarnation);
};

const saysFrom = /^x-readyloop-from: *0*(\d+)/im;
const statusLine = /^HTTP\/1\.1 (\d{3}) /;

class DoorSession implements Session {
  readonly #servers: TestServers;
  readonly #target: TestMember;
  /** Ids other than the members' for which something reached a node. */
  readonly #strangers: string[] = [];
  #keys = 0;

  private constructor(servers: TestServers, target: TestMember) {
    this.#servers = servers;
    this.#target = target;
  }

  static async open(spoil: (member: TestMember) => void): Promise<DoorSession> {
    const servers = await TestServers.create();
    const [target] = await servers.startCluster(3, { server: { tickMs: 20, electionTicks: 20 } });
    // Until the log has a member's incarnation, any process under its id is admitted.
    await until(() =>
      servers.all.every(({ server }) => incarnationsOf(server).every((incarnation) => incarnation > 0)),
    );
    const session = new DoorSession(servers, target as TestMember);
    session.#watch(target as TestMember);
    spoil(target as TestMember);
    return session;
  }

  /** Notes what comes from anyone but the members, and keeps it from the node. */
  #watch(member: TestMember): void {
    dialNoPeer(member);
    const { inbox } = member.server;
    const known = (id: number): boolean => this.#servers.running.has(id);
    const receive = inbox.receive.bind(inbox);
    Object.assign(inbox, {
      receive: (from: number, messages: Parameters<typeof receive>[1]) => {
        if (known(from)) return receive(from, messages);
        this.#strangers.push(`messages of ${from}`);
        return undefined;
      },
      receiveSnapshot: async (from: number) => {
        this.#strangers.push(`a snapshot of ${from}`);
        throw new Error("not taken here");
      },
      request: async (from: number) => {
        this.#strangers.push(`a request of ${from}`);
        throw new Error("not taken here");
      },
    });
  }

  async run(input: Uint8Array): Promise<string> {
    this.#strangers.length = 0;
    const port = portOf(this.#target);
    const connection = await RawConnection.open(port, input);
    await settled(
      connection,
      () => false,
      () => ask(port),
    );
    await connection.destroy();
    const [, status] = statusLine.exec(connection.received.toString("latin1")) ?? [];
    expect(
      status !== undefined || connection.received.length === 0,
      `an answer that is no HTTP: ${connection.received.subarray(0, 60).toString("latin1")}`,
    );
    const claimed = Number(saysFrom.exec(Buffer.from(input).toString("latin1"))?.[1]);
    expect(status !== "101" || !this.#servers.running.has(claimed), `let in as member ${claimed}`);
    const isIn = status === "101" || (status === "500" && this.#strangers.length > 0);
    expect(isIn || this.#strangers.length === 0, `answered ${status}, and the node was given ${this.#strangers[0]}`);
    await this.#serve();
    return isIn ? "let in" : `answered ${status ?? "nothing"}`;
  }

  /** A write, and a linearizable read of it, by a client. */
  async #serve(): Promise<void> {
    const { server, map, failures } = this.#target;
    expect(failures.length === 0, `the member has failed: ${failures[0]?.message}`);
    const key = `canary-${this.#keys++}`;
    const written = await server.propose(put(key));
    const read = await server.readIndex();
    expect(written.kind === "applied" && read.kind === "ready", `a client is answered ${written.kind}, ${read.kind}`);
    expect(map.get(key) !== undefined, "a write that was answered is not there");
  }

  async close(): Promise<void> {
    const { all } = this.#servers;
    try {
      const leader = leaderOf(all);
      await leader.server.propose(put("last"));
      for (const { server, map, failures, id } of all) {
        expect((await server.readIndex()).kind === "ready", `member ${id} does not answer any more`);
        expect(failures.length === 0, `member ${id} has failed: ${failures[0]?.message}`);
        expect(map.size === this.#keys + 1, `member ${id} has ${map.size} keys, and ${this.#keys + 1} were written`);
        const members = server.status().members.map((one) => one.id);
        expect(members.join() === "1,2,3", `the members have become ${members.join()}`);
      }
    } finally {
      await this.#servers.end();
    }
  }
}

const paths = ["/raft", "/raft/snapshot"] as const;
const pingText = "are you there";
/** A member that has been lied to about the terms believes nothing else any more: then a new one takes its place. */
const inputsOfAMember = 100;
const goodTerm = 1000;
/**
 * What may travel (RFC 6455, 7.4). A close that the peer begins is answered with its own code, so any of these can come
 * back; 1005 is none.
 */
const isCloseCode = (code: number): boolean => code >= 1000 && code < 5000;

class FramesSession implements Session {
  readonly #corpus: readonly Uint8Array[];
  #servers: TestServers | undefined;
  #member: TestMember | undefined;
  #runs = 0;

  constructor(corpus: readonly Uint8Array[]) {
    this.#corpus = corpus;
  }

  draw(random: Random): Uint8Array {
    if (random.chance(0.6)) return mutate(random, this.#corpus);
    const lies = Array.from({ length: 1 + random.below(4) }, () => frame("binary", seal(frameOf(someLie(random)))));
    return joined(Uint8Array.of(0), ...lies);
  }

  async #victim(): Promise<TestMember> {
    const usable = this.#member !== undefined && this.#member.server.status().term < goodTerm;
    if (usable && this.#runs++ < inputsOfAMember) return this.#member as TestMember;
    await this.close();
    this.#runs = 0;
    this.#servers = await TestServers.create();
    const [member] = (await this.#servers.startCluster(1)) as [TestMember];
    dialNoPeer(member);
    for (let i = 0; i < 8; i++) await member.server.propose(put(`key-${i}`));
    this.#member = member;
    return member;
  }

  async run(input: Uint8Array): Promise<string> {
    const member = await this.#victim();
    const port = portOf(member);
    const path = paths[(input[0] ?? 0) % paths.length] as string;
    const ping = frame("ping", Buffer.from(pingText));
    const connection = await RawConnection.open(port, admitted(path));
    await connection.until((received) => received.includes("\r\n\r\n"));
    const head = connection.received.indexOf("\r\n\r\n") + 4;
    expect(connection.received.toString("latin1").startsWith("HTTP/1.1 101 "), "a sound handshake is refused");
    connection.socket.write(joined(input.subarray(1), ping));
    await settled(
      connection,
      (received) => answerIn(received.subarray(head)) !== undefined,
      () => ask(port),
    );
    await connection.destroy();
    expect(member.failures.length === 0, `the member has been brought down: ${member.failures[0]?.message}`);
    return answerIn(connection.received.subarray(head)) ?? "waits for more";
  }

  async close(): Promise<void> {
    const servers = this.#servers;
    this.#servers = undefined;
    this.#member = undefined;
    await servers?.end();
  }
}

/**
 * "taken" once the pong is there, or the code with which the connection is closed; undefined as long as there is
 * neither.
 */
function answerIn(bytes: Buffer): string | undefined {
  for (let at = 0; at + 2 <= bytes.length; ) {
    const opcode = (bytes[at] as number) & 0x0f;
    const short = (bytes[at + 1] as number) & 0x7f;
    expect(
      ((bytes[at + 1] as number) & 0x80) === 0 && short < 127,
      "the member sends frames that a client must refuse",
    );
    const start = at + (short === 126 ? 4 : 2);
    const size = short === 126 ? bytes.readUInt16BE(at + 2) : short;
    const payload = bytes.subarray(start, start + size);
    if (payload.length < size) return undefined;
    if (opcode === 10 && payload.toString("latin1") === pingText) return "taken";
    if (opcode === 8) {
      const code = size >= 2 ? payload.readUInt16BE(0) : 1005;
      expect(isCloseCode(code), `closed with code ${code}`);
      expect(code !== 1008 || size > 2, "cut off without a reason");
      return `closed ${code}`;
    }
    at = start + size;
  }
  return undefined;
}

/** `spoil` plants a bug in the member that is connected to. */
export const makeDoorTarget = (spoil: (member: TestMember) => void = () => {}): Target => ({
  name: "door",
  about: "connections to the peer port of a cluster that serves",
  lanes: 1,
  open: () => DoorSession.open(spoil),
});

export const doorTarget = makeDoorTarget();

export const framesTarget: Target = {
  name: "frames",
  about: "WebSocket frames of a peer that was let in",
  lanes: 1,
  open: async (corpus) => new FramesSession(corpus),
};
