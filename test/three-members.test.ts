// Three members as processes: any of them serves, any of them may die, all of them may, and nothing acknowledged is
// lost.

import { afterEach, describe, expect, test } from "vitest";
import { putUntilDone, TestCluster, until } from "./cluster.ts";

let cluster: TestCluster;
afterEach(() => cluster.stop());

describe("three members", () => {
  test("every member takes writes, and every member reads them at once", async () => {
    cluster = await TestCluster.start(3);
    for (const writer of cluster.members.values()) {
      const key = `/from-${writer.id}`;
      expect((await writer.fetch(key, { method: "PUT", body: key })).status).toBe(204);
      for (const reader of cluster.members.values()) expect(await (await reader.fetch(key)).text()).toBe(key);
    }
  });

  test("the leader shows each peer's progress, and all members the same list of members", async () => {
    cluster = await TestCluster.start(3);
    const lead = await cluster.leader();
    const status = await cluster.member(lead).status();
    expect(status.role).toBe("leader");
    expect(status.progress?.map((p) => p.id)).toEqual([1, 2, 3]);
    for (const member of cluster.members.values()) {
      const { members } = await member.status();
      expect(members).toEqual(status.members);
      expect(members.map((m) => m.role)).toEqual(["voter", "voter", "voter"]);
    }
  });

  test("when the leader is killed another one takes over, writes resume, and nothing is lost", async () => {
    cluster = await TestCluster.start(3);
    const lead = await cluster.leader();
    for (let i = 0; i < 20; i++) {
      expect((await cluster.member(lead).fetch(`/k${i}`, { method: "PUT", body: `${i}` })).status).toBe(204);
    }
    await cluster.kill(lead);
    const next = await until(async () => {
      const leader = await cluster.leader();
      return leader === lead ? undefined : leader;
    });
    await putUntilDone(() => cluster.member(next), "/after", "yes");
    for (const member of cluster.members.values()) {
      for (let i = 0; i < 20; i++) expect(await (await member.fetch(`/k${i}`)).text()).toBe(`${i}`);
      expect(await (await member.fetch("/after")).text()).toBe("yes");
    }

    const back = await cluster.startMember(lead);
    await until(async () => ((await (await back.fetch("/after")).text()) === "yes" ? true : undefined));
  });

  test("all killed at once and started again: everything acknowledged is there", async () => {
    cluster = await TestCluster.start(3);
    const ids = [...cluster.members.keys()];
    const done: string[] = [];
    const writers = [1, 2, 3, 1, 2, 3].map(async (id, w) => {
      for (let i = 0; ; i++) {
        const member = cluster.members.get(id);
        const response = await member?.fetch(`/${w}-${i}`, { method: "PUT", body: `${w}-${i}` }).catch(() => undefined);
        if (response?.status !== 204) return;
        done.push(`${w}-${i}`);
      }
    });
    await until(async () => (done.length > 150 ? true : undefined));
    await Promise.all(ids.map((id) => cluster.kill(id)));
    await Promise.all(writers);
    await Promise.all(ids.map((id) => cluster.startMember(id)));
    await cluster.leader();
    for (const key of done) {
      const member = cluster.member(ids[key.length % 3] as number);
      expect(await until(async () => (await member.fetch(`/${key}`)).text())).toBe(key);
    }
  });

  test("without a majority a write is refused or unknown, never acknowledged, and a stale read still answers", async () => {
    cluster = await TestCluster.start(3, "--request-timeout-ms=500");
    const lead = await cluster.leader();
    await cluster.member(lead).fetch("/k", { method: "PUT", body: "v" });
    for (const id of [1, 2, 3].filter((other) => other !== lead)) await cluster.kill(id);
    const alone = cluster.member(lead);
    const write = await alone.fetch("/k", { method: "PUT", body: "w" });
    expect([503, 504]).toContain(write.status);
    // Once it has noticed, it says at once that there is no leader.
    await until(async () =>
      (await alone.fetch("/k", { method: "PUT", body: "w" })).status === 503 ? true : undefined,
    );
    const refused = await alone.fetch("/k");
    expect(refused.status).toBe(503);
    expect(refused.headers.get("retry-after")).not.toBeNull();
    expect(await (await alone.fetch("/k?consistency=stale")).text()).toBe("v");
    expect((await alone.fetch("/_health")).status).toBe(503);
  });
});
