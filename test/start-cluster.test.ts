// start-cluster as a process: what it prints, its console, how it ends, and what it refuses to start.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { freeBase, until } from "./cluster.ts";

const main = path.join(import.meta.dirname, "..", "main.ts");

// Up to three starts of four processes each.
vi.setConfig({ testTimeout: 180_000 });

let directory: string;
let base: number;
let child: ChildProcess;
/** Lines of standard output that no seen() has passed. */
let lines: string[];
let stderr: string;
let watchers: (() => void)[];
beforeEach(async () => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), "readyloop-cluster-"));
  base = await freeBase();
});
afterEach(async () => {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill("SIGTERM");
    await once(child, "exit");
  }
  await until(async () => (pids().some(isAlive) ? undefined : true));
  fs.rmSync(directory, { recursive: true });
});

function start(args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): void {
  watch(
    spawn(process.execPath, ["--import", "tsx", main, "start-cluster", ...flagsOf(args)], {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ...env },
    }),
  );
}

function flagsOf(args: readonly string[]): string[] {
  const usual = [`--client-port=${base}`, `--peer-port=${base + 1}`, `--data-dir=${directory}`];
  const isGiven = (flag: string): boolean => args.some((arg) => arg.split("=")[0] === flag.split("=")[0]);
  return [...usual.filter((flag) => !isGiven(flag)), ...args];
}

function watch(started: ChildProcess): void {
  child = started;
  lines = [];
  stderr = "";
  watchers = [];
  members.clear();
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
    const [, id, pid] = /^member (\d+) .* pid (\d+)$/.exec(line) ?? [];
    if (id !== undefined) members.set(Number(id), Number(pid));
    lines.push(line);
    for (const wake of watchers.splice(0)) wake();
  });
  child.stderr?.on("data", (chunk) => {
    stderr += chunk;
  });
}

/** With a terminal of its own, by script(1). Its lines have what moves the cursor in front. */
function startOnTerminal(args: readonly string[]): void {
  const words = [process.execPath, "--import", "tsx", main, "start-cluster", ...flagsOf(args)];
  const line = words.map((word) => `'${word}'`).join(" ");
  watch(spawn("script", ["-qfec", `exec ${line}`, "/dev/null"], { env: { ...process.env, NO_COLOR: "1" } }));
}

/** The start-cluster that has started this member. */
function parentOf(member: number): { pid: number; terminal: string } {
  const [, pid] = /^PPid:\s*(\d+)$/m.exec(fs.readFileSync(`/proc/${member}/status`, "utf8")) ?? [];
  return { pid: Number(pid), terminal: fs.readlinkSync(`/proc/${pid}/fd/0`) };
}

/** The process ids of the members, as the screen tells them. */
const members = new Map<number, number>();
const pids = (): number[] => [...members.values()];

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Waits for a line, and passes those before it. */
async function seen(pattern: RegExp): Promise<string> {
  for (;;) {
    const found = lines.findIndex((line) => pattern.test(line));
    if (found >= 0) return lines.splice(0, found + 1).at(-1) as string;
    await new Promise<void>((resolve) => watchers.push(resolve));
  }
}

const type = (command: string): void => void child.stdin?.write(`${command}\n`);
const logOf = (id: number): string => fs.readFileSync(path.join(directory, `${id}.log`), "utf8");
const ended = async (): Promise<unknown> => (await once(child, "close"))[0];
const put = async (): Promise<number> =>
  (await fetch(`http://127.0.0.1:${base}/k`, { method: "PUT", body: "v" })).status;

