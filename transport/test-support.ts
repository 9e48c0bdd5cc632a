// Shared by the tests of this room: a handler and a logger that remember, members wired to each other, a forwarder that
// can cut a wire without closing it, a source of snapshot data that counts, and a raw client and server that may break
// any rule.

import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, connect as netConnect, type Server, type Socket } from "node:net";
import { crc32 } from "node:zlib";
import { expect, onTestFinished, vi } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import {
  type Message,
  MessageType,
  makeConfState,
  makeEntry,
  makeMessage,
  makeSnapshot,
} from "../raft/raftpb/index.ts";
import {
  type PeerStats,
  type Rejection,
  type TransportHandler,
  type TransportLimits,
  WebSocketTransport,
} from "./index.ts";

export const clusterId = 77;

/** Durations that let a test see a whole cycle soon; no test asserts how long a step takes. */
export const quick: Partial<TransportLimits> = { backoffMinMs: 5, backoffMaxMs: 40, closeTimeoutMs: 200, startupMs: 0 };

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
  /** Snapshots that were received whole, and the errors of those that were not. */
  readonly snapshots: { from: number; message: Message; data: Buffer }[] = [];
  readonly brokenSnapshots: string[] = [];
  readonly rejections: { id: number; rejection: Rejection }[] = [];
  /** Dials that have ended, and the cluster that the answer named. */
  readonly dials: { id: number; url: string; clusterId: number | undefined }[] = [];
  /** The members that asked to be admitted, with their incarnations. */
  readonly asking: [from: number, incarnation: number][] = [];
  /** The handler's methods; a test may replace each. */
  receiveSnapshot: TransportHandler["receiveSnapshot"] = (from, message, chunks) =>
    this.keepSnapshot(from, message, chunks);
  request: TransportHandler["request"] = async (_from, body) => body;
  admit: TransportHandler["admit"] = (from) => this.#admitKnown(from);
  addresses: TransportHandler["addresses"] = () => [];
  #started: WebSocketTransport | undefined;

  constructor(id: number) {
    this.id = id;
  }

  get transport(): WebSocketTransport {
    if (this.#started === undefined) throw new Error("listen first");
    return this.#started;
  }

  get url(): string {
    return `http://127.0.0.1:${this.transport.port}`;
  }

  get messages(): Message[] {
    return this.received.flatMap(({ messages }) => messages);
  }

  async listen(
    limits: Partial<TransportLimits> = {},
    set: { port?: number; clusterId?: number; random?: number; incarnation?: number } = {},
  ): Promise<this> {
    const line = (level: LogLine["level"]) => (fields: LogLine["fields"], text: string) =>
      this.log.push({ level, fields, text });
    const transport = await WebSocketTransport.listen({
      id: this.id,
      clusterId: set.clusterId ?? clusterId,
      incarnation: set.incarnation ?? 0,
      host: "127.0.0.1",
      port: set.port ?? 0,
      peers: [],
      logger: { debug: line("debug"), info: line("info"), warn: line("warn") },
      random: () => set.random ?? 0,
      limits: { ...quick, ...limits },
    });
    this.#started = transport;
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
      receiveSnapshot: (from, message, chunks) => this.receiveSnapshot(from, message, chunks),
      request: (from, body) => this.request(from, body),
      admit: (from, incarnation, address) => {
        this.asking.push([from, incarnation]);
        return this.admit(from, incarnation, address);
      },
      rejectedBy: (id, rejection) => this.rejections.push({ id, rejection }),
      dialled: (id, url, named) => this.dials.push({ id, url, clusterId: named }),
      addresses: () => this.addresses(),
    });
    return this;
  }

  /** Reads a snapshot to its end. */
  async keepSnapshot(from: number, message: Message, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const parts: Uint8Array[] = [];
    try {
      for await (const chunk of chunks) parts.push(chunk);
    } catch (error) {
      this.brokenSnapshots.push((error as Error).message);
      throw error;
    }
    this.snapshots.push({ from, message, data: Buffer.concat(parts) });
  }

  #admitKnown(from: number): Rejection | undefined {
    const known = this.transport.stats().peers.some(({ id, url }) => id === from && url !== undefined);
    return known ? undefined : { kind: "unknown", message: `member ${from} is not known to member ${this.id}` };
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

/** A MsgSnap without data. */
export const snapshotMessage = (from: number, to: number, index = 100): Message =>
  makeMessage(MessageType.MsgSnap, {
    from,
    to,
    term: 3,
    snapshot: makeSnapshot(index, 2, makeConfState({ voters: [1, 2] })),
  });

export const headers = (set: Record<string, string> = {}): Record<string, string> => ({
  "x-readyloop-version": "2",
  "x-readyloop-cluster": String(clusterId),
  "x-readyloop-from": "1",
  "x-readyloop-to": "2",
  ...set,
});

/** A client that pretends to be member 1 and then acts as the test likes. Resolves once it is admitted. */
export async function rawClient(
  to: Member,
  path = "/raft",
): Promise<{ socket: WebSocket; closed: Promise<[number, string]> }> {
  const socket = new WebSocket(`${to.url.replace("http", "ws")}${path}`, {
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

/** A server in the place of a peer, which admits every member, or gives the same answer to all. Resolves to its URL. */
export async function rawServer(
  onConnection: (socket: WebSocket, path: string | undefined) => void,
  set: { refuse?: string } = {},
): Promise<string> {
  const server = createHttpServer();
  const webSockets = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request, socket, head) => {
    if (set.refuse === undefined)
      webSockets.handleUpgrade(request, socket, head, (ws) => onConnection(ws, request.url));
    else socket.end(set.refuse);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const socket of webSockets.clients) socket.terminate();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Member 2, which knows member 1 and cannot reach it. */
export async function receiver(limits: Partial<TransportLimits> = {}): Promise<Member> {
  const b = (await new Member(2).listen(limits)).start();
  b.transport.addPeer(1, "http://127.0.0.1:1");
  return b;
}

/** The frame that ends a snapshot with this data. */
export const snapshotEnd = (data: Uint8Array): string =>
  `end ${data.length} ${crc32(data).toString(16).padStart(8, "0")}`;

/** A promise and the way to keep it. */
export function gate(): { opened: Promise<void>; open: () => void } {
  let open: () => void = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** Chunks of a snapshot, made as they are read; counts them, and notes whether they were ended. */
export class Source implements AsyncIterable<Uint8Array> {
  given = 0;
  ended = false;
  readonly #chunk: Uint8Array;
  readonly #count: number;

  constructor(chunk: Uint8Array, count = Number.POSITIVE_INFINITY) {
    this.#chunk = chunk;
    this.#count = count;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return {
      next: async () => {
        if (this.given < this.#count) {
          this.given++;
          return { done: false, value: this.#chunk };
        }
        this.ended = true;
        return { done: true, value: undefined };
      },
      return: async () => {
        this.ended = true;
        return { done: true, value: undefined };
      },
    };
  }
}

/**
 * Stands between a member and a peer. After `cut` bytes stop flowing, yet no connection is closed; new connections
 * work.
 */
export class Forwarder {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(targetPort: () => number) {
    this.#server = createServer((near) => {
      const far = netConnect(targetPort(), "127.0.0.1");
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(one);
        one.on("data", (bytes) => other.write(bytes));
        one.on("error", () => {});
        one.on("close", () => {
          // Over a cut wire not even the end of a connection gets through.
          if (this.#sockets.delete(one) && !one.isPaused()) other.destroy();
        });
      }
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => {
      for (const socket of this.#sockets) socket.destroy();
      this.#server.close();
    });
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  /** Breaks all connections, as a reset does. */
  break(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
