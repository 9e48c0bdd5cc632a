// What a start makes of the data directory that it finds, as processes: a first start that failed, another cluster's
// directory, and restarts of members that came or went since.
//
// Members have real ports here, with nothing in between, since a start compares addresses.

import { once } from "node:events";
import fs from "node:fs/promises";
import net, { type AddressInfo } from "node:net";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { nodeFileSystem } from "../disk/index.ts";
import { makeLog, openDataDirectory } from "../member/data-directory.ts";
import { freeBase, MemberProcess, readyloop, until } from "./cluster.ts";

let directory: string;
const running = new Map<number, MemberProcess>();

beforeEach(async () => {
  directory = await fs.mkdtemp(path.join(os.tmpdir(), "readyloop-directory-"));
});
afterEach(async () => {
  await Promise.all([...running.values()].map((member) => member.kill("SIGKILL")));
  running.clear();
  await fs.rm(directory, { recursive: true });
});

/** The ports of a member: a client port, and the peer port above it. */
type Place = number;

/** Of three members. */
async function places(): Promise<[Place, Place, Place]> {
  const base = await freeBase();
  return [base, base + 100, base + 200];
}

const urlOf = (place: Place): string => `http://127.0.0.1:${place + 1}`;
const listOf = (...all: Place[]): string => `--peers=${all.map(urlOf).join(",")}`;

/** Starts member `id` there; what the flags say counts in place of what it has otherwise. */
function start(id: number, place: Place, ...flags: string[]): MemberProcess {
  const usual = [`--client-port=${place}`, `--peer-port=${place + 1}`, `--data-dir=${dirOf(id)}`];
  const nameOf = (flag: string): string => flag.split("=")[0] as string;
  const kept = usual.filter((flag) => !flags.some((other) => nameOf(other) === nameOf(flag)));
  const member = new MemberProcess(id, [...kept, ...flags]);
  member.clientUrl = `http://127.0.0.1:${place}`;
  running.set(id, member);
  return member;
}

const dirOf = (name: number | string): string => path.join(directory, String(name));

/** Waits until it knows a leader. */
async function serves(member: MemberProcess): Promise<void> {
  const up = until(async () => ((await member.status()).leader > 0 ? true : undefined));
  const ended = member.end().then((code) => {
    throw new Error(`member ${member.id} ended with ${code}: ${member.stderr}`);
  });
  await Promise.race([up, ended]);
}

async function stop(id: number): Promise<void> {
  expect(await (running.get(id) as MemberProcess).kill("SIGTERM")).toBe(0);
  running.delete(id);
}

/** The end of a member that does not start. */
async function refusal(member: MemberProcess): Promise<{ code: number | null; text: string }> {
  const code = await member.end();
  running.delete(member.id);
  expect(member.stderr.trimEnd().split("\n")).toHaveLength(1);
  return { code, text: member.stderr };
}

async function contents(root: string): Promise<[string, string][]> {
  const all = await fs.readdir(root, { recursive: true, withFileTypes: true });
  const files = all.filter((entry) => entry.isFile()).map(({ parentPath, name }) => path.join(parentPath, name));
  return Promise.all(
    files.sort().map(async (file) => [file, (await fs.readFile(file)).toString("base64")] as const),
  ) as Promise<[string, string][]>;
}

const json = (method: string, body: object): RequestInit => ({
  method,
  body: JSON.stringify(body),
  headers: { "content-type": "application/json" },
});

describe("start-server, after a first start that failed", () => {
  test("because a port was in use: it has left no directory, and works with other flags", async () => {
    const [place, other] = await places();
    const server = net.createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    try {
      for (const flag of ["--client-port", "--peer-port"]) {
        const { code, text } = await refusal(start(1, place, `${flag}=${port}`, listOf(place, other)));
        expect(code).toBe(1);
        expect(text).toMatch(
          new RegExp(`cannot listen for .*:${port} \\(EADDRINUSE\\): .* choose another with ${flag}`),
        );
        await expect(fs.stat(dirOf(1))).rejects.toMatchObject({ code: "ENOENT" });
      }
    } finally {
      server.close();
    }
    await serves(start(1, place, listOf(place)));
  });

  test("with a slip in --peers, before it saved anything: the directory is made anew, and the log says so", async () => {
    const [place] = await places();
    const where = { fileSystem: nodeFileSystem, path: dirOf(1), id: 1 };
    const { snapshots, begun } = await openDataDirectory(where);
    await (await makeLog(where, { nodeId: 1, clusterId: 7, incarnation: 11 }, begun)).wal.close();
    await snapshots.close();
    const member = start(1, place, listOf(place));
    await serves(member);
    const { clusterId } = await member.status();
    expect(member.lines.map(({ msg }) => msg)).toContain(
      `${dirOf(1)} was begun for member 1 of cluster 7, and nothing was ever saved in it: it is made anew for member 1 of cluster ${clusterId}`,
    );
  });
});

