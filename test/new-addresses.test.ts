// Members that come back at other addresses than their logs have, as real processes.

import { describe, expect, onTestFinished, test } from "vitest";
import { type MemberProcess, readyloop, until } from "./cluster.ts";
import { DirectMembers, freePorts, urlOf, warningsOf } from "./direct.ts";

const moved = "--peers-moved";

async function directory(): Promise<DirectMembers> {
  const members = await DirectMembers.create();
  onTestFinished(() => members.end());
  return members;
}

/** Three members at the first three ports, with the key k, stopped in order. */
async function stoppedCluster(members: DirectMembers, ports: readonly number[]): Promise<void> {
  const [first] = await members.startAll(ports);
  await members.leader(1, 2, 3);
  expect((await first?.fetch("/k", { method: "PUT", body: "old" }))?.status).toBe(204);
  for (const id of [1, 2, 3]) expect(await members.stop(id)).toBe(0);
}

const read = async (member: MemberProcess, key: string): Promise<string> => (await member.fetch(key)).text();

/** What members list shows of the addresses. */
const listed = async (member: MemberProcess): Promise<string[]> => {
  const { stdout } = await readyloop("members", "list", `--endpoints=${member.clientUrl}`);
  return stdout.match(/http:\/\/127\.0\.0\.1:\d+/g) ?? [];
};

const untilKnown = (member: MemberProcess, urls: readonly string[]): Promise<true> =>
  until(async () => {
    const known = (await member.status()).members.map(({ peerUrl }) => peerUrl);
    return known.join() === urls.join() ? true : undefined;
  });

const codes = async (member: MemberProcess): Promise<string[]> => (await member.status()).warnings.map((w) => w.code);

const newest = (member: MemberProcess): string[] => warningsOf(member).filter((line) => line.includes("listens on"));

describe("three members that start at new ports", () => {
  test("with --peers-moved lead on with their keys, list the new addresses, and start again without the flag", async () => {
    const members = await directory();
    const ports = await freePorts(6);
    await stoppedCluster(members, ports.slice(0, 3));
    const fresh = ports.slice(3);
    const all = await members.startAll(fresh, moved);
    await members.leader(1, 2, 3);
    for (const member of all) expect(await read(member, "/k")).toBe("old");
    for (const member of all) await untilKnown(member, fresh.map(urlOf));
    expect(await listed(all[0] as MemberProcess)).toEqual(fresh.map(urlOf));
    for (const member of all) expect([await codes(member), newest(member)]).toEqual([[], []]);
    for (const id of [1, 2, 3]) expect(await members.stop(id)).toBe(0);

    const again = await members.startAll(fresh);
    await members.leader(1, 2, 3);
    for (const member of again) {
      expect(await read(member, "/k")).toBe("old");
      expect([await codes(member), newest(member)]).toEqual([[], []]);
    }
  }, 180_000);

  test("with --peers-moved go on as two of three, and with the third when it comes with the flag", async () => {
    const members = await directory();
    const ports = await freePorts(6);
    await stoppedCluster(members, ports.slice(0, 3));
    const fresh = ports.slice(3);
    const urls = fresh.map(urlOf);
    const [first, second] = [
      await members.start(1, fresh[0] as number, urls, moved),
      await members.start(2, fresh[1] as number, urls, moved),
    ];
    await members.leader(1, 2);
    expect((await first.fetch("/l", { method: "PUT", body: "new" })).status).toBe(204);
    await untilKnown(second, [urls[0] as string, urls[1] as string, urlOf(ports[2] as number)]);
    const third = await members.start(3, fresh[2] as number, urls, moved);
    await members.leader(1, 2, 3);
    await untilKnown(third, urls);
    expect([await read(third, "/k"), await read(third, "/l")]).toEqual(["old", "new"]);
  }, 180_000);

  test("with --peers-moved left in their scripts find a member that `members move` has moved again", async () => {
    const members = await directory();
    const ports = await freePorts(7);
    await stoppedCluster(members, ports.slice(0, 3));
    const fresh = ports.slice(3, 6);
    const [first, , third] = await members.startAll(fresh, moved);
    await members.leader(1, 2, 3);
    await untilKnown(third as MemberProcess, fresh.map(urlOf));
    const last = ports[6] as number;
    const move = await readyloop("members", "move", "2", urlOf(last), `--endpoints=${first?.clientUrl}`);
    expect(move).toMatchObject({ code: 0 });
    for (const id of [1, 2, 3]) expect(await members.stop(id)).toBe(0);

    const [one, , three] = fresh as [number, number, number];
    await members.start(2, last, [one, last, three].map(urlOf));
    for (const id of [1, 3]) await members.start(id, fresh[id - 1] as number, fresh.map(urlOf), moved);
    await members.leader(1, 2, 3);
    expect(await read(members.running.get(2) as MemberProcess, "/k")).toBe("old");
  }, 180_000);

  test("without the flag log both addresses and the ways on, and members move ends the warning", async () => {
    const members = await directory();
    const ports = await freePorts(4);
    await stoppedCluster(members, ports.slice(0, 3));
    const [one, two, three, other] = ports as [number, number, number, number];
    const old = [one, two, three].map(urlOf);
    const [first] = [await members.start(1, one, old), await members.start(2, two, old)];
    const third = await members.start(3, other, [urlOf(one), urlOf(two), urlOf(other)]);
    await members.leader(1, 2);
    await third.line(({ msg }) => msg.includes(`listens on 127.0.0.1:${other}`));
    expect(newest(third)).toHaveLength(1);
    expect(newest(third)[0]).toContain(`the log has member 3 at ${urlOf(three)}`);
    expect(newest(third)[0]).toMatch(/members move 3 .*--peers-moved/);
    expect(await codes(third)).toEqual(["ADDRESS_DIFFERS"]);
    expect(await codes(first)).toEqual([]);
    const move = await readyloop("members", "move", "3", urlOf(other), `--endpoints=${first.clientUrl}`);
    expect(move).toMatchObject({ code: 0 });
    await until(async () => ((await codes(third)).length === 0 ? true : undefined));
    await members.leader(1, 2, 3);
    expect(await read(third, "/k")).toBe("old");
  }, 180_000);
});

