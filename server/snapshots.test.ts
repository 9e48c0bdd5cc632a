// Snapshots in a running cluster: taken, compacted behind, sent, received, recovered from. Real logs, real files, real sockets.

import fs from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { nodeFileSystem } from "../disk/index.ts";
import { KvMap } from "../kvstore/map.ts";
import { MessageType, makeConfState, makeMessage, makeSnapshot } from "../raft/index.ts";
import { readRecords } from "../wal/index.ts";
import { encodeSnapshotHeader } from "./snapshot-header.ts";
import { leaderOf, put, type StartOptions, type TestMember, TestServers, until } from "./testing.ts";

let servers: TestServers;
beforeEach(async () => {
  servers = await TestServers.create();
});
afterEach(() => servers.end());

const often: StartOptions = { server: { snapshotCount: 50, snapshotCatchupEntries: 5 } };

async function write(member: TestMember, from: number, to: number, value = "v"): Promise<void> {
  for (let i = from; i < to; i++) expect((await member.server.propose(put(`k${i}`, value))).kind).toBe("applied");
}

const filesOf = async ({ directory }: TestMember, ending: string): Promise<string[]> =>
  (await fs.readdir(path.join(directory, "member", "snap"))).filter((name) => name.endsWith(ending)).sort();

describe("a member that takes snapshots", () => {
  test("keeps the two newest, and starts from the newest and the entries behind it", async () => {
    const [member] = (await servers.startCluster(1, often)) as [TestMember];
    await write(member, 0, 260);
    await until(() => member.server.status().snapshot >= 250);
    const { snapshot } = member.server.status();
    await until(() => member.server.status().snapshot === snapshot);
    await member.stop();
    expect(await filesOf(member, ".snap")).toHaveLength(2);

    const again = await servers.restart(member, often);
    expect(again.server.status().snapshot).toBe(snapshot);
    expect(again.map.size).toBeGreaterThanOrEqual(250 - 10); // restored before anything was applied
    await until(() => again.server.status().leader === 1);
    expect(await again.server.readIndex()).toEqual({ kind: "ready" });
    expect(again.map.size).toBe(260);
    expect(again.server.status().members).toEqual([{ id: 1, peerUrl: member.url, role: "voter" }]);
  });

  test("starts from the one before when the newest is damaged, which it sets aside", async () => {
    const [member] = (await servers.startCluster(1, often)) as [TestMember];
    await write(member, 0, 160);
    await until(() => member.server.status().snapshot >= 150);
    await member.stop();
    const [older, newest] = (await filesOf(member, ".snap")) as [string, string];
    const file = path.join(member.directory, "member", "snap", newest);
    const bytes = await fs.readFile(file);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
    await fs.writeFile(file, bytes);

    const again = await servers.restart(member, often);
    expect(again.server.status().snapshot).toBe(Number.parseInt((older.split(/[-.]/) as string[])[1] as string, 16));
    await until(() => again.server.status().leader === 1);
    expect(await again.server.readIndex()).toEqual({ kind: "ready" });
    expect(again.map.size).toBe(160);
    expect(await filesOf(again, ".broken")).toEqual([`${newest}.broken`]);
  });

  test("deletes the segments of its log that no kept snapshot needs, and no other", async () => {
    await servers.end();
    servers = await TestServers.create(16 * 1024);
    const [member] = (await servers.startCluster(1, often)) as [TestMember];
    await write(member, 0, 400, "x".repeat(500));
    await until(() => member.server.status().snapshot >= 380);
    await member.stop();
    const wal = path.join(member.directory, "member", "wal");
    const segments = (await fs.readdir(wal)).filter((name) => name.endsWith(".wal")).sort();
    // More than 200 KB were written, in segments of 16 KB.
    expect(segments.length).toBeLessThan(8);
    const first = Number.parseInt((segments[0]?.split(/[-.]/) ?? [])[1] as string, 16);
    const [older, newest] = (await filesOf(member, ".snap")) as [string, string];
    expect(first).toBeLessThanOrEqual(Number.parseInt(older.split(/[-.]/)[1] as string, 16) + 1);

    // Even with the newest snapshot gone, what is kept is enough.
    await fs.rm(path.join(member.directory, "member", "snap", newest));
    const again = await servers.restart(member, often);
    await until(() => again.server.status().leader === 1);
    expect(await again.server.readIndex()).toEqual({ kind: "ready" });
    expect(again.map.size).toBe(400);
  });

  test("stops when the disk fails the snapshot's record, and compacts nothing", async () => {
    const [member] = (await servers.startCluster(1, {
      ...often,
      wrapLog: (log) => ({
        save: (...args) => log.save(...args),
        saveSnapshot: () => Promise.reject(new Error("EIO: the disk is gone")),
        release: (index) => log.release(index),
        close: () => log.close(),
      }),
    })) as [TestMember];
    for (let i = 0; member.failures.length === 0; i++) await member.server.propose(put(`k${i}`));
    expect(member.failures.map((f) => f.message)).toEqual(["EIO: the disk is gone"]);
    expect(member.server.status().snapshot).toBe(0);
    expect(await member.server.propose(put("late"))).toMatchObject({ kind: "refused", code: "STOPPING" });
  });
});

