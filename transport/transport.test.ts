// Transports talk over real sockets; what breaks a rule is refused, counted, and hurts nobody else.

import { createHash } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import WebSocket from "ws";
import { encodeMessage, type Message, MessageType, makeEntry, makeMessage } from "../raft/raftpb/index.ts";
import { type TransportLimits, WebSocketTransport } from "./index.ts";

interface Line {
  readonly level: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly text: string;
}

interface Side {
  readonly transport: WebSocketTransport;
  readonly received: Message[];
  readonly batches: number[];
  readonly unreachable: number[];
  readonly lines: Line[];
  violation: string | undefined;
}

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

const quick: Partial<TransportLimits> = { backoffMinMs: 2, backoffMaxMs: 20 };

async function listen(
  id: number,
  options: { clusterId?: number; port?: number; limits?: Partial<TransportLimits> } = {},
) {
  const lines: Line[] = [];
  const log = (level: string) => (fields: Readonly<Record<string, unknown>>, text: string) => {
    lines.push({ level, fields, text });
  };
  const transport = await WebSocketTransport.listen({
    id,
    clusterId: options.clusterId ?? 7,
    host: "127.0.0.1",
    port: options.port ?? 0,
    peers: [],
    logger: { debug: log("debug"), info: log("info"), warn: log("warn") },
    random: Math.random,
    limits: { ...quick, ...options.limits },
  });
  cleanups.push(() => transport.close());
  const side: Side = { transport, received: [], batches: [], unreachable: [], lines, violation: undefined };
  return side;
}

const urlOf = ({ transport }: Side): string => `http://127.0.0.1:${transport.port}`;

function start(side: Side): void {
  side.transport.start({
    receive(_from, messages) {
      side.received.push(...messages);
      side.batches.push(messages.length);
      return side.violation;
    },
    reportUnreachable: (id) => side.unreachable.push(id),
  });
}

const statsOf = (side: Side, peer: number) => side.transport.stats().peers.find((p) => p.id === peer);

/** Members 1 and 2, connected both ways. */
async function pair(limits?: Partial<TransportLimits>): Promise<[Side, Side]> {
  const a = await listen(1, { limits: limits ?? {} });
  const b = await listen(2, { limits: limits ?? {} });
  a.transport.addPeer(2, urlOf(b));
  b.transport.addPeer(1, urlOf(a));
  start(a);
  start(b);
  await until(() => statsOf(a, 2)?.connected === true && statsOf(b, 1)?.connected === true);
  return [a, b];
}

const heartbeat = (from: number, to: number, commit = 0): Message =>
  makeMessage(MessageType.MsgHeartbeat, { from, to, term: 1, commit });

