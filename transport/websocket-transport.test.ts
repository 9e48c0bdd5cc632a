// The life of a transport: listening, starting, peers that come and go, and an end that leaves nothing behind.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { pino } from "pino";
import { describe, expect, onTestFinished, test } from "vitest";
import { TransportError, type TransportLogger, WebSocketTransport } from "./index.ts";
import { append, eventually, heartbeat, Member, pair, rawServer } from "./test-support.ts";

describe("listening", () => {
  test("on a port that is taken fails with the system's code and says what to do", async () => {
    const a = await new Member(1).listen();
    const failure = await new Member(2).listen({}, { port: a.transport.port }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(TransportError);
    expect(failure).toMatchObject({ code: "EADDRINUSE", message: expect.stringContaining("choose another") });
  });

  test.each([
    "https://127.0.0.1:1",
    "ws://127.0.0.1:1",
    "127.0.0.1:2380",
    "http://127.0.0.1:1/path",
    "http://user@127.0.0.1:1",
    "http://127.0.0.1:1/?x",
    "",
  ])("with the peer URL %j is refused", async (url) => {
    const a = await new Member(1).listen();
    expect(() => a.transport.addPeer(2, url)).toThrow(expect.objectContaining({ code: "BAD_PEER_URL" }));
  });

  test.each([0, -1, 1.5, 2 ** 53])("with the peer id %d is refused", async (id) => {
    const a = await new Member(1).listen();
    expect(() => a.transport.addPeer(id, "http://127.0.0.1:1")).toThrow(
      expect.objectContaining({ code: "BAD_MEMBER_ID" }),
    );
  });

  test("takes the whole list of members and skips its own entry", async () => {
    const transport = await WebSocketTransport.listen({
      id: 1,
      clusterId: 7,
      host: "127.0.0.1",
      port: 0,
      peers: new Map([
        [1, "http://127.0.0.1:1"],
        [2, "http://127.0.0.1:2/"],
      ]),
      logger: {},
      random: () => 0,
    });
    onTestFinished(() => transport.close());
    expect(transport.stats().peers.map(({ id, url }) => [id, url])).toEqual([[2, "http://127.0.0.1:2"]]);
  });

  test("admits no peer before the start, and all after it", async () => {
    const a = await new Member(1).listen();
    const b = await new Member(2).listen();
    a.transport.addPeer(2, b.url);
    b.transport.addPeer(1, a.url);
    a.start();
    await eventually(() => expect(b.logged("refused a connection")).toMatchObject({ status: 503 }));
    expect(b.stats(1)).toMatchObject({ accepts: 0, connects: 0 });
    b.transport.send([heartbeat(2, 1)]);
    b.start();
    await eventually(() => expect([a.stats(2).connected, b.stats(1).connected]).toEqual([true, true]));
    expect(() => b.start()).toThrow(/started once/);
  });

  test("logs through pino as it is", () => {
    const logger: TransportLogger = pino({ level: "silent" });
    expect(logger.info).toBeTypeOf("function");
  });
});

describe("two members", () => {
  test("exchange messages both ways, in order", async () => {
    const [a, b] = await pair();
    const sent = Array.from({ length: 300 }, (_, i) => heartbeat(1, 2, i));
    for (const m of sent) {
      a.transport.send([m]);
      if (m.commit % 50 === 0) await new Promise(setImmediate);
    }
    b.transport.send([append(2, 1, 100)]);
    await eventually(() => expect(b.messages).toEqual(sent));
    await eventually(() => expect(a.received).toEqual([{ from: 2, messages: [append(2, 1, 100)] }]));
    expect([a.unreachable, b.unreachable]).toEqual([[], []]);
  });

  test("put what is sent in one turn of the event loop into one frame", async () => {
    const [a, b] = await pair();
    for (let i = 0; i < 50; i++) a.transport.send([heartbeat(1, 2, i), heartbeat(1, 2, i)]);
    await eventually(() => expect(b.received.map(({ messages }) => messages.length)).toEqual([100]));
    expect(a.stats(2)).toMatchObject({ sentFrames: 1, sentMessages: 100 });
    expect(b.stats(1)).toMatchObject({ receivedFrames: 1, receivedMessages: 100 });
  });

  test("close a frame before it grows past its limit", async () => {
    const [a, b] = await pair({ maxFrameBytes: 10_000 });
    a.transport.send(Array.from({ length: 6 }, () => append(1, 2, 4000)));
    await eventually(() => expect(b.received.map(({ messages }) => messages.length)).toEqual([2, 2, 2]));
  });

  test("find each other again after one of them was away", async () => {
    const [a, b] = await pair();
    await b.transport.close();
    await eventually(() => expect(a.stats(2).connected).toBe(false));
    a.transport.send([heartbeat(1, 2)]);
    await eventually(() => expect(a.unreachable).toContain(2));
    const again = await new Member(2).listen({}, { port: b.transport.port });
    again.transport.addPeer(1, a.url);
    again.start();
    await eventually(() => expect([a.stats(2).connected, again.stats(1).connected]).toEqual([true, true]));
    a.transport.send([heartbeat(1, 2, 9)]);
    again.transport.send([heartbeat(2, 1, 10)]);
    await eventually(() => expect([again.messages, a.messages]).toEqual([[heartbeat(1, 2, 9)], [heartbeat(2, 1, 10)]]));
  });

  test.each([
    ["are of two clusters", { id: 2, clusterId: 78 }, 1, 412, "cluster 77 offered, this member belongs to cluster 78"],
    ["know a wrong address", { id: 3, clusterId: 77 }, 1, 421, "looking for member 2, this is member 3"],
    ["do not know each other", { id: 2, clusterId: 77 }, 9, 403, "member 1 is not known to member 2"],
    ["have the same id", { id: 1, clusterId: 77 }, 9, 421, "looking for member 2, this is member 1"],
  ])("that %s stay apart, and both say why", async (_what, { id, clusterId }, known, status, reason) => {
    const a = await new Member(1).listen();
    const other = await new Member(id).listen({}, { clusterId });
    a.transport.addPeer(2, other.url);
    other.transport.addPeer(known, a.url);
    other.start();
    a.start();
    await eventually(() => expect(a.logged("cannot connect to peer")?.reason).toContain(`${status}: ${reason}`));
    const refused = other.log.find(({ fields }) => fields.status === status);
    expect(refused).toMatchObject({ level: "warn", fields: { reason: expect.stringContaining(reason) } });
    expect(a.stats(2)).toMatchObject({ connects: 0, connected: false });
    expect(other.transport.stats().refused).toBeGreaterThan(0);
  });
});

describe("peers", () => {
  test("that are removed are disconnected both ways, refused, and forgotten", async () => {
    const [a, b] = await pair();
    a.transport.removePeer(2);
    await eventually(() =>
      expect(b.logged("cannot connect")?.reason).toMatch(/403: member 2 is not known to member 1/),
    );
    expect(b.logged("lost the connection")?.reason).toMatch(/the member was removed/);
    expect(a.transport.stats().peers).toEqual([]);
    a.transport.send([heartbeat(1, 2)]);
    await eventually(() => expect(a.unreachable).toEqual([2]));
    a.transport.removePeer(2);
    a.transport.addPeer(2, b.url);
    await eventually(() => expect([a.stats(2).connected, b.stats(1).connected]).toEqual([true, true]));
  });

  test("that get a new address are dialled there and keep their counters", async () => {
    const [a, b] = await pair();
    a.transport.send([heartbeat(1, 2)]);
    await eventually(() => expect(b.messages.length).toBe(1));
    await b.transport.close();
    const moved = await new Member(2).listen();
    moved.transport.addPeer(1, a.url);
    moved.start();
    a.transport.addPeer(2, moved.url);
    await eventually(() => expect(a.stats(2).connected).toBe(true));
    a.transport.send([heartbeat(1, 2)]);
    await eventually(() => expect(moved.messages.length).toBe(1));
    expect(a.stats(2)).toMatchObject({ url: moved.url, sentMessages: 2 });
    // The connection that the moved peer had opened is still known.
    await eventually(() => expect(moved.stats(1).connected).toBe(true));
    a.transport.addPeer(2, "http://127.0.0.1:1");
    a.transport.removePeer(2);
    await eventually(() => expect(moved.logged("lost the connection")?.reason).toMatch(/the member was removed/));
  });

  test("that are named again with the same address keep their connection", async () => {
    const [a, b] = await pair();
    a.transport.addPeer(2, `${b.url}/`);
    a.transport.send([heartbeat(1, 2)]);
    await eventually(() => expect(b.messages.length).toBe(1));
    expect(a.stats(2).connects).toBe(1);
  });
});

describe("closing", () => {
  test("tells the peers, calls the handler no more, and may be asked for twice", async () => {
    const [a, b] = await pair();
    await Promise.all([a.transport.close(), a.transport.close()]);
    await eventually(() => expect(b.logged("lost the connection")?.reason).toMatch(/shutting down/));
    a.transport.send([heartbeat(1, 2)]);
    a.transport.addPeer(3, "http://127.0.0.1:1");
    await new Promise(setImmediate);
    expect(a.unreachable).toEqual([]);
    expect(a.transport.stats().peers.map(({ id }) => id)).toEqual([2]);
    await expect(fetch(a.url)).rejects.toThrow();
  });

  test("drops the reports of the turn in which it is asked for", async () => {
    const a = (await new Member(1).listen()).start();
    a.transport.addPeer(2, "http://127.0.0.1:1");
    a.transport.send([heartbeat(1, 2)]);
    await a.transport.close();
    expect(a.unreachable).toEqual([]);
    expect(a.stats(2).dropped).toBe(1);
  });

  // The time limits lie below the 30 s after which ws, and node, would give up such a connection by themselves.
  test("does not wait for a peer that neither reads nor answers", { timeout: 20_000 }, async () => {
    const url = await rawServer((socket) => socket.pause());
    const a = await new Member(1).listen({ closeTimeoutMs: 20 });
    a.transport.addPeer(2, url);
    a.start();
    await eventually(() => expect(a.stats(2).connected).toBe(true));
    await a.transport.close();
    expect(a.stats(2).connected).toBe(false);
  });

  test("does not wait for clients that are in the middle of a request, or keep a refused connection open", async () => {
    const a = (await new Member(1).listen({ handshakeTimeoutMs: 3_600_000 })).start();
    const open = async (text: string, event: string): Promise<void> => {
      const socket = connect({ port: a.transport.port, host: "127.0.0.1", allowHalfOpen: true });
      onTestFinished(() => void socket.destroy());
      socket.on("error", () => {});
      socket.write(text);
      await once(socket, event);
    };
    await open("GET /raft HTTP/1.1\r\nHost: x\r\n", "connect");
    await open("GET /raft HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "data");
    await a.transport.close();
    expect(a.transport.stats().refused).toBe(1);
  }, 20_000);

  test("lets what was sent before it leave", async () => {
    const [a, b] = await pair();
    a.transport.send([heartbeat(1, 2, 5)]);
    await a.transport.close();
    await eventually(() => expect(b.messages.map((m) => m.commit)).toEqual([5]));
  });

  test("leaves nothing that keeps a process alive: dials, pauses, connections and ports", async () => {
    const index = new URL("./index.ts", import.meta.url).href;
    const program = `
      const { WebSocketTransport } = await import(${JSON.stringify(index)});
      const listen = (id) => WebSocketTransport.listen(
        { id, clusterId: 7, host: "127.0.0.1", port: 0, peers: [], logger: {}, random: Math.random });
      const [a, b, c] = [await listen(1), await listen(2), await listen(3)];
      const url = (t) => "http://127.0.0.1:" + t.port;
      let received;
      const heard = new Promise((resolve) => (received = resolve));
      const none = () => undefined;
      const handler = { receive: () => void received(), reportUnreachable: none, admit: none, dialled: none };
      a.addPeer(2, url(b));
      a.addPeer(3, url(c));                  // never started: refuses each dial
      a.addPeer(4, "http://127.0.0.1:1");    // nobody there: in its pause between two dials
      a.addPeer(5, "http://10.255.255.1:1"); // no answer: a dial under way
      b.addPeer(1, url(a));
      a.start(handler);
      b.start(handler);
      const timer = setInterval(() => a.send([
        { type: 8, to: 2, from: 1, term: 1, logTerm: 0, index: 0, entries: [], commit: 0, vote: 0,
          snapshot: undefined, reject: false, rejectHint: 0, context: undefined, responses: [] }]), 5);
      await heard;
      clearInterval(timer);
      await Promise.all([a.close(), b.close(), c.close()]);
      process.stdout.write("closed " + process.getActiveResourcesInfo().filter((r) => /TCP|Timeout/.test(r)).join());
    `;
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    let output = "";
    child.stdout.on("data", (bytes) => {
      output += String(bytes);
    });
    const [code] = await once(child, "close");
    expect([code, output]).toEqual([0, "closed "]);
  });
});
