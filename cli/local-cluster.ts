// Members of one cluster on this machine: a process each, their logs side by side on standard output.
//
// Member n has its ports at the first member's plus (n - 1) * 100, and its data in <data-dir>/<n>.

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import type { LogLevel } from "./logger.ts";

export interface ClusterFlags {
  size: number;
  clientPort: number;
  peerPort: number;
  dataDir: string;
  logLevel: LogLevel;
  snapshotCount: number;
  snapshotCatchupEntries: number;
}

export const portStep = 100;
const colours = [36, 33, 35, 32, 34, 31, 96, 93, 95];

export class LocalCluster {
  readonly flags: ClusterFlags;
  private readonly alive = new Map<number, { child: ChildProcess; exited: Promise<number> }>();
  /** All that were started since the cluster was. */
  private readonly known = new Set<number>();
  /** Members that were stopped on purpose. */
  private readonly expected = new Set<number>();
  private stopping = false;
  private failed = false;
  private readonly onAllEnded: () => void;

  /** `onAllEnded`: no member is left, and nobody asked for that. */
  constructor(flags: ClusterFlags, onAllEnded: () => void) {
    this.flags = flags;
    this.onAllEnded = onAllEnded;
  }

  /** Ids that were started, ascending. */
  get ids(): number[] {
    return [...this.known].sort((a, b) => a - b);
  }

  isAlive(id: number): boolean {
    return this.alive.has(id);
  }

  clientUrl(id: number): string {
    return `http://127.0.0.1:${this.flags.clientPort + (id - 1) * portStep}`;
  }

  peerUrl(id: number): string {
    return `http://127.0.0.1:${this.flags.peerPort + (id - 1) * portStep}`;
  }

  get endpoints(): string[] {
    return this.ids.map((id) => this.clientUrl(id));
  }

  /** The lowest id that no member ever had here: one that was removed leaves its directory behind. */
  get freeId(): number {
    return Math.max(this.flags.size, ...this.known, ...this.onDisk()) + 1;
  }

  /** Starts the first members, and those that were added in an earlier run. */
  startAll(): void {
    const { size } = this.flags;
    for (let id = 1; id <= size; id++) this.start(id);
    for (const id of this.onDisk()) if (id > size) this.start(id);
  }

  start(id: number): void {
    const { flags } = this;
    const shift = (id - 1) * portStep;
    const founders = Array.from({ length: flags.size }, (_, i) => this.peerUrl(i + 1)).join(",");
    const others = this.ids.filter((other) => other !== id && this.alive.has(other));
    const joins = id > flags.size;
    const args = [
      "start-server",
      `--id=${id}`,
      ...(joins ? ["--join", `--peers=${others.map((other) => this.peerUrl(other)).join(",") || founders}`] : []),
      ...(joins ? [] : [`--peers=${founders}`]),
      `--peer-port=${flags.peerPort + shift}`,
      `--client-port=${flags.clientPort + shift}`,
      `--data-dir=${path.join(flags.dataDir, String(id))}`,
      `--snapshot-count=${flags.snapshotCount}`,
      `--snapshot-catchup-entries=${flags.snapshotCatchupEntries}`,
      `--log-level=${flags.logLevel}`,
      "--log-format=pretty",
    ];
    const child = spawn(process.execPath, [...process.execArgv, process.argv[1] as string, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => say(`${prefix(id)} ${line}`));
    }
    this.known.add(id);
    this.expected.delete(id);
    const exited = new Promise<number>((resolve) => {
      child.on("close", (code, signal) => {
        this.ended(id, code, signal);
        resolve(code ?? 1);
      });
    });
    this.alive.set(id, { child, exited });
  }

  private ended(id: number, code: number | null, signal: NodeJS.Signals | null): void {
    this.alive.delete(id);
    const expected = this.expected.has(id);
    if (code !== 0 && !expected) this.failed = true;
    if (this.stopping) return;
    say(
      `${prefix(id)} has ended (${signal ?? `exit code ${code}`}); ${this.alive.size} of ${this.known.size} are left`,
    );
    if (this.alive.size === 0 && !expected) this.onAllEnded();
  }

  /** Ends one member, in order or by force; resolves when it has ended. */
  async end(id: number, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const member = this.alive.get(id);
    if (member === undefined) throw new Error(`member ${id} does not run`);
    this.expected.add(id);
    member.child.kill(signal);
    await member.exited;
  }

  /** Ends all; resolves to whether each ended well. */
  async endAll(): Promise<boolean> {
    this.stopping = true;
    const members = [...this.alive.values()];
    for (const { child } of members) child.kill("SIGTERM");
    await Promise.all(members.map(({ exited }) => exited));
    return !this.failed;
  }

  private onDisk(): number[] {
    const { dataDir } = this.flags;
    if (!existsSync(dataDir)) return [];
    const names = readdirSync(dataDir).filter((name) => /^[1-9][0-9]{0,8}$/.test(name));
    return names.filter((name) => existsSync(path.join(dataDir, name, "member", "wal"))).map(Number);
  }
}

export const say = (line: string): void => void process.stdout.write(`${line}\n`);

function prefix(id: number): string {
  const text = `[${id}]`;
  if (process.stdout.isTTY !== true || process.env.NO_COLOR !== undefined) return text;
  return `\u001b[${colours[(id - 1) % colours.length]}m${text}\u001b[0m`;
}