describe("start-cluster prints", () => {
  test("a line for each member and its logs' files, says that it is ready when a write is taken, and Ctrl-C ends all in order", async () => {
    // A variable that would make a member refuse its command line, and one that would change what it does.
    start([], { READYLOOP_TICK_MS: "none", READYLOOP_HOST: "0.0.0.0" });
    const all = { client: base, peer: base + 1 };
    for (const id of [1, 2, 3]) {
      const { client, peer } = { client: all.client + (id - 1) * 100, peer: all.peer + (id - 1) * 100 };
      expect(await seen(/^member/)).toBe(
        `member ${id}  clients http://127.0.0.1:${client}  peers http://127.0.0.1:${peer}  data ${directory}/${id}  pid ${members.get(id)}`,
      );
    }
    expect(await seen(/log/)).toContain(`${directory}/{1,2,3}.log`);
    expect(await seen(/^ready/)).toMatch(
      new RegExp(`^ready: member [123] leads. Try: curl -X PUT http://127.0.0.1:${base}/greeting -d 'hello, world'$`),
    );
    expect(await put()).toBe(204);
    expect(lines).toEqual([]);
    child.kill("SIGINT");
    expect(await ended()).toBe(0);
    for (const id of [1, 2, 3]) expect(logOf(id)).toMatch(/became follower[\s\S]*stopped\n$/);
    expect(stderr).toBe("");
  });

  test("the members' logs if a level is given, and no files", async () => {
    start(["--size=1", "--log-level=info"]);
    await seen(/^\[1\] .*became leader/);
    child.kill("SIGTERM");
    await seen(/^\[1\] .*stopped/);
    expect(await ended()).toBe(0);
    expect(fs.readdirSync(directory)).toEqual(["1"]);
  });

  test("why a member has ended, and goes on without that member", async () => {
    start();
    await seen(/^ready/);
    fs.rmSync(path.join(directory, "2", "member", "wal"), { recursive: true });
    type("kill 2");
    await seen(/^member 2 has ended \(SIGKILL\); 2 of 3 are left$/);
    fs.mkdirSync(path.join(directory, "2", "member", "wal", "x.wal"), { recursive: true });
    type("start 2");
    await seen(new RegExp(`^member 2 has ended \\(exit code \\d\\); 2 of 3 are left. Its log is ${directory}/2.log$`));
    expect(await seen(/readyloop:/)).toContain(`${directory}/2`);
    expect(logOf(2)).toContain("readyloop:");
    await until(async () => ((await put()) === 204 ? true : undefined));
  });

  test("that a log file cannot be written, and the members serve", async () => {
    fs.mkdirSync(path.join(directory, "1.log"));
    start(["--size=1"]);
    await seen(/^member 1: its log file cannot be written.*1\.log/);
    await seen(/^ready/);
    expect(await put()).toBe(204);
  });
});

describe("start-cluster's console", () => {
  test("adds, kills, starts and removes a member, reads and writes, and ends all", async () => {
    start(["--size=1"]);
    await seen(/^ready: member 1 leads/);
    type("put greeting hello, world");
    await seen(/^written$/);
    type("get greeting");
    await seen(/^hello, world$/);
    type("put quoted ' a  b '");
    type("get quoted");
    await seen(/^ a {2}b $/);
    type("delete greeting");
    await seen(/^deleted$/);
    type("get greeting");
    await seen(/^get: there is no key "greeting"/);
    type("add");
    await seen(/^member 2 is a learner now/);
    await seen(/^member 2 votes now/);
    type("kill 2");
    await seen(/^member 2 has ended \(SIGKILL\); 1 of 2 are left/);
    type("start 2");
    await seen(/^member 2 .*pid/);
    type("transfer 2");
    type("status");
    await seen(/2 voters/);
    type("start 2");
    await seen(/^start: member 2 runs already/);
    type("dance");
    await seen(/^dance: no such command/);
    type("constructor");
    await seen(/^constructor: no such command/);
    type("help");
    await seen(/^put KEY VALUE/);
    await until(async () => {
      type("remove 2");
      return (await seen(/^remove: |^1 .*voter/)).startsWith("1") ? true : undefined;
    });
    await seen(/^member 2 has ended \(exit code 0\); 1 of 2 are left/);
    await seen(/member 2 was removed from the cluster/);
    type("exit");
    expect(await ended()).toBe(0);
  });

  test("refuses an id in another spelling than the one that it shows", async () => {
    start(["--size=1"]);
    await seen(/^ready/);
    for (const id of ["1.0", "0x1", "+1", "01", "1e0", "1 1"]) {
      type(`kill ${id}`);
      await seen(/^kill: which member\? There are 1\. For example: kill 1$/);
    }
    expect(pids().every(isAlive)).toBe(true);
  });

  // script(1) gives a process a terminal; elsewhere than on Linux it takes other arguments.
  test.runIf(process.platform === "linux")("goes on after Ctrl-Z and fg", async () => {
    startOnTerminal(["--size=1"]);
    await seen(/ready: member 1 leads/);
    const { pid, terminal } = parentOf(pids()[0] as number);
    const isRaw = (): boolean => / -icanon /.test(execFileSync("stty", ["-a", "-F", terminal], { encoding: "utf8" }));
    child.stdin?.write("\u001a");
    await until(async () => (isRaw() ? undefined : true));
    process.kill(pid, "SIGCONT");
    await until(async () => (isRaw() ? true : undefined));
    child.stdin?.write("get absent\r");
    await seen(/get: there is no key "absent"/);
    child.stdin?.write("exit\r");
    await seen(/ending all members \(exit\)/);
  });

  test("leaves the members running when its input ends without a terminal", async () => {
    start(["--size=1"]);
    child.stdin?.end();
    await seen(/^ready/);
    expect(await put()).toBe(204);
  });
});

