// One member as a process: what it acknowledges survives kill -9, and what it finds damaged it refuses.

import { once } from "node:events";
import fs from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { MemberProcess, TestCluster, until } from "./cluster.ts";

let cluster: TestCluster;
afterEach(() => cluster.stop());

async function lastSegment(): Promise<string> {
  const directory = path.join(cluster.dataDir(1), "member", "wal");
  const names = (await fs.readdir(directory)).filter((name) => name.endsWith(".wal")).sort();
  return path.join(directory, names[names.length - 1] as string);
}

/** The offset behind the last byte that is not zero. */
function usedSize(bytes: Uint8Array): number {
  return bytes.findLastIndex((byte) => byte !== 0) + 1;
}

async function flip(file: string, offset: number): Promise<void> {
  const bytes = await fs.readFile(file);
  bytes[offset] = (bytes[offset] as number) ^ 0x10;
  await fs.writeFile(file, bytes);
}

/** The status of GET /_health with this Host header, which fetch would not send. */
async function healthAs(host: string): Promise<number | undefined> {
  const request = http.get(`${cluster.member(1).clientUrl}/_health`, { headers: { host } });
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  response.resume();
  return response.statusCode;
}

describe("one member", () => {
  test("answers to IP addresses, localhost, --host as typed and --allowed-hosts, and to no other name", async () => {
    cluster = await TestCluster.start(1, "--host=127.1", "--allowed-hosts=kv.example,kv");
    for (const host of ["localhost:1", "127.0.0.1", "127.1:2379", "kv.example:80", "KV"]) {
      expect([host, await healthAs(host)]).toEqual([host, 200]);
    }
    for (const host of ["127.2.1", "kv.example.org", "example"]) {
      expect([host, await healthAs(host)]).toEqual([host, 421]);
    }
  });

  test("serves put, get and delete, and keeps everything over kill -9 and a restart", async () => {
    cluster = await TestCluster.start(1);
    const member = cluster.member(1);
    expect((await member.fetch("/a", { method: "PUT", body: "1" })).status).toBe(204);
    expect((await member.fetch("/b", { method: "PUT", body: "2" })).status).toBe(204);
    expect((await member.fetch("/a", { method: "DELETE" })).status).toBe(204);
    expect(await (await member.fetch("/b")).text()).toBe("2");
    await cluster.kill(1);

    const again = await cluster.startMember(1);
    await cluster.leader();
    expect((await again.fetch("/a")).status).toBe(404);
    expect(await (await again.fetch("/b")).text()).toBe("2");
  });

  test("says in its first lines where it listens, where its data lies, and what to try", async () => {
    cluster = await TestCluster.start(1);
    const text = cluster
      .member(1)
      .lines.map((l) => l.msg)
      .join("\n");
    expect(text).toContain(`serves clients on ${cluster.member(1).clientUrl}`);
    expect(text).toContain(`the data directory is ${cluster.dataDir(1)}`);
    expect(text).toContain(`try: curl -X PUT ${cluster.member(1).clientUrl}/greeting`);
  });

  test("ends with exit code 0 on SIGTERM, and what it held is there again", async () => {
    cluster = await TestCluster.start(1);
    await cluster.member(1).fetch("/k", { method: "PUT", body: "v" });
    expect(await cluster.kill(1, "SIGTERM")).toBe(0);
    const again = await cluster.startMember(1);
    await cluster.leader();
    expect(await (await again.fetch("/k")).text()).toBe("v");
  });

  test("refuses a directory that another process holds, and the holder serves on", async () => {
    cluster = await TestCluster.start(1);
    const second = new MemberProcess(1, cluster.args(1));
    expect(await second.end()).toBe(1);
    expect(second.stderr).toContain(cluster.dataDir(1));
    expect((await cluster.member(1).fetch("/k", { method: "PUT", body: "v" })).status).toBe(204);
  });

  test("refuses a directory of another member", async () => {
    cluster = await TestCluster.start(1);
    await cluster.kill(1, "SIGTERM");
    const args = cluster.args(1).map((arg) => (arg.startsWith("--peers=") ? "--peers=2=http://127.0.0.1:1" : arg));
    const stranger = new MemberProcess(2, args);
    expect(await stranger.end()).toBe(1);
    expect(stranger.stderr).toContain(`${cluster.dataDir(1)} holds the log of member 1, not of member 2: `);
  });

  test("cuts off a torn last record, keeps a copy, and has all that was acknowledged before it", async () => {
    cluster = await TestCluster.start(1);
    await cluster.member(1).fetch("/k", { method: "PUT", body: "v" });
    await cluster.kill(1);
    const file = await lastSegment();
    const bytes = await fs.readFile(file);
    const used = usedSize(bytes);
    // The beginning of a record whose rest never reached the disk.
    bytes.set([0x40, 0, 0, 0, 0, 0, 0, 0, 0x08, 0x02, 0x10], (used + 7) & ~7);
    await fs.writeFile(file, bytes);

    const again = await cluster.startMember(1);
    await again.line((l) => l.msg.includes("cut a torn write"));
    await cluster.leader();
    expect(await (await again.fetch("/k")).text()).toBe("v");
    const names = await fs.readdir(path.dirname(file));
    expect(names).toContain(`${path.basename(file)}.broken`);
  });

  test("refuses to start on a flipped byte in what was durable, and names file and offset", async () => {
    cluster = await TestCluster.start(1);
    for (const key of ["/a", "/b", "/c"]) await cluster.member(1).fetch(key, { method: "PUT", body: "v".repeat(100) });
    await cluster.kill(1, "SIGTERM");
    const file = await lastSegment();
    await flip(file, Math.floor(usedSize(await fs.readFile(file)) / 2));

    const damaged = new MemberProcess(1, cluster.args(1));
    expect(await damaged.end()).toBe(1);
    expect(damaged.stderr).toContain(file);
    expect(damaged.stderr).toMatch(/offset \d+/);
    expect(damaged.stderr).toMatch(/replace/i);
  });

  test("a write is refused or answered, never lost, when it stops in the middle of a stream of them", async () => {
    cluster = await TestCluster.start(1);
    const member = cluster.member(1);
    const done: string[] = [];
    const writers = Array.from({ length: 8 }, async (_, w) => {
      for (let i = 0; ; i++) {
        const response = await member.fetch(`/${w}-${i}`, { method: "PUT", body: "v" }).catch(() => undefined);
        if (response?.status !== 204) return;
        done.push(`/${w}-${i}`);
      }
    });
    await until(async () => (done.length > 200 ? true : undefined));
    await cluster.kill(1);
    await Promise.all(writers);

    const again = await cluster.startMember(1);
    await cluster.leader();
    for (const key of done) expect((await again.fetch(`${key}?consistency=stale`)).status).toBe(200);
  });
});