describe("start-server refuses, before it opens a port and without a change on the disk,", () => {
  test("the directory of another cluster, when the peers on the list say so: with and without --join", async () => {
    const all = await places();
    const [first, second, third] = all;
    const [elsewhere] = await places();
    // Member 1 begins a cluster of its own, whose other members are never started.
    const begins = start(1, first, listOf(first, elsewhere, elsewhere + 100));
    await until(async () => ((await begins.status()).term > 0 ? true : undefined));
    const { clusterId: mine } = await begins.status();
    await begins.kill("SIGKILL");
    await Promise.all([start(2, second, listOf(...all)), start(3, third, listOf(...all))].map(serves));
    const { clusterId: theirs } = await (running.get(2) as MemberProcess).status();
    const before = await contents(dirOf(1));
    for (const flags of [[], ["--join"]]) {
      const member = start(1, first, listOf(...all), ...flags);
      const { code, text } = await refusal(member);
      expect(code).toBe(1);
      expect(text).toContain(`${dirOf(1)} is of cluster ${mine}, `);
      expect(text).toContain(`${urlOf(second)} is of cluster ${theirs}`);
      expect(text).toMatch(/another --data-dir/);
      expect(member.lines).toEqual([]);
      expect(await contents(dirOf(1))).toEqual(before);
    }
    await serves(start(1, first, listOf(...all), `--data-dir=${dirOf("anew")}`));
  });

  test("a list with strangers for the directory of a cluster of one", async () => {
    const [first, second, third] = await places();
    await serves(start(1, first, listOf(first)));
    await stop(1);
    const before = await contents(dirOf(1));
    const { code, text } = await refusal(start(1, first, listOf(first, second, third)));
    expect(code).toBe(1);
    expect(text).toContain(`--peers=1=${urlOf(first)} and use readyloop members add`);
    expect(await contents(dirOf(1))).toEqual(before);
  });
});

describe("start-server has no warning", () => {
  /** Starts it with its log at level warn, and expects none of its lines. */
  async function quietly(id: number, place: Place, ...flags: string[]): Promise<void> {
    const member = start(id, place, ...flags, "--log-level=warn");
    await serves(member);
    expect(member.lines.map(({ msg }) => msg)).toEqual([]);
    expect(member.stderr).toBe("");
  }

  test("at the restart of members that were added, moved, or there from the start, by the lists they have", async () => {
    const all = await places();
    const [first, second] = all;
    const [fourth, moved] = await places();
    await Promise.all(all.map((place, i) => serves(start(i + 1, place, listOf(...all)))));
    const asked = running.get(1) as MemberProcess;
    const change = (method: string, where: string, body: object) =>
      until(async () => ((await asked.fetch(where, json(method, body))).status === 200 ? true : undefined));

    await change("POST", "/_members", { id: 4, peerUrl: urlOf(fourth), learner: true });
    await serves(start(4, fourth, listOf(...all), "--join"));
    await stop(4);
    await quietly(4, fourth, listOf(...all), "--join");
    await stop(4);
    await quietly(4, fourth, listOf(...all, fourth));

    await change("PUT", "/_members/3", { peerUrl: urlOf(moved) });
    await stop(3);
    await quietly(3, moved, listOf(...all));
    await stop(3);
    await quietly(3, moved, listOf(first, second, moved, fourth));
    await stop(2);
    await quietly(2, second, listOf(...all));
  }, 180_000);

  test("at the starts of a member that was restored, or recovered, by the line that the command printed", async () => {
    const [first] = await places();
    await serves(start(1, first, listOf(first)));
    const endpoint = `--endpoints=http://127.0.0.1:${first}`;
    expect((await readyloop("put", "k", "v", endpoint)).code).toBe(0);
    const backup = path.join(directory, "backup.snap");
    expect((await readyloop("snapshot", "save", backup, endpoint)).code).toBe(0);
    await stop(1);
    const printed = (stdout: string): string[] => {
      const line = stdout.split("\n").find((text) => text.includes(" start-server ")) ?? "";
      return line.split(" ").filter((flag) => /^--(data-dir|peers)=/.test(flag));
    };
    const { stdout: restored } = await readyloop(
      "snapshot",
      "restore",
      backup,
      `--data-dir=${dirOf("restored")}`,
      "--id=1",
      listOf(first),
    );
    const yes = "--yes-i-know-that-acknowledged-writes-may-be-lost";
    const { stdout: recovered } = await readyloop(
      "recover",
      `--data-dir=${dirOf(1)}`,
      "--id=1",
      `--peer-url=${urlOf(first)}`,
      yes,
    );
    for (const stdout of [restored, recovered]) {
      const flags = printed(stdout);
      expect(flags).toHaveLength(2);
      for (let times = 0; times < 2; times++) {
        await quietly(1, first, ...flags);
        await stop(1);
      }
    }
  }, 180_000);
});
