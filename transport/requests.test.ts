// Requests between members over real sockets, and what their senders know of the outcome.

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import type { TransportLimits } from "./index.ts";
import { maxRequestBytes } from "./index.ts";
import { eventually, gate, headers, Member } from "./test-support.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Member 1, which knows member 2 under its address, and member 2, which admits everyone. */
async function askers(limits: Partial<TransportLimits> = {}): Promise<[Member, Member]> {
  const a = (await new Member(1).listen(limits)).start();
  const b = (await new Member(2).listen(limits)).start();
  b.admit = () => undefined;
  a.transport.addPeer(2, b.url);
  return [a, b];
}

/** A TCP server in the place of member 2. */
async function inItsPlace(a: Member, onConnection: (socket: Socket) => void): Promise<void> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  a.transport.addPeer(2, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
}

/** Calls back with what a POST has sent; dials of the message stream are cut off. */
const onPost = (answer: (socket: Socket) => void) => (socket: Socket) =>
  socket.once("data", (data) => {
    if (String(data).startsWith("POST /raft/request ")) answer(socket);
    else socket.destroy();
  });

describe("a request", () => {
  test("is answered by the peer's handler", async () => {
    const [a, b] = await askers();
    b.request = async (from, body) => bytes(`${from} asked: ${Buffer.from(body)}`);
    expect(await a.transport.request(2, bytes("who?"))).toEqual({ kind: "answered", body: bytes("1 asked: who?") });
    expect(await a.transport.request(2, new Uint8Array(0))).toEqual({ kind: "answered", body: bytes("1 asked: ") });
  });

  test("may be as large as the limit, and so may the answer", async () => {
    const [a] = await askers();
    const body = new Uint8Array(maxRequestBytes).fill(7);
    expect(await a.transport.request(2, body)).toEqual({ kind: "answered", body });
  });

  test.each<[string, (a: Member, b: Member) => void | Promise<void>, RegExp]>([
    ["to a stranger", (a) => a.transport.removePeer(2), /address of member 2 is not known/],
    ["where nothing listens", (a) => a.transport.addPeer(2, "http://127.0.0.1:1"), /ECONNREFUSED/],
    ["to a member that has gone", (_a, b) => b.transport.close(), /ECONNREFUSED/],
    [
      "to a member that has not started",
      async (a) => {
        const early = await new Member(2).listen();
        a.transport.addPeer(2, early.url);
      },
      /503: member 2 is starting/,
    ],
    [
      "to a member that does not know this one",
      (_a, b) => {
        b.admit = () => ({ kind: "unknown", message: "who is 1?" });
      },
      /403: who is 1\?/,
    ],
    [
      "that arrives at the wrong member",
      async (a) => {
        const other = (await new Member(3).listen()).start();
        a.transport.addPeer(2, other.url);
      },
      /421: looking for member 2, this is member 3/,
    ],
    [
      "to another program",
      (a) =>
        inItsPlace(
          a,
          onPost((s) => s.end("HTTP/1.1 404 No\r\n\r\n")),
        ),
      /404/,
    ],
  ])("%s is unsent", async (_what, prepare, message) => {
    const [a, b] = await askers();
    let called = 0;
    b.request = async (_from, body) => {
      called++;
      return body;
    };
    await prepare(a, b);
    expect(await a.transport.request(2, bytes("x"))).toEqual({
      kind: "unsent",
      message: expect.stringMatching(message),
    });
    expect(called).toBe(0);
  });

  test("before the start, above the limit, or after the close is unsent", async () => {
    const [a, b] = await askers();
    const early = await new Member(3).listen();
    early.transport.addPeer(2, b.url);
    expect(await early.transport.request(2, bytes("x"))).toMatchObject({ kind: "unsent" });
    const large = await a.transport.request(2, new Uint8Array(maxRequestBytes + 1));
    expect(large).toEqual({ kind: "unsent", message: "a request of 65537 bytes, above 65536" });
    await a.transport.close();
    expect(await a.transport.request(2, bytes("x"))).toMatchObject({ kind: "unsent" });
  });

  test.each<[string, (a: Member, b: Member) => void | Promise<void>, RegExp]>([
    [
      "whose handler fails",
      (_a, b) => {
        b.request = async () => {
          throw new Error("the log is full");
        };
      },
      /500: the request failed, and may have been carried out: the log is full/,
    ],
    [
      "whose answer is too large",
      (_a, b) => {
        b.request = async () => new Uint8Array(maxRequestBytes + 1);
      },
      /500: .*an answer of 65537 bytes/,
    ],
    [
      "whose connection breaks",
      (a) =>
        inItsPlace(
          a,
          onPost((s) => s.destroy()),
        ),
      /hang up|ECONNRESET/,
    ],
    [
      "whose answer breaks off",
      (a) =>
        inItsPlace(
          a,
          onPost((s) => s.end("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal")),
        ),
      /aborted|broke/,
    ],
    [
      "whose answer does not end",
      (a) =>
        inItsPlace(
          a,
          onPost((s) => s.write(`HTTP/1.1 200 OK\r\n\r\n${"x".repeat(maxRequestBytes + 1)}`)),
        ),
      /more than 65536 bytes/,
    ],
    [
      "whose answer is no HTTP",
      (a) =>
        inItsPlace(
          a,
          onPost((s) => s.end("+OK\r\n")),
        ),
      /Parse Error/,
    ],
    ["that is not answered in time", (a) => inItsPlace(a, () => {}), /no answer within 200 ms/],
  ])("%s has an unknown outcome", async (_what, prepare, message) => {
    const [a, b] = await askers({ requestTimeoutMs: 200 });
    await prepare(a, b);
    expect(await a.transport.request(2, bytes("x"))).toEqual({
      kind: "unknown",
      message: expect.stringMatching(message),
    });
  });

  test("is called off when the sender is closed, and when the peer is", async () => {
    const [a, b] = await askers();
    const called = gate();
    b.request = () => {
      called.open();
      return new Promise(() => {});
    };
    const first = a.transport.request(2, bytes("x"));
    await called.opened;
    const c = (await new Member(3).listen()).start();
    c.transport.addPeer(2, b.url);
    const second = c.transport.request(2, bytes("x"));
    await a.transport.close();
    expect(await first).toEqual({ kind: "unknown", message: expect.stringContaining("called off") });
    await b.transport.close();
    expect(["unknown", "unsent"]).toContain((await second).kind);
  });
});

