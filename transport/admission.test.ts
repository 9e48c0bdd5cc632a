// Admission: each path of the peer port asks the handler, tells the peer its answer, and the peer believes it.

import { describe, expect, test } from "vitest";
import type { Message } from "../raft/raftpb/index.ts";
import { append, eventually, heartbeat, Member, pair, rawServer, Source, snapshotMessage } from "./test-support.ts";

const removed = { kind: "removed", message: "member 1 was removed from the cluster" } as const;
const lostData = { kind: "lost-data", message: "member 1 has lost its data; add it under a new id" } as const;

/** Member 1, which dials member 2, whose handler rejects it. */
async function rejected(rejection: typeof removed | typeof lostData): Promise<[Member, Member]> {
  const a = await new Member(1).listen();
  const b = (await new Member(2).listen()).start();
  b.admit = () => rejection;
  a.transport.addPeer(2, b.url);
  a.start();
  return [a, b];
}

describe("a member", () => {
  test.each([
    [410, removed],
    [409, lostData],
  ])("that is turned away with %d learns for which lasting reason", async (status, rejection) => {
    const [a, b] = await rejected(rejection);
    await eventually(() => expect(a.rejections[0]).toEqual({ id: 2, rejection }));
    expect(a.logged("cannot connect")?.reason).toBe(`refused with HTTP status ${status}: ${rejection.message}`);
    expect(b.logged("refused a connection")).toMatchObject({ status, rejection: rejection.kind });
    expect(b.received).toEqual([]);
  });

  test("learns the rejection from a refused snapshot and a refused request too", async () => {
    const [a, b] = await pair();
    b.admit = () => removed;
    expect(a.rejections).toEqual([]);
    expect(await a.transport.sendSnapshot(snapshotMessage(1, 2), new Source(new Uint8Array(9), 9))).toBe(false);
    expect(a.rejections).toEqual([{ id: 2, rejection: removed }]);
    b.admit = () => lostData;
    expect(await a.transport.request(2, new Uint8Array(1))).toMatchObject({
      kind: "unsent",
      message: expect.stringContaining(lostData.message),
    });
    expect(a.rejections[1]).toEqual({ id: 2, rejection: lostData });
  });

  test("names its address in each handshake, as it knows it then", async () => {
    const a = await new Member(1).listen();
    const b = (await new Member(2).listen()).start();
    const told: unknown[] = [];
    b.admit = (_from, _incarnation, address) => void told.push(address);
    a.transport.addPeer(2, b.url);
    a.transport.announce({ url: "http://a:1", since: 1 });
    a.start();
    await eventually(() => expect(told).toEqual([{ url: "http://a:1", since: 1 }]));
    a.transport.announce({ url: "http://a:2", since: 9 });
    await a.transport.request(2, new Uint8Array(1));
    expect(told[1]).toEqual({ url: "http://a:2", since: 9 });
  });

  test("that is not known yet tries again until it is", async () => {
    const a = await new Member(1).listen();
    const b = (await new Member(2).listen()).start();
    a.transport.addPeer(2, b.url);
    a.start();
    await eventually(() => expect(b.asking.length).toBeGreaterThan(2));
    expect(a.rejections).toEqual([]);
    b.admit = () => undefined;
    await eventually(() => expect(a.stats(2).connected).toBe(true));
  });

  test("does not take the 410 of another server for a member's", async () => {
    const a = (await new Member(1).listen()).start();
    const url = await rawServer(() => {}, { refuse: "HTTP/1.1 410 Gone\r\nConnection: close\r\n\r\n" });
    a.transport.addPeer(2, url);
    await eventually(() => expect(a.logged("cannot connect")?.reason).toMatch(/status 410/));
    expect(a.rejections).toEqual([]);
  });

  test("is passed to admit() with its incarnation on every path", async () => {
    const a = await new Member(1).listen({}, { incarnation: 2 ** 53 - 1 });
    const b = (await new Member(2).listen()).start();
    b.admit = () => undefined;
    a.transport.addPeer(2, b.url);
    a.start();
    await eventually(() => expect(a.stats(2).connected).toBe(true));
    await a.transport.sendSnapshot(snapshotMessage(1, 2), new Source(new Uint8Array(9), 1));
    await a.transport.request(2, new Uint8Array(1));
    expect(b.asking).toEqual([1, 2, 3].map(() => [1, 2 ** 53 - 1]));
  });
});

