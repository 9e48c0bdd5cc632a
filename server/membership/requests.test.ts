// Requests for changes of the members and of the leader, on members in one process, each with a real log and a real peer port.

import fs from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  ConfChangeTransition,
  ConfChangeType,
  type ConfChangeV2,
  type Entry,
  EntryType,
  encodeConfChangeV2,
  MessageType,
  makeConfChangeV2,
  makeMessage,
  proposed,
} from "../../raft/index.ts";
import { encodeEnvelope } from "../envelope.ts";
import type { ChangeOutcome, MemberChange } from "../member.ts";
import { leaderOf, put, type TestMember, TestServers, until } from "../testing.ts";

let servers: TestServers;
beforeEach(async () => {
  servers = await TestServers.create();
});
afterEach(() => servers.end());

const add = (id: number, peerUrl: string, learner = false): MemberChange => ({ kind: "add", id, peerUrl, learner });
const remove = (id: number): MemberChange => ({ kind: "remove", id });
const applied: ChangeOutcome = { kind: "applied" };
const followerOf = (members: readonly TestMember[]): TestMember =>
  members.find((m) => m.server.status().role !== "leader") as TestMember;
const rolesOf = ({ server }: TestMember): string =>
  server
    .status()
    .members.map(({ id, role }) => `${id}:${role}`)
    .join(" ");

/** Waits until the log has every member's incarnation: from then on only requests make entries. */
const allNoted = (members: readonly TestMember[]): Promise<void> =>
  until(() =>
    members.every((m) => members.every(({ id }) => m.server.inbox.admit(id, 0, undefined)?.kind === "lost-data")),
  );

/** Hands an entry to the leader as a peer could, without any of the leader's own checks. */
function inject(members: readonly TestMember[], cc: ConfChangeV2): void {
  const leader = leaderOf(members);
  const from = followerOf(members).id;
  const entry: Entry = proposed(encodeConfChangeV2(cc), EntryType.EntryConfChangeV2);
  leader.server.inbox.receive(from, [makeMessage(MessageType.MsgProp, { from, to: leader.id, entries: [entry] })]);
}