describe("a member that was away", () => {
  test("for longer than the log reaches back comes back by snapshot", async () => {
    const members = await servers.startCluster(3, often);
    const leader = leaderOf(members);
    const away = members.find((m) => m !== leader) as TestMember;
    await write(leader, 0, 20);
    await away.stop();
    await write(leader, 20, 300);
    await until(() => leader.server.status().snapshot >= 250);
    const back = await servers.restart(away, often);
    await until(() => back.server.status().leader !== 0);
    expect(await back.server.readIndex()).toEqual({ kind: "ready" });
    expect(back.map.size).toBe(300);
    expect(back.transport.stats().peers.find(({ id }) => id === leader.id)?.receivedSnapshots).toBe(1);
    // What it got lasts: its log goes on behind the snapshot.
    await write(leader, 300, 320);
    await until(() => back.map.get("k319") !== undefined);
    await back.stop();
    const again = await servers.restart(back, often);
    await until(() => again.map.size === 320);
    expect(again.failures).toEqual([]);
  });

  test("takes a snapshot whose transfer was cut in the middle on the next try, while heartbeats pass", async () => {
    const members = await servers.startCluster(2, often);
    const leader = leaderOf(members);
    const joiner = await servers.join(3);
    const cutter = await Cutter.start(Number(new URL(joiner.url).port));
    try {
      const added = await leader.server.changeMembers([{ kind: "add", id: 3, peerUrl: cutter.url, learner: true }]);
      expect(added).toEqual({ kind: "applied" });
      await write(leader, 0, 200, "x".repeat(20_000));
      await until(() => leader.server.status().snapshot >= 150);
      const { term } = leader.server.status();
      const third = await joiner.start(often);
      await until(() => third.map.size === 200);
      expect(cutter.cuts).toBe(1);
      const { sentSnapshots, sentSnapshotBytes = 0 } = leader.transport.stats().peers.find(({ id }) => id === 3) ?? {};
      expect(sentSnapshots).toBe(1);
      expect(sentSnapshotBytes).toBeGreaterThan(4_000_000);
      expect(leader.server.status().term).toBe(term);
    } finally {
      await cutter.close();
    }
  });

  test("a member that joins an idle cluster whose snapshot does not know it gets one that does", async () => {
    const members = await servers.startCluster(3, often);
    const leader = leaderOf(members);
    await write(leader, 0, 120);
    await until(() => leader.server.status().snapshot >= 100);
    const before = leader.server.status().snapshot;
    const joiner = await servers.join(4);
    const peerUrl = joiner.url;
    expect(await leader.server.changeMembers([{ kind: "add", id: 4, peerUrl, learner: true }])).toEqual({
      kind: "applied",
    });
    const fourth = await joiner.start(often);
    await until(() => fourth.map.size === 120);
    expect(leader.server.status().snapshot).toBeGreaterThan(before);
    expect(fourth.server.status().members.map(({ id, role }) => `${id}:${role}`)).toEqual([
      "1:voter",
      "2:voter",
      "3:voter",
      "4:learner",
    ]);
  });
});