test("start-server says at its first start that --peers has another port than the one it listens on", async () => {
  const members = await directory();
  const [port, slip] = (await freePorts(2)) as [number, number];
  const member = await members.start(1, slip, [urlOf(port)]);
  const line = await member.line(({ msg }) => msg.includes("listens on"));
  expect(line.msg).toContain(`--peers has member 1 at ${urlOf(port)}, and it listens on 127.0.0.1:${slip}`);
  expect(await codes(member)).toEqual(["ADDRESS_DIFFERS"]);
}, 120_000);

test("start-server refuses --peers-moved with exit code 2 and one line where it makes no sense", async () => {
  const members = await directory();
  const [port] = (await freePorts(1)) as [number];
  const flags = ["--peer-port=0", "--client-port=0", moved, `--data-dir=${members.dataDir(1)}`];
  const start = (...more: string[]) => readyloop("start-server", "--id=1", ...flags, ...more);
  const refused = async (what: RegExp, ...more: string[]): Promise<void> => {
    const { code, stdout, stderr } = await start(...more);
    expect([code, `${stdout}${stderr}`.trim()]).toEqual([2, expect.stringMatching(what)]);
  };
  await refused(/holds no member that could have moved/, `--peers=${urlOf(port)}`);
  await members.start(1, port, [urlOf(port)]);
  await members.leader(1);
  await members.stop(1);
  await refused(/--join/, "--join", `--peers=${urlOf(port)}`);
  await refused(/new address of member 1 itself/, `--peers=2=${urlOf(port)}`);
  await refused(/member 2 in --peers is not in the log.*has the members 1:/, `--peers=1=http://a:1,2=http://b:1`);
}, 180_000);

test("a member that every peer refuses for its cluster says so once, in its log, in status and on /_health", async () => {
  const members = await directory();
  const [one, two, three] = (await freePorts(3)) as [number, number, number];
  const list = [one, two, three].map(urlOf);
  // The same addresses spelt otherwise begin another cluster.
  const stray = await members.start(1, one, [`http://localhost:${one}`, ...list.slice(1)]);
  await members.start(2, two, list);
  await members.start(3, three, list);
  await members.leader(2, 3);
  await until(async () => ((await codes(stray)).includes("OTHER_CLUSTER") ? true : undefined));
  const [, other] = await Promise.all([1, 2].map(async (id) => (await members.running.get(id)?.status())?.clusterId));
  const { clusterId, warnings } = await stray.status();
  const message = warnings.find(({ code }) => code === "OTHER_CLUSTER")?.message ?? "";
  expect(message).toContain(`member 1 belongs to cluster ${clusterId},`);
  expect(message).toContain(`cluster ${other} (member 2 at ${list[1]}, member 3 at ${list[2]})`);
  await until(async () => ((await stray.fetch("/k", { method: "PUT", body: "v" })).status === 503 ? true : undefined));
  const health = await stray.fetch("/_health");
  expect([health.status, await health.text()]).toEqual([503, expect.stringContaining(message)]);
  expect(stray.lines.filter(({ msg }) => msg === message)).toHaveLength(1);
  // One line for each peer beside it, however often they are dialled.
  expect(warningsOf(stray).length).toBeLessThan(6);
}, 120_000);

test("a member that starts with a directory of another cluster before its peers says so once they have started", async () => {
  const members = await directory();
  const ports = await freePorts(5);
  const [one, two, three, four, five] = ports as [number, number, number, number, number];
  const [list, slip] = [[one, two, three].map(urlOf), [one, four, five].map(urlOf)];
  const wrong = await members.start(1, one, slip);
  await until(async () => ((await wrong.status()).commit > 0 ? true : undefined));
  await members.stop(1);

  const early = await members.start(1, one, list);
  await early.line(({ msg }) => msg.includes("--peers does not fit the log"));
  expect(await codes(early)).toEqual([]);
  await members.start(2, two, list);
  await members.start(3, three, list);
  await members.leader(2, 3);
  await until(async () => ((await codes(early)).includes("OTHER_CLUSTER") ? true : undefined));
  const health = await early.fetch("/_health");
  const said = `${members.dataDir(1)} is of cluster`;
  expect([health.status, await health.text()]).toEqual([503, expect.stringContaining(said)]);
  const stop = await members.stop(1);
  expect([stop, early.lines.filter(({ msg }) => msg.startsWith(said)).length]).toEqual([0, 1]);
}, 120_000);
