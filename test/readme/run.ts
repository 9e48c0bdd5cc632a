// Walks README.md as a newcomer does: every command, in its order, in one folder (a copy of this one in the system's
// temporary directory).
//
// Three things are not as they stand in the README: the ports are others, since these may be in use; `npm ci` and `npm
// test` are left to the caller, who has run one and will run the other; and a line that kills by the text of a command
// line kills by process id instead, for other processes may have that text.
//
// Promises: a command that ends with an exit code other than 0 fails the walk, and so does a `get` that prints
// something else than its comment says. A line whose comment has "until" is repeated, for a while, until it succeeds.
// No process is left behind.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readFlags } from "../../command-line/script-flags.ts";
import { type Step, stepsOf } from "./script.ts";

const firstPort = 2379;
/** What the README uses of the ports behind the first one. */
const portsUsed = [0, 100, 200, 300, 400].flatMap((shift) => [shift, shift + 1]);
const patienceMs = 60_000;
const pauseMs = 200;
const root = path.resolve(import.meta.dirname, "../..");
const isLeftOut = /^(\.git|node_modules|data|coverage)$/;

class Walk {
  readonly #folder: string;
  readonly #base: number;
  #serving: { child: ChildProcess; screen: string } | undefined;
  readonly #background: ChildProcess[] = [];

  constructor(folder: string, base: number) {
    this.#folder = folder;
    this.#base = base;
  }

  async take(step: Step): Promise<void> {
    console.log(step.kind === "console" ? `readyloop> ${step.line}` : `$ ${step.line}`);
    if (step.kind === "serve") await this.#serve(step.line);
    else if (step.kind === "console") await this.#type(step.line);
    else if (step.line.startsWith("pkill ")) this.#kill(step.line);
    else if (step.line.endsWith("&")) this.#background.push(this.#spawn(step.line.slice(0, -1)));
    else if (step.line !== "npm ci && npm test") await this.#shell(step.line, step.comment);
  }

  async end(): Promise<void> {
    await this.#stopServing();
    await Promise.all(this.#background.map((child) => interrupt(child)));
  }

  /** What the server that runs now has printed. */
  get screen(): string {
    return this.#serving?.screen ?? "";
  }

  #port(documented: number): number {
    return documented - firstPort + this.#base;
  }

  #withPorts(line: string): string {
    const mapped = line.replace(/\b2[3-7](79|80)\b/g, (text) => String(this.#port(Number(text))));
    const ports = `--client-port=${this.#base} --peer-port=${this.#base + 1}`;
    return mapped.replace(/^npm ci && /, "").replace("start-cluster", `start-cluster ${ports}`);
  }

  #spawn(line: string): ChildProcess {
    const endpoints = [0, 100, 200].map((shift) => `http://127.0.0.1:${this.#base + shift}`).join(",");
    // A group of its own, so that Ctrl-C reaches all of it, as it does on a terminal.
    return spawn("bash", ["-c", `exec ${this.#withPorts(line)}`], {
      cwd: this.#folder,
      detached: true,
      env: { ...process.env, READYLOOP_ENDPOINTS: endpoints },
      stdio: ["pipe", "pipe", "pipe"],
    });
  }

