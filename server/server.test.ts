// What the ready loop promises, on members in one process.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type Entry,
  EntryType,
  encodeConfChange,
  type HardState,
  MessageType,
  makeConfChange,
  makeMessage,
  proposed,
} from "../raft/index.ts";
import type { LogStore } from "./interfaces.ts";
import { leaderOf, put, type TestMember, TestServers, until } from "./testing.ts";

let servers: TestServers;
beforeEach(async () => {
  servers = await TestServers.create();
});
afterEach(() => servers.end());

const emptyProposal = makeMessage(MessageType.MsgProp);

/** The calls of a log, to be replaced one by one. */
const asStore = (log: LogStore): LogStore => ({
  save: (...args) => log.save(...args),
  saveSnapshot: (snapshot) => log.saveSnapshot(snapshot),
  release: (index) => log.release(index),
  close: () => log.close(),
});

describe("a member", () => {
  test("applies a write before it acknowledges it, on whichever member it was asked", async () => {
    const members = await servers.startCluster(3);
    for (const [i, { server, map }] of members.entries()) {
      const outcome = await server.propose(put(`k${i}`));
      expect(outcome.kind).toBe("applied");
      expect(map.get(`k${i}`)).toBeDefined();
    }
  });

  test("answers a read index on every member only once that member has applied all that was acknowledged", async () => {
    const members = await servers.startCluster(3);
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
    const members = await servers.startCluster(1, {
      wrapLog: (log) => ({
        ...asStore(log),
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
      }),
    });
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
    const members = await servers.startCluster(1, {
      wrapLog: (log) => ({
        ...asStore(log),
        save: (...args) => (broken ? Promise.reject(new Error("EIO: the disk is gone")) : log.save(...args)),
      }),
    });
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

  test("whose disk hangs leads no more, and ends itself after a while", async () => {
    const disks: { hangs: boolean }[] = [];
    const members = await servers.startCluster(3, {
      server: { diskStallMs: 1000 },
      wrapLog: (log) => {
        const disk = { hangs: false };
        disks.push(disk);
        const save: LogStore["save"] = (...args) => {
          const saved = log.save(...args);
          return disk.hangs ? new Promise(() => undefined) : saved;
        };
        return { ...asStore(log), save };
      },
    });
    const leader = leaderOf(members);
    const others = members.filter((m) => m !== leader);
    (disks[members.indexOf(leader)] as { hangs: boolean }).hangs = true;
    const write = leader.server.propose(put("k"));
    await until(() => leader.server.status().role !== "leader");
    expect(leader.failures).toEqual([]);
    await until(() => leader.failures.length > 0);
    expect(leader.failures[0]?.message).toMatch(/^the disk has not finished a write for \d+ ms/);
    expect((await write).kind).toBe("unknown");
    await until(() => others.some((m) => m.server.status().role === "leader"));
    expect(await (others[0] as TestMember).server.propose(put("after"))).toMatchObject({ kind: "applied" });
  });

  test("rebuilds its map from the log, and a replayed entry settles no promise", async () => {
    const [first] = (await servers.startCluster(1)) as [TestMember];
    for (let i = 0; i < 50; i++) await first.server.propose(put(`k${i}`, String(i)));
    await first.stop();

    const second = await servers.restart(first);
    await until(() => second.server.status().leader === 1);
    expect((await second.server.readIndex()).kind).toBe("ready");
    for (let i = 0; i < 50; i++) expect(new TextDecoder().decode(second.map.get(`k${i}`))).toBe(String(i));
    expect(second.server.status().members).toEqual([{ id: 1, peerUrl: first.url, role: "voter" }]);
  });

  test("refuses what waits when it stops", async () => {
    const members = await servers.startCluster(3);
    const leader = leaderOf(members);
    await Promise.all(members.filter((m) => m !== leader).map((m) => m.stop()));
    const write = leader.server.propose(put("k"));
    const read = leader.server.readIndex();
    await leader.stop();
    expect((await write).kind).not.toBe("applied");
    expect((await read).kind).not.toBe("ready");
  });

  test("passes over a committed configuration change that is not valid, and an entry that it cannot read", async () => {
    const members = await servers.startCluster(3);
    const leader = leaderOf(members);
    const follower = members.find((m) => m !== leader) as TestMember;
    const { clusterId: _, ...before } = follower.server.status();
    const remove = (id: number): Entry =>
      proposed(encodeConfChange({ ...makeConfChange(0, id), type: 1 }), EntryType.EntryConfChange);
    // As a peer could send them: the leader takes them, and every member must get over them.
    for (const entry of [proposed(new Uint8Array([9, 9])), remove(99)]) {
      leader.server.inbox.receive(follower.id, [
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
