// Members of one cluster on this machine: a process each.
//
// Member n has its ports at the first member's plus (n - 1) * 100, its data in <data-dir>/<n>, and logs to <data-dir>/<n>.log, or to the
// screen if a level is given.
//
// Promises: no member outlives this process, however it ends (see parent.ts); a member that does not stop when asked is ended by force. Only
// its command line configures a member: it inherits none of this process's READYLOOP_ variables.

import { type ChildProcess, spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { foundersOf, peerUrlOf, portStep } from "./cluster-directories.ts";
import type { LogLevel } from "./logger.ts";
import { MemberLog } from "./member-log.ts";
import { bindToThisProcess } from "./parent.ts";

export interface ClusterFlags {
  size: number;
  clientPort: number;
  peerPort: number;
  dataDir: string;
  /** Undefined: to a file. */
  logLevel: LogLevel | undefined;
  snapshotCount: number;
  snapshotCatchupEntries: number;
}

/** How long the orderly end of a member may take. */
const stopMs = 30_000;
const lastLines = 5;
/** A member that is still loading ends by them at once. It was asked to end, by Ctrl-C for example, and has nothing to hand over. */
const stopSignals: ReadonlySet<NodeJS.Signals | null> = new Set(["SIGINT", "SIGTERM", "SIGHUP"]);
const colours = [36, 33, 35, 32, 34, 31, 96, 93, 95];

interface RunningMember {
  readonly child: ChildProcess;
  readonly exited: Promise<void>;
}

interface ClusterEvents {
  /** Prints lines. */
  readonly say: (text: string) => void;
  /** The last member has ended, and no command asked for that. */
  readonly onAllEnded: () => void;
}

export class LocalCluster {
  readonly flags: ClusterFlags;
  private readonly events: ClusterEvents;
  private readonly alive = new Map<number, RunningMember>();
  /** All that were started. */
  private readonly known = new Set<number>();
  private readonly logs = new Map<number, MemberLog>();
  /** Members that were stopped on purpose. */
  private readonly expected = new Set<number>();
  private stopping = false;
  private failed = false;

  constructor(flags: ClusterFlags, events: ClusterEvents) {
    this.flags = flags;
    this.events = events;
  }

  /** Ids that were started, ascending. */
  get ids(): number[] {
    return [...this.known].sort((a, b) => a - b);
  }

  get running(): number[] {
    return this.ids.filter((id) => this.alive.has(id));
  }

  isAlive(id: number): boolean {
    return this.alive.has(id);
  }

  clientUrl(id: number): string {
    return `http://127.0.0.1:${this.flags.clientPort + (id - 1) * portStep}`;
  }

  peerUrl(id: number): string {
    return peerUrlOf(id, this.flags.peerPort);
  }

  directory(id: number): string {
    return path.join(this.flags.dataDir, String(id));
  }

  get endpoints(): string[] {
    return this.ids.map((id) => this.clientUrl(id));
  }

  /** The lowest id that no member ever had here: a removed member leaves its directory behind. */
  get freeId(): number {
    const onDisk = fs.readdirSync(this.flags.dataDir).filter((name) => /^[1-9][0-9]{0,8}$/.test(name));
    return Math.max(this.flags.size, ...this.known, ...onDisk.map(Number)) + 1;
  }

  /** One line about a member that runs. */
  describe(id: number): string {
    const pid = this.alive.get(id)?.child.pid;
    return (
      `${prefix(id)}  clients ${this.clientUrl(id)}  peers ${this.peerUrl(id)}  data ${this.directory(id)}  ` +
      (pid === undefined ? "could not be started" : `pid ${pid}`)
    );
  }

  /** Starts these members; if that fails, none is left running. */
  async startAll(ids: readonly number[]): Promise<void> {
    try {
      // Make all directories before any member starts: a directory that is missing in a later run then belongs to a member with promises.
      for (const id of ids) fs.mkdirSync(this.directory(id), { recursive: true });
      for (const id of ids) this.start(id);
    } catch (error) {
      await this.endAll();
      throw error;
    }
  }

  start(id: number): void {
    const { flags, events } = this;
    if (this.stopping) throw new Error("all members are being ended");
    fs.mkdirSync(this.directory(id), { recursive: true });
    this.known.add(id);
    this.expected.delete(id);
    const output = flags.logLevel === undefined ? this.openLog(id) : "pipe";
    const child = spawn(process.execPath, [...process.execArgv, process.argv[1] as string, ...this.args(id)], {
      stdio: ["ignore", output, "pipe", "ipc"],
      env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("READYLOOP_"))),
    });
    if (typeof output === "number") fs.closeSync(output);
    /** The last lines on standard error. */
    const complaints: string[] = [];
    const show = (line: string): void => events.say(`${coloured(id, `[${id}]`)} ${line}`);
    if (child.stdout !== null) createInterface({ input: child.stdout }).on("line", show);
    if (child.stderr !== null) {
      createInterface({ input: child.stderr }).on("line", (line) => {
        complaints.push(line);
        complaints.splice(0, complaints.length - lastLines);
        if (flags.logLevel === undefined) this.logOf(id).append(line);
        else show(line);
      });
    }
    const exited = new Promise<void>((resolve) => {
      const end = (how: string, isGood: boolean): void => {
        if (!this.alive.delete(id)) return;
        this.ended(id, how, isGood, complaints);
        resolve();
      };
      child.on("error", (error) => {
        if (child.pid === undefined) end(error.message, false);
      });
      child.on("close", (code, signal) => end(signal ?? `exit code ${code}`, code === 0 || stopSignals.has(signal)));
    });
    this.alive.set(id, { child, exited });
    if (child.pid !== undefined) bindToThisProcess(child);
  }

  private args(id: number): string[] {
    const { flags } = this;
    const founders = foundersOf(flags).map(({ url }) => url);
    const others = this.running.filter((other) => other !== id).map((other) => this.peerUrl(other));
    const joins = id > flags.size;
    return [
      "start-server",
      `--id=${id}`,
      ...(joins ? ["--join"] : []),
      `--peers=${(joins && others.length > 0 ? others : founders).join(",")}`,
      `--peer-port=${flags.peerPort + (id - 1) * portStep}`,
      `--client-port=${flags.clientPort + (id - 1) * portStep}`,
      `--data-dir=${this.directory(id)}`,
      `--snapshot-count=${flags.snapshotCount}`,
      `--snapshot-catchup-entries=${flags.snapshotCatchupEntries}`,
      `--log-level=${flags.logLevel ?? "info"}`,
      "--log-format=pretty",
    ];
  }

  private logOf(id: number): MemberLog {
    const log = this.logs.get(id) ?? new MemberLog(path.join(this.flags.dataDir, `${id}.log`));
    this.logs.set(id, log);
    return log;
  }

  private openLog(id: number): number | "ignore" {
    const log = this.logOf(id);
    try {
      return log.open();
    } catch (error) {
      this.events.say(
        `${prefix(id)}: its log file cannot be written, so its log lines are lost: ${(error as Error).message}`,
      );
      return "ignore";
    }
  }

  private ended(id: number, how: string, isGood: boolean, complaints: readonly string[]): void {
    const { events, flags } = this;
    const expected = this.expected.has(id);
    if (!isGood && !expected) this.failed = true;
    if (this.stopping) {
      if (!isGood && !expected) events.say(`${prefix(id)} has ended badly (${how})`);
      return;
    }
    const log = flags.logLevel === undefined ? this.logOf(id) : undefined;
    const inLog = log === undefined ? "" : `. Its log is ${log.path}`;
    events.say(
      `${prefix(id)} has ended (${how}); ${this.alive.size} of ${this.known.size} are left${expected ? "" : inLog}`,
    );
    if (!expected) {
      const why = complaints.length > 0 ? complaints : (log?.lastLines(lastLines) ?? []);
      for (const line of why) events.say(`    ${line}`);
    }
    if (this.alive.size === 0 && !expected) events.onAllEnded();
  }

  /** Ends one member, in order or by force; resolves when it has ended. */
  async end(id: number, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const member = this.alive.get(id);
    if (member === undefined) throw new Error(`member ${id} does not run`);
    this.expected.add(id);
    await stop(member, signal);
  }

  /** Ends all members; resolves to whether all ended in order. */
  async endAll(): Promise<boolean> {
    this.stopping = true;
    await Promise.all([...this.alive.values()].map((member) => stop(member, "SIGTERM")));
    for (const log of this.logs.values()) log.close();
    return !this.failed;
  }
}

async function stop({ child, exited }: RunningMember, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  child.kill(signal);
  const force = setTimeout(() => child.kill("SIGKILL"), stopMs);
  await exited;
  clearTimeout(force);
}

const prefix = (id: number): string => coloured(id, `member ${id}`);

function coloured(id: number, text: string): string {
  if (process.stdout.isTTY !== true || process.env.NO_COLOR !== undefined) return text;
  return `\u001b[${colours[(id - 1) % colours.length]}m${text}\u001b[0m`;
}
