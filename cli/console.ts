// The console of start-cluster: commands to use the cluster and to change it while its members run.
//
// On a terminal it has a prompt, a history (up arrow) and completion (tab); the end of the input (Ctrl-D) ends all members, as `exit` does.
// Without a terminal it reads the same commands, and the members run on when the input ends.

import { createInterface, type Interface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { deleteKey, getValue, putValue } from "./client.ts";
import { type Endpoints, jsonBody } from "./endpoints.ts";
import { memberId } from "./flags.ts";
import type { LocalCluster } from "./local-cluster.ts";
import { changeMembers, printMembers } from "./members.ts";
import type { Screen } from "./screen.ts";
import { printStatus } from "./status.ts";

const pauseMs = 300;
const catchUpMs = 60_000;

interface Command {
  readonly usage: string;
  readonly does: string;
  /** `rest` is the line after the command's name. */
  readonly run: (console: Console, rest: string) => Promise<void>;
}

const commands: Readonly<Record<string, Command>> = {
  put: { usage: "put KEY VALUE", does: "write; the value is the rest of the line", run: (c, rest) => c.put(rest) },
  get: { usage: "get KEY", does: "read", run: (c, rest) => c.get(rest) },
  delete: { usage: "delete KEY", does: "remove a key", run: (c, rest) => c.delete(rest) },
  status: { usage: "status", does: "who leads, and how far each member is", run: (c, rest) => c.status(rest) },
  add: {
    usage: "add",
    does: "a new member joins, as a learner first, and votes once it has caught up",
    run: (c, rest) => c.add(rest),
  },
  stop: { usage: "stop ID", does: "end a member in order", run: (c, rest) => c.end(rest, "stop") },
  kill: { usage: "kill ID", does: "end a member as a power cut would", run: (c, rest) => c.end(rest, "kill") },
  start: { usage: "start ID", does: "start a member again, with its data", run: (c, rest) => c.start(rest) },
  remove: {
    usage: "remove ID",
    does: "remove a member for good: its id is never used again",
    run: (c, rest) => c.remove(rest),
  },
  transfer: { usage: "transfer ID", does: "make a member the leader", run: (c, rest) => c.transfer(rest) },
  help: { usage: "help", does: "this list", run: (c, rest) => c.help(rest) },
  exit: { usage: "exit", does: "end all members, in order; so do Ctrl-C and Ctrl-D", run: (c, rest) => c.exit(rest) },
};

const names = Object.keys(commands);

export class Console {
  private readonly cluster: LocalCluster;
  private readonly screen: Screen;
  private readonly stop: (reason: string) => void;
  private readonly lines: Interface;
  private readonly isTerminal = process.stdin.isTTY === true && process.stdout.isTTY === true;
  /** Commands typed and not finished. */
  private busy = 0;
  private isClosed = false;
  private done = Promise.resolve();

  /** `stop` ends all members. */
  constructor(cluster: LocalCluster, screen: Screen, stop: (reason: string) => void) {
    this.cluster = cluster;
    this.screen = screen;
    this.stop = stop;
    const { stdin, stdout } = process;
    this.lines = this.isTerminal
      ? createInterface({
          input: stdin,
          output: stdout,
          prompt: "readyloop> ",
          completer: complete,
          removeHistoryDuplicates: true,
        })
      : createInterface({ input: stdin });
    // readline passes on the errors of its input: the terminal is gone.
    this.lines.on("error", () => stop("the input failed"));
    this.lines.on("line", (line) => this.take(line));
    if (!this.isTerminal) return;
    this.lines.on("SIGINT", () => stop("Ctrl-C"));
    this.lines.on("close", () => stop("the end of the input"));
    // After Ctrl-Z and fg readline would wait for ever: it pauses its input, and leaves it to this to go on.
    this.lines.on("SIGCONT", () => this.lines.resume());
    screen.showPrompt(this.lines);
  }

  close(): void {
    this.isClosed = true;
    this.screen.hidePrompt();
    if (this.isTerminal && this.busy === 0) process.stdout.write("\n"); // below what was typed
    this.lines.close();
    process.stdin.destroy(); // or it would keep the process waiting for a line
  }

  /** Takes commands, one after the other. */
  private take(line: string): void {
    if (this.busy++ === 0) this.suspend();
    this.done = this.done
      .then(() => this.carryOut(line.trim()))
      .then(() => {
        if (--this.busy === 0) this.resume();
      });
  }

  private async carryOut(line: string): Promise<void> {
    if (line === "") return;
    const [, name = "", rest = ""] = /^(\S+)\s*(.*)$/.exec(line) ?? [];
    try {
      const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
      if (command === undefined) throw new Error("no such command. Type help for the list");
      await command.run(this, rest);
    } catch (error) {
      this.screen.say(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** The prompt goes, and the terminal is as usual: Ctrl-C is a signal. */
  private suspend(): void {
    if (!this.isTerminal) return;
    this.screen.hidePrompt();
    this.lines.pause();
    process.stdin.setRawMode(false);
  }

  private resume(): void {
    if (!this.isTerminal || this.isClosed) return;
    process.stdin.setRawMode(true);
    this.screen.showPrompt(this.lines);
  }

  /** Members that may answer. */
  private get to(): Endpoints {
    const { cluster } = this;
    if (cluster.running.length === 0) throw new Error("no member runs: start one, for example: start 1");
    return { endpoints: cluster.running.map((id) => cluster.clientUrl(id)) };
  }

  private keyOf(rest: string, usage: string): string {
    if (/^["']/.test(rest)) throw new Error(`a key is written without quotes here, and has no spaces: ${usage}`);
    if (rest === "" || /\s/.test(rest)) throw new Error(`needs one key, without spaces. For example: ${usage}`);
    return rest;
  }

  private memberOf(rest: string, command: string): number {
    const id = this.cluster.ids.find((one) => String(one) === rest);
    if (id === undefined) {
      throw new Error(
        `which member? There are ${this.cluster.ids.join(", ")}. For example: ${command} ${this.cluster.ids.at(-1)}`,
      );
    }
    return id;
  }

  private nothingElse(rest: string): void {
    if (rest !== "") throw new Error(`this command takes no argument, and ${JSON.stringify(rest)} was given`);
  }

  async put(rest: string): Promise<void> {
    const [, key, text] = /^(\S+)\s+(.+)$/.exec(rest) ?? [];
    if (key === undefined || text === undefined)
      throw new Error("needs a key and a value. For example: put greeting hello");
    const [, , quoted = text] = /^(["'])(.*)\1$/.exec(text) ?? [];
    await putValue(this.to, this.keyOf(key, "put greeting hello"), Buffer.from(quoted));
    this.screen.say("written");
  }

  async get(rest: string): Promise<void> {
    this.screen.say(printable((await getValue(this.to, this.keyOf(rest, "get greeting"))).toString()));
  }

  async delete(rest: string): Promise<void> {
    await deleteKey(this.to, this.keyOf(rest, "delete greeting"));
    this.screen.say("deleted");
  }

  async status(rest: string): Promise<void> {
    this.nothingElse(rest);
    await printStatus({ endpoints: this.cluster.endpoints });
  }

  async end(rest: string, command: "stop" | "kill"): Promise<void> {
    await this.cluster.end(this.memberOf(rest, command), command === "stop" ? "SIGTERM" : "SIGKILL");
  }

  async start(rest: string): Promise<void> {
    const id = this.memberOf(rest, "start");
    if (this.cluster.isAlive(id)) throw new Error(`member ${id} runs already`);
    this.cluster.start(id);
    this.screen.say(this.cluster.describe(id));
  }

  async remove(rest: string): Promise<void> {
    // Any id: a member whose directory is gone was not started, and is not among the cluster's ids.
    const id = memberId.read(rest, "the id");
    printMembers(await changeMembers(this.to, { method: "DELETE", path: `/_members/${id}` }));
  }

  async transfer(rest: string): Promise<void> {
    const transferee = this.memberOf(rest, "transfer");
    printMembers(await changeMembers(this.to, { method: "POST", path: "/_leader", body: jsonBody({ transferee }) }));
  }

  /** Adds a member as a learner, starts it, and promotes it when the leader says that it has caught up. */
  async add(rest: string): Promise<void> {
    this.nothingElse(rest);
    const { cluster, screen } = this;
    const id = cluster.freeId;
    if (!URL.canParse(cluster.peerUrl(id)) || !URL.canParse(cluster.clientUrl(id))) {
      throw new Error(`there is no port left for member ${id}`);
    }
    const body = jsonBody({ id, peerUrl: cluster.peerUrl(id), learner: true });
    await changeMembers(this.to, { method: "POST", path: "/_members", body });
    screen.say(`member ${id} is a learner now; starting it`);
    cluster.start(id);
    screen.say(cluster.describe(id));
    for (const until = performance.now() + catchUpMs; ; ) {
      await sleep(pauseMs);
      if (!cluster.isAlive(id)) throw new Error(`member ${id} has ended; mend the cause, then type: start ${id}`);
      try {
        printMembers(await changeMembers(this.to, { method: "POST", path: `/_members/${id}/promote` }));
        return screen.say(`member ${id} votes now; it serves clients on ${cluster.clientUrl(id)}`);
      } catch (error) {
        // The learner still has to catch up, or another obstacle may pass.
        if (performance.now() > until) throw error;
      }
    }
  }

  async help(rest: string): Promise<void> {
    this.nothingElse(rest);
    const width = Math.max(...Object.values(commands).map(({ usage }) => usage.length));
    this.screen.say(
      Object.values(commands)
        .map(({ usage, does }) => `${usage.padEnd(width)}  ${does}`)
        .join("\n"),
    );
  }

  async exit(rest: string): Promise<void> {
    this.nothingElse(rest);
    this.stop("exit");
  }
}

const complete = (line: string): [string[], string] => [
  names.filter((name) => name.startsWith(line)).map((name) => `${name} `),
  line,
];

/** Escapes control characters, so that a value cannot drive the terminal. */
const printable = (text: string): string =>
  text.replace(/[^\P{Cc}\n\t]/gu, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
