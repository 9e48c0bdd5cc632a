// Members in one process, each with a real log, a real peer port and the real map: what the ready loop promises.

import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { encodePut } from "../kvstore/command.ts";
import { KvMap } from "../kvstore/map.ts";
import {
  type Entry,
  EntryType,
  encodeConfChange,
  type HardState,
  MessageType,
  makeConfChange,
  makeEntry,
  makeMessage,
} from "../raft/index.ts";
import { WebSocketTransport } from "../transport/index.ts";
import { encodeMetadata, nodeFileSystem, Wal } from "../wal/index.ts";
import type { Clock, LogStore, Recovered } from "./interfaces.ts";
import { Server } from "./server.ts";

const clock: Clock = {
  now: () => performance.now(),
  every(ms, callback) {
    const timer = setInterval(callback, ms);
    return () => clearInterval(timer);
  },
  soon: (callback) => void setImmediate(callback),
};

interface TestMember {
  readonly server: Server;
  readonly map: KvMap;
  readonly failures: Error[];
  stop(): Promise<void>;
}

let directory: string;
let running: TestMember[];
beforeEach(async () => {
  directory = await fs.mkdtemp(path.join(os.tmpdir(), "readyloop-server-"));
  running = [];
});
afterEach(async () => {
  await Promise.all(running.map((m) => m.stop()));
  await fs.rm(directory, { recursive: true });
});

async function listen(id: number): Promise<WebSocketTransport> {
  return WebSocketTransport.listen({
    id,
    clusterId: 7,
    host: "127.0.0.1",
    port: 0,
    peers: [],
    logger: {},
    random: Math.random,
    limits: { backoffMinMs: 5, backoffMaxMs: 50 },
  });
}

async function openLog(id: number): Promise<{ wal: Wal; recovered: Recovered | undefined }> {
  const options = { fileSystem: nodeFileSystem, directory: path.join(directory, String(id)) };
  if ((await nodeFileSystem.list(options.directory)) !== undefined) return Wal.open(options);
  return {
    wal: await Wal.create({ ...options, metadata: encodeMetadata({ nodeId: id, clusterId: 7 }) }),
    recovered: undefined,
  };
}

const emptyProposal = makeMessage(MessageType.MsgProp);

type WrapLog = (log: LogStore) => LogStore;

async function start(
  id: number,
  peers: { id: number; url: string }[],
  transport: WebSocketTransport,
  wrap: WrapLog = (log) => log,
): Promise<TestMember> {
  const { wal, recovered } = await openLog(id);
  const map = new KvMap();
  const failures: Error[] = [];
  const server = new Server(
    { id, clusterId: 7, recovered, peers, tickMs: 10, electionTicks: 10, requestTimeoutMs: 10_000, maxWaiting: 1000 },
    {
      log: wrap(wal),
      transport,
      stateMachine: map,
      clock,
      logger: {},
      random: (n) => Math.floor(Math.random() * n),
      onFailure: (error) => failures.push(error),
    },
  );
  server.start();
  const member: TestMember = {
    server,
    map,
    failures,
    async stop() {
      running = running.filter((m) => m !== member);
      await server.stop();
      await transport.close();
      await wal.close().catch(() => undefined);
    },
  };
  running.push(member);
  return member;
}

