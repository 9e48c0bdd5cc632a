// How long the roads through the house are: the files and functions that one request enters, by V8's precise coverage.
//
//     npm run bench:journeys [-- --tree=DIR]       DIR: another checkout of this project, to compare with
//
// Three members, each a process. Each counts calls from its first line on; the count is taken before and after a
// journey, and what was called in between is the journey. A tick is a second here, so that none falls into a journey
// often; of several tries the one with the fewest calls counts. Only the project's own files count, without the top
// level of a module.
//
//     PUT at the leader, PUT at a follower that does not serve it (append, commit and apply), heartbeat at a follower,
//     linearizable GET at the leader, a membership request at a follower (promote), a snapshot sent by the leader to a
//     follower, start-up with a log and without one

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readFlags, textFlag } from "../command-line/script-flags.ts";

const here = path.resolve(import.meta.dirname, "..");
const { tree = here } = readFlags({
  name: "bench:journeys",
  does: "The files and functions that a PUT, a GET, a heartbeat, a change of the members, a snapshot and a start enter.",
  flags: { tree: textFlag("the checkout to measure; this one unless given") },
});
const root = path.resolve(tree);
const tickMs = 1000;

/** What was called since the last count was taken, by file. */
interface Count {
  readonly files: number;
  readonly functions: number;
  readonly calls: number;
}

/** Runs in the member: answers each message with what was called since the one before. */
const counter = `
  import { Session } from "node:inspector/promises";
  const session = new Session();
  session.connect();
  await session.post("Profiler.enable");
  await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false });
  process.on("message", async () => {
    const { result } = await session.post("Profiler.takePreciseCoverage");
    process.send(result.filter(({ url }) => url.startsWith(${JSON.stringify(`file://${root}/`)}) && !url.includes("node_modules")));
  });
  process.channel?.unref();