describe("a peer that is removed", () => {
  test("gets what was queued to it, is disconnected, dials again, and learns that it was removed", async () => {
    const [a, b] = await pair({ removeTimeoutMs: 60_000, closeTimeoutMs: 5 });
    const last = Array.from({ length: 20 }, (_, i) => append(2, 1, 200_000 + i));
    b.transport.send(last);
    b.admit = () => removed;
    b.transport.removePeer(1);
    await eventually(() => expect(a.rejections[0]).toEqual({ id: 2, rejection: removed }));
    const size = (m: Message): number | undefined => m.entries[0]?.data?.length;
    await eventually(() => expect(a.messages.map(size)).toEqual(last.map(size)));
    expect(a.logged("lost the connection")?.reason).toMatch(/the member was removed/);
    await eventually(() => expect(a.logged("from peer was closed")).toMatchObject({ peer: 2, code: 1001 }));
  });

  // The time limit lies below the 30 s after which ws would give up such a connection by itself.
  test("does not delay removePeer beyond the limit if it does not read", { timeout: 20_000 }, async () => {
    const url = await rawServer((socket) => socket.pause());
    const forever = 3_600_000;
    const a = await new Member(1).listen({ removeTimeoutMs: 20, closeTimeoutMs: forever, idleTimeoutMs: forever });
    a.transport.addPeer(2, url);
    a.start();
    await eventually(() => expect(a.stats(2).connected).toBe(true));
    while (a.stats(2).waitingBytes < 1_000_000) {
      a.transport.send([append(1, 2, 500_000)]);
      await new Promise(setImmediate);
    }
    a.transport.removePeer(2);
    await a.transport.close();
    expect(a.transport.stats().peers).toEqual([]);
  });
});

describe("a stranger that the handler admits", () => {
  test("is received from and counted, has no address, and is forgotten when it goes", async () => {
    const a = await new Member(1).listen();
    const b = (await new Member(2).listen()).start();
    b.admit = () => undefined;
    a.transport.addPeer(2, b.url);
    a.start();
    await eventually(() => expect(a.stats(2).connected).toBe(true));
    a.transport.send([heartbeat(1, 2, 5)]);
    await eventually(() => expect(b.messages.map((m) => m.commit)).toEqual([5]));
    expect(b.stats(1)).toMatchObject({ url: undefined, accepts: 1, receivedMessages: 1, connected: false });
    b.transport.send([heartbeat(2, 1)]);
    await eventually(() => expect(b.unreachable).toEqual([1]));
    expect(b.transport.stats().droppedUnknown).toBe(1);
    await a.transport.close();
    await eventually(() => expect(b.transport.stats().peers).toEqual([]));
  });

  test("gets messages on a connection of its own once its address is known", async () => {
    const a = (await new Member(1).listen()).start();
    const b = (await new Member(2).listen()).start();
    b.admit = () => undefined;
    a.transport.addPeer(2, b.url);
    await eventually(() => expect(b.transport.stats().peers.length).toBe(1));
    b.transport.addPeer(1, a.url);
    await eventually(() => expect(b.stats(1)).toMatchObject({ url: a.url, connected: true, accepts: 1 }));
    b.transport.send([heartbeat(2, 1, 6)]);
    await eventually(() => expect(a.messages.map((m) => m.commit)).toEqual([6]));
    b.transport.removePeer(1);
    await eventually(() => expect(a.logged("lost the connection")?.reason).toMatch(/the member was removed/));
  });

  test("may send a snapshot", async () => {
    const a = (await new Member(1).listen()).start();
    const b = (await new Member(2).listen()).start();
    b.admit = () => undefined;
    a.transport.addPeer(2, b.url);
    expect(await a.transport.sendSnapshot(snapshotMessage(1, 2), new Source(new Uint8Array(9), 9))).toBe(true);
    expect(b.snapshots[0]?.data.length).toBe(81);
  });
});
