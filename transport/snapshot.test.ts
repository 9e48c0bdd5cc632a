// Snapshots between two members over real sockets: whole, cut, slow, refused, aborted, and from malicious peers.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { encodeMessage } from "../raft/raftpb/index.ts";
import { seal } from "./checksum.ts";
import type { TransportLimits } from "./index.ts";
import { maxSnapshotFrameBytes } from "./snapshot-frames.ts";
import {
  eventually,
  Forwarder,
  gate,
  heartbeat,
  Member,
  pair,
  rawClient,
  rawServer,
  receiver,
  Source,
  snapshotEnd,
  snapshotMessage,
} from "./test-support.ts";

const message = snapshotMessage(1, 2);
const kibibyte = 1024;

/** Member 1, which knows member 2 under this address. */
async function sender(url: string, limits: Partial<TransportLimits> = {}): Promise<Member> {
  const a = (await new Member(1).listen(limits)).start();
  a.transport.addPeer(2, url);
  return a;
}

describe("a snapshot", () => {
  test("of 20 MB arrives byte for byte, whatever the sizes of its chunks", async () => {
    const [a, b] = await pair();
    const data = randomBytes(20_000_000);
    async function* chunks(): AsyncGenerator<Uint8Array> {
      let size = 1;
      for (let offset = 0; offset < data.length; offset += size, size = (size * 7) % 700_001) {
        yield data.subarray(offset, offset + size);
      }
    }
    expect(await a.transport.sendSnapshot(message, chunks())).toBe(true);
    expect(b.snapshots.map(({ from, message: m }) => [from, m])).toEqual([[1, message]]);
    expect(b.snapshots[0]?.data.equals(data)).toBe(true);
    expect(a.stats(2)).toMatchObject({ sentSnapshots: 1, sentSnapshotBytes: data.length, sendingSnapshot: false });
    expect(b.stats(1)).toMatchObject({ receivedSnapshots: 1, receivedSnapshotBytes: data.length, violations: 0 });
    await eventually(() => expect(b.stats(1).receivingSnapshot).toBe(false));
  });

  test("leaves the event loop a turn between two frames, however fast the peer reads", async () => {
    const [a] = await pair();
    let turns = 0;
    let under = true;
    const turn = (): void => {
      turns++;
      if (under) setImmediate(turn);
    };
    turn();
    expect(await a.transport.sendSnapshot(message, new Source(new Uint8Array(maxSnapshotFrameBytes), 100))).toBe(true);
    under = false;
    expect(turns).toBeGreaterThanOrEqual(100);
  });

  test("is unaffected, except for a log line, by a source that fails to end", async () => {
    const [a, b] = await pair();
    b.receiveSnapshot = async () => {};
    const source = new Source(new Uint8Array(100));
    const chunks: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({
        next: source[Symbol.asyncIterator]().next,
        return: () => {
          throw new Error("a file that does not close");
        },
      }),
    };
    expect(await a.transport.sendSnapshot(message, chunks)).toBe(true);
    await eventually(() => expect(a.logged("did not end well")).toMatchObject({ peer: 2 }));
  });

  test("may be without data, and several may follow each other", async () => {
    const [a, b] = await pair();
    for (const index of [7, 8, 9]) {
      await eventually(() => expect(b.stats(1).receivingSnapshot).toBe(false));
      expect(await a.transport.sendSnapshot(snapshotMessage(1, 2, index), new Source(new Uint8Array(0), 1))).toBe(true);
    }
    expect(b.snapshots.map((s) => [s.message.snapshot?.metadata.index, s.data.length])).toEqual([
      [7, 0],
      [8, 0],
      [9, 0],
    ]);
  });

  test("that breaks in the middle throws at the receiver, is false at the sender, and can be sent again", async () => {
    const b = await receiver();
    const wire = new Forwarder(() => b.transport.port);
    const a = await sender(await wire.listen());
    const endless = new Source(randomBytes(100 * kibibyte));
    const first = a.transport.sendSnapshot(message, endless);
    await eventually(() => expect(b.stats(1).receivedSnapshotBytes).toBeGreaterThan(1_000_000));
    wire.break();
    expect(await first).toBe(false);
    expect(endless.ended).toBe(true);
    await eventually(() => expect(b.brokenSnapshots).toEqual([expect.stringMatching(/connection broke/)]));
    await eventually(() => expect(b.stats(1).receivingSnapshot).toBe(false));
    expect(await a.transport.sendSnapshot(message, new Source(randomBytes(50_000), 10))).toBe(true);
    expect(b.snapshots.map(({ data }) => data.length)).toEqual([500_000]);
    expect(b.stats(1).violations).toBe(0);
  });

  test("ends on both sides when the wire goes dead silently", async () => {
    const b = await receiver({ idleTimeoutMs: 100 });
    const wire = new Forwarder(() => b.transport.port);
    const a = await sender(await wire.listen(), { idleTimeoutMs: 100 });
    const sent = a.transport.sendSnapshot(message, new Source(randomBytes(100 * kibibyte)));
    await eventually(() => expect(b.stats(1).receivedSnapshotBytes).toBeGreaterThan(1_000_000));
    wire.cut();
    expect(await sent).toBe(false);
    expect(a.logged("cannot send a snapshot")?.reason).toBe("the peer was silent for 100 ms");
    await eventually(() => expect(b.brokenSnapshots).toEqual(["the peer was silent for too long"]));
    await eventually(() => expect(b.stats(1).receivingSnapshot).toBe(false));
  });

  test("is taken when the handler is satisfied before the end, and the rest is not sent", async () => {
    const [a, b] = await pair();
    b.receiveSnapshot = async () => {};
    const endless = new Source(randomBytes(100 * kibibyte));
    expect(await a.transport.sendSnapshot(message, endless)).toBe(true);
    expect(endless.ended).toBe(true);
    b.receiveSnapshot = async (_from, _message, chunks) => {
      for await (const _chunk of chunks) return;
    };
    await eventually(() => expect(b.stats(1).receivingSnapshot).toBe(false));
    expect(await a.transport.sendSnapshot(message, new Source(randomBytes(100 * kibibyte)))).toBe(true);
  });

  test("that the handler refuses is false at the sender, which logs why", async () => {
    const [a, b] = await pair();
    b.receiveSnapshot = async () => {
      throw new Error("no space left – at all");
    };
    const endless = new Source(randomBytes(kibibyte));
    expect(await a.transport.sendSnapshot(message, endless)).toBe(false);
    expect(a.logged("cannot send a snapshot")?.reason).toBe("refused by the peer: no space left ? at all");
    expect(endless.ended).toBe(true);
    expect(b.stats(1)).toMatchObject({ receivedSnapshots: 0, violations: 0 });
  });

  test("whose source fails is false, and throws at the receiver", async () => {
    const [a, b] = await pair();
    async function* chunks(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(1000);
      throw new Error("a bad sector");
    }
    expect(await a.transport.sendSnapshot(message, chunks())).toBe(false);
    expect(a.logged("cannot send a snapshot")?.reason).toMatch(/cannot be read: a bad sector/);
    await eventually(() => expect(b.brokenSnapshots).toEqual([expect.stringMatching(/connection broke/)]));
  });

  test("is not sent while another one to the same peer is, nor to a stranger, nor before the start", async () => {
    const [a, b] = await pair();
    const held = gate();
    b.receiveSnapshot = () => held.opened;
    const first = a.transport.sendSnapshot(message, new Source(new Uint8Array(10), 1));
    const sources = [1, 2, 3].map(() => new Source(new Uint8Array(10), 1));
    const [second, stranger, early] = sources as [Source, Source, Source];
    expect(a.stats(2).sendingSnapshot).toBe(true);
    expect(await a.transport.sendSnapshot(message, second)).toBe(false);
    expect(await a.transport.sendSnapshot(snapshotMessage(1, 9), stranger)).toBe(false);
    const c = await new Member(3).listen();
    c.transport.addPeer(2, b.url);
    expect(await c.transport.sendSnapshot(snapshotMessage(3, 2), early)).toBe(false);
    expect(sources.map(({ given, ended }) => [given, ended])).toEqual([
      [0, true],
      [0, true],
      [0, true],
    ]);
    held.open();
    expect(await first).toBe(true);
  });
});

