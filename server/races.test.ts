// Things that happen at an unlucky moment: a member away while the others were replaced, a slow disk under a change, a stop in the middle.

import fs from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { KvMap } from "../kvstore/map.ts";
import {
  ConfChangeTransition,
  ConfChangeType,
  EntryType,
  encodeConfChangeV2,
  MessageType,
  makeConfChangeV2,
  makeConfState,
  makeEntry,
  makeMessage,
  makeSnapshot,
  proposed,
} from "../raft/index.ts";
import type { LogStore } from "./interfaces.ts";
import type { ChangeOutcome } from "./member.ts";
import { encodeSnapshotHeader } from "./snapshot-header.ts";
import { leaderOf, put, type TestMember, TestServers, until } from "./testing.ts";

let servers: TestServers;
beforeEach(async () => {
  servers = await TestServers.create();
});
afterEach(() => servers.end());

const applied: ChangeOutcome = { kind: "applied" };
const roleOf = (m: TestMember, id: number): string | undefined =>
  m.server.status().members.find((member) => member.id === id)?.role;

const withSave = (log: LogStore, save: LogStore["save"]): LogStore => ({
  save,
  saveSnapshot: (snapshot) => log.saveSnapshot(snapshot),
  release: (index) => log.release(index),
  close: () => log.close(),
});

