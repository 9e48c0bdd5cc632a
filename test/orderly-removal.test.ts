// What the members say when one of them is removed in order: nothing at the level of a warning.

import { expect, onTestFinished, test } from "vitest";
import { until } from "./cluster.ts";
import { DirectMembers, freePorts, warningsOf } from "./direct.ts";

test.each([
  ["a follower", false],
  ["the leader", true],
])(
  "no member logs a warning when members remove takes out %s",
  async (_who, removesLeader) => {
    const directory = await DirectMembers.create();
    onTestFinished(() => directory.end());
    const all = await directory.startAll(await freePorts(3));
    const leader = await directory.leader(1, 2, 3);
    const id = removesLeader ? leader : (leader % 3) + 1;
    const stays = all.filter((member) => member.id !== id);
    const [asked] = stays;
    const before = new Map(all.map((member) => [member.id, warningsOf(member).length]));
    expect((await asked?.fetch(`/_members/${id}`, { method: "DELETE" }))?.status).toBe(200);
    expect(await all[id - 1]?.end()).toBe(0);
    directory.running.delete(id);
    await directory.leader(...stays.map((member) => member.id));
    await until(async () => {
      const known = await Promise.all(stays.map(async (member) => (await member.status()).members.length));
      return known.every((count) => count === 2) ? true : undefined;
    });
    expect((await asked?.fetch("/k", { method: "PUT", body: "v" }))?.status).toBe(204);
    for (const member of stays) await directory.stop(member.id);
    for (const member of all)
      expect(warningsOf(member).slice(before.get(member.id)), `member ${member.id}`).toEqual([]);
  },
  120_000,
);
