// The queue in front of a peer and the dialling behind it, with peers that are slow, deaf, broken or half-open.

import { type AddressInfo, createServer } from "node:net";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import type { WebSocket } from "ws";
import { MessageType, makeMessage, proposed } from "../raft/raftpb/index.ts";
import { maxFrameItems } from "./frame.ts";
import type { TransportLimits } from "./index.ts";
import { append, clusterId, eventually, Forwarder, heartbeat, Member, pair, rawServer } from "./test-support.ts";

afterEach(() => vi.restoreAllMocks());

/** Member 1, connected to a server that never reads. */
async function withDeafPeer(limits: Partial<TransportLimits>): Promise<Member> {
  const url = await rawServer((socket) => socket.pause());
  const a = await new Member(1).listen(limits);
  a.transport.addPeer(2, url);
  a.start();
  await eventually(() => expect(a.stats(2).connected).toBe(true));
  return a;
}

describe("OutgoingPeer.push", () => {
  test("holds no more than maxWaitingBytes for a peer that does not read", async () => {
    const maxWaitingBytes = 1_000_000;
    const a = await withDeafPeer({ maxWaitingBytes });
    const m = append(1, 2, 50_000);
    let largest = 0;
    for (let turn = 0; turn < 2000; turn++) {
      a.transport.send([m, m]);
      largest = Math.max(largest, a.stats(2).waitingBytes);
      if (turn % 10 === 0) await new Promise(setImmediate);
    }
    expect(largest).toBeGreaterThan(maxWaitingBytes / 2);
    // The header of a WebSocket frame, at most 14 bytes, is counted once the frame is in the socket.
    expect(largest).toBeLessThanOrEqual(maxWaitingBytes + 14 * 20);
    const { dropped, sentMessages, waitingMessages } = a.stats(2);
    expect(dropped).toBeGreaterThan(3000);
    expect(dropped + sentMessages + waitingMessages).toBeGreaterThanOrEqual(4000);
    expect(new Set(a.unreachable)).toEqual(new Set([2]));
  });

  test("holds no more than maxWaitingMessages, counted until the system has them", async () => {
    const [a, b] = await pair({ maxWaitingMessages: 10 });
    a.transport.send(Array.from({ length: 25 }, (_, i) => heartbeat(1, 2, i)));
    expect(a.stats(2).waitingMessages).toBe(10);
    await eventually(() => expect(b.messages.length).toBe(10));
    expect(b.messages.map((m) => m.commit)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(a.stats(2)).toMatchObject({ dropped: 15, sentMessages: 10 });
    await eventually(() => expect(a.stats(2)).toMatchObject({ waitingMessages: 0, waitingBytes: 0 }));
    a.transport.send([heartbeat(1, 2, 99)]);
    await eventually(() => expect(b.messages.at(-1)?.commit).toBe(99));
  });

  test("takes a message larger than the queue when no other waits", async () => {
    const [a, b] = await pair({ maxWaitingBytes: 1000, maxFrameBytes: 500 });
    a.transport.send([append(1, 2, 5000), heartbeat(1, 2)]);
    await eventually(() => expect(b.messages.length).toBe(1));
    expect(b.messages[0]?.entries[0]?.data?.length).toBe(5000);
    expect(a.stats(2).dropped).toBe(1);
  });

  test("drops a message that no frame may hold, and logs that", async () => {
    const [a, b] = await pair({ maxPayloadBytes: 2000 });
    a.transport.send([append(1, 2, 2000), append(1, 2, 1900)]);
    await eventually(() => expect(b.messages.length).toBe(1));
    expect(a.logged("too large for a frame")).toMatchObject({ peer: 2, type: "MsgApp" });
    expect(a.unreachable).toEqual([2]);
    expect(b.stats(1).violations).toBe(0);
  });

  test("splits frames before they hold more messages and entries than a receiver takes", async () => {
    const [a, b] = await pair();
    const entries = new Array(maxFrameItems - 1).fill(proposed(undefined));
    const full = makeMessage(MessageType.MsgProp, { from: 1, to: 2, entries });
    const over = makeMessage(MessageType.MsgProp, { from: 1, to: 2, entries: [...entries, entries[0]] });
    a.transport.send([full, heartbeat(1, 2), over]);
    await eventually(() => expect(b.messages.length).toBe(2));
    expect(a.stats(2)).toMatchObject({ sentFrames: 2, dropped: 1 });
  });

  test("takes no type that does not travel on this stream, and no message for a stranger", async () => {
    const [a, b] = await pair();
    const snap = makeMessage(MessageType.MsgSnap, { from: 1, to: 2, term: 3 });
    a.transport.send([snap, heartbeat(1, 9), heartbeat(1, 2, 7)]);
    await eventually(() => expect(b.messages.map((m) => m.commit)).toEqual([7]));
    expect(a.stats(2).dropped).toBe(1);
    expect(a.transport.stats().droppedUnknown).toBe(1);
    expect(a.unreachable.toSorted()).toEqual([2, 9]);
  });

  test("leads to one report for all messages dropped in a turn, and not from inside send", async () => {
    const a = (await new Member(1).listen()).start();
    a.transport.addPeer(2, "http://127.0.0.1:1");
    a.transport.send([heartbeat(1, 2), heartbeat(1, 2)]);
    a.transport.send([heartbeat(1, 2)]);
    expect(a.unreachable).toEqual([]);
    await Promise.resolve();
    expect(a.unreachable).toEqual([2]);
    expect(a.stats(2).dropped).toBe(3);
    a.transport.send([]);
    await Promise.resolve();
    expect(a.unreachable).toEqual([2]);
  });

  test("loses its messages, counted and reported, when the connection breaks", async () => {
    let remote: WebSocket | undefined;
    const url = await rawServer((socket) => {
      remote = socket;
      socket.pause();
    });
    const a = await new Member(1).listen({ backoffMinMs: 60_000, backoffMaxMs: 60_000 });
    a.transport.addPeer(2, url);
    a.start();
    await eventually(() => expect(a.stats(2).connected).toBe(true));
    const m = append(1, 2, 1_000_000);
    while (a.stats(2).waitingMessages < 10) {
      a.transport.send([m]);
      await new Promise(setImmediate);
    }
    remote?.terminate();
    await eventually(() => expect(a.unreachable).toEqual([2]));
    expect(a.stats(2)).toMatchObject({ connected: false, waitingMessages: 0, waitingBytes: 0 });
    // Not all ten: the system took some of them while the connection broke.
    expect(a.stats(2).dropped).toBeGreaterThan(0);
  });
});

describe("OutgoingPeer", () => {
  /** The pauses that setTimeout was called with, of those that a test looks for. */
  function pauses(...wanted: number[]): () => number[] {
    const spy = vi.spyOn(globalThis, "setTimeout");
    return () => spy.mock.calls.map(([, ms]) => ms ?? 0).filter((ms) => wanted.includes(ms));
  }

  test("pauses ever longer, up to a limit, while a peer breaks each connection at once", async () => {
    const asked = pauses(7, 14, 28, 29);
    const url = await rawServer((socket) => socket.close());
    const a = await new Member(1).listen({ backoffMinMs: 7, backoffMaxMs: 29 });
    a.transport.addPeer(2, url);
    a.start();
    await eventually(() => expect(asked().slice(0, 5)).toEqual([7, 14, 28, 29, 29]));
    expect(a.stats(2).connects).toBeGreaterThanOrEqual(4);
  });

  test("shortens each pause at random, by up to half", async () => {
    const asked = pauses(75, 100, 50);
    const a = await new Member(1).listen({ backoffMinMs: 100, backoffMaxMs: 100 }, { random: 0.5 });
    a.transport.addPeer(2, "http://127.0.0.1:1");
    a.start();
    await eventually(() => expect(asked().slice(0, 2)).toEqual([75, 75]));
  });

  test("starts again with the shortest pause once a connection has answered a ping", async () => {
    let connections = 0;
    const url = await rawServer((socket) => {
      connections++;
      if (connections === 3) socket.once("ping", () => setImmediate(() => socket.close()));
      else socket.close();
    });
    const asked = pauses(7, 14, 28, 56);
    const a = await new Member(1).listen({ backoffMinMs: 7, backoffMaxMs: 56, idleTimeoutMs: 100 });
    a.transport.addPeer(2, url);
    a.start();
    await eventually(() => expect(asked().slice(0, 4)).toEqual([7, 14, 7, 14]));
  });

  test("ends its pause when the peer calls", async () => {
    const a = await new Member(1).listen({ backoffMinMs: 3_600_000, backoffMaxMs: 3_600_000 });
    const b = await new Member(2).listen();
    a.transport.addPeer(2, b.url);
    a.start();
    await eventually(() => expect(a.logged("cannot connect")?.reason).toMatch(/503.*starting/));
    b.transport.addPeer(1, a.url);
    b.start();
    await eventually(() => expect(a.stats(2).connected).toBe(true));
  });

  test("logs a peer that stays away once, not at every dial", async () => {
    const a = (await new Member(1).listen()).start();
    a.transport.addPeer(2, "http://127.0.0.1:1");
    const said = (level: string) =>
      a.log.filter((l) => l.level === level && l.text === "cannot connect to peer").length;
    await eventually(() => expect(said("debug")).toBeGreaterThan(3));
    expect(said("warn")).toBe(1);
    expect(a.logged("cannot connect")?.reason).toMatch(/ECONNREFUSED/);
  });

  test("logs no warning while the peer may be starting, or has said that it shuts down", async () => {
    const a = (await new Member(1).listen({ startupMs: 3_600_000 })).start();
    const b = (await new Member(2).listen()).start();
    b.admit = () => undefined;
    const warned = (): unknown[] => a.log.filter((l) => l.level === "warn");
    a.transport.addPeer(3, "http://127.0.0.1:1");
    a.transport.addPeer(2, b.url);
    await eventually(() => expect(a.stats(2).connected).toBe(true));
    await b.transport.close();
    await eventually(() => expect(a.logged("lost the connection")?.reason).toMatch(/shutting down/));
    const dials = (id: number): number => a.dials.filter((d) => d.id === id && d.clusterId === undefined).length;
    await eventually(() => expect(Math.min(dials(2), dials(3))).toBeGreaterThan(2));
    expect(warned()).toEqual([]);
    expect(a.log.filter((l) => l.level === "info" && l.text === "cannot connect to peer")).toHaveLength(2);
  });

  test("logs no warning at either end once the peer was removed", async () => {
    const [a, b] = await pair();
    b.admit = () => ({ kind: "removed", message: "member 1 was removed" });
    b.transport.removePeer(1);
    await eventually(() => expect(a.rejections.length).toBeGreaterThan(2));
    for (const { log } of [a, b]) expect(log.filter((l) => l.level === "warn")).toEqual([]);
  });

  test("reports which cluster each dial found, or that it found none", async () => {
    const other = (await new Member(2).listen({}, { clusterId: 78 })).start();
    const a = (await new Member(1).listen()).start();
    const found = (): unknown => a.dials.at(-1);
    a.transport.addPeer(2, other.url);
    await eventually(() => expect(found()).toEqual({ id: 2, url: other.url, clusterId: 78 }));
    const b = (await new Member(2).listen()).start();
    b.admit = () => undefined;
    a.transport.addPeer(2, b.url);
    await eventually(() => expect(found()).toEqual({ id: 2, url: b.url, clusterId }));
    a.transport.addPeer(2, "http://127.0.0.1:1");
    await eventually(() => expect(found()).toEqual({ id: 2, url: "http://127.0.0.1:1", clusterId: undefined }));
    // Another member of the same cluster is not the one that was looked for.
    const c = (await new Member(3).listen()).start();
    a.transport.addPeer(2, c.url);
    await eventually(() => expect(found()).toEqual({ id: 2, url: c.url, clusterId: undefined }));
    // The member that is dialled by one of another cluster says so once, however often it is dialled.
    const refused = (level: string): number =>
      other.log.filter((l) => l.level === level && "reason" in l.fields).length;
    expect([refused("warn"), other.logged("refused")?.reason]).toEqual([
      1,
      "cluster 77 offered, this member belongs to cluster 78",
    ]);
  });

  /** A server that sends the text to every client, and nothing more. */
  async function answering(text: string): Promise<string> {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.write(text);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  const refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 1000000\r\n\r\nno\u001b[2J";

  test.each([
    ["does not answer the handshake", "", /^no answer to the handshake within 60 ms$/],
    ["never ends its refusal", refusal, /^no answer to the handshake within 60 ms$/],
    ["refuses at great length", refusal + "!".repeat(5000), /^refused with HTTP status 403: no\?\[2J!{2042}$/],
    ["speaks another protocol", "+OK\r\n", /Parse Error/],
  ])("gives up a peer that %s", async (_what, text, reason) => {
    const a = (await new Member(1).listen({ handshakeTimeoutMs: 60 })).start();
    a.transport.addPeer(2, await answering(text));
    await eventually(() => expect(a.logged("cannot connect")?.reason).toMatch(reason));
  });

  test("notices on both sides that the wire between them is cut, and connects anew", async () => {
    const limits = { idleTimeoutMs: 100 };
    const a = await new Member(1).listen(limits);
    const b = await new Member(2).listen(limits);
    const wire = new Forwarder(() => b.transport.port);
    a.transport.addPeer(2, await wire.listen());
    // b cannot call back, so that nothing but a's own watch brings the connection back.
    b.transport.addPeer(1, "http://127.0.0.1:1");
    a.start();
    b.start();
    await eventually(() => expect(a.stats(2).connected).toBe(true));
    wire.cut();
    await eventually(() => expect(a.logged("lost the connection")?.reason).toBe("the peer was silent for 100 ms"));
    await eventually(() => expect(b.logged("silent for too long")).toEqual({ peer: 1 }));
    expect(a.unreachable).toEqual([2]);
    await eventually(() => expect(a.stats(2).connected).toBe(true));
    a.transport.send([heartbeat(1, 2, 8)]);
    await eventually(() => expect(b.messages.map((m) => m.commit)).toEqual([8]));
  });

  test("keeps an idle connection whose peer answers pings", async () => {
    let pings = 0;
    const url = await rawServer((socket) => socket.on("ping", () => pings++));
    const a = (await new Member(1).listen({ idleTimeoutMs: 40, handshakeTimeoutMs: 60 })).start();
    a.transport.addPeer(2, url);
    // Four pings go out in the time after which a silent peer is given up.
    await eventually(() => expect(pings).toBeGreaterThan(12));
    expect(a.stats(2)).toMatchObject({ connected: true, connects: 1 });
  });

  test("refuses a message that a peer sends on this member's connection", async () => {
    const closed: [number, string][] = [];
    const url = await rawServer((socket) => {
      socket.on("close", (code, reason) => closed.push([code, reason.toString()]));
      socket.send("psst");
    });
    const a = (await new Member(1).listen()).start();
    a.transport.addPeer(2, url);
    await eventually(() => expect(closed[0]).toEqual([1008, "this connection is for messages of its dialler"]));
    expect(a.stats(2).violations).toBeGreaterThan(0);
    expect(a.received).toEqual([]);
  });
});