async function startCluster(size: number, wrap?: WrapLog): Promise<TestMember[]> {
  const transports = await Promise.all(Array.from({ length: size }, (_, i) => listen(i + 1)));
  const peers = transports.map((t, i) => ({ id: i + 1, url: `http://127.0.0.1:${t.port}` }));
  const members = await Promise.all(transports.map((t, i) => start(i + 1, peers, t, wrap)));
  await until(() => members.every((m) => m.server.status().leader !== 0));
  return members;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const put = (key: string, value = "v"): Uint8Array => encodePut(key, new TextEncoder().encode(value));
const leaderOf = (members: readonly TestMember[]): TestMember =>
  members.find((m) => m.server.status().role === "leader") as TestMember;

describe("a member", () => {
  test("applies a write before it acknowledges it, on whichever member it was asked", async () => {
    const members = await startCluster(3);
    for (const [i, { server, map }] of members.entries()) {
      const outcome = await server.propose(put(`k${i}`));
      expect(outcome.kind).toBe("applied");
      expect(map.get(`k${i}`)).toBeDefined();
    }
  });

  test("answers a read index on every member only once that member has applied all that was acknowledged", async () => {
    const members = await startCluster(3);
    for (let round = 0; round < 10; round++) {
      await (members[round % 3] as TestMember).server.propose(put("k", String(round)));
      for (const { server, map } of members) {
        expect(await server.readIndex()).toEqual({ kind: "ready" });
        expect(new TextDecoder().decode(map.get("k"))).toBe(String(round));
      }
    }
  });

  test("what arrives while an fsync runs shares the next one", async () => {
    let syncs = 0;
    let started = false;
    let release: (() => void) | undefined;
    const members = await startCluster(1, (log) => ({
      close: () => log.close(),
      async save(hardState: HardState | undefined, entries: readonly Entry[], mustSync: boolean) {
        if (mustSync) syncs++;
        const saved = log.save(hardState, entries, mustSync);
        if (entries.length === 1 && release === undefined && started) {
          await new Promise<void>((resolve) => {
            release = resolve;
          });
        }
        return saved;
      },
    }));
    const { server } = members[0] as TestMember;
    await server.propose(put("warm"));
    started = true;
    const before = syncs;
    const first = server.propose(put("first"));
    await until(() => release !== undefined);
    const rest = Array.from({ length: 100 }, (_, i) => server.propose(put(`k${i}`)));
    release?.();
    expect((await first).kind).toBe("applied");
    for (const outcome of await Promise.all(rest)) expect(outcome.kind).toBe("applied");
    expect(syncs - before).toBe(2);
  });

  test("stops for good when a write to the log fails, and acknowledges nothing after it", async () => {
    let broken = false;
    const members = await startCluster(1, (log) => ({
      close: () => log.close(),
      save: (...args) => (broken ? Promise.reject(new Error("EIO: the disk is gone")) : log.save(...args)),
    }));
    const { server, failures, map } = members[0] as TestMember;
    expect((await server.propose(put("before"))).kind).toBe("applied");
    broken = true;
    expect((await server.propose(put("during"))).kind).toBe("unknown");
    expect(failures.map((f) => f.message)).toEqual(["EIO: the disk is gone"]);
    broken = false;
    expect(await server.propose(put("after"))).toMatchObject({ kind: "refused", code: "STOPPING" });
    expect(await server.readIndex()).toMatchObject({ kind: "refused", code: "STOPPING" });
    expect(map.get("during")).toBeUndefined();
  });

  test("rebuilds its map from the log, and a replayed entry settles nobody's promise", async () => {
    const transport = await listen(1);
    const peers = [{ id: 1, url: `http://127.0.0.1:${transport.port}` }];
    const first = await start(1, peers, transport);
    await until(() => first.server.status().leader === 1);
    for (let i = 0; i < 50; i++) await first.server.propose(put(`k${i}`, String(i)));
    await first.stop();

    const second = await start(1, peers, await listen(1));
    await until(() => second.server.status().leader === 1);
    expect((await second.server.readIndex()).kind).toBe("ready");
    for (let i = 0; i < 50; i++) expect(new TextDecoder().decode(second.map.get(`k${i}`))).toBe(String(i));
    expect(second.server.status().members).toEqual([{ id: 1, peerUrl: peers[0]?.url, role: "voter" }]);
  });

  test("refuses what waits when it stops", async () => {
    const members = await startCluster(3);
    const leader = leaderOf(members);
    await Promise.all(members.filter((m) => m !== leader).map((m) => m.stop()));
    const write = leader.server.propose(put("k"));
    const read = leader.server.readIndex();
    await leader.stop();
    expect((await write).kind).not.toBe("applied");
    expect((await read).kind).not.toBe("ready");
  });

  test("passes over a committed configuration change that is not valid, and an entry that it cannot read", async () => {
    const members = await startCluster(3);
    const leader = leaderOf(members);
    const follower = members.find((m) => m !== leader) as TestMember;
    const { clusterId: _, ...before } = follower.server.status();
    const remove = (id: number): Entry =>
      makeEntry(EntryType.EntryConfChange, 0, 0, encodeConfChange({ ...makeConfChange(0, id), type: 1 }));
    // As a peer could send them: the leader takes them, and every member must get over them.
    for (const entry of [makeEntry(undefined, 0, 0, new Uint8Array([9, 9])), remove(99)]) {
      leader.server.receive(1, [
        { ...emptyProposal, from: follower.server.status().id, to: leader.server.status().id, entries: [entry] },
      ]);
    }
    await leader.server.propose(put("after"));
    await follower.server.readIndex();
    expect(follower.map.get("after")).toBeDefined();
    expect(follower.server.status().members).toEqual(before.members);
    expect(members.flatMap((m) => m.failures)).toEqual([]);
  });
});
