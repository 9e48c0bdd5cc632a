// A new cluster that begins with data, of real processes: restored from a backup, and made of one member's directory. At the very addresses of
// the old cluster, as after a disaster, with an old member that comes back at the worst moment.

import fs from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type MemberProcess, putUntilDone, TestCluster, until } from "../test/cluster.ts";
import { inProcess } from "./testing.ts";

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await TestCluster.start(3);
  for (let i = 0; i < 20; i++) await putUntilDone(() => cluster.member(1), `/key${i}`, `value ${i}`);
});
afterEach(() => cluster.stop());

const value = async (member: MemberProcess, key: string): Promise<string | undefined> => {
  const response = await member.fetch(key);
  return response.status === 200 ? response.text() : undefined;
};
const peersFlag = (): string => cluster.args(1).find((arg) => arg.startsWith("--peers=")) as string;
const killAll = async (): Promise<void> => {
  for (const id of [1, 2, 3]) await cluster.kill(id);
};
const aside = (id: number): string => `${cluster.dataDir(id)}.old`;

/** Puts an old member's directory back in place of what is there, and starts it. */
async function startOld(id: number): Promise<MemberProcess> {
  fs.rmSync(cluster.dataDir(id), { recursive: true, force: true });
  fs.renameSync(aside(id), cluster.dataDir(id));
  return cluster.startMember(id);
}

/** The old member is refused by the others, hears of no leader, and knows nothing of what they do. */
async function expectOutside(old: MemberProcess, others: readonly MemberProcess[]): Promise<void> {
  await Promise.race(
    [old, ...others].map((member) => member.line((line) => /belongs to cluster \d+/.test(JSON.stringify(line)))),
  );
  await putUntilDone(() => others[0] as MemberProcess, "/after", "the old one");
  expect((await old.status()).leader).toBe(0);
  expect((await old.fetch("/after?consistency=stale")).status).toBe(404);
}

describe("three members restored from one file", () => {
  test("form a cluster with the data, in which a member of the old one has no place", async () => {
    const backup = path.join(cluster.directory, "backup.snap");
    const saved = await inProcess("snapshot", "save", backup, `--endpoints=${cluster.member(2).clientUrl}`);
    expect([saved.code, saved.stderr]).toEqual([0, ""]);
    await putUntilDone(() => cluster.member(1), "/too-late", "for the backup");
    const { clusterId: oldId } = await cluster.member(1).status();
    await killAll();
    for (const id of [1, 2, 3]) {
      fs.renameSync(cluster.dataDir(id), aside(id));
      const args = [`--id=${id}`, `--data-dir=${cluster.dataDir(id)}`, peersFlag()];
      const restored = await inProcess("snapshot", "restore", backup, ...args);
      expect([restored.code, restored.stderr]).toEqual([0, ""]);
    }
    const members = await Promise.all([1, 2, 3].map((id) => cluster.startMember(id)));
    await cluster.leader();
    for (const member of members) {
      const { clusterId, members: known } = await member.status();
      expect(clusterId).not.toBe(oldId);
      expect(known.map(({ id, role }) => [id, role])).toEqual([
        [1, "voter"],
        [2, "voter"],
        [3, "voter"],
      ]);
      for (let i = 0; i < 20; i++) expect(await value(member, `/key${i}`)).toBe(`value ${i}`);
      expect((await member.fetch("/too-late")).status).toBe(404);
    }

    // The old third member comes back at the third one's address.
    await cluster.kill(3);
    const old = await startOld(3);
    await expectOutside(old, [cluster.member(1), cluster.member(2)]);
  });
});

describe("recover", () => {
  const recover = (...args: string[]) => inProcess("recover", `--data-dir=${cluster.dataDir(1)}`, ...args);
  const yes = "--yes-i-know-that-acknowledged-writes-may-be-lost";

  test("makes one member a cluster of its own, which takes new members and no old ones", async () => {
    await until(async () =>
      (await value(cluster.member(1), "/key19?consistency=stale")) === "value 19" ? true : undefined,
    );
    await killAll();
    const url = (peersFlag().split(/[=,]/)[1] as string).trim();
    const before = fs.readdirSync(path.join(cluster.dataDir(1), "member"));

    const unasked = await recover("--id=1", `--peer-url=${url}`);
    expect([unasked.code, unasked.stderr]).toEqual([
      2,
      expect.stringMatching(/CAN LOSE WRITES(.|\n)*no terminal to ask on/),
    ]);
    const wrong = await recover("--id=2", `--peer-url=${url}`, yes);
    expect([wrong.code, wrong.stderr]).toEqual([
      1,
      expect.stringMatching(/holds the log of member 1, not of member 2/),
    ]);
    expect(fs.readdirSync(cluster.dataDir(1))).toEqual(["member"]);

    const { code, stdout } = await recover("--id=1", `--peer-url=${url}`, yes);
    expect(code).toBe(0);
    expect(stdout).toMatch(/member 1 is the new cluster \d+: 20 keys/);
    expect(fs.readdirSync(cluster.dataDir(1))).toEqual(["member", "member.before-recovery"]);
    expect(fs.readdirSync(path.join(cluster.dataDir(1), "member.before-recovery"))).toEqual(before);

    const member = await cluster.startMember(1);
    await cluster.leader();
    for (let i = 0; i < 20; i++) expect(await value(member, `/key${i}`)).toBe(`value ${i}`);
    expect((await member.status()).members).toEqual([{ id: 1, peerUrl: url, role: "voter" }]);

    fs.renameSync(cluster.dataDir(2), aside(2));
    const old = await startOld(2);
    await expectOutside(old, [member]);
    await cluster.kill(2);

    // From here on it grows as any cluster does.
    const address = await cluster.addressFor(4);
    const added = await inProcess("members", "add", "4", address, "--learner", `--endpoints=${member.clientUrl}`);
    expect([added.code, added.stderr]).toEqual([0, ""]);
    const fourth = await cluster.startMember(4);
    await until(async () => ((await value(fourth, "/key7")) === "value 7" ? true : undefined));
  });

  test("refuses a directory without a log, and tells where the member is that was there before", async () => {
    await killAll();
    const flags = ["--id=1", "--peer-url=http://127.0.0.1:1", yes];
    const empty = await inProcess("recover", `--data-dir=${cluster.directory}/none`, ...flags);
    expect([empty.code, empty.stderr]).toEqual([1, expect.stringMatching(/holds no member's log: is --data-dir/)]);
    fs.renameSync(`${cluster.dataDir(1)}/member`, `${cluster.dataDir(1)}/member.before-recovery`);
    const moved = await recover(...flags);
    expect([moved.code, moved.stderr]).toEqual([
      1,
      expect.stringMatching(/before a recovery is in member.before-recovery/),
    ]);
    expect(fs.readdirSync(cluster.dataDir(1))).toEqual(["member.before-recovery"]);
  });
});