describe("a slow receiver", () => {
  test("does not make the sender read ahead more than a frame and what the system takes", async () => {
    const a = await sender(await rawServer((socket) => socket.pause()), { idleTimeoutMs: 200 });
    const endless = new Source(new Uint8Array(1024 * kibibyte));
    expect(await a.transport.sendSnapshot(message, endless)).toBe(false);
    expect(a.logged("cannot send a snapshot")?.reason).toMatch(/silent/);
    // The system buffers some megabytes for a connection within this machine.
    expect(endless.given).toBeLessThan(64);
    expect(endless.ended).toBe(true);
  });

  test("holds no more than its bound, lets messages pass, and gets the whole in the end", async () => {
    const [a, b] = await pair();
    const held = gate();
    b.receiveSnapshot = async (from, m, chunks) => {
      await held.opened;
      await b.keepSnapshot(from, m, chunks);
    };
    const data = randomBytes(100_000);
    const sent = a.transport.sendSnapshot(message, new Source(data, 200));
    await eventually(() => expect(b.stats(1).receivedSnapshotBytes).toBeGreaterThan(256 * kibibyte));
    for (let i = 1; i <= 100; i++) {
      a.transport.send([heartbeat(1, 2, i)]);
      await eventually(() => expect(b.messages.at(-1)?.commit).toBe(i));
      b.transport.send([heartbeat(2, 1, i)]);
      await eventually(() => expect(a.messages.at(-1)?.commit).toBe(i));
    }
    // Beyond the bound: the frame that exceeded it, and those in the same read of the socket.
    expect(b.stats(1).receivedSnapshotBytes).toBeLessThan(256 * kibibyte + 3 * maxSnapshotFrameBytes);
    expect(a.unreachable).toEqual([]);
    held.open();
    expect(await sent).toBe(true);
    expect(b.snapshots[0]?.data.equals(Buffer.concat(Array.from({ length: 200 }, () => data)))).toBe(true);
  });

  test("does not count as dead while its handler works: it pings, though it reads nothing", async () => {
    const b = await receiver({ idleTimeoutMs: 40 });
    const held = gate();
    b.receiveSnapshot = async (from, m, chunks) => {
      await held.opened;
      await b.keepSnapshot(from, m, chunks);
    };
    const { socket } = await rawClient(b, "/raft/snapshot");
    let pings = 0;
    socket.on("ping", () => pings++);
    const frame = randomBytes(maxSnapshotFrameBytes);
    socket.send(seal(encodeMessage(message)));
    for (let i = 0; i < 50; i++) socket.send(frame);
    const whole = Buffer.concat(Array.from({ length: 50 }, () => frame));
    socket.send(snapshotEnd(whole));
    // Four pings go out in the time after which a silent peer is given up.
    await eventually(() => expect(pings).toBeGreaterThan(12));
    expect(b.stats(1).receivedSnapshotBytes).toBeLessThan(whole.length);
    const answer = once(socket, "message");
    held.open();
    expect(String((await answer)[0])).toBe("taken");
    expect(b.snapshots[0]?.data.equals(whole)).toBe(true);
  });

  test("gets pings while the source is slow", async () => {
    let pings = 0;
    const url = await rawServer((socket, path) => {
      if (path !== "/raft/snapshot") return;
      socket.on("ping", () => {
        pings++;
        if (pings === 12) socket.send("taken");
      });
    });
    const a = await sender(url, { idleTimeoutMs: 40 });
    const chunks = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) };
    expect(await a.transport.sendSnapshot(message, chunks)).toBe(true);
    expect(pings).toBe(12);
  });

  test("keeps the transfer alive as long as it pings", async () => {
    let sentPings = 0;
    const url = await rawServer((socket, path) => {
      if (path !== "/raft/snapshot") return;
      const timer = setInterval(() => {
        socket.ping();
        sentPings++;
        if (sentPings === 40) {
          socket.resume();
          socket.send("taken");
        }
      }, 10);
      socket.on("close", () => clearInterval(timer));
      socket.pause();
    });
    const a = await sender(url, { idleTimeoutMs: 80 });
    expect(await a.transport.sendSnapshot(message, new Source(new Uint8Array(1024 * kibibyte)))).toBe(true);
    expect(sentPings).toBeGreaterThanOrEqual(40);
  });
});

