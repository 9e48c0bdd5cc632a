// What snapshots cost: how long the loop stands still while a million keys are written down and writes go on, how long
// a new member takes to get them, and how many writes a second are left with a snapshot every 10,000 entries.
//
//     npm run bench:snapshots [-- --keys=1000000 --puts=5000 --seconds=5]      the last figure needs wrk
//
// The first is one whole member in this process, log and disk included: the delay of a timer that should fire each
// millisecond, beside the same writes before the snapshot. A heartbeat is due every 100 ms. The others are processes on
// loopback.

import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { countFlag, readFlags } from "../command-line/script-flags.ts";
import { encodePut } from "../kvstore/command.ts";
import { put, type TestMember, TestServers } from "../server/testing.ts";
import { MemberProcess, TestCluster, until } from "../test/cluster.ts";
import { measure, mustHave } from "./measuring.ts";

const flags = readFlags({
  name: "bench:snapshots",
  does: "What snapshots cost: the loop's pause, a new member's wait, the writes that are left.",
  flags: {
    keys: countFlag("keys", 1_000_000, "in the map"),
    puts: countFlag("puts", 5000, "writes a second meanwhile"),
    seconds: countFlag("seconds", 5, "length of the last measurement, which needs wrk; 0 leaves it out", 0),
  },
});
const { keys, seconds } = flags;
const putsPerSecond = flags.puts;
const value = new Uint8Array(128).fill(120);

async function fill({ server }: TestMember): Promise<void> {
  for (let i = 0; i < keys; i += 1000) {
    const batch = Array.from({ length: Math.min(1000, keys - i) }, (_, j) => encodePut(`key-${i + j}`, value));
    await Promise.all(batch.map((command) => server.propose(command)));
  }
}

/** Writes at the given rate until it is stopped; resolves to how many writes were acknowledged. */
function writeOn({ server }: TestMember): () => Promise<number> {
  const began = performance.now();
  const writes: Promise<unknown>[] = [];
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - began) / 1000) * putsPerSecond);
    while (writes.length < due)
      writes.push(server.propose(encodePut(`key-${Math.floor(Math.random() * keys)}`, value)));
  }, 2);
  return async () => {
    clearInterval(timer);
    return (await Promise.all(writes)).length;
  };
}

async function delayDuring(what: string, work: () => Promise<void>): Promise<void> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const began = performance.now();
  delay.enable();
  await work();
  delay.disable();
  const ms = (ns: number): string => `${(ns / 1e6).toFixed(1)} ms`;
  const took = `${Math.round(performance.now() - began)} ms`;
  console.log(`| ${what} | ${took} | ${ms(delay.max)} | ${ms(delay.percentile(99))} | ${ms(delay.percentile(50))} |`);
}

/** The stall, and a data directory with a snapshot of all keys. */
async function stall(): Promise<{ directory: string; port: number; end: () => Promise<void> }> {
  const servers = await TestServers.create();
  // One snapshot, some time after the filling.
  const snapshotCount = keys + 4 * putsPerSecond;
  const server = { tickMs: 100, snapshotCount, snapshotCatchupEntries: 5000, requestTimeoutMs: 60_000 };
  const [member] = (await servers.startCluster(1, { server })) as [TestMember];
  await fill(member);
  console.log(`${member.map.size} keys of 128 bytes, ${putsPerSecond} writes a second\n`);
  console.log("| | took | longest stall | p99 | p50 |\n|---|---|---|---|---|");
  const stop = writeOn(member);
  const files = (): string[] => fs.readdirSync(path.join(member.directory, "member", "snap"));
  await delayDuring("without a snapshot", () => new Promise((resolve) => setTimeout(resolve, 3000)));
  await until(async () => (files().length > 0 ? true : undefined));
  await delayDuring("while it is written", () =>
    until(async () => (member.server.status().snapshot > 0 ? true : undefined)).then(() => undefined),
  );
  await stop();
  const [name] = files().filter((file) => file.endsWith(".snap"));
  const bytes = fs.statSync(path.join(member.directory, "member", "snap", name as string)).size;
  console.log(`\nThe snapshot's file has ${(bytes / 1e6).toFixed(1)} MB.`);
  await member.server.propose(put("last"));
  await member.stop();
  return { directory: member.directory, port: Number(new URL(member.url).port), end: () => servers.end() };
}