describe("start-cluster leaves no member behind", () => {
  test.each(["SIGKILL", "SIGHUP"] as const)("after %s, and each ends in order", async (signal) => {
    start();
    await seen(/^ready/);
    child.kill(signal);
    await ended();
    await until(async () => (pids().some(isAlive) ? undefined : true));
    for (const id of [1, 2, 3]) expect(logOf(id)).toMatch(/stopped\n$/);
  });

  test.each(["SIGINT", "SIGTERM"] as const)(
    "after %s before the members have begun: that is no failure",
    async (signal) => {
      start();
      await seen(/^The members log to/);
      // As the keyboard does it, or a wrapper: all get it.
      for (const pid of pids()) process.kill(pid, signal);
      child.kill(signal);
      expect(await ended()).toBe(0);
      expect(lines.filter((line) => line.includes("badly"))).toEqual([]);
      expect(stderr).toBe("");
      expect(pids().filter(isAlive)).toEqual([]);
    },
  );

  test("after SIGKILL before the members have begun", async () => {
    start();
    await seen(/^member 3/);
    child.kill("SIGKILL");
    await until(async () => (pids().some(isAlive) ? undefined : true));
  });

  test("when its output is closed: it serves on, and ends all members on a signal", async () => {
    start(["--log-level=debug"]);
    await seen(/^ready/);
    child.stdout?.destroy();
    for (let i = 0; i < 20; i++) expect(await put()).toBe(204);
    child.kill("SIGTERM");
    expect((await once(child, "exit"))[0]).toBe(0);
    expect(pids().filter(isAlive)).toEqual([]);
  });
});

test("a member that another program started does not end when that program closes its channel", async () => {
  const args = ["--id=1", `--peers=http://127.0.0.1:${base + 1}`, `--peer-port=${base + 1}`, `--client-port=${base}`];
  child = spawn(
    process.execPath,
    ["--import", "tsx", main, "start-server", ...args, `--data-dir=${directory}/1`, "--log-level=silent"],
    { stdio: ["ignore", "inherit", "inherit", "ipc"] },
  );
  await until(async () => ((await put()) === 204 ? true : undefined));
  child.disconnect();
  await once(child, "disconnect");
  for (let i = 0; i < 20; i++) expect(await put()).toBe(204);
});

describe("start-cluster refuses", () => {
  async function refused(args: readonly string[], pattern: RegExp): Promise<void> {
    const before = fs.readdirSync(directory, { recursive: true });
    start(args);
    expect(await ended()).toBe(1);
    expect(stderr).toMatch(pattern);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(lines).toEqual([]);
    expect(fs.readdirSync(directory, { recursive: true })).toEqual(before);
  }

  async function runOnce(...args: string[]): Promise<void> {
    start(args);
    await seen(/^ready/);
    child.kill("SIGTERM");
    await ended();
  }

  test("a port that is in use, before any member is started", async () => {
    const other = net.createServer().listen(base + 101, "127.0.0.1");
    await once(other, "listening");
    await refused([], new RegExp(`peer port ${base + 101} is not free: another program uses it.*--peer-port`));
    other.close();
  });

  test("directories of a cluster with other flags, or of another member", async () => {
    await runOnce();
    const made = `made with --size=3 --peer-port=${base + 1}`;
    await refused(["--size=2"], new RegExp(`${directory}/1 belongs to another cluster.*${made}`));
    await refused([`--peer-port=${base + 2}`], new RegExp(`${directory}/1 belongs to another cluster.*${made}`));
    fs.renameSync(path.join(directory, "3"), path.join(directory, "4"));
    await refused([], new RegExp(`${directory}/4 holds the log of member 3, not of member 4`));
  });

  test("to start a member whose directory is gone, and says what to do; the others serve", async () => {
    await runOnce();
    fs.rmSync(path.join(directory, "3"), { recursive: true });
    start();
    await seen(new RegExp(`^member 3 is not started: its directory ${directory}/3 is gone.*remove 3`));
    await seen(/^ready/);
    expect([...members.keys()]).toEqual([1, 2]);
    expect(fs.existsSync(path.join(directory, "3"))).toBe(false);
    type("remove 3");
    await seen(/^2 .*voter/);
  });
});
