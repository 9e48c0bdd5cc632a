// snapshot save, status and restore, and what a member finds that starts from a restored directory.

import fs from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import os from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { nodeFileSystem } from "../disk/index.ts";
import { KvMap } from "../kvstore/map.ts";
import { type Running, startKvServer } from "../kvstore/testing.ts";
import { openDataDirectory } from "../member/data-directory.ts";
import { clusterIdOf } from "../member/identity.ts";
import { writeSnapshotFile } from "../member/snapshot-file.ts";
import { makeConfState, makeSnapshot } from "../raft/index.ts";
import { splitSnapshot } from "../server/snapshot-header.ts";
import { peers as peersKind } from "./flags.ts";
import { inProcess } from "./testing.ts";

let server: Running;
let directory: string;
const made: string[] = [];
beforeEach(async () => {
  server = await startKvServer();
  server.member.members = [
    { id: 1, peerUrl: "http://127.0.0.1:2380", role: "voter" },
    { id: 4, peerUrl: "http://127.0.0.1:2680", role: "learner" },
  ];
  directory = fs.mkdtempSync(path.join(os.tmpdir(), "readyloop-backup-"));
  made.push(directory);
});
afterEach(() => server.close());
afterAll(() => {
  for (const one of made) fs.rmSync(one, { recursive: true });
});

const put = async (key: string, value: string): Promise<void> => {
  expect((await fetch(`${server.url}/${key}`, { method: "PUT", body: value })).status).toBe(204);
};
const inDirectory = (name: string): string => path.join(directory, name);
const save = (file: string, ...args: string[]) =>
  inProcess("snapshot", "save", file, `--endpoints=${server.url}`, ...args);
const status = (file: string, ...args: string[]) => inProcess("snapshot", "status", file, ...args);

async function savedFile(): Promise<string> {
  await put("greeting", "hello");
  await put("big", "x".repeat(5000));
  const file = inDirectory("backup.snap");
  expect((await save(file)).code).toBe(0);
  return file;
}