describe("a change of the members", () => {
  test("adds a learner, promotes it once it has caught up, demotes it and removes it, on whichever member it is asked", async () => {
    const members = await servers.startCluster(3);
    const asked = followerOf(members);
    const joiner = await servers.join(4);
    expect(await asked.server.changeMembers([add(4, joiner.url, true)])).toEqual(applied);
    // Applied on the member that was asked, not only on the leader.
    expect(rolesOf(asked)).toBe("1:voter 2:voter 3:voter 4:learner");
    for (let i = 0; i < 20; i++) await asked.server.propose(put(`k${i}`));
    const fourth = await joiner.start();
    await until(() => fourth.map.get("k19") !== undefined);
    expect(await asked.server.changeMembers([{ kind: "promote", id: 4 }])).toEqual(applied);
    expect(rolesOf(asked)).toBe("1:voter 2:voter 3:voter 4:voter");
    expect(await leaderOf(members).server.changeMembers([{ kind: "demote", id: 4 }])).toEqual(applied);
    expect(rolesOf(leaderOf(members))).toBe("1:voter 2:voter 3:voter 4:learner");
    expect(await fourth.server.changeMembers([remove(4)])).toEqual(applied);
    await until(() => rolesOf(leaderOf(members)) === "1:voter 2:voter 3:voter");
    await until(() => fourth.rejections.length > 0);
    expect(fourth.rejections).toEqual([{ kind: "removed", message: "member 4 was removed from the cluster" }]);
  });

  test("is refused with its reason while nothing has happened yet, also when it was asked on a follower", async () => {
    const members = await servers.startCluster(3);
    const ask = (...changes: MemberChange[]): Promise<ChangeOutcome> =>
      followerOf(members).server.changeMembers(changes);
    await allNoted(members);
    const before = rolesOf(leaderOf(members));
    const index = leaderOf(members).server.status().commit;
    const wrong: [MemberChange[], string, RegExp][] = [
      [[remove(9)], "INVALID_CHANGE", /there is no member 9/],
      [[add(2, "http://127.0.0.1:1")], "INVALID_CHANGE", /member 2 is a member already/],
      [[add(4, members[0]?.url ?? "")], "INVALID_CHANGE", /has the address/],
      [[{ kind: "promote", id: 1 }], "INVALID_CHANGE", /voter already/],
      [[{ kind: "demote", id: 7 }], "INVALID_CHANGE", /no member 7/],
      [[remove(1), remove(2), remove(3)], "INVALID_CHANGE", /removed all voters/],
      [
        [
          add(4, "http://127.0.0.1:1"),
          add(5, "http://127.0.0.1:2"),
          add(6, "http://127.0.0.1:3"),
          add(7, "http://127.0.0.1:4"),
        ],
        "QUORUM_AT_RISK",
        /4, 5, 6, 7 cannot be reached/,
      ],
    ];
    for (const [changes, code, message] of wrong) {
      expect(await ask(...changes)).toMatchObject({ kind: "conflict", code, message: expect.stringMatching(message) });
    }
    expect(rolesOf(leaderOf(members))).toBe(before);
    expect(leaderOf(members).server.status().commit).toBe(index);
  });

  test("that would take the quorum away is refused: a voter that is away beside a single member, or the last one that is there", async () => {
    const [alone] = (await servers.startCluster(1)) as [TestMember];
    expect(await alone.server.changeMembers([add(2, "http://127.0.0.1:1")])).toMatchObject({ code: "QUORUM_AT_RISK" });
    expect(await alone.server.propose(put("k"))).toMatchObject({ kind: "applied" });

    const joiner = await servers.join(2);
    expect(await alone.server.changeMembers([add(2, joiner.url, true)])).toEqual(applied);
    // It has never been heard of.
    expect(await alone.server.changeMembers([{ kind: "promote", id: 2 }])).toMatchObject({ code: "LEARNER_BEHIND" });
    const second = await joiner.start();
    await until(() => second.map.get("k") !== undefined);
    expect(await alone.server.changeMembers([{ kind: "promote", id: 2 }])).toEqual(applied);
  });

  test("removing a live voter beside a dead one is refused, removing the dead one is not", async () => {
    // Long enough that the live one counts as reachable on a busy machine, too.
    const members = await servers.startCluster(3, { server: { electionTicks: 50 } });
    const leader = leaderOf(members);
    const [dead, live] = members.filter((m) => m !== leader) as [TestMember, TestMember];
    await dead.stop();
    await until(() => leader.server.status().progress?.find(({ id }) => id === dead.id)?.recentActive === false);
    expect(await leader.server.changeMembers([remove(live.id)])).toMatchObject({ code: "QUORUM_AT_RISK" });
    expect(await leader.server.changeMembers([remove(dead.id)])).toEqual(applied);
    expect(await live.server.propose(put("k"))).toMatchObject({ kind: "applied" });
  });

  test("waits for the one before it: of two at a time the second is refused as long as the first is not applied", async () => {
    const members = await servers.startCluster(3);
    const leader = leaderOf(members);
    const joiner = await servers.join(4);
    const both = await Promise.all([
      leader.server.changeMembers([add(4, joiner.url, true)]),
      leader.server.changeMembers([{ kind: "update", id: 1, peerUrl: "http://127.0.0.1:9" }]),
    ]);
    expect(both[0]).toEqual(applied);
    expect(both[1]).toMatchObject({ kind: "conflict", code: "CHANGE_PENDING" });
  });

  test("the leader is replaced in one joint change under a stream of writes, and no acknowledged write is lost", async () => {
    // Long enough that no election comes from a busy machine: a client shall see the replacement and nothing else.
    const options = { server: { electionTicks: 50 } };
    const members = await servers.startCluster(3, options);
    const old = leaderOf(members);
    const joiner = await servers.join(4);
    expect(await old.server.changeMembers([add(4, joiner.url, true)])).toEqual(applied);
    const fourth = await joiner.start(options);
    await until(() => (fourth.server.status().leader ?? 0) !== 0);

    const others = members.filter((m) => m !== old);
    const acknowledged: string[] = [];
    let retries = 0;
    let done = false;
    const writers = members.map(async (member, w) => {
      let at = member;
      for (let i = 0; !done; i++) {
        const key = `w${w}-${i}`;
        for (;;) {
          const outcome = await at.server.propose(put(key));
          if (outcome.kind === "applied") break;
          retries++;
          at = others[0] as TestMember;
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
        acknowledged.push(key);
      }
    });
    await until(() => acknowledged.length > 100);
    await until(() => fourth.map.size > 100);
    const outcome = await followerOf(members).server.changeMembers([{ kind: "promote", id: 4 }, remove(old.id)]);
    expect(outcome).toEqual(applied);
    await until(() => old.rejections.length > 0);
    await old.shutDown(); // as a removed member's process does
    const soFar = acknowledged.length;
    await until(() => acknowledged.length > soFar + 100);
    done = true;
    await Promise.all(writers);
    expect(retries).toBeLessThanOrEqual(writers.length);
    const reader = others[1] as TestMember;
    expect(await reader.server.readIndex()).toEqual({ kind: "ready" });
    expect(acknowledged.filter((key) => reader.map.get(key) === undefined)).toEqual([]);
    expect(rolesOf(reader)).toBe(
      [2, 3, 4, 1]
        .filter((id) => id !== old.id)
        .sort()
        .map((id) => `${id}:voter`)
        .join(" "),
    );
    expect(servers.all.flatMap((m) => m.failures)).toEqual([]);
  });

  test("a joint change whose half was applied before a restart is finished after it", async () => {
    const members = await servers.startCluster(3);
    const [four, five] = [await servers.join(4), await servers.join(5)];
    // The leader would not propose it: the joint configuration can be entered, but not left while 4 and 5 are away.
    const urls = { 4: four.url, 5: five.url };
    const context = encodeEnvelope(
      { member: 9, epoch: 9, counter: 9 },
      new TextEncoder().encode(JSON.stringify({ urls })),
    );
    const { ConfChangeAddNode, ConfChangeRemoveNode } = ConfChangeType;
    inject(
      members,
      makeConfChangeV2(
        [
          { type: ConfChangeAddNode, nodeId: 4 },
          { type: ConfChangeAddNode, nodeId: 5 },
          { type: ConfChangeRemoveNode, nodeId: 2 },
          { type: ConfChangeRemoveNode, nodeId: 3 },
        ],
        ConfChangeTransition.ConfChangeTransitionAuto,
        context,
      ),
    );
    const all = "1:voter 2:voter 3:voter 4:voter 5:voter";
    await until(() => members.every((m) => rolesOf(m) === all));
    await Promise.all(members.map((m) => m.stop()));
    const again = await Promise.all(members.map((m) => servers.restart(m)));
    await until(() => again.every((m) => rolesOf(m) === all));

    const newcomers = [await four.start(), await five.start()];
    const staying = [again[0] as TestMember, ...newcomers];
    await until(() => staying.every((m) => rolesOf(m) === "1:voter 4:voter 5:voter"));
    await until(() => again.slice(1).every((m) => m.rejections.length > 0));
    await until(() => staying.some((m) => m.server.status().role === "leader"));
    expect(await (newcomers[0] as TestMember).server.propose(put("k"))).toMatchObject({ kind: "applied" });
    expect(servers.all.flatMap((m) => m.failures)).toEqual([]);
  });

  test("that is committed and not valid is refused by all when it is applied", async () => {
    const members = await servers.startCluster(3);
    const joiner = await servers.join(4);
    const leader = leaderOf(members);
    expect(await leader.server.changeMembers([add(4, joiner.url, true)])).toEqual(applied);
    expect(await leader.server.changeMembers([remove(4)])).toEqual(applied);
    // A spent id, and a change that raft itself would stop at.
    inject(members, makeConfChangeV2([{ type: ConfChangeType.ConfChangeAddNode, nodeId: 4 }]));
    await leader.server.propose(put("between"));
    inject(members, makeConfChangeV2([]));
    await leader.server.propose(put("after"));
    for (const m of members) {
      expect(await m.server.readIndex()).toEqual({ kind: "ready" });
      expect(rolesOf(m)).toBe("1:voter 2:voter 3:voter");
      expect(m.failures).toEqual([]);
    }
  });
});

describe("who may be a member", () => {
  test("a removed id never comes back", async () => {
    const members = await servers.startCluster(3);
    const leader = leaderOf(members);
    const gone = followerOf(members);
    expect(await leader.server.changeMembers([remove(gone.id)])).toEqual(applied);
    expect(await leader.server.changeMembers([add(gone.id, "http://127.0.0.1:1", true)])).toMatchObject({
      kind: "conflict",
      code: "ID_SPENT",
    });
  });

  test("a member that was away when it was removed learns it when it dials", async () => {
    const members = await servers.startCluster(3);
    const leader = leaderOf(members);
    const away = followerOf(members);
    await away.stop();
    expect(await leader.server.changeMembers([remove(away.id)])).toEqual(applied);
    const back = await servers.restart(away);
    await until(() => back.rejections.length > 0);
    expect(back.rejections[0]?.kind).toBe("removed");
    expect(rolesOf(back)).toBe("1:voter 2:voter 3:voter"); // its own log does not know
  });

  test("a member that comes back without its data is turned away, also when it brings the list that the cluster started with", async () => {
    const members = await servers.startCluster(3);
    await allNoted(members);
    const wiped = followerOf(members);
    const list = members.map(({ id, url }) => ({ id, url }));
    await wiped.stop();
    await fs.rm(wiped.directory, { recursive: true });
    const back = await servers.restart(wiped, { server: { peers: { how: "start", list } } });
    await until(() => back.rejections.length > 0);
    expect(back.rejections[0]?.kind).toBe("lost-data");
  });

  test("an address survives restarts of all members", async () => {
    const members = await servers.startCluster(3);
    const joiner = await servers.join(4);
    expect(await leaderOf(members).server.changeMembers([add(4, joiner.url, true)])).toEqual(applied);
    const moved: MemberChange = { kind: "update", id: 4, peerUrl: "http://127.0.0.1:4242" };
    expect(await leaderOf(members).server.changeMembers([moved])).toEqual(applied);
    await Promise.all(members.map((m) => m.stop()));
    const again = await Promise.all(members.map((m) => servers.restart(m)));
    for (const m of again) {
      await until(() => m.server.status().members[3]?.peerUrl === moved.peerUrl);
      expect(m.server.status().members[3]).toEqual({ id: 4, peerUrl: "http://127.0.0.1:4242", role: "learner" });
    }
  });
});

describe("leadership", () => {
  test("goes to the member that is named, on whichever member it is asked", async () => {
    const members = await servers.startCluster(3);
    for (const asked of members) {
      const to = members.find((m) => m.server.status().role !== "leader" && m !== asked) as TestMember;
      expect(await asked.server.transferLeadership(to.id)).toEqual(applied);
      await until(() => to.server.status().role === "leader");
    }
  });

  test("stays, and the asker gets a refusal, if the named member does not take it, is a learner, or is no member", async () => {
    const members = await servers.startCluster(3);
    const leader = leaderOf(members);
    const away = followerOf(members);
    await away.stop();
    expect(await leader.server.transferLeadership(away.id)).toMatchObject({ code: "TRANSFER_FAILED" });
    expect(await leader.server.transferLeadership(17)).toMatchObject({ code: "INVALID_CHANGE" });
    expect(leader.server.status().role).toBe("leader");
    expect(await leader.server.propose(put("k"))).toMatchObject({ kind: "applied" });
  });

  test("is handed over when the leader shuts down, and what waits is answered", async () => {
    const lines: string[] = [];
    const members = await servers.startCluster(3, { logger: { info: (line) => lines.push(line) } });
    const old = leaderOf(members);
    const rest = members.filter((m) => m !== old);
    const writes = Array.from({ length: 50 }, (_, i) => old.server.propose(put(`k${i}`)));
    await old.shutDown();
    for (const outcome of await Promise.all(writes)) expect(outcome).toMatchObject({ kind: "applied" });
    await until(() => rest.some((m) => m.server.status().role === "leader"));
    expect(lines.filter((line) => /received MsgTimeoutNow/.test(line))).toHaveLength(1);
    expect(await old.server.propose(put("late"))).toMatchObject({ kind: "refused", code: "STOPPING" });
  });

  test("three members are restarted one after the other under load, and no acknowledged write is lost", async () => {
    await servers.startCluster(3);
    const acknowledged: string[] = [];
    let unknown = 0;
    let done = false;
    const writers = Array.from({ length: 4 }, async (_, w) => {
      let attempt = w;
      for (let i = 0; !done; ) {
        const at = servers.all[attempt % servers.all.length] as TestMember;
        const outcome = await at.server.propose(put(`w${w}-${i}`));
        if (outcome.kind === "applied") acknowledged.push(`w${w}-${i++}`);
        else attempt++; // refused, or unknown: on to the next member
        if (outcome.kind === "unknown") unknown++;
        if (outcome.kind === "refused") await new Promise((resolve) => setTimeout(resolve, 1));
      }
    });
    for (const id of [1, 2, 3]) {
      const before = acknowledged.length;
      const member = servers.running.get(id) as TestMember;
      await member.shutDown();
      const again = await servers.restart(member);
      await until(() => again.server.status().leader !== 0 && acknowledged.length > before + 50);
    }
    done = true;
    await Promise.all(writers);
    for (const m of servers.all) {
      expect(await m.server.readIndex()).toEqual({ kind: "ready" });
      expect(acknowledged.filter((key) => m.map.get(key) === undefined)).toEqual([]);
      expect(m.failures).toEqual([]);
    }
    expect(unknown).toBe(0);
  });
});
