// Real members for tests: processes of main.ts on free ports, with real directories, and a forwarder in front of each
// peer port.
//
// A member's peer URL must be known before it starts, and no port is fixed here: so the test owns the advertised ports,
// and passes each connection on to whatever port the member took. Nothing sleeps: tests wait for log lines and for
// answers.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs/promises";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import type { MemberStatus } from "../server/member.ts";

const main = path.resolve(import.meta.dirname, "../main.ts");

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts the command line as a process. */
export function startCommand(...args: string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, ["--import", "tsx", main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  return { child, ended: once(child, "close").then(([code]) => ({ code, stdout, stderr })) };
}

/** Runs the command line to its end. */
export function readyloop(...args: string[]): Promise<Ended> {
  return startCommand(...args).ended;
}

/** Passes connections on to a port that may change. */
class Forwarder {
  target = 0;
  readonly #server = net.createServer((from) => {
    const to = net.connect(this.target || 1, "127.0.0.1");
    for (const socket of [from, to]) socket.on("error", () => undefined);
    from.pipe(to).pipe(from);
    from.on("close", () => to.destroy());
    to.on("close", () => from.destroy());
  });

  async listen(): Promise<number> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return (this.#server.address() as net.AddressInfo).port;
  }

  close(): void {
    this.#server.close();
  }
}

interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [key: string]: unknown;
}

export class MemberProcess {
  readonly id: number;
  readonly lines: LogLine[] = [];
  stderr = "";
  clientUrl = "";
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | null>;
  #watchers: (() => void)[] = [];
  #ended = false;

