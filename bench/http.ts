// Requests a second over HTTP: this server with one member and with three, beside etcd and a bare node:http server, in
// one run.
//
//     npm run bench [-- --seconds=10 --dir=DIR]     10 and 100 connections; needs wrk, and etcd for the comparison
//
// Each figure is one wrk run of 128-byte values against the leader, on loopback, logs in DIR (measuring.ts). The
// machine's speed drifts: compare figures of one run only, and read the ratios.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { countFlag, readFlags } from "../command-line/script-flags.ts";
import { dataDirectory, directoryFlag, measure, mustHave } from "./measuring.ts";

const flags = readFlags({
  name: "bench",
  does: "Requests a second over HTTP: one member and three, beside etcd and a bare server. Needs wrk, and etcd for the comparison.",
  flags: { seconds: countFlag("seconds", 10, "length of each measurement"), dir: directoryFlag() },
});
const { seconds } = flags;
const here = import.meta.dirname;
mustHave("bench", "wrk");
const dataRoot = dataDirectory("bench", flags.dir);
const children: ChildProcess[] = [];

interface Figure {
  readonly what: string;
  readonly connections: number;
  readonly perSecond: number;
  readonly p50: string;
  readonly p99: string;
}

const figures: Figure[] = [];

function wrk(what: string, connections: number, url: string, script: string, ...args: string[]): Promise<void> {
  const flags = [
    "-t2",
    `-c${connections}`,
    `-d${seconds}s`,
    "--latency",
    "-s",
    path.join(here, script),
    url,
    "--",
    ...args,
  ];
  const child = spawn("wrk", flags, { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.on("data", (chunk) => {
    text += chunk;
  });
  return once(child, "close").then(() => {
    const failed = /Non-2xx or 3xx responses: (\d+)/.exec(text);
    if (failed !== null) throw new Error(`${what}: ${failed[1]} requests failed`);
    const find = (pattern: RegExp): string => pattern.exec(text)?.[1] ?? "?";
    const perSecond = Number(find(/Requests\/sec:\s+([\d.]+)/));
    figures.push({ what, connections, perSecond, p50: find(/^ +50% +(\S+)/m), p99: find(/^ +99% +(\S+)/m) });
    console.log(`${what}, ${connections} connections: ${Math.round(perSecond)}/s`);
  });
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => net.createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((s) => once(s, "listening")));
  const ports = servers.map((s) => (s.address() as net.AddressInfo).port);
  await Promise.all(servers.map((s) => new Promise((resolve) => s.close(resolve))));
  return ports;
}

async function poll<T>(attempt: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const result = await attempt().catch(() => undefined);
    if (result !== undefined) return result;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function start(command: string, args: string[]): void {
  children.push(spawn(command, args, { stdio: "ignore" }));
}

async function stopAll(): Promise<void> {
  const running = children.splice(0);
  for (const child of running) child.kill("SIGKILL");
  await Promise.all(running.map((child) => child.exitCode ?? child.signalCode ?? once(child, "close")));
}

/** Starts this server and resolves to the leader's client URL. */
async function startOurs(size: number): Promise<string> {
  const ports = await freePorts(2 * size);
  const peers = ports.slice(0, size).map((p) => `http://127.0.0.1:${p}`);
  const clients = ports.slice(size).map((p) => `http://127.0.0.1:${p}`);
  for (let i = 0; i < size; i++) {
    start(process.execPath, [
      ...[
        "--import",
        "tsx",
        path.join(here, "../main.ts"),
        "start-server",
        `--id=${i + 1}`,
        `--peers=${peers.join(",")}`,
      ],
      ...[
        `--peer-port=${ports[i]}`,
        `--client-port=${ports[size + i]}`,
        `--data-dir=${path.join(dataRoot, `ours-${size}-${i}`)}`,
      ],
      "--log-level=warn",
    ]);
  }
  return poll(async () => {
    const { leader } = (await (await fetch(`${clients[0]}/_status`)).json()) as { leader: number };
    return leader === 0 ? undefined : clients[leader - 1];
  });
}

/** Starts etcd and resolves to its leader's client URL. */
async function startEtcd(size: number): Promise<string> {
  const ports = await freePorts(2 * size);
  const peers = ports.slice(0, size).map((p) => `http://127.0.0.1:${p}`);
  const clients = ports.slice(size).map((p) => `http://127.0.0.1:${p}`);
  const cluster = peers.map((url, i) => `m${i}=${url}`).join(",");
  for (let i = 0; i < size; i++) {
    start("etcd", [
      ...["--name", `m${i}`, "--data-dir", path.join(dataRoot, `etcd-${size}-${i}`), "--log-level", "error"],
      ...["--listen-peer-urls", peers[i] as string, "--initial-advertise-peer-urls", peers[i] as string],
      ...["--listen-client-urls", clients[i] as string, "--advertise-client-urls", clients[i] as string],
      ...["--initial-cluster", cluster, "--initial-cluster-state", "new"],
    ]);
  }
  const status = async (url: string): Promise<{ header: { member_id: string }; leader: string }> =>
    (await fetch(`${url}/v3/maintenance/status`, { method: "POST", body: "{}" })).json() as never;
  return poll(async () => {
    const all = await Promise.all(clients.map(status));
    const lead = all.findIndex((s) => s.leader !== undefined && s.leader !== "0" && s.header.member_id === s.leader);
    return lead < 0 ? undefined : clients[lead];
  });
}

function report(): void {
  const rate = (what: string, connections: number): number | undefined =>
    figures.find((f) => f.what === what && f.connections === connections)?.perSecond;
  console.log(
    "\n| | connections | requests/s | p50 | p99 | of etcd | of bare node:http |\n|---|---|---|---|---|---|---|",
  );
  for (const { what, connections, perSecond, p50, p99 } of figures) {
    const size = /, (one|three)/.exec(what)?.[1];
    const etcd = what.startsWith("PUT") ? rate(`etcd put, ${size}`, connections) : undefined;
    const bare = what.startsWith("PUT") ? rate("bare node:http, 204", connections) : undefined;
    const of = (base: number | undefined): string => (base === undefined ? "" : (perSecond / base).toFixed(2));
    console.log(
      `| ${what} | ${connections} | ${Math.round(perSecond)} | ${p50} | ${p99} | ${of(etcd)} | ${of(bare)} |`,
    );
  }
}

async function run(): Promise<void> {
  let etcd = true;
  try {
    console.log(execFileSync("etcd", ["--version"]).toString().split("\n")[0]);
  } catch {
    etcd = false;
    console.log("etcd is not installed: no comparison");
  }
  for (const connections of [10, 100]) {
    const [port] = await freePorts(1);
    start(process.execPath, ["--import", "tsx", path.join(here, "bare.ts"), String(port)]);
    const bareUrl = `http://127.0.0.1:${port}`;
    await poll(async () => ((await fetch(bareUrl)).status === 204 ? true : undefined));
    await wrk("bare node:http, 204", connections, bareUrl, "put.lua");
    await stopAll();
    for (const [size, name] of [
      [1, "one"],
      [3, "three"],
    ] as const) {
      if (etcd) {
        await wrk(`etcd put, ${name}`, connections, await startEtcd(size), "etcd-put.lua");
        await stopAll();
      }
      const url = await startOurs(size);
      await wrk(`PUT, ${name}`, connections, url, "put.lua");
      await wrk(`GET linearizable, ${name}`, connections, url, "get.lua");
      await wrk(`GET stale, ${name}`, connections, url, "get.lua", "?consistency=stale");
      await stopAll();
      fs.rmSync(dataRoot, { recursive: true });
      fs.mkdirSync(dataRoot);
    }
  }
  report();
}

await measure(
  "bench",
  [`--seconds=${seconds}`, ...(flags.dir === undefined ? [] : [`--dir=${flags.dir}`])],
  async () => {
    try {
      await run();
    } finally {
      await stopAll();
      fs.rmSync(dataRoot, { recursive: true, force: true });
    }
  },
);