describe("two members", () => {
  test("exchange messages both ways, in order", async () => {
    const [a, b] = await pair();
    for (let i = 0; i < 100; i++) a.transport.send([heartbeat(1, 2, i)]);
    b.transport.send([heartbeat(2, 1, 5)]);
    await until(() => b.received.length === 100 && a.received.length === 1);
    expect(b.received.map((m) => m.commit)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(a.received).toEqual([heartbeat(2, 1, 5)]);
  });

  test("what is sent in one turn of the event loop travels in one frame", async () => {
    const [a, b] = await pair();
    for (let i = 0; i < 50; i++) a.transport.send([heartbeat(1, 2, i), heartbeat(1, 2, i)]);
    await until(() => b.received.length === 100);
    expect(statsOf(a, 2)?.sentFrames).toBe(1);
    expect(b.batches).toEqual([100]);
  });

  test("a frame is closed before it grows past its limit", async () => {
    const [a, b] = await pair({ maxFrameBytes: 10_000 });
    const data = new Uint8Array(4000);
    for (let i = 1; i <= 6; i++) {
      a.transport.send([
        makeMessage(MessageType.MsgApp, {
          from: 1,
          to: 2,
          term: 1,
          index: i - 1,
          entries: [makeEntry(undefined, 1, i, data)],
        }),
      ]);
    }
    await until(() => b.received.length === 6);
    expect(statsOf(a, 2)?.sentFrames).toBe(3);
  });

  test("find each other again after one of them was away", async () => {
    const [a, b] = await pair();
    const { port } = b.transport;
    await b.transport.close();
    await until(() => statsOf(a, 2)?.connected === false);
    a.transport.send([heartbeat(1, 2)]);
    await until(() => a.unreachable.includes(2));
    const again = await listen(2, { port });
    again.transport.addPeer(1, urlOf(a));
    start(again);
    await until(() => statsOf(a, 2)?.connected === true);
    a.transport.send([heartbeat(1, 2, 9)]);
    await until(() => again.received.length === 1);
  });

  test("a message to a peer that is not connected is dropped at once and reported, not kept", async () => {
    const a = await listen(1);
    a.transport.addPeer(2, "http://127.0.0.1:1");
    start(a);
    a.transport.send([heartbeat(1, 2), heartbeat(1, 2)]);
    await until(() => a.unreachable.length > 0);
    expect(a.unreachable).toEqual([2]);
    expect(statsOf(a, 2)).toMatchObject({ dropped: 2, waitingMessages: 0, waitingBytes: 0 });
  });

  test("a peer that does not read makes messages be dropped, and memory does not grow", async () => {
    // Takes the handshake, then reads nothing more.
    const sockets: net.Socket[] = [];
    const deaf = net.createServer((socket) => {
      sockets.push(socket);
      socket.once("data", (head) => {
        const key = /sec-websocket-key: (\S+)/i.exec(head.toString())?.[1] ?? "";
        const accept = acceptKey(key);
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
        );
        socket.pause();
      });
    });
    deaf.listen(0, "127.0.0.1");
    await once(deaf, "listening");
    cleanups.push(() => {
      for (const socket of sockets) socket.destroy();
      deaf.close();
    });
    const a = await listen(1, { limits: { maxWaitingBytes: 1_000_000, maxFrameBytes: 100_000 } });
    a.transport.addPeer(2, `http://127.0.0.1:${(deaf.address() as net.AddressInfo).port}`);
    start(a);
    await until(() => statsOf(a, 2)?.connected === true);
    const entries = [makeEntry(undefined, 1, 1, new Uint8Array(90_000))];
    const append = makeMessage(MessageType.MsgApp, { from: 1, to: 2, term: 1, entries });
    while (a.unreachable.length === 0) {
      a.transport.send([append]);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(statsOf(a, 2)?.waitingBytes).toBeLessThanOrEqual(1_000_000);
    expect(statsOf(a, 2)?.dropped).toBeGreaterThan(0);
  });

  test("close leaves nothing that would hold the process", async () => {
    const before = process.getActiveResourcesInfo().filter((kind) => /TCP|Server/.test(kind)).length;
    const [a, b] = await pair();
    await Promise.all([a.transport.close(), b.transport.close()]);
    await until(() => process.getActiveResourcesInfo().filter((kind) => /TCP|Server/.test(kind)).length <= before);
  });
});

function acceptKey(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

describe("the handshake", () => {
  test.each<[string, (a: Side) => Promise<Side>, RegExp]>([
    ["another cluster", () => listen(2, { clusterId: 8 }), /cluster/],
    ["another receiver", () => listen(3), /3/],
  ])("with %s is refused, and both sides log the reason", async (_what, makeOther, reason) => {
    const a = await listen(1);
    const other = await makeOther(a);
    other.transport.addPeer(1, urlOf(a));
    a.transport.addPeer(2, urlOf(other));
    start(other);
    start(a);
    const said = (side: Side, text: string) => side.lines.find((l) => l.level === "warn" && l.text.includes(text));
    await until(() => said(other, "refused a connection") !== undefined && said(a, "cannot connect") !== undefined);
    expect(said(other, "refused a connection")?.fields.reason).toMatch(reason);
    expect(said(a, "cannot connect")?.fields.reason).toMatch(reason);
    expect(statsOf(a, 2)?.connects).toBe(0);
  });

  test("of a sender that is not a member is refused", async () => {
    const a = await listen(1);
    const stranger = await listen(9);
    stranger.transport.addPeer(1, urlOf(a));
    start(a);
    start(stranger);
    await until(() => a.transport.stats().refused > 0);
    await until(() => stranger.lines.some((l) => l.level === "warn" && /9/.test(String(l.fields.reason))));
    expect(statsOf(stranger, 1)?.connects).toBe(0);
  });

  test("without its headers, or with those of another version, is refused with a reason", async () => {
    const a = await listen(1);
    a.transport.addPeer(2, "http://127.0.0.1:1");
    start(a);
    for (const headers of [{}, { "x-readyloop-version": "999" }]) {
      const socket = new WebSocket(`ws://127.0.0.1:${a.transport.port}/raft`, { headers });
      const [, response] = await once(socket, "unexpected-response");
      expect(response.statusCode).toBeGreaterThanOrEqual(400);
      expect(response.statusCode).toBeLessThan(500);
      response.destroy();
      socket.on("error", () => undefined);
      socket.terminate();
    }
  });

  test("a plain HTTP request to the peer port gets an answer that says what the port is for", async () => {
    const a = await listen(1);
    start(a);
    const response = await fetch(`${urlOf(a)}/`);
    expect(response.status).toBe(404);
    expect(await response.text()).toMatch(/peer port/);
  });
});

describe("a peer that breaks a rule", () => {
  /** A connection to `side` that claims to be member 2, as itself would make it. */
  async function impostor(side: Side): Promise<WebSocket> {
    const b = await listen(2);
    // Take the headers of a real dial, to send what no transport would.
    const probe = net.createServer();
    probe.listen(0, "127.0.0.1");
    await once(probe, "listening");
    b.transport.addPeer(1, `http://127.0.0.1:${(probe.address() as net.AddressInfo).port}`);
    start(b);
    const [socket] = (await once(probe, "connection")) as [net.Socket];
    const [head] = await once(socket, "data");
    await b.transport.close();
    socket.destroy();
    probe.close();
    const lines = String(head).split("\r\n");
    const headers: Record<string, string> = {};
    for (const line of lines.slice(1)) {
      const [name = "", value = ""] = line.split(": ");
      if (/^x-/i.test(name)) headers[name] = value;
    }
    const path = lines[0]?.split(" ")[1];
    const ws = new WebSocket(`ws://127.0.0.1:${side.transport.port}${path}`, { headers });
    ws.on("error", () => undefined);
    await once(ws, "open");
    return ws;
  }

  test.each<[string, (ws: WebSocket) => void]>([
    ["garbage", (ws) => ws.send(new Uint8Array([1, 2, 3, 255]))],
    ["a text frame", (ws) => ws.send("hello")],
    ["a message for another node", (ws) => ws.send(frame(heartbeat(2, 5)))],
    ["a message in another's name", (ws) => ws.send(frame(heartbeat(3, 1)))],
    ["a local message", (ws) => ws.send(frame(makeMessage(MessageType.MsgHup, { from: 2, to: 1, term: 1 })))],
    ["a message without a term", (ws) => ws.send(frame(makeMessage(MessageType.MsgVote, { from: 2, to: 1 })))],
  ])("sends %s: the connection is closed, it is counted, and others are served on", async (_what, attack) => {
    const a = await listen(1);
    const c = await listen(3);
    a.transport.addPeer(2, "http://127.0.0.1:1");
    a.transport.addPeer(3, urlOf(c));
    c.transport.addPeer(1, urlOf(a));
    start(a);
    start(c);
    const ws = await impostor(a);
    attack(ws);
    const [code] = await once(ws, "close");
    expect(code).toBeGreaterThanOrEqual(1002);
    expect(statsOf(a, 2)?.violations).toBe(1);
    expect(a.received).toEqual([]);
    await until(() => statsOf(c, 1)?.connected === true);
    c.transport.send([heartbeat(3, 1)]);
    await until(() => a.received.length === 1);
  });

  test("is disconnected when the node finds the violation, and may come again", async () => {
    const [a, b] = await pair();
    b.violation = "it commits beyond the log";
    a.transport.send([heartbeat(1, 2)]);
    await until(() => statsOf(b, 1)?.violations === 1);
    expect(b.lines.some((l) => JSON.stringify(l).includes("it commits beyond the log"))).toBe(true);
    b.violation = undefined;
    await until(() => (statsOf(a, 2)?.connects ?? 0) >= 2 && statsOf(a, 2)?.connected === true);
    a.transport.send([heartbeat(1, 2, 3)]);
    await until(() => b.received.some((m) => m.commit === 3));
  });
});

/** One message as a frame: field 1, length-delimited. */
function frame(m: Message): Uint8Array {
  const bytes = encodeMessage(m);
  return Uint8Array.from([0x0a, bytes.length, ...bytes]);
}