describe("too many requests at a time", () => {
  test("to one peer are unsent, and there is room again when others have ended", async () => {
    const [a, b] = await askers({ maxRequests: 3 });
    const held = gate();
    b.request = async (_from, body) => {
      await held.opened;
      return body;
    };
    const waiting = [1, 2, 3].map(() => a.transport.request(2, bytes("x")));
    expect(await a.transport.request(2, bytes("y"))).toEqual({
      kind: "unsent",
      message: "too many requests to member 2 are under way; try again",
    });
    held.open();
    expect((await Promise.all(waiting)).map(({ kind }) => kind)).toEqual(["answered", "answered", "answered"]);
    expect((await a.transport.request(2, bytes("y"))).kind).toBe("answered");
  });

  test("from one peer are turned away before the handler sees them", async () => {
    const b = (await new Member(2).listen({ maxRequests: 1 })).start();
    b.admit = () => undefined;
    const [a, again] = [(await new Member(1).listen()).start(), (await new Member(1).listen()).start()];
    a.transport.addPeer(2, b.url);
    again.transport.addPeer(2, b.url);
    const called = gate();
    const held = gate();
    b.request = async (_from, body) => {
      called.open();
      await held.opened;
      return body;
    };
    const first = a.transport.request(2, bytes("x"));
    await called.opened;
    expect(await again.transport.request(2, bytes("y"))).toMatchObject({
      kind: "unsent",
      message: expect.stringMatching(/503: too many requests are under way/),
    });
    held.open();
    expect((await first).kind).toBe("answered");
  });
});

describe("the peer port answers", () => {
  async function post(
    b: Member,
    set: Record<string, string>,
    body: Uint8Array<ArrayBuffer> = new Uint8Array(1),
  ): Promise<[number, string]> {
    const response = await fetch(`${b.url}/raft/request`, { method: "POST", headers: set, body });
    return [response.status, await response.text()];
  }

  test("an oversized body with 413, and the handler does not see it", async () => {
    const [, b] = await askers();
    let called = false;
    b.request = async (_from, body) => {
      called = true;
      return body;
    };
    const [status, text] = await post(b, headers(), new Uint8Array(10 * maxRequestBytes));
    expect([status, text]).toEqual([413, expect.stringContaining("more than 65536 bytes")]);
    expect(called).toBe(false);
  });

  test.each([
    ["no headers", {}, 400, /x-readyloop-version is missing/],
    ["another cluster", headers({ "x-readyloop-cluster": "78" }), 412, /cluster 78 offered/],
    ["its own name", headers({ "x-readyloop-from": "2" }), 409, /called itself/],
  ])("a request with %s with a refusal", async (_what, set, status, reason) => {
    const [, b] = await askers();
    expect(await post(b, set)).toEqual([status, expect.stringMatching(reason)]);
    expect(b.transport.stats().refused).toBe(1);
  });

  test("another method with 405, and another path with 404", async () => {
    const [, b] = await askers();
    expect((await fetch(`${b.url}/raft/request`)).status).toBe(405);
    expect((await fetch(`${b.url}/raft/cluster`, { method: "POST" })).status).toBe(405);
    expect((await fetch(`${b.url}/raft/requests`)).status).toBe(404);
    expect((await fetch(`${b.url}/raft/snapshot`)).status).toBe(426);
  });

  test("no asker that does not end its body, and then has room for the next one", async () => {
    const [a, b] = await askers({ handshakeTimeoutMs: 60, maxRequests: 1 });
    const socket = connect(b.transport.port, "127.0.0.1");
    onTestFinished(() => void socket.destroy());
    socket.on("error", () => {});
    const lines = Object.entries(headers()).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`POST /raft/request HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n${lines.join("")}\r\nabc`);
    socket.resume();
    await once(socket, "close");
    await eventually(async () => expect((await a.transport.request(2, bytes("x"))).kind).toBe("answered"));
  });
});
