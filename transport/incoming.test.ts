// The peer port under attack: a peer that breaks a rule loses its connection, is counted and logged; the others are
// served on.

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { encodeMessage, type Message, MessageType, makeMessage } from "../raft/raftpb/index.ts";
import { seal } from "./checksum.ts";
import { FrameWriter, itemsOf } from "./frame.ts";
import type { TransportLimits } from "./index.ts";
import { append, eventually, headers, heartbeat, Member, rawClient } from "./test-support.ts";

function frameOf(...messages: Message[]): Uint8Array {
  const writer = new FrameWriter();
  for (const m of messages) writer.add(encodeMessage(m), itemsOf(m));
  return seal(writer.take());
}

/** Member 2, which admits member 1 (the attacker pretends to be it) and has a good connection from member 3. */
async function victim(limits: Partial<TransportLimits> = {}): Promise<{ b: Member; servesOn: () => Promise<void> }> {
  const b = await new Member(2).listen(limits);
  const good = await new Member(3).listen();
  b.transport.addPeer(1, "http://127.0.0.1:1");
  b.transport.addPeer(3, good.url);
  good.transport.addPeer(2, b.url);
  b.start();
  good.start();
  await eventually(() => expect(good.stats(2).connected).toBe(true));
  const servesOn = async (): Promise<void> => {
    good.transport.send([heartbeat(3, 2, 12)]);
    await eventually(() => expect(b.messages.map((m) => [m.from, m.commit])).toContainEqual([3, 12]));
    expect(good.stats(2).connects).toBe(1);
  };
  return { b, servesOn };
}