/** Adds a learner, starts it, and promotes it once the leader says that it may. */
async function addVoter(leader: TestMember, id: number): Promise<TestMember> {
  const joiner = await servers.join(id);
  expect(await leader.server.changeMembers([{ kind: "add", id, peerUrl: joiner.url, learner: true }])).toEqual(applied);
  const member = await joiner.start();
  for (;;) {
    const outcome = await leader.server.changeMembers([{ kind: "promote", id }]);
    if (outcome.kind === "applied") return member;
    expect(outcome).toMatchObject({ code: "LEARNER_BEHIND" });
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe("a member that was away", () => {
  test("comes back though the leader is one that it has never heard of", async () => {
    const members = await servers.startCluster(3);
    const leader = leaderOf(members);
    const [away, other] = members.filter((m) => m !== leader) as [TestMember, TestMember];
    await away.stop();
    const fourth = await addVoter(leader, 4);
    await until(() => roleOf(fourth, 4) === "voter" && roleOf(other, 4) === "voter");
    expect(await leader.server.transferLeadership(4)).toEqual(applied);
    expect(await fourth.server.propose(put("k"))).toMatchObject(applied);
    const back = await servers.restart(away);
    await until(() => back.map.get("k") !== undefined);
    expect(roleOf(back, 4)).toBe("voter");
  });

  test("votes for one that it does not know, when the members that it knows have all been replaced", async () => {
    const members = await servers.startCluster(3);
    const leader = leaderOf(members);
    const [away, other] = members.filter((m) => m !== leader) as [TestMember, TestMember];
    await away.stop();
    const joiners = [await servers.join(4), await servers.join(5)];
    for (const [i, { url }] of joiners.entries()) {
      const add = { kind: "add", id: 4 + i, peerUrl: url, learner: true } as const;
      expect(await leader.server.changeMembers([add])).toEqual(applied);
    }
    const [four, five] = (await Promise.all(joiners.map((j) => j.start()))) as [TestMember, TestMember];
    await until(() => [four, five].every((m) => m.server.status().members.length === 5));
    const outcome = await leader.server.changeMembers([
      { kind: "promote", id: 4 },
      { kind: "promote", id: 5 },
      { kind: "remove", id: leader.id },
      { kind: "remove", id: other.id },
    ]);
    expect(outcome.kind).not.toBe("conflict");
    await until(() => [four, five].every((m) => m.server.status().members.length === 3));
    await Promise.all([leader.stop(), other.stop()]);
    await until(() => [four, five].some((m) => m.server.status().role === "leader"));
    const back = await servers.restart(away);
    await (four.server.status().role === "leader" ? four : five).stop();
    const left = servers.running.get(4) ?? (servers.running.get(5) as TestMember);
    await until(() => [left, back].some((m) => m.server.status().role === "leader"));
    await until(() => left.server.status().leader === back.server.status().leader);
    expect(await left.server.propose(put("after"))).toMatchObject(applied);
  });

  test("comes back after it was killed before its first entry, though its log has no members", async () => {
    const members = await servers.startCluster(3);
    const joiner = await servers.join(4);
    const add = { kind: "add", id: 4, peerUrl: joiner.url, learner: true } as const;
    expect(await leaderOf(members).server.changeMembers([add])).toEqual(applied);
    const killed = await joiner.start({
      wrapLog: (log) =>
        withSave(log, async (hardState, entries, mustSync) => {
          if (entries.length > 0) throw new Error("killed here");
          return log.save(hardState, entries, mustSync);
        }),
    });
    await until(() => killed.failures.length > 0);
    await killed.stop();
    const again = await servers.restart(killed);
    await until(() => roleOf(again, 4) === "learner");
  });
});

describe("a change of the members", () => {
  test("is not refused because a new leader has not heard of everyone yet", async () => {
    const delays: { ms: number }[] = [];
    const members = await servers.startCluster(3, {
      wrapLog: (log) => {
        const delay = { ms: 0 };
        delays.push(delay);
        return withSave(log, async (...args) => {
          const saved = log.save(...args);
          if (delay.ms > 0) await new Promise((resolve) => setTimeout(resolve, delay.ms));
          return saved;
        });
      },
    });
    const leader = leaderOf(members);
    const [, slow] = members.filter((m) => m !== leader).sort((a, b) => a.id - b.id) as [TestMember, TestMember];
    (delays[members.indexOf(slow)] as { ms: number }).ms = 60;
    expect(await leader.server.changeMembers([{ kind: "remove", id: leader.id }])).toEqual(applied);
  });

  test("is finished though leadership was offered to a dead member meanwhile, and no client writes", async () => {
    const members = await servers.startCluster(3);
    const leader = leaderOf(members);
    const dead = members.find((m) => m !== leader) as TestMember;
    await dead.stop();
    const [four, five] = [await servers.join(4), await servers.join(5)];
    const change = leader.server.changeMembers([
      { kind: "add", id: 4, peerUrl: four.url, learner: true },
      { kind: "add", id: 5, peerUrl: five.url, learner: true },
    ]);
    expect(await leader.server.transferLeadership(dead.id)).toMatchObject({ code: "TRANSFER_FAILED" });
    expect(await change).toEqual(applied);
  });

  test.each([
    ["demoted", ConfChangeType.ConfChangeAddLearnerNode],
    ["removed", ConfChangeType.ConfChangeRemoveNode],
  ])("that leaves the leader of two %s, unasked, leaves the other one leading", async (_what, type) => {
    const members = await servers.startCluster(2);
    const leader = leaderOf(members);
    const other = members.find((m) => m !== leader) as TestMember;
    // As it happens when leadership moves between the asking and the applying.
    const data = encodeConfChangeV2(makeConfChangeV2([{ type, nodeId: leader.id }]));
    const entries = [proposed(data, EntryType.EntryConfChangeV2)];
    const { id } = leader;
    leader.server.inbox.receive(other.id, [makeMessage(MessageType.MsgProp, { from: other.id, to: id, entries })]);
    await until(() => roleOf(other, id) !== "voter");
    if (type === ConfChangeType.ConfChangeRemoveNode) {
      await until(() => leader.rejections.length > 0);
      await leader.shutDown();
    }
    await until(() => other.server.status().role === "leader");
    expect(await other.server.propose(put("after"))).toMatchObject(applied);
  });

  test("is answered when the member stops while it hands over for it", async () => {
    const members = await servers.startCluster(3);
    const leader = leaderOf(members);
    await Promise.all(members.filter((m) => m !== leader).map((m) => m.stop()));
    const outcome = leader.server.changeMembers([{ kind: "demote", id: leader.id }]);
    await new Promise((resolve) => setImmediate(resolve));
    await leader.server.stop("stopping");
    expect((await outcome).kind).not.toBe("applied");
  });

  test("of two members with one address is refused, also when both come at once", async () => {
    const [member] = (await servers.startCluster(1)) as [TestMember];
    const add = (id: number) => ({ kind: "add", id, peerUrl: "http://127.0.0.1:9", learner: true }) as const;
    expect(await member.server.changeMembers([add(2), add(3)])).toMatchObject({ code: "INVALID_CHANGE" });
  });
});

test.each([false, true])(
  "a snapshot that comes while configuration changes wait for the disk (%s) replaces the configuration whole",
  async (slow) => {
    const joiner = await servers.join(4);
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const member = await joiner.start({
      wrapLog: (log) =>
        withSave(log, async (hardState, entries, mustSync) => {
          const saved = log.save(hardState, entries, mustSync);
          if (slow && entries.length > 0) await gate;
          return saved;
        }),
    });
    const change = (type: ConfChangeType, nodeId: number): Uint8Array =>
      encodeConfChangeV2(makeConfChangeV2([{ type, nodeId }], ConfChangeTransition.ConfChangeTransitionAuto));
    const { ConfChangeAddNode, ConfChangeAddLearnerNode } = ConfChangeType;
    const entries = [
      makeEntry(EntryType.EntryConfChangeV2, 1, 1, change(ConfChangeAddNode, 1)),
      makeEntry(EntryType.EntryConfChangeV2, 1, 2, change(ConfChangeAddLearnerNode, 4)),
    ];
    const append = makeMessage(MessageType.MsgApp, { from: 1, to: 4, term: 1, entries, commit: 2 });
    expect(member.server.inbox.receive(1, [append])).toBeUndefined();
    await new Promise((resolve) => setImmediate(resolve));

    // By index 10 the learner votes.
    const metadata = { index: 10, term: 1, confState: makeConfState({ voters: [1, 4] }) };
    const header = encodeSnapshotHeader({
      members: [1, 4].map((id) => ({ id, url: `http://127.0.0.1:${id}`, since: 1, incarnation: 0 })),
      removed: [],
    });
    async function* data(): AsyncGenerator<Uint8Array> {
      yield header;
      yield* new KvMap().snapshot();
    }
    const snapshot = { ...makeSnapshot(0, 0), metadata };
    const taken = member.server.inbox.receiveSnapshot(
      1,
      makeMessage(MessageType.MsgSnap, { from: 1, to: 4, term: 1, snapshot }),
      data(),
    );
    const files = path.join(member.directory, "member", "snap");
    await until(() => fs.readdirSync(files).some((name) => name.endsWith(".snap")));
    open();
    await taken;
    await until(() => member.server.status().applied === 10 || member.failures.length > 0);
    expect(member.failures).toEqual([]);
    expect(member.server.status().members.map(({ id, role }) => `${id}:${role}`)).toEqual(["1:voter", "4:voter"]);
  },
);