  constructor(id: number, args: readonly string[]) {
    this.id = id;
    this.#child = spawn(process.execPath, ["--import", "tsx", main, "start-server", `--id=${id}`, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      this.lines.push(line.startsWith("{") ? (JSON.parse(line) as LogLine) : { level: 0, msg: line });
      this.#notify();
    });
    this.#child.stderr?.on("data", (chunk) => {
      this.stderr += chunk;
    });
    this.#exited = once(this.#child, "close").then(([code]) => {
      this.#ended = true;
      this.#notify();
      return code as number | null;
    });
  }

  #notify(): void {
    const watchers = this.#watchers;
    this.#watchers = [];
    for (const watch of watchers) watch();
  }

  /** The first log line that fits; rejects if the process ends without one. */
  async line(fits: (line: LogLine) => boolean): Promise<LogLine> {
    for (;;) {
      const found = this.lines.find(fits);
      if (found !== undefined) return found;
      if (this.#ended) {
        throw new Error(`member ${this.id} ended: ${this.stderr}${this.lines.map((l) => l.msg).join("\n")}`);
      }
      await new Promise<void>((resolve) => this.#watchers.push(resolve));
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Sends a signal and waits for the end; resolves to the exit code. */
  async kill(signal: NodeJS.Signals): Promise<number | null> {
    this.#child.kill(signal);
    return this.#exited;
  }

  end(): Promise<number | null> {
    return this.#exited;
  }

  fetch(pathAndQuery: string, init?: RequestInit): Promise<Response> {
    return fetch(this.clientUrl + pathAndQuery, init);
  }

  async status(): Promise<MemberStatus> {
    return (await (await this.fetch("/_status")).json()) as MemberStatus;
  }
}

export class TestCluster {
  readonly directory: string;
  readonly members = new Map<number, MemberProcess>();
  readonly #forwarders = new Map<number, Forwarder>();
  readonly #peers: string;
  readonly #extra: readonly string[];
  readonly #joining = new Set<number>();

  private constructor(directory: string, peers: string, forwarders: Map<number, Forwarder>, extra: readonly string[]) {
    this.directory = directory;
    this.#peers = peers;
    this.#forwarders = forwarders;
    this.#extra = extra;
  }

  /** A cluster of `size` members, all started, with a leader. */
  static async start(size: number, ...extra: string[]): Promise<TestCluster> {
    const directory = await fs.mkdtemp(path.join(os.tmpdir(), "readyloop-"));
    const forwarders = new Map<number, Forwarder>();
    const urls: string[] = [];
    for (let id = 1; id <= size; id++) {
      const forwarder = new Forwarder();
      urls.push(`http://127.0.0.1:${await forwarder.listen()}`);
      forwarders.set(id, forwarder);
    }
    const cluster = new TestCluster(directory, urls.join(","), forwarders, extra);
    await Promise.all([...forwarders.keys()].map((id) => cluster.startMember(id)));
    await cluster.leader();
    return cluster;
  }

  /** Makes an address for a member that is to join; startMember then starts it with --join. */
  async addressFor(id: number): Promise<string> {
    const forwarder = new Forwarder();
    const url = `http://127.0.0.1:${await forwarder.listen()}`;
    this.#forwarders.set(id, forwarder);
    this.#joining.add(id);
    return url;
  }

  dataDir(id: number): string {
    return path.join(this.directory, String(id));
  }

  args(id: number): string[] {
    return [
      "--peer-port=0",
      "--client-port=0",
      `--peers=${this.#peers}`,
      `--data-dir=${this.dataDir(id)}`,
      ...(this.#joining.has(id) ? ["--join"] : []),
      ...this.#extra,
    ];
  }

  /** Starts the member and waits until it listens. */
  async startMember(id: number): Promise<MemberProcess> {
    return this.listening(new MemberProcess(id, this.args(id)));
  }

  /** Waits until a member that was started by hand listens. */
  async listening(member: MemberProcess): Promise<MemberProcess> {
    const { id } = member;
    const { clientPort } = await member.line((l) => l.clientPort !== undefined);
    const { peerPort } = await member.line((l) => l.peerPort !== undefined);
    member.clientUrl = `http://127.0.0.1:${clientPort}`;
    (this.#forwarders.get(id) as Forwarder).target = peerPort as number;
    this.members.set(id, member);
    return member;
  }

  member(id: number): MemberProcess {
    return this.members.get(id) as MemberProcess;
  }

  async kill(id: number, signal: NodeJS.Signals = "SIGKILL"): Promise<number | null> {
    const member = this.member(id);
    this.members.delete(id);
    return member.kill(signal);
  }

  /** The id of a leader that all running members agree on. */
  async leader(): Promise<number> {
    return until(async () => {
      const all = await Promise.all([...this.members.values()].map((m) => m.status()));
      const leads = new Set(all.map((s) => s.leader));
      const [lead] = leads;
      return leads.size === 1 && lead !== undefined && lead !== 0 ? lead : undefined;
    });
  }

  async stop(): Promise<void> {
    await Promise.all([...this.members.keys()].map((id) => this.kill(id)));
    for (const forwarder of this.#forwarders.values()) forwarder.close();
    await fs.rm(this.directory, { recursive: true });
  }
}

/**
 * A server on a free port below those that systems give to port 0: another test that listens on port 0 cannot take the port between its
 * release here and its use.
 */
export async function holdPort(): Promise<net.Server> {
  for (;;) {
    const server = net.createServer();
    const port = 12_000 + Math.floor(Math.random() * 20_000);
    const isListening = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (isListening) return server;
  }
}

/** A client port such that it, the peer port above it, and those of two more members, 100 and 200 higher, are free. */
export async function freeBase(): Promise<number> {
  for (;;) {
    const first = await holdPort();
    const base = (first.address() as net.AddressInfo).port;
    const rest = [1, 100, 101, 200, 201].map((shift) => net.createServer().listen(base + shift, "127.0.0.1"));
    const taken = await Promise.all(
      rest.map((s) =>
        once(s, "listening").then(
          () => false,
          () => true,
        ),
      ),
    );
    await Promise.all([first, ...rest].map((s) => new Promise((resolve) => s.close(resolve))));
    if (!taken.includes(true)) return base;
  }
}

/** Calls until the answer is there, giving way between tries. A test's own timeout ends it. */
export async function until<T>(attempt: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const result = await attempt().catch(() => undefined);
    if (result !== undefined) return result;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Writes, again after a refusal or an unknown outcome: what a careful client does with an idempotent write. */
export async function putUntilDone(member: () => MemberProcess, key: string, value: string): Promise<void> {
  await until(async () => {
    const response = await member().fetch(key, { method: "PUT", body: value });
    return response.status === 204 ? true : undefined;
  });
}
