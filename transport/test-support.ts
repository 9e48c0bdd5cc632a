// What the tests of this room share: a handler and a logger that remember, members wired to each other, a forwarder that can cut a
// wire without closing it, and a raw client and a raw server that need not keep any rule.

import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, connect as netConnect, type Server, type Socket } from "node:net";
import { expect, onTestFinished, vi } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { type Message, MessageType, makeEntry, makeMessage } from "../raft/raftpb/index.ts";
import { type PeerStats, type TransportLimits, WebSocketTransport } from "./index.ts";

export const clusterId = 77;

/** Durations that let a test see a whole cycle soon; nothing is asserted about how long anything takes. */
export const quick: Partial<TransportLimits> = { backoffMinMs: 5, backoffMaxMs: 40, closeTimeoutMs: 200 };

export interface LogLine {
  readonly level: "debug" | "info" | "warn";
  readonly fields: Readonly<Record<string, unknown>>;
  readonly text: string;
}

export class Member {
  readonly id: number;
  readonly received: { from: number; messages: readonly Message[] }[] = [];
  readonly unreachable: number[] = [];
  readonly log: LogLine[] = [];
  /** What the handler answers to the next messages. */
  answer: string | undefined = undefined;
  private started: WebSocketTransport | undefined;

  constructor(id: number) {
    this.id = id;
  }

  get transport(): WebSocketTransport {
    if (this.started === undefined) throw new Error("listen first");
    return this.started;
  }

  get url(): string {
    return `http://127.0.0.1:${this.transport.port}`;
  }

  get messages(): Message[] {
    return this.received.flatMap(({ messages }) => messages);
  }

  async listen(
    limits: Partial<TransportLimits> = {},
    set: { port?: number; clusterId?: number; random?: number } = {},
  ): Promise<this> {
    const line = (level: LogLine["level"]) => (fields: LogLine["fields"], text: string) =>
      this.log.push({ level, fields, text });
    const transport = await WebSocketTransport.listen({
      id: this.id,
      clusterId: set.clusterId ?? clusterId,
      host: "127.0.0.1",
      port: set.port ?? 0,
      peers: [],
      logger: { debug: line("debug"), info: line("info"), warn: line("warn") },
      random: () => set.random ?? 0,
      limits: { ...quick, ...limits },
    });
    this.started = transport;
    onTestFinished(() => transport.close());
    return this;
  }

  start(): this {
    this.transport.start({
      receive: (from, messages) => {
        this.received.push({ from, messages });
        return this.answer;
      },
      reportUnreachable: (id) => this.unreachable.push(id),
    });
    return this;
  }

  stats(peer: number): PeerStats {
    const found = this.transport.stats().peers.find(({ id }) => id === peer);
    if (found === undefined) throw new Error(`member ${this.id} does not know ${peer}`);
    return found;
  }

  /** The values of a log line that holds the text. */
  logged(text: string): Readonly<Record<string, unknown>> | undefined {
    return this.log.find((line) => line.text.includes(text))?.fields;
  }
}

export const eventually = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 8000, interval: 2 });

/** Two members that know each other and are connected both ways. */
export async function pair(limits: Partial<TransportLimits> = {}): Promise<[Member, Member]> {
  const a = await new Member(1).listen(limits);
  const b = await new Member(2).listen(limits);
  a.transport.addPeer(2, b.url);
  b.transport.addPeer(1, a.url);
  a.start();
  b.start();
  await eventually(() => {
    expect(a.stats(2).connected && b.stats(1).connected).toBe(true);
    expect([a.stats(2).accepts, b.stats(1).accepts]).toEqual([1, 1]);
  });
  return [a, b];
}

export const heartbeat = (from: number, to: number, commit = 0): Message =>
  makeMessage(MessageType.MsgHeartbeat, { from, to, term: 3, commit });

/** An append with one entry of the given size in bytes. */
export const append = (from: number, to: number, size: number): Message =>
  makeMessage(MessageType.MsgApp, { from, to, term: 3, entries: [makeEntry(undefined, 1, 1, new Uint8Array(size))] });

export const headers = (set: Record<string, string> = {}): Record<string, string> => ({
  "x-readyloop-version": "1",
  "x-readyloop-cluster": String(clusterId),
  "x-readyloop-from": "1",
  "x-readyloop-to": "2",
  ...set,
});

/** A client that says it is member 1 and then does what the test likes. Resolves once it is let in. */
export async function rawClient(to: Member): Promise<{ socket: WebSocket; closed: Promise<[number, string]> }> {
  const socket = new WebSocket(`${to.url.replace("http", "ws")}/raft`, {
    headers: headers(),
    perMessageDeflate: false,
  });
  onTestFinished(() => socket.terminate());
  socket.on("error", () => {});
  const closed = new Promise<[number, string]>((resolve) => {
    socket.on("close", (code, reason) => resolve([code, reason.toString()]));
  });
  await new Promise((resolve) => socket.once("open", resolve));
  return { socket, closed };
}

/** A server in the place of a peer, which lets everyone in. Resolves to its URL. */
export async function rawServer(onConnection: (socket: WebSocket) => void): Promise<string> {
  const server = createHttpServer();
  const webSockets = new WebSocketServer({ server });
  webSockets.on("connection", onConnection);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const socket of webSockets.clients) socket.terminate();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Stands between a member and a peer. After `cut` what flowed flows no more, yet nothing is closed; new connections work. */
export class Forwarder {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();

  constructor(targetPort: () => number) {
    this.server = createServer((near) => {
      const far = netConnect(targetPort(), "127.0.0.1");
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.sockets.add(one);
        one.on("data", (bytes) => other.write(bytes));
        one.on("error", () => {});
        one.on("close", () => {
          // Over a cut wire not even the end of a connection gets through.
          if (this.sockets.delete(one) && !one.isPaused()) other.destroy();
        });
      }
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => {
      for (const socket of this.sockets) socket.destroy();
      this.server.close();
    });
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  cut(): void {
    for (const socket of this.sockets) socket.pause();
  }
}