describe("a member that is sent a snapshot of another version", () => {
  const metadata = { index: 10, term: 1, confState: makeConfState({ voters: [1, 4] }) };
  const message = makeMessage(MessageType.MsgSnap, {
    from: 1,
    to: 4,
    term: 1,
    snapshot: { ...makeSnapshot(0, 0), metadata },
  });
  async function* data(version: number, mapVersion = 1): AsyncGenerator<Uint8Array> {
    const members = [1, 4].map((id) => ({ id, url: `http://127.0.0.1:${id}`, since: 1, incarnation: 0 }));
    const header = encodeSnapshotHeader({ members, removed: [] });
    header[0] = version;
    yield header;
    for await (const chunk of new KvMap().snapshot()) {
      chunk[6] = mapVersion; // it is small: one chunk, which begins with the version
      yield chunk;
    }
  }

  test("does not take it, writes nothing down, stays up, and takes the next one that it can read", async () => {
    const joiner = await servers.join(4);
    const member = await joiner.start();
    const wal = path.join(member.directory, "member", "wal");
    const logged = async (): Promise<number> => {
      let records = 0;
      for await (const { kind } of readRecords(nodeFileSystem, wal)) if (kind === "record") records++;
      return records;
    };
    const before = await logged();
    for (let tries = 0; tries < 3; tries++) {
      const taken = member.server.inbox.receiveSnapshot(1, message, data(2));
      await expect(taken).rejects.toThrow(/has version 2, and only 1 is known here: run one release on all members/);
      const ofMap = member.server.inbox.receiveSnapshot(1, message, data(1, 2));
      await expect(ofMap).rejects.toThrow(/version 2 is not known here, only 1: run one release on all members/);
    }
    expect(await fs.readdir(path.join(member.directory, "member", "snap"))).toEqual([]);
    expect(await logged()).toBe(before);
    expect(member.failures).toEqual([]);

    await member.server.inbox.receiveSnapshot(1, message, data(1));
    await until(() => member.server.status().applied === 10);
    expect(member.server.status().members.map(({ id }) => id)).toEqual([1, 4]);
    await member.stop();
    const again = await servers.restart(member);
    expect([again.server.status().snapshot, again.failures]).toEqual([10, []]);
  });
});

/** A way to a peer port on which the first connection that carries a snapshot is cut in its middle. */
class Cutter {
  cuts = 0;
  private readonly server: net.Server;
  private readonly sockets = new Set<net.Socket>();

  private constructor(port: number) {
    this.server = net.createServer((inbound) => {
      const outbound = net.connect(port, "127.0.0.1");
      let carried = 0;
      let isSnapshot: boolean | undefined;
      for (const socket of [inbound, outbound]) {
        this.sockets.add(socket);
        socket.on("error", () => undefined);
        socket.on("close", () => {
          this.sockets.delete(socket);
          inbound.destroy();
          outbound.destroy();
        });
      }
      outbound.pipe(inbound);
      inbound.on("data", (bytes) => {
        isSnapshot ??= bytes.toString("latin1").startsWith("GET /raft/snapshot");
        carried += bytes.length;
        if (isSnapshot && this.cuts === 0 && carried > 1_000_000) {
          this.cuts++;
          inbound.destroy();
        } else if (!outbound.write(bytes)) {
          inbound.pause();
          outbound.once("drain", () => inbound.resume());
        }
      });
    });
  }

  static async start(port: number): Promise<Cutter> {
    const cutter = new Cutter(port);
    await new Promise<void>((resolve) => cutter.server.listen(0, "127.0.0.1", resolve));
    return cutter;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as net.AddressInfo).port}`;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }
}
