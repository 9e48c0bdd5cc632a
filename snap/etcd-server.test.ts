// etcd itself as the judge: a member of etcd 3.4 takes snapshots, our code reads them and writes them anew, and etcd
// starts from our files. Skipped without an etcd on the path.
//
// The member listens on Unix sockets in its own directory, so that it needs no port. etcd makes a member's id from a
// hash of its address and the cluster's token; the token is chosen so that the id is below 2^53.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { removeTemporary, temporary } from "../disk/testing.ts";
import { chunksOf, closeStores, collect, filesIn, openStore } from "./testing.ts";

const installed = spawnSync("etcd", ["--version"]).status === 0 && spawnSync("etcdctl", ["version"]).status === 0;
const children: ChildProcess[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) await stop(child);
  await closeStores();
});
afterAll(removeTemporary);

const peerUrl = "http://localhost:2";
const idOf = (token: string): bigint => createHash("sha1").update(`${peerUrl}${token}`).digest().readBigUInt64BE();

function smallToken(): string {
  for (let i = 0; ; i++) if (idOf(`token-${i}`) < 2n ** 53n) return `token-${i}`;
}

/** Starts a member over `<home>/data`; resolves, once it serves clients, to its log, which goes on growing. */
async function start(home: string): Promise<{ child: ChildProcess; log: string[] }> {
  const flags = {
    "data-dir": "data",
    "snapshot-count": "10",
    "initial-cluster-token": smallToken(),
    "listen-client-urls": "unix://client:1",
    "advertise-client-urls": "http://localhost:1",
    "listen-peer-urls": "unix://peer:1",
    "initial-advertise-peer-urls": peerUrl,
    "initial-cluster": `default=${peerUrl}`,
  };
  const parameters = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const child = spawn("etcd", parameters, { cwd: home, stdio: ["ignore", "ignore", "pipe"] });
  children.push(child);
  const log: string[] = [];
  await new Promise<void>((resolve, reject) => {
    readline.createInterface({ input: child.stderr as NodeJS.ReadableStream }).on("line", (line) => {
      log.push(line);
      if (line.includes("ready to serve client requests")) resolve();
    });
    child.once("exit", () => reject(new Error(`etcd did not start:\n${log.join("\n")}`)));
  });
  return { child, log };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  await gone;
}

function etcdctl(home: string, ...words: string[]): string {
  const env = { ...process.env, ETCDCTL_API: "3" };
  const done = spawnSync("etcdctl", ["--endpoints", "unix://client:1", ...words], { cwd: home, env, encoding: "utf8" });
  if (done.status !== 0) throw new Error(`etcdctl ${words.join(" ")}: ${done.stderr}`);
  return done.stdout;
}

/** A stopped member with some snapshots behind it. */
async function usedMember(): Promise<{ home: string; directory: string }> {
  const home = temporary();
  const { child } = await start(home);
  for (let i = 0; i < 25; i++) etcdctl(home, "put", `key-${i}`, `value-${i}`);
  await stop(child);
  return { home, directory: path.join(home, "data/member/snap") };
}

const snapshotsIn = (directory: string): string[] => filesIn(directory).filter((name) => name.endsWith(".snap"));

describe.skipIf(!installed)("a member of etcd", () => {
  test("starts from a snapshot of its own data that Snapshotter has read and written", async () => {
    const { home, directory } = await usedMember();
    const { store } = await openStore({ directory });
    const all = await store.list();
    expect(all.length).toBeGreaterThanOrEqual(2);
    const newest = await store.newest(all);
    if (newest === undefined) throw new Error("no snapshot was found");
    expect(newest.confState.voters).toEqual([Number(idOf(smallToken()))]);
    const data = await collect(store.read(newest));
    expect(JSON.parse(data.toString())).toHaveProperty("Root");
    const file = path.join(directory, snapshotsIn(directory).at(-1) as string);
    const theirs = fs.readFileSync(file);
    await store.save(newest, chunksOf(data, 999));
    expect(fs.readFileSync(file).equals(theirs)).toBe(false); // longer, by the padding of the numbers
    await store.close();
    const { log } = await start(home);
    expect(log.join("\n")).toMatch(new RegExp(`recovered store from snapshot at index ${newest.index}`));
    expect(etcdctl(home, "get", "key-24")).toBe("key-24\nvalue-24\n");
    expect(filesIn(directory).filter((name) => name.endsWith(".broken"))).toEqual([]);
  });

  test("finds the same snapshots broken that Snapshotter finds broken", async () => {
    const { home, directory } = await usedMember();
    const { store } = await openStore({ directory });
    const newest = (await store.list()).at(-1) as { index: number; term: number };
    await store.save(await store.verify(newest), chunksOf(await collect(store.read(newest))));
    const name = snapshotsIn(directory).at(-1) as string;
    const bytes = fs.readFileSync(path.join(directory, name));
    bytes[100] = (bytes[100] as number) ^ 1;
    fs.writeFileSync(path.join(directory, name), bytes);
    await expect(store.verify(newest)).rejects.toMatchObject({ code: "DAMAGED" });
    await store.close();
    await start(home);
    expect(filesIn(directory)).toContain(`${name}.broken`);
  });
});