`;

interface Script {
  readonly url: string;
  readonly functions: readonly {
    readonly functionName: string;
    readonly ranges: readonly { startOffset: number; count: number }[];
  }[];
}

class Member {
  readonly id: number;
  readonly clientUrl: string;
  readonly #child: ChildProcess;
  #log = "";

  constructor(id: number, clientPort: number, args: readonly string[]) {
    this.id = id;
    this.clientUrl = `http://127.0.0.1:${clientPort}`;
    const hook = `data:text/javascript,${encodeURIComponent(counter)}`;
    const loaders = ["--import", `file://${here}/node_modules/tsx/dist/loader.mjs`, "--import", hook];
    this.#child = spawn(process.execPath, [...loaders, path.join(root, "main.ts"), ...args], {
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream?.on("data", (text) => (this.#log += text));
  }

  async take(): Promise<Count> {
    this.#child.send("take");
    const [scripts] = (await once(this.#child, "message")) as [Script[]];
    let functions = 0;
    let calls = 0;
    const files = new Set<string>();
    for (const { url, functions: all } of scripts) {
      for (const { functionName, ranges } of all) {
        const [range] = ranges;
        if (range === undefined || range.count === 0 || (functionName === "" && range.startOffset === 0)) continue;
        files.add(url);
        functions++;
        calls += range.count;
      }
    }
    return { files: files.size, functions, calls };
  }

  async status(): Promise<{ leader: number; snapshot: number } | undefined> {
    const answer = await fetch(`${this.clientUrl}/_status`).catch(() => undefined);
    return answer?.ok === true ? ((await answer.json()) as { leader: number; snapshot: number }) : undefined;
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, "close");
    this.#child.kill(signal);
    await closed;
  }

  get text(): string {
    return this.#log;
  }
}

async function until<T>(what: string, attempt: () => Promise<T | undefined | false>): Promise<T> {
  for (const deadline = performance.now() + 60_000; performance.now() < deadline; await sleep(20)) {
    const found = await attempt();
    if (found !== undefined && found !== false) return found;
  }
  throw new Error(`${what}: not within a minute\n${[...members.values()].map((m) => m.text.slice(-2000)).join("\n")}`);
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => net.createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

const dataRoot = fs.mkdtempSync(path.join(os.tmpdir(), "readyloop-journeys-"));
const ports = await freePorts(8);
const members = new Map<number, Member>();
const urlOf = (id: number): string => `http://127.0.0.1:${ports[2 * id - 1]}`;

function start(id: number, ...extra: string[]): Member {
  const founders = [1, 2, 3].map(urlOf).join(",");
  const clientPort = ports[2 * id - 2] as number;
  const ownPorts = [`--peer-port=${ports[2 * id - 1]}`, `--client-port=${clientPort}`];
  const timing = [`--tick-ms=${tickMs}`, "--election-ticks=4", "--snapshot-count=50", "--snapshot-catchup-entries=1"];
  const where = [`--id=${id}`, `--peers=${founders}`, `--data-dir=${path.join(dataRoot, String(id))}`];
  const member = new Member(id, clientPort, [
    "start-server",
    ...where,
    ...ownPorts,
    ...timing,
    "--log-level=warn",
    ...extra,
  ]);
  members.set(id, member);
  return member;
}

const member = (id: number): Member => members.get(id) as Member;
const other = (id: number): number => (id % 3) + 1;

async function request(from: Member, method: string, where: string, body?: unknown): Promise<void> {
  const isJson = typeof body === "object";
  const answer = await fetch(from.clientUrl + where, {
    method,
    ...(body === undefined ? {} : { body: isJson ? JSON.stringify(body) : String(body) }),
    ...(isJson ? { headers: { "content-type": "application/json" } } : {}),
  });
  const said = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${where}: ${answer.status} ${said}`);
}

/** Of several tries the one with the fewest calls: the others had a tick in them. */
async function journey(what: string, at: Member, go: () => Promise<void>, tries = 8): Promise<void> {
  let best: Count | undefined;
  for (let i = 0; i < tries; i++) {
    await at.take();
    await go();
    const count = await at.take();
    if (best === undefined || count.calls < best.calls) best = count;
  }
  report(what, best as Count);
}

function report(what: string, { files, functions, calls }: Count): void {
  console.log(
    `${what.padEnd(58)} ${String(files).padStart(5)} ${String(functions).padStart(9)} ${String(calls).padStart(7)}`,
  );
}

/** Once what the others do after the answer is over, too. */
const settled = (): Promise<void> => sleep(60);

async function run(): Promise<void> {
  console.log(`${"journey".padEnd(58)} files functions   calls`);
  for (const id of [1, 2, 3]) start(id);
  const leads = async (): Promise<number | undefined> => (await member(1).status())?.leader || undefined;
  const leader = member(await until("a leader", leads));
  const follower = member(other(leader.id));
  await until("a follower that knows it", async () => (await follower.status())?.leader === leader.id);
  report("start-up of a new member, and an election that it wins", await leader.take());
  const put = async (): Promise<void> => {
    await request(leader, "PUT", "/k", "v");
    await settled();
  };
  await journey("PUT, at the leader", leader, put);
  await journey("PUT, at a follower (append, commit, apply)", follower, put);
  await journey("PUT, at a follower that passes it on", follower, async () => {
    await request(follower, "PUT", "/k", "v");
    await settled();
  });
  await journey("linearizable GET, at the leader", leader, () => request(leader, "GET", "/k"));
  await journey("a second of heartbeats, at a follower", follower, () => sleep(tickMs), 3);
  const learner = other(follower.id);
  for (const [what, verb] of [
    ["demote, asked at a follower", "demote"],
    ["promote, asked at a follower", "promote"],
  ] as const) {
    await follower.take();
    await until(verb, () =>
      request(follower, "POST", `/_members/${learner}/${verb}`).then(
        () => true,
        () => false,
      ),
    );
    report(what, await follower.take());
  }
  await member(learner).end("SIGTERM");
  for (let i = 0; i < 200; i++) await request(leader, "PUT", `/k${i}`, "v");
  await leader.take();
  const again = start(learner);
  await until("the snapshot", async () => ((await again.status())?.snapshot ?? 0) > 100);
  report("a snapshot sent, at the leader (with ticks)", await leader.take());
  report("start-up with a log, and a snapshot received", await again.take());
}

try {
  await run();
} finally {
  for (const one of members.values()) await one.end("SIGKILL");
  fs.rmSync(dataRoot, { recursive: true, force: true });
}
