// What the tests of kvstore/ share: a member in memory that really applies commands to a KvMap and whose outcomes can be
// steered, a listening server in front of it, and a raw socket for what no HTTP client would send.

import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { promisify } from "node:util";
import type { Member, MemberStatus, ProposeOutcome, ReadOutcome } from "../server/interfaces.ts";
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
  /** What the log makes of a command. */
  corrupt = (command: Uint8Array): Uint8Array => command;
  leader = 1;

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
      members: [{ id: 1, peerUrl: "http://127.0.0.1:2380", role: "voter" }],
      progress: this.leader === 1 ? [] : undefined,
    };
  }
}

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
  const server = createKvServer({ member, map: member.map, maxValueBytes: 1_572_864, logger, ...options });
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

/** The statuses of the answers in the text. */
export function statuses(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));
}