/** A TCP connection to the member that has sent the text; what comes back is collected. */
async function rawSocket(
  to: Member,
  text: string,
): Promise<{ socket: Socket; answer: () => string; closed: Promise<unknown> }> {
  const socket = connect(to.transport.port, "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  let answer = "";
  socket.on("error", () => {});
  socket.on("data", (bytes) => {
    answer += bytes.toString("latin1");
  });
  const closed = once(socket, "close");
  socket.write(text);
  return { socket, answer: () => answer, closed };
}

const upgradeRequest = (set: Record<string, string> = {}): string => {
  const all = {
    Host: "x",
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version": "13",
    ...headers(set),
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET /raft HTTP/1.1\r\n${lines.join("")}\r\n`;
};

describe("IncomingConnection closes the connection and counts the breach for", () => {
  const sent: [what: string, send: (socket: WebSocket) => void, code: number, reason: RegExp][] = [
    ["a text frame", (s) => s.send("hello"), 1008, /a text frame/],
    ["bytes that are no frame", (s) => s.send(Uint8Array.of(255, 255, 255)), 1008, /does not decode/],
    ["an empty frame", (s) => s.send(new Uint8Array(0)), 1008, /0 bytes, where the checksum/],
    [
      "a frame cut short",
      (s) => s.send(frameOf(heartbeat(1, 2)).subarray(0, 9)),
      1008,
      /does not decode: its checksum/,
    ],
    ["a sealed frame that is none", (s) => s.send(seal(new Uint8Array(9))), 1008, /does not decode: /],
    ["a frame without a seal", (s) => s.send(new Uint8Array(3)), 1008, /where the checksum alone has 4/],
    ["a message that breaks a rule", (s) => s.send(frameOf(heartbeat(3, 2))), 1008, /says it is from 3/],
    ["a frame above the largest payload", (s) => s.send(frameOf(append(1, 2, 20_000))), 1009, /payload size/],
    [
      "fragments that together are above it",
      (s) => {
        for (let i = 0; i < 30; i++) s.send(new Uint8Array(1000), { binary: true, fin: false });
      },
      1009,
      /payload size/,
    ],
  ];

  test.each(sent)("%s", async (_what, send, code, reason) => {
    const { b, servesOn } = await victim({ maxPayloadBytes: 10_000 });
    const { socket, closed } = await rawClient(b);
    send(socket);
    expect((await closed)[0]).toBe(code);
    expect(b.stats(1)).toMatchObject({ violations: 1, receivedFrames: 0, receivedMessages: 0 });
    expect(b.logged("broke a rule")).toEqual({ peer: 1, reason: expect.stringMatching(reason) });
    expect(b.received).toEqual([]);
    await servesOn();
  });

  test("a WebSocket frame without a mask", async () => {
    const { b, servesOn } = await victim();
    const { socket, answer, closed } = await rawSocket(b, upgradeRequest());
    await eventually(() => expect(answer()).toContain("101 Switching Protocols"));
    socket.write(Uint8Array.of(0x82, 1, 0));
    await closed;
    expect(b.stats(1).violations).toBe(1);
    expect(b.logged("broke a rule")?.reason).toMatch(/MASK must be set/);
    await servesOn();
  });

  test("a flood of pings from a peer that does not read the answers", async () => {
    const { b, servesOn } = await victim({ closeTimeoutMs: 20 });
    const { socket, answer } = await rawSocket(b, upgradeRequest());
    await eventually(() => expect(answer()).toContain("101 Switching Protocols"));
    socket.pause();
    const ping = Buffer.alloc(131);
    ping.set([0x89, 0x80 | 125]);
    const pings = Buffer.concat(Array.from({ length: 500 }, () => ping));
    while (b.stats(1).violations === 0 && !socket.destroyed) {
      socket.write(pings);
      await new Promise(setImmediate);
    }
    await eventually(() => expect(b.logged("broke a rule")?.reason).toMatch(/pings/));
    await servesOn();
  });
});

describe("a frame", () => {
  test("with one message that breaks a rule is not passed on at all", async () => {
    const { b } = await victim();
    const { socket, closed } = await rawClient(b);
    socket.send(frameOf(heartbeat(1, 2), heartbeat(1, 2), makeMessage(MessageType.MsgHup, { from: 1, to: 2 })));
    expect(await closed).toEqual([1008, "MsgHup is not sent between nodes on this stream"]);
    expect(b.received).toEqual([]);
  });

  test("that follows a breach is ignored", async () => {
    const { b, servesOn } = await victim();
    const { socket, closed } = await rawClient(b);
    socket.send(frameOf(heartbeat(1, 2, 1)));
    socket.send("breach");
    for (let i = 0; i < 20; i++) socket.send(frameOf(heartbeat(1, 2, 2)));
    await closed;
    await servesOn();
    expect(b.messages.filter((m) => m.from === 1).map((m) => m.commit)).toEqual([1]);
    expect(b.stats(1).violations).toBe(1);
  });

  test("that the node refuses in view of its state closes the connection with the node's reason", async () => {
    const { b } = await victim();
    b.answer = "MsgHeartbeat: commits 9, beyond the log – «Ende»";
    const { socket, closed } = await rawClient(b);
    socket.send(frameOf(heartbeat(1, 2, 9)));
    expect(await closed).toEqual([1008, "MsgHeartbeat: commits 9, beyond the log ? ?Ende?"]);
    expect(b.stats(1)).toMatchObject({ violations: 1, receivedFrames: 1, receivedMessages: 1 });
  });

  test("that is refused with a long reason gives the peer as much of it as a close frame holds", async () => {
    const { b, servesOn } = await victim();
    b.answer = "far too long ".repeat(40);
    const { socket, closed } = await rawClient(b);
    socket.send(frameOf(heartbeat(1, 2)));
    expect(await closed).toEqual([1008, b.answer.slice(0, 123)]);
    expect(b.logged("broke a rule")?.reason).toBe(b.answer);
    b.answer = undefined;
    await servesOn();
  });

  test("may have more bytes than one read of a socket", async () => {
    const { b } = await victim();
    const { socket } = await rawClient(b);
    socket.send(frameOf(append(1, 2, 3_000_000)));
    await eventually(() => expect(b.messages.map((m) => m.entries[0]?.data?.length)).toEqual([3_000_000]));
  });
});

describe("the peer port", () => {
  test("replaces a peer's old connection by its new one", async () => {
    const { b } = await victim();
    const old = await rawClient(b);
    const fresh = await rawClient(b);
    expect(await old.closed).toEqual([1001, "replaced by a newer connection"]);
    fresh.socket.send(frameOf(heartbeat(1, 2, 4)));
    await eventually(() => expect(b.messages.map((m) => m.commit)).toEqual([4]));
    expect(b.stats(1)).toMatchObject({ accepts: 2, violations: 0 });
    // The end of the old one does not hide the new one from what comes later.
    await eventually(() => expect(b.logged("was closed")).toMatchObject({ peer: 1 }));
    b.transport.removePeer(1);
    expect(await fresh.closed).toEqual([4410, "the member was removed"]);
  });

  test("answers a request that is no upgrade with 426 on its path and 404 elsewhere", async () => {
    const { b } = await victim();
    const response = await fetch(`${b.url}/raft`);
    expect([response.status, response.headers.get("upgrade")]).toEqual([426, "websocket"]);
    expect((await fetch(`${b.url}/raft/x`, { method: "POST", body: "x" })).status).toBe(404);
  });

  test.each([
    ["another protocol", { Upgrade: "h2c" }],
    ["another version of the protocol", { "Sec-WebSocket-Version": "7" }],
    ["a bad key", { "Sec-WebSocket-Key": "short" }],
  ])("refuses an upgrade to %s", async (_what, set) => {
    const { b } = await victim();
    const { answer, closed } = await rawSocket(b, upgradeRequest(set));
    await closed;
    expect(answer()).toMatch(/^HTTP\/1.1 4\d\d /);
    expect(b.transport.stats().refused).toBe(1);
    expect(b.stats(1).accepts).toBe(0);
  });

  test.each([
    ["another version", { "x-readyloop-version": "1" }, /412: protocol version 1/],
    ["a reserved sender", { "x-readyloop-from": "18446744073709551615" }, /400: header x-readyloop-from/],
    ["its own name", { "x-readyloop-from": "2" }, /409: member 2 called itself/],
  ])("refuses a peer with %s and logs why", async (_what, set, reason) => {
    const { b } = await victim();
    const socket = new WebSocket(`${b.url.replace("http", "ws")}/raft`, { headers: headers(set) });
    const [error] = await once(socket, "error");
    const { status, reason: logged } = b.logged("refused a connection") ?? {};
    expect(`${status}: ${logged}`).toMatch(reason);
    expect(String(error)).toContain(String(status));
    expect(b.transport.stats().refused).toBe(1);
  });

  test("cuts off a client that connects and says nothing, or speaks too slowly", async () => {
    const { b, servesOn } = await victim({ handshakeTimeoutMs: 60 });
    const mute = await rawSocket(b, "");
    const slow = await rawSocket(b, "GET /raft HTTP/1.1\r\nHost: x\r\n");
    await Promise.all([mute.closed, slow.closed]);
    await servesOn();
  });

  test("refuses headers that do not end", async () => {
    const { b, servesOn } = await victim();
    const { answer, closed } = await rawSocket(b, `GET /raft HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(20_000)}\r\n`);
    await closed;
    expect(answer()).toMatch(/^HTTP\/1.1 431 /);
    await servesOn();
  });
});