async function listening(member: MemberProcess): Promise<MemberProcess> {
  const { clientPort } = await member.line((l) => l.clientPort !== undefined);
  member.clientUrl = `http://127.0.0.1:${clientPort}`;
  return member;
}

/** A member that has nothing joins a cluster of one that has a million keys. */
async function catchUp(directory: string, port: number): Promise<void> {
  const quiet = ["--client-port=0", "--snapshot-count=100000000"];
  const peers = `--peers=http://127.0.0.1:${port}`;
  const first = new MemberProcess(1, [...quiet, peers, `--data-dir=${directory}`, `--peer-port=${port}`]);
  await listening(first);
  await until(async () => ((await first.status()).leader === 1 ? true : undefined));
  const peerUrl = "http://127.0.0.1:1"; // told in a moment, once its port is known
  const add = (method: string, at: string, body: object): Promise<Response> =>
    first.fetch(at, { method, body: JSON.stringify(body), headers: { "content-type": "application/json" } });
  await add("POST", "/_members", { id: 2, peerUrl, learner: true });
  const began = performance.now();
  const second = new MemberProcess(2, [...quiet, peers, "--join", "--peer-port=0", `--data-dir=${directory}-2`]);
  const { peerPort } = await second.line((l) => l.peerPort !== undefined);
  await add("PUT", "/_members/2", { peerUrl: `http://127.0.0.1:${peerPort}` });
  await listening(second);
  await until(async () => {
    const [leader, joiner] = await Promise.all([first.status(), second.status()]);
    return joiner.snapshot > 0 && joiner.applied >= leader.commit ? true : undefined;
  });
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`\nA new member had all ${keys} keys ${seconds} s after the start of its process.`);
  await Promise.all([first.kill("SIGKILL"), second.kill("SIGKILL")]);
  fs.rmSync(`${directory}-2`, { recursive: true });
}

async function wrk(url: string): Promise<number> {
  const script = path.join(import.meta.dirname, "put.lua");
  const child = spawn("wrk", ["-t2", "-c100", `-d${seconds}s`, "-s", script, url], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.on("data", (chunk) => {
    text += chunk;
  });
  await once(child, "close");
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]);
}

/** Turn by turn, since the machine's speed drifts. */
async function rates(): Promise<void> {
  const often = await TestCluster.start(1, "--log-level=info");
  const never = await TestCluster.start(1, "--snapshot-count=1000000000");
  console.log("\n| writes a second, 100 connections | a snapshot every 10,000 | none | ratio |\n|---|---|---|---|");
  for (let round = 1; round <= 3; round++) {
    const without = await wrk(never.member(1).clientUrl);
    const ratio = await wrk(often.member(1).clientUrl);
    console.log(`| run ${round} | ${Math.round(ratio)} | ${Math.round(without)} | ${(ratio / without).toFixed(2)} |`);
  }
  const taken = often.member(1).lines.filter((l) => l.msg.startsWith("wrote snapshot")).length;
  console.log(`\n${taken} snapshots were taken.`);
  await Promise.all([often.stop(), never.stop()]);
}

if (seconds > 0) mustHave("bench:snapshots", "wrk");
await measure(
  "bench:snapshots",
  [`--keys=${keys}`, `--puts=${putsPerSecond}`, `--seconds=${seconds}`],
  async (): Promise<void> => {
    const { directory, port, end } = await stall();
    await catchUp(directory, port);
    await end();
    if (seconds > 0) await rates();
  },
);
