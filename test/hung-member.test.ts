// One member of three hangs, as on a paused machine: its kernel takes connections, and nothing answers on them.

import { afterEach, expect, test } from "vitest";
import { readyloop, TestCluster, until } from "./cluster.ts";

let cluster: TestCluster;
afterEach(() => cluster.stop());

test("every client command passes over a hung leader, which carries out none of their requests when it goes on", async () => {
  cluster = await TestCluster.start(3);
  const hung = cluster.member(await cluster.leader());
  const others = [...cluster.members.values()].filter((member) => member !== hung);
  const endpoints = `--endpoints=${[hung, ...others].map(({ clientUrl }) => clientUrl).join(",")}`;
  const run = (...args: string[]) => readyloop(...args, endpoints, "--timeout-ms=7500");

  hung.signal("SIGSTOP");
  await until(async () => {
    const leaders = await Promise.all(others.map(async (member) => (await member.status()).leader));
    return leaders[0] === leaders[1] && leaders[0] !== 0 && leaders[0] !== hung.id ? true : undefined;
  });
  expect(await run("put", "k", "first")).toMatchObject({ code: 0, stderr: "" });
  expect(await run("get", "k")).toMatchObject({ code: 0, stdout: "first", stderr: "" });
  expect(await run("members", "list")).toMatchObject({ code: 0, stderr: "" });

  const { code, stdout } = await run("status");
  const rows = stdout.split("\n");
  for (const { id, clientUrl } of others)
    expect(rows[id]).toMatch(new RegExp(`^${id} +${clientUrl} +(leader|follower) `));
  expect(rows[hung.id]).toMatch(
    new RegExp(`^${hung.id} +- +voter +no endpoint answers .* does not hear it, match \\d+\\)$`),
  );
  expect(rows[4]).toMatch(new RegExp(`^- +${hung.clientUrl} +hung: no answer within 1\\.5 s$`));
  expect(rows.at(-2)).toMatch(/^member \d leads term \d+; 2 of 3 voters reached$/);
  expect(code).toBe(0);

  expect((await others[0]!.fetch("/k", { method: "PUT", body: "second" })).status).toBe(204);
  hung.signal("SIGCONT");
  await cluster.leader();
  expect(await (await hung.fetch("/k")).text()).toBe("second");
});
