// A whole member in this process, on a disk that fails: log, snapshots, ready loop, map and peer port are the real
// ones.
//
// Every call that the member makes to its disk fails once. It stops with an error that tells, or goes on if only a
// snapshot was not saved; what it has acknowledged is there after the next start, with or without a power cut in
// between.

import { afterAll, describe, expect, test } from "vitest";
import { KvMap } from "../../kvstore/map.ts";
import { Server } from "../../server/server.ts";
import { clock, put, until } from "../../server/testing.ts";
import { type DiskCall, drawn, type Failure, FakeDisk } from "../../sim/disk.ts";
import { WebSocketTransport } from "../../transport/index.ts";
import type { Wal } from "../../wal/index.ts";
import { randomFrom } from "./choices.ts";
import { createWal, openMember } from "./member.ts";

const segmentBytes = 2048;
const keys = Array.from({ length: 8 }, (_, i) => `key ${i}`);

interface Running {
  readonly server: Server;
  readonly map: KvMap;
  readonly failures: Error[];
  end(): Promise<void>;
}

/** Starts member 1 of a cluster of one. */
async function start(disk: FakeDisk): Promise<Running> {
  const { snapshots, wal: found, newest, recovered } = await openMember(disk, segmentBytes);
  let wal: Wal;
  try {
    wal = found ?? (await createWal(disk, segmentBytes));
  } catch (error) {
    await snapshots.close();
    throw error;
  }
  const identity = { id: 1, clusterId: 7, incarnation: 5 };
  const peerPort = { host: "127.0.0.1", port: 0, peers: [], logger: {}, random: Math.random };
  const transport = await WebSocketTransport.listen({ ...identity, ...peerPort });
  const map = new KvMap();
  const failures: Error[] = [];
  const isNew = newest === undefined && recovered?.hardState === undefined && (recovered?.entries ?? []).length === 0;
  const end = async (): Promise<void> => {
    await transport.close();
    await wal.close().catch(() => undefined); // it may have failed
    await snapshots.close();
  };
  const options = {
    ...identity,
    recovered: isNew || recovered === undefined ? undefined : { ...recovered, snapshot: newest },
    peers: { how: "start", list: [{ id: 1, url: `http://127.0.0.1:${transport.port}` }] },
    tickMs: 1,
    electionTicks: 10,
    requestTimeoutMs: 10_000,
    maxWaiting: 100,
    diskStallMs: 0,
    snapshotCount: 4,
    snapshotCatchupEntries: 1,
  } as const;
  try {
    const server = await Server.create(options, {
      log: wal,
      snapshots,
      transport,
      stateMachine: map,
      clock,
      logger: {},
      random: () => 0,
      onFailure: (error) => failures.push(error),
      onRejected: () => undefined,
    });
    server.start();
    return { server, map, failures, end: () => server.stop().then(end) };
  } catch (error) {
    await end();
    throw error;
  }
}

/** Puts the keys one after the other for as long as the member is well; returns those that were acknowledged. */
async function putAll(member: Running): Promise<string[]> {
  const { server, failures } = member;
  const acknowledged: string[] = [];
  await until(() => failures.length > 0 || server.status().role === "leader");
  for (const key of keys) {
    const hadFailed = failures.length > 0;
    const { kind } = await server.propose(put(key));
    if (kind !== "applied") continue;
    expect(hadFailed, "acknowledged after it had failed").toBe(false);
    acknowledged.push(key);
  }
  if (failures.length === 0) expect(acknowledged).toEqual(keys);
  return acknowledged;
}

async function checkStarts(disk: FakeDisk, acknowledged: readonly string[], call: DiskCall): Promise<void> {
  const member = await start(disk);
  try {
    await until(() => member.failures.length > 0 || member.server.status().role === "leader");
    expect(await member.server.propose(put("after"))).toMatchObject({ kind: "applied" });
    for (const key of acknowledged)
      expect(member.map.get(key), `${key}; ${call.kind} ${call.path} failed`).toBeDefined();
    expect(member.failures).toEqual([]);
  } finally {
    await member.end();
  }
}

function checkError(error: Error, call: DiskCall): void {
  expect(error.message).toContain(call.path);
  expect(error.message).toMatch(/input\/output error|no space left|only half/);
  expect(error.message).toMatch(/mend|make room/i);
}

describe("a member whose disk fails any call once", () => {
  const counts = { failed: 0, stopped: 0, notStarted: 0, wentOn: 0 };

  async function failing(failure: Failure, nth: number, kinds: (call: DiskCall) => boolean): Promise<boolean> {
    const disk = new FakeDisk({ random: () => 0 });
    let failed: DiskCall | undefined;
    let matching = 0;
    disk.failNext((call) => {
      if (failed === undefined && kinds(call) && ++matching === nth) failed = call;
      return failed === call;
    }, failure);
    let acknowledged: string[] = [];
    try {
      const member = await start(disk);
      acknowledged = await putAll(member);
      await member.end();
      if (failed === undefined) return false;
      if (member.failures.length === 0) counts.wentOn++;
      else {
        counts.stopped++;
        checkError(member.failures[0] as Error, failed);
      }
    } catch (error) {
      if (failed === undefined || !(error as Error).message.includes(failed.path)) throw error;
      counts.notStarted++;
      checkError(error as Error, failed);
    }
    counts.failed++;
    await checkStarts(disk.survivor(drawn(randomFrom(nth))), acknowledged, failed);
    await checkStarts(disk.killed(), acknowledged, failed);
    return true;
  }

  const cases: [Failure, string, (call: DiskCall) => boolean][] = [
    ["EIO", "any call", () => true],
    ["ENOSPC", "a call that may need room", ({ kind }) => ["write", "create", "mkdir", "rename"].includes(kind)],
    ["SHORT_WRITE", "a write", ({ kind }) => kind === "write"],
  ];
  for (const [failure, what, kinds] of cases) {
    test(`stops with an error that tells, and has lost nothing that it acknowledged: ${failure} of ${what}`, async () => {
      let nth = 1;
      while (await failing(failure, nth, kinds)) nth++;
      expect(nth).toBeGreaterThan(20);
    });
  }

  afterAll(() => console.log(`failing disk beneath a member: ${JSON.stringify(counts)}`));
});