  async #serve(line: string): Promise<void> {
    await this.#stopServing();
    const child = this.#spawn(line);
    const serving = { child, screen: "" };
    this.#serving = serving;
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", (text) => (serving.screen += text));
    const isReady = line.includes("start-cluster")
      ? async () => /^ready/m.test(serving.screen)
      : () => this.#isHealthy(firstPort);
    await this.#until(`${line} serves`, async () => {
      if (child.exitCode !== null) throw new Error(`ended with exit code ${child.exitCode}`);
      return isReady();
    });
  }

  async #stopServing(): Promise<void> {
    const serving = this.#serving;
    this.#serving = undefined;
    if (serving === undefined) return;
    await interrupt(serving.child);
    // The exit code is that of npx, which Ctrl-C ends first.
    if (!/\b(stopped|ending all members)\b/.test(serving.screen)) throw new Error(`Ctrl-C ended it in disorder`);
  }

  async #type(line: string): Promise<void> {
    const serving = this.#serving;
    if (serving === undefined) throw new Error("no start-cluster runs that has a prompt");
    serving.child.stdin?.write(`${line}\n`);
    const [command, id] = line.split(" ");
    const clientPort = firstPort + (Number(id) - 1) * 100;
    if (command === "start") await this.#until(line, () => this.#isHealthy(clientPort));
    else if (command === "kill") await this.#until(line, async () => !(await this.#isHealthy(clientPort)));
    else if (command === "add") await this.#until(line, async () => /member \d+ votes now/.test(serving.screen));
    else if (command === "exit") await this.#until(line, async () => serving.child.exitCode !== null);
    else throw new Error(`this walk does not know how the end of ${JSON.stringify(line)} shows`);
  }

  /** By the process id that start-cluster has printed for the member. */
  #kill(line: string): void {
    const id = /cluster\/(\d+)/.exec(line)?.[1];
    const pid = new RegExp(`^.*member ${id}\\b.*\\bpid (\\d+)`, "m").exec(this.screen)?.[1];
    if (pid === undefined) throw new Error(`the screen of start-cluster names no process of member ${id}`);
    process.kill(Number(pid), "SIGKILL");
  }

  async #shell(line: string, comment: string): Promise<void> {
    let printed = "";
    const succeeds = async (): Promise<boolean> => {
      const child = spawn("bash", ["-c", this.#withPorts(line)], {
        cwd: this.#folder,
        env: {
          ...process.env,
          READYLOOP_ENDPOINTS: [0, 100, 200].map((s) => `http://127.0.0.1:${this.#base + s}`).join(","),
        },
      });
      printed = "";
      let output = "";
      child.stdout.on("data", (text) => (output += text));
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (printed += text));
      const [code] = await once(child, "close");
      const wanted = / get /.test(line) && comment !== "" ? comment : undefined;
      return code === 0 && (wanted === undefined || output === wanted);
    };
    const repeats = comment.includes("until") || line.endsWith(" status");
    if (repeats) await this.#until(line, succeeds);
    else if (!(await succeeds())) throw new Error(`failed, or printed something else:\n${printed}`);
    process.stdout.write(printed === "" || printed.endsWith("\n") ? printed : `${printed}\n`);
  }

  async #isHealthy(documented: number): Promise<boolean> {
    const signal = AbortSignal.timeout(1000);
    const answer = await fetch(`http://127.0.0.1:${this.#port(documented)}/_health`, { signal }).catch(() => undefined);
    return answer?.status === 200;
  }

  async #until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
    for (const deadline = performance.now() + patienceMs; ; await sleep(pauseMs)) {
      if (await isTrue()) return;
      if (performance.now() > deadline)
        throw new Error(`${what}: not within ${patienceMs} ms. Screen:\n${this.screen}`);
    }
  }
}

/** Ctrl-C; resolves to the exit code. What does not end by it is killed, which is a failure. */
async function interrupt(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const group = -(child.pid as number);
  const closed = once(child, "close");
  process.kill(group, "SIGINT");
  const timer = setTimeout(() => process.kill(group, "SIGKILL"), patienceMs);
  await closed;
  clearTimeout(timer);
  return child.exitCode;
}

/** The first of a run of ports that are all free. */
async function freePorts(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const base = 20_000 + Math.floor(Math.random() * 40_000);
    const free = await Promise.all(portsUsed.map((shift) => isFree(base + shift)));
    if (free.every(Boolean)) return base;
  }
  throw new Error("no run of free ports was found");
}

function isFree(port: number): Promise<boolean> {
  const server = net.createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

function copyOfThis(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "readyloop-readme-"));
  for (const name of fs.readdirSync(root)) {
    if (!isLeftOut.test(name)) fs.cpSync(path.join(root, name), path.join(folder, name), { recursive: true });
  }
  fs.symlinkSync(path.join(root, "node_modules"), path.join(folder, "node_modules"));
  return folder;
}

readFlags({ name: "readme", does: "Runs the commands of README.md in their order, in one folder.", flags: {} });
const steps = stepsOf(fs.readFileSync(path.join(root, "README.md"), "utf8"));
const folder = copyOfThis();
const walk = new Walk(folder, await freePorts());
let failure: unknown;
try {
  for (const step of steps) await walk.take(step);
} catch (error) {
  failure = error;
  console.error(walk.screen);
} finally {
  await walk.end().catch((error) => {
    failure ??= error;
  });
  fs.rmSync(folder, { recursive: true, force: true });
}
if (failure === undefined) console.log(`OK: ${steps.length} commands of README.md, in their order`);
else console.error(`FAILED: ${failure instanceof Error ? failure.message : failure}. Again: npm run readme`);
process.exitCode = failure === undefined ? 0 : 1;
