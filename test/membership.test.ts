// Members that come and go, as processes, and what a client sees of it over HTTP.

import fs from "node:fs/promises";
import path from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { MemberProcess, putUntilDone, readyloop, TestCluster, until } from "./cluster.ts";

let cluster: TestCluster;
afterEach(() => cluster.stop());

const json = (method: string, body?: object): RequestInit =>
  body === undefined
    ? { method }
    : { method, body: JSON.stringify(body), headers: { "content-type": "application/json" } };

async function followerOf(leader: number): Promise<MemberProcess> {
  return [...cluster.members.values()].find(({ id }) => id !== leader) as MemberProcess;
}

/** Promotes as one does by hand: again, until the learner has caught up. */
async function promote(asked: MemberProcess, id: number): Promise<void> {
  await until(async () => {
    const response = await asked.fetch(`/_members/${id}/promote`, json("POST"));
    const problem = (await response.json()) as { code?: string };
    if (response.status === 409) expect(problem.code).toBe("LEARNER_BEHIND");
    return response.status === 200 ? true : undefined;
  });
}

describe("members that come and go", () => {
  test("a fourth waits until it is added, learns, votes; the leader is removed and stops; writes go on", async () => {
    cluster = await TestCluster.start(3);
    const lead = await cluster.leader();
    const asked = await followerOf(lead);
    for (let i = 0; i < 10; i++) await asked.fetch(`/k${i}`, { method: "PUT", body: `${i}` });

    // Started first: it says what is to be done, and waits.
    const peerUrl = await cluster.addressFor(4);
    const early = new MemberProcess(4, cluster.args(4));
    await early.line((l) => l.msg.includes("members add 4"));
    const added = await asked.fetch("/_members", json("POST", { id: 4, peerUrl, learner: true }));
    expect(added.status).toBe(200);
    expect(((await added.json()) as { members: unknown[] }).members).toContainEqual({
      id: 4,
      peerUrl,
      role: "learner",
    });
    const fourth = await cluster.listening(early);
    await promote(asked, 4);
    expect(await (await fourth.fetch("/k9")).text()).toBe("9");

    const gone = cluster.member(lead);
    cluster.members.delete(lead);
    const removed = await asked.fetch(`/_members/${lead}`, json("DELETE"));
    expect(removed.status).toBe(200);
    expect(await gone.end()).toBe(0);
    expect(gone.lines.map((l) => l.msg)).toContain(
      `member ${lead} was removed from the cluster. This member stops; its data directory is of no further use`,
    );
    await putUntilDone(() => fourth, "/after", "yes");
    expect(await (await asked.fetch("/after")).text()).toBe("yes");

    // It never comes back: not with its data, not without.
    const back = new MemberProcess(lead, cluster.args(lead));
    expect(await back.end()).toBe(0);
    expect(back.lines.some((l) => l.msg.includes("was removed from the cluster"))).toBe(true);
    await fs.rm(cluster.dataDir(lead), { recursive: true });
    const fresh = new MemberProcess(lead, [...cluster.args(lead), "--join"]);
    expect(await fresh.end()).toBe(1);
    expect(fresh.stderr).toMatch(/removed/);
    const again = await asked.fetch(
      "/_members",
      json("POST", { id: lead, peerUrl: "http://127.0.0.1:1", learner: true }),
    );
    expect(again.status).toBe(409);
    expect(await again.json()).toMatchObject({ code: "ID_SPENT", next: expect.stringMatching(/id that no member/) });
  });

  test("a member that is removed while another is down says so, serves no client, and ends when the other has heard of it", async () => {
    cluster = await TestCluster.start(4);
    const lead = await cluster.leader();
    const [down, out] = [1, 2, 3, 4].filter((id) => id !== lead) as [number, number];
    await putUntilDone(() => cluster.member(lead), "/k", "v");
    await cluster.kill(down);
    const leaving = cluster.member(out);
    // The one that is down counts as reachable, or not yet as away, for an election timeout.
    await until(async () => {
      const response = await cluster.member(lead).fetch(`/_members/${out}`, json("DELETE"));
      return response.status === 200 ? true : undefined;
    });
    await leaving.line((l) => l.msg.includes(`it stays until those know that who may need its vote: ${down}.`));
    const health = await leaving.fetch("/_health");
    expect([health.status, await health.json()]).toEqual([503, expect.objectContaining({ code: "STOPPING" })]);
    expect((await leaving.status()).role).toBe("removed");
    expect((await leaving.fetch("/k")).status).toBe(503);
    await cluster.startMember(down);
    expect(await leaving.end()).toBe(0);
    cluster.members.delete(out);
    expect((await cluster.member(lead).fetch("/k")).status).toBe(200);
  });

  test("a member whose data directory was wiped is turned away, and says so", async () => {
    cluster = await TestCluster.start(3);
    const lead = await cluster.leader();
    const { id } = await followerOf(lead);
    // The first start of every member is in the log by now, or will be before this write is.
    await until(async () => {
      const { commit } = await cluster.member(lead).status();
      return commit >= 3 + 1 + 3 ? true : undefined;
    });
    await putUntilDone(() => cluster.member(lead), "/k", "v");
    await cluster.kill(id);
    await fs.rm(cluster.dataDir(id), { recursive: true });
    const wiped = new MemberProcess(id, cluster.args(id));
    expect(await wiped.end()).toBe(1);
    expect(wiped.lines.some((l) => /what it promised is lost/.test(l.msg))).toBe(true);
    expect((await cluster.member(lead).fetch("/k2", { method: "PUT", body: "v" })).status).toBe(204);
  });

  test("a refusal reaches the client with its reason, whichever member it asked, and changes nothing", async () => {
    cluster = await TestCluster.start(3);
    const asked = await followerOf(await cluster.leader());
    const before = await (await asked.fetch("/_members")).json();
    const refused = await asked.fetch("/_members/9", json("DELETE"));
    expect(refused.status).toBe(409);
    expect(await refused.json()).toMatchObject({ code: "INVALID_CHANGE", message: "there is no member 9" });
    expect(await (await asked.fetch("/_members")).json()).toEqual(before);
  });

  test("several changes at once are one joint change, answered when it is left", async () => {
    cluster = await TestCluster.start(3);
    const lead = await cluster.leader();
    const asked = await followerOf(lead);
    const other = [1, 2, 3].find((id) => id !== lead && id !== asked.id) as number;
    const response = await asked.fetch(
      "/_members",
      json("PATCH", { changes: [{ demote: other }, { add: { id: 4, peerUrl: "http://127.0.0.1:1", learner: true } }] }),
    );
    expect(response.status).toBe(200);
    const { members } = (await response.json()) as { members: { id: number; role: string }[] };
    expect(members.map(({ id, role }) => `${id}:${role}`)).toEqual([
      ...[1, 2, 3].map((id) => `${id}:${id === other ? "learner" : "voter"}`),
      "4:learner",
    ]);
  });

  test("leadership goes where it is sent, by HTTP and by the command line", async () => {
    cluster = await TestCluster.start(3);
    const lead = await cluster.leader();
    const asked = await followerOf(lead);
    expect((await asked.fetch("/_leader", json("POST", { transferee: asked.id }))).status).toBe(200);
    expect(await cluster.leader()).toBe(asked.id);
    const { code, stdout } = await readyloop("transfer", String(lead), `--endpoints=${asked.clientUrl}`);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^${lead} .* leader$`, "m"));
    expect(await cluster.leader()).toBe(lead);
  });

  test("the calls of etcd's raftexample add and remove a member, where they are asked for", async () => {
    cluster = await TestCluster.start(3, "--raftexample-api");
    const peerUrl = await cluster.addressFor(4);
    const asked = await followerOf(await cluster.leader());
    expect((await asked.fetch("/4", { method: "POST", body: peerUrl })).status).toBe(204);
    const fourth = await cluster.startMember(4);
    await putUntilDone(() => fourth, "/k", "v");
    cluster.members.delete(4);
    expect((await asked.fetch("/4", { method: "DELETE" })).status).toBe(204);
    expect(await fourth.end()).toBe(0);
    const { members } = await asked.status();
    expect(members.map((m) => m.id)).toEqual([1, 2, 3]);
  });
});

describe("SIGTERM", () => {
  test("makes the leader hand over first, and lets the others go on at once", async () => {
    cluster = await TestCluster.start(3);
    const lead = await cluster.leader();
    const member = cluster.member(lead);
    expect(await cluster.kill(lead, "SIGTERM")).toBe(0);
    const messages = member.lines.map((l) => l.msg);
    expect(messages.some((m) => /starts to transfer leadership/.test(m))).toBe(true);
    expect(messages.at(-1)).toBe("stopped");
    expect(await cluster.leader()).not.toBe(lead);
  });

  test("a second one ends the process at once", async () => {
    cluster = await TestCluster.start(3, "--request-timeout-ms=600000");
    const lead = await cluster.leader();
    for (const id of [1, 2, 3]) if (id !== lead) await cluster.kill(id);
    const member = cluster.member(lead);
    // It waits for a majority, and the orderly stop waits for it.
    const pending = member.fetch("/k", { method: "PUT", body: "v" }).catch(() => undefined);
    await until(async () => ((await member.status()).role === "follower" ? true : undefined)).catch(() => undefined);
    cluster.members.delete(lead);
    member.signal("SIGTERM");
    await member.line((l) => l.msg.startsWith("stopping"));
    const ended = member.end();
    const again = setInterval(() => member.signal("SIGTERM"), 100);
    expect(await ended).toBe(143);
    clearInterval(again);
    await pending;
  });
});

describe("snapshots of a process", () => {
  test("one that is damaged costs nothing, all of them damaged is a clear refusal, and never an empty start", async () => {
    cluster = await TestCluster.start(1, "--snapshot-count=20", "--snapshot-catchup-entries=5");
    const member = cluster.member(1);
    for (let i = 0; i < 90; i++) await member.fetch(`/k${i}`, { method: "PUT", body: `${i}` });
    await until(async () => ((await member.status()).snapshot >= 80 ? true : undefined));
    expect(await cluster.kill(1, "SIGTERM")).toBe(0);
    const directory = path.join(cluster.dataDir(1), "member", "snap");
    const names = (await fs.readdir(directory)).filter((name) => name.endsWith(".snap")).sort();
    expect(names).toHaveLength(2);
    await damage(path.join(directory, names[1] as string));

    const again = await cluster.startMember(1);
    await again.line((l) => /is damaged or gone: starting from the snapshot at index/.test(l.msg));
    await cluster.leader();
    expect(await (await again.fetch("/k89")).text()).toBe("89");
    expect(await fs.readdir(directory)).toContain(`${names[1]}.broken`);
    await cluster.kill(1, "SIGTERM");

    // With the first segment gone, as after a purge, the log alone does not reach back.
    for (const name of await fs.readdir(directory))
      if (name.endsWith(".snap")) await damage(path.join(directory, name));
    const wal = path.join(cluster.dataDir(1), "member", "wal");
    const [segment] = (await fs.readdir(wal)).filter((name) => name.endsWith(".wal"));
    await fs.rename(path.join(wal, segment as string), path.join(wal, "0000000000000003-0000000000000040.wal"));
    const refused = new MemberProcess(1, cluster.args(1));
    expect(await refused.end()).toBe(1);
    expect(refused.stderr).toMatch(/damaged or gone|does not/);
    expect(await fs.readdir(wal)).toContain("0000000000000003-0000000000000040.wal");
  });
});

async function damage(file: string): Promise<void> {
  const bytes = await fs.readFile(file);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 0x10;
  await fs.writeFile(file, bytes);
}
