// What the tests of kvstore/ share: a member in memory that really applies commands to a KvMap and whose outcomes can
// be steered, a listening server in front of it, and a raw socket for what no HTTP client would send.

import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { promisify } from "node:util";
import { expect } from "vitest";
import type {
  ChangeOutcome,
  Member,
  MemberChange,
  MemberInfo,
  MemberStatus,
  ProposeOutcome,
  ReadOutcome,
  Warning,
} from "../server/member.ts";
import { createKvServer, type KvServerOptions } from "./kv-server.ts";
import { KvMap } from "./map.ts";

export class MemoryMember implements Member {
  readonly map = new KvMap();
  /** How many commands and reads have come in. */
  proposed = 0;
  reads = 0;
  /** Set, they are what the next requests come to; a function may throw, or wait. */
  nextWrite: (() => ProposeOutcome | Promise<ProposeOutcome>) | undefined;
  nextRead: (() => ReadOutcome | Promise<ReadOutcome>) | undefined;
  nextChange: (() => ChangeOutcome | Promise<ChangeOutcome>) | undefined;
  /** Each call for changes, and each transferee, that has come in. */
  readonly changes: (readonly MemberChange[])[] = [];
  readonly transferees: number[] = [];
  members: readonly MemberInfo[] = [{ id: 1, peerUrl: "http://127.0.0.1:2380", role: "voter" }];
  /** What the log makes of a command. */
  corrupt = (command: Uint8Array): Uint8Array => command;
  leader = 1;
  warnings: readonly Warning[] = [];

  async propose(command: Uint8Array): Promise<ProposeOutcome> {
    this.proposed++;
    if (this.nextWrite !== undefined) return this.nextWrite();
    return this.applied(command);
  }

  applied(command: Uint8Array): ProposeOutcome {
    return { kind: "applied", index: this.proposed, result: this.map.apply([this.corrupt(command)])[0] };
  }

  async readIndex(): Promise<ReadOutcome> {
    this.reads++;
    return this.nextRead === undefined ? { kind: "ready" } : this.nextRead();
  }

  async changeMembers(changes: readonly MemberChange[]): Promise<ChangeOutcome> {
    this.changes.push(changes);
    if (this.nextChange !== undefined) return this.nextChange();
    for (const change of changes) this.members = withChange(this.members, change);
    return { kind: "applied" };
  }

  async transferLeadership(transferee: number): Promise<ChangeOutcome> {
    this.transferees.push(transferee);
    if (this.nextChange !== undefined) return this.nextChange();
    this.leader = transferee;
    return { kind: "applied" };
  }

  status(): MemberStatus {
    if (this.leader < 0) throw new Error("status is broken");
    return {
      id: 1,
      clusterId: 77,
      role: this.leader === 1 ? "leader" : "follower",
      term: 5,
      leader: this.leader,
      commit: 12,
      applied: 11,
      snapshot: 10,
      members: this.members,
      progress: this.leader === 1 ? [] : undefined,
      warnings: this.warnings,
    };
  }
}

function withChange(members: readonly MemberInfo[], change: MemberChange): readonly MemberInfo[] {
  const { kind, id } = change;
  if (kind === "add") return [...members, { id, peerUrl: change.peerUrl, role: change.learner ? "learner" : "voter" }];
  if (kind === "remove") return members.filter((member) => member.id !== id);
  const changed = kind === "update" ? { peerUrl: change.peerUrl } : { role: roleAfter[kind] };
  return members.map((member) => (member.id === id ? { ...member, ...changed } : member));
}

const roleAfter = { promote: "voter", demote: "learner" } as const;

export interface Running {
  readonly member: MemoryMember;
  readonly url: string;
  readonly port: number;
  /** What the server wrote to its log. */
  readonly logged: string[];
  /** How many connections the server holds. */
  connections(): Promise<number>;
  close(): Promise<void>;
}

export async function startKvServer(options: Partial<KvServerOptions> = {}): Promise<Running> {
  const member = new MemoryMember();
  const logged: string[] = [];
  const log = (_details: object, message: string): void => void logged.push(message);
  const logger = { warn: log, error: log };
  const own = { member, map: member.map, maxValueBytes: 1_572_864, logger, allowedHosts: ["h"] };
  const server = createKvServer({ ...own, ...options });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  };
  const connections = promisify(server.getConnections.bind(server));
  return { member, url: `http://127.0.0.1:${port}`, port, logged, connections, close };
}

/** A connection on which the test writes the bytes itself. */
export class RawClient {
  readonly socket: net.Socket;
  /** All that has come in, as latin1. */
  received = "";
  #closed = false;

  private constructor(port: number) {
    this.socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    this.socket.on("data", (chunk) => {
      this.received += chunk.toString("latin1");
    });
    this.socket.on("error", () => undefined); // a reset is one of the ways to be closed
    this.socket.on("end", () => this.socket.end());
    this.socket.on("close", () => {
      this.#closed = true;
    });
  }

  static async connect(port: number): Promise<RawClient> {
    const client = new RawClient(port);
    await once(client.socket, "connect");
    return client;
  }

  send(text: string): void {
    this.socket.write(Buffer.from(text, "latin1"));
  }

  /** All received once it matches. */
  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.received)) {
      if (this.#closed)
        throw new Error(`closed after ${JSON.stringify(this.received)}, which does not match ${pattern}`);
      await Promise.race([once(this.socket, "data"), this.closed()]);
    }
    return this.received;
  }

  /** All received once the server has closed the connection. */
  async closed(): Promise<string> {
    if (!this.#closed) await new Promise((resolve) => this.socket.once("close", resolve));
    return this.received;
  }
}

/** The status and the code of an error. Every error says what was wrong and what to do next. */
export async function problem(response: Response): Promise<[number, string]> {
  expect(response.headers.get("content-type")).toBe("application/json");
  const body = (await response.json()) as Record<string, unknown>;
  expect(body).toEqual(
    expect.objectContaining({ message: expect.stringMatching(/./), next: expect.stringMatching(/./) }),
  );
  return [response.status, body.code as string];
}

/** The statuses of the answers in the text. */
export function statuses(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));
}