describe("sendSnapshot is aborted, and false, when", () => {
  /** A transfer in its middle: the receiver has read a part. */
  async function underWay(): Promise<{ a: Member; b: Member; sent: Promise<boolean>; source: Source }> {
    const [a, b] = await pair();
    const source = new Source(randomBytes(100 * kibibyte));
    const sent = a.transport.sendSnapshot(message, source);
    await eventually(() => expect(b.stats(1).receivedSnapshotBytes).toBeGreaterThan(500_000));
    return { a, b, sent, source };
  }

  test("the sender is closed", async () => {
    const { a, b, sent, source } = await underWay();
    await a.transport.close();
    expect(await sent).toBe(false);
    expect(source.ended).toBe(true);
    await eventually(() => expect(b.brokenSnapshots).toEqual([expect.stringMatching(/connection broke/)]));
  });

  test("the receiver is closed", async () => {
    const { a, b, sent } = await underWay();
    await b.transport.close();
    expect(await sent).toBe(false);
    expect(a.logged("cannot send a snapshot")?.reason).toMatch(/shutting down/);
    await eventually(() => expect(b.brokenSnapshots).toEqual([expect.stringMatching(/shutting down/)]));
  });

  test("the sender removes the peer", async () => {
    const { a, b, sent, source } = await underWay();
    a.transport.removePeer(2);
    expect(await sent).toBe(false);
    expect(source.ended).toBe(true);
    expect(a.logged("cannot send a snapshot")?.reason).toBe("the member was removed");
    await eventually(() => expect(b.brokenSnapshots.length).toBe(1));
  });

  test("the receiver removes the peer", async () => {
    const { a, b, sent } = await underWay();
    b.transport.removePeer(1);
    expect(await sent).toBe(false);
    expect(a.logged("cannot send a snapshot")?.reason).toMatch(/the member was removed/);
    await eventually(() => expect(b.brokenSnapshots).toEqual(["the member was removed"]));
  });

  test("its source is stuck and the sender is closed", async () => {
    const [a, b] = await pair();
    const stuck = { next: () => new Promise<never>(() => {}), ended: false };
    const chunks: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({
        next: stuck.next,
        return: async () => {
          stuck.ended = true;
          return { done: true, value: undefined };
        },
      }),
    };
    const sent = a.transport.sendSnapshot(message, chunks);
    await eventually(() => expect(b.stats(1).receivingSnapshot).toBe(true));
    await a.transport.close();
    expect(await sent).toBe(false);
    expect(stuck.ended).toBe(true);
  });

  test("data that has arrived but was not yet read does not count as whole", async () => {
    const [a, b] = await pair();
    const held = gate();
    b.receiveSnapshot = async (from, m, chunks) => {
      await held.opened;
      await b.keepSnapshot(from, m, chunks);
    };
    const sent = a.transport.sendSnapshot(message, new Source(new Uint8Array(1000), 3));
    await eventually(() => expect(b.stats(1).receivedSnapshotBytes).toBe(3000));
    await b.transport.close();
    held.open();
    expect(await sent).toBe(false);
    await eventually(() => expect(b.brokenSnapshots).toEqual(["the member is shutting down"]));
    expect(b.snapshots).toEqual([]);
  });
});

test("sendSnapshot is false if the peer's answer is neither taken nor refused", async () => {
  const a = await sender(await rawServer((socket) => socket.send("thanks")));
  expect(await a.transport.sendSnapshot(message, new Source(new Uint8Array(10)))).toBe(false);
  expect(a.logged("cannot send a snapshot")?.reason).toMatch(/something else/);
});