describe("snapshot save", () => {
  test("makes a file that status reads: index, term, members, keys", async () => {
    const file = await savedFile();
    expect(fs.readdirSync(directory)).toEqual(["backup.snap"]);
    const { code, stdout, stderr } = await status(file);
    expect([code, stderr]).toEqual([0, ""]);
    expect(Object.fromEntries(stdout.split("\n").map((line) => line.split(/ {2,}/)))).toMatchObject({
      index: "11",
      term: "5",
      keys: "2",
      bytes: String(fs.statSync(file).size),
      checksum: expect.stringMatching(/^[0-9a-f]{8}, holds$/),
    });
    expect(stdout).toContain(
      "member    1, voter, http://127.0.0.1:2380\nmember    4, learner, http://127.0.0.1:2680\n",
    );
    expect(JSON.parse((await status(file, "--json")).stdout)).toMatchObject({
      sound: true,
      index: 11,
      keys: 2,
      members: server.member.members,
    });
  });

  test("never replaces a file, and says where there is no directory", async () => {
    const file = await savedFile();
    const before = fs.readFileSync(file);
    const again = await save(file);
    expect([again.code, again.stderr]).toEqual([1, expect.stringMatching(/is there already, and is not replaced/)]);
    expect(fs.readFileSync(file)).toEqual(before);
    expect((await save(inDirectory("none/backup.snap"))).stderr).toMatch(/there is no such directory/);
  });

  test("takes a stale copy only when asked, from a member without a leader", async () => {
    server.member.nextRead = () => ({ kind: "refused", code: "NO_LEADER", message: "no leader is known" });
    const file = inDirectory("stale.snap");
    const refused = await save(file);
    expect([refused.code, refused.stderr]).toEqual([4, expect.stringMatching(/NO_LEADER/)]);
    expect((await save(file, "--stale")).code).toBe(0);
    expect((await status(file)).code).toBe(0);
  });

  test("leaves nothing of an answer that was cut off, or damaged on the way", async () => {
    await put("greeting", "hello");
    const whole = Buffer.from(await (await fetch(`${server.url}/_snapshot`)).arrayBuffer());
    let answer: (res: http.ServerResponse) => unknown = () => undefined;
    const status = await (await fetch(`${server.url}/_status`)).text();
    const other = http
      .createServer((req, res) => {
        if (req.url === "/_status") return res.setHeader("content-type", "application/json").end(status);
        res.setHeader("content-type", "application/octet-stream");
        return answer(res);
      })
      .listen(0, "127.0.0.1");
    await new Promise((resolve) => other.once("listening", resolve));
    const url = `--endpoints=http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    const saveThere = () => inProcess("snapshot", "save", inDirectory("bad.snap"), url);
    try {
      answer = (res) => {
        res.writeHead(200, { "content-length": whole.length });
        res.write(whole.subarray(0, -10), () => res.destroy());
      };
      expect((await saveThere()).stderr).toMatch(/nothing was done.*\n.*the connection broke/);
      const next = await inProcess("snapshot", "save", inDirectory("next.snap"), `${url},${server.url}`);
      expect([next.code, fs.readdirSync(directory)]).toEqual([0, ["next.snap"]]);
      fs.rmSync(inDirectory("next.snap"));
      for (let end = 0; end < whole.length; end += 7) {
        answer = (res) => void res.end(whole.subarray(0, end));
        expect((await saveThere()).code, `the first ${end} bytes`).toBe(5);
      }
      for (let at = 0; at < whole.length; at += 5) {
        const bytes = Buffer.from(whole);
        bytes[at]! ^= 4;
        answer = (res) => res.end(bytes);
        expect((await saveThere()).code, `a flipped bit at ${at}`).toBe(5);
      }
      expect(fs.readdirSync(directory)).toEqual([]);
      answer = (res) => res.end(whole);
      expect((await saveThere()).code).toBe(0);
    } finally {
      other.closeAllConnections();
      other.close();
    }
  });
});

describe("snapshot status", () => {
  test("tells damage at any bit, and any lost end, by its exit code", async () => {
    await put("greeting", "hello");
    const file = inDirectory("small.snap");
    await save(file);
    const bytes = fs.readFileSync(file);
    for (let at = 0; at < bytes.length; at += 3) {
      const flipped = Buffer.from(bytes);
      flipped[at]! ^= 1 << (at % 8);
      fs.writeFileSync(file, flipped);
      expect((await status(file)).code, `a flipped bit at ${at}`).toBe(1);
    }
    for (let size = 0; size < bytes.length; size += 5) {
      fs.writeFileSync(file, bytes.subarray(0, size));
      expect((await status(file)).code, `${size} bytes`).toBe(1);
    }
    const { stderr, stdout } = await status(file, "--json");
    expect(JSON.parse(stdout)).toEqual({ sound: false, reason: expect.stringContaining("not a sound snapshot") });
    expect(stderr).toContain(`${file} cannot be used`);
  });

  test("tells a sound snapshot of another program", async () => {
    const file = inDirectory("other.snap");
    const metadata = makeSnapshot(3, 1, makeConfState({ voters: [1] })).metadata;
    await writeSnapshotFile(
      nodeFileSystem,
      file,
      metadata,
      (async function* () {
        yield Buffer.from("{another program's}");
      })(),
    );
    const { code, stdout } = await status(file, "--json");
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toEqual({
      sound: false,
      reason: expect.stringMatching(/has version 123, and only 1 is known here/),
    });
  });

  test("has one line for a file that is not there", async () => {
    const { code, stderr } = await status(inDirectory("none.snap"));
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^readyloop: open .*none\.snap.*\n$/)]);
  });
});

describe("snapshot restore", () => {
  const peers = "http://127.0.0.1:3001,http://127.0.0.1:3002,http://127.0.0.1:3003";
  const restore = (file: string, id: number, ...args: string[]) =>
    inProcess(
      "snapshot",
      "restore",
      file,
      `--id=${id}`,
      `--data-dir=${inDirectory(`m${id}`)}`,
      `--peers=${peers}`,
      ...args,
    );
  const open = (id: number) => openDataDirectory({ fileSystem: nodeFileSystem, path: inDirectory(`m${id}`), id });

  test("makes a directory that starts from the data, with the members of --peers and no others", async () => {
    const file = await savedFile();
    const { code, stdout, stderr } = await restore(file, 2);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("start-server --id=2 ");
    expect(fs.readdirSync(inDirectory("m2"))).toEqual(["member"]);
    const { log, snapshots } = await open(2);
    expect(log?.recovered).toMatchObject({
      snapshot: { index: 11, term: 5, confState: { voters: [1, 2, 3], learners: [] } },
      hardState: { term: 5, vote: 0, commit: 11 },
      entries: [],
    });
    const { state, rest } = await splitSnapshot(snapshots.read({ index: 11, term: 5 }));
    expect(state.removed).toEqual([]);
    expect(state.members.map(({ id, url, incarnation }) => [id, url, incarnation])).toEqual([
      [1, "http://127.0.0.1:3001", 0],
      [2, "http://127.0.0.1:3002", 0],
      [3, "http://127.0.0.1:3003", 0],
    ]);
    const map = new KvMap();
    await map.restore(rest);
    expect(map.size).toBe(2);
    await log?.wal.close();
    await snapshots.close();
    expect((await inProcess("wal", "verify", `--data-dir=${inDirectory("m2")}`)).code).toBe(0);
  });

  test("gives all members one cluster id, which neither an empty cluster nor another restoration has", async () => {
    const file = await savedFile();
    const seen: (number | undefined)[] = [];
    const incarnations = new Set<number | undefined>();
    for (const id of [1, 2, 3]) {
      await restore(file, id, ...(id === 3 ? ["--token=again"] : []));
      const { log, snapshots } = await open(id);
      seen.push(log?.clusterId);
      incarnations.add(log?.incarnation);
      await log?.wal.close();
      await snapshots.close();
    }
    expect(seen[0]).toBe(seen[1]);
    expect(new Set([...seen, clusterIdOf(peersKind.read(peers, "--peers"))]).size).toBe(3);
    expect(incarnations.size).toBe(3);
  });

  test("refuses a directory that is not empty, a member that --peers does not name, and a damaged file", async () => {
    const file = await savedFile();
    fs.mkdirSync(inDirectory("m1"));
    fs.writeFileSync(inDirectory("m1/precious"), "");
    const notEmpty = await restore(file, 1);
    expect([notEmpty.code, notEmpty.stderr]).toEqual([1, expect.stringMatching(/is not empty \(precious\)/)]);
    const stranger = await restore(file, 9);
    expect([stranger.code, stranger.stderr]).toEqual([
      2,
      expect.stringMatching(/--id=9 is not in --peers, which names 1, 2, 3/),
    ]);
    const bytes = fs.readFileSync(file);
    bytes[bytes.length >> 1]! ^= 1;
    fs.writeFileSync(file, bytes);
    expect((await restore(file, 2)).code).toBe(1);
    expect(fs.existsSync(inDirectory("m2"))).toBe(false);
  });

  test("goes over what a try left that was cut short", async () => {
    const file = await savedFile();
    fs.mkdirSync(inDirectory("m1/member.new/wal"), { recursive: true });
    fs.writeFileSync(inDirectory("m1/member.new/wal/0000000000000000-0000000000000000.wal"), "half");
    expect((await restore(file, 1)).code).toBe(0);
    expect(fs.readdirSync(inDirectory("m1"))).toEqual(["member"]);
  });
});
