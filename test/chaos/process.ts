// One run of a member: a child process of main.ts, its log, and its end.
//
// Promises: the whole log goes to a file, its last lines stay in memory. An unexpected end is a violation, and so is a line of
// the log at level error or above, or one that speaks of a broken invariant, or anything on standard error: that is where Node writes an
// uncaught exception.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";

const main = path.resolve(import.meta.dirname, "../../main.ts");
const keptLines = 40;
const levelError = 50;
const alarming = /panic|assert|invariant|unhandled|uncaught|out of range/i;

/** None of them outlives the run, however that ends. */
const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export interface ProcessEvents {
  /** Both ports are taken, and the member talks. */
  readonly onListening: (ports: { readonly client: number; readonly peer: number }) => void;
  /** It has connected to a peer at this URL. */
  readonly onConnected: (url: string) => void;
  /** A peer that was too far behind has taken its snapshot. */
  readonly onSnapshotSent: () => void;
  /** Its exit code, or the signal that ended it. */
  readonly onEnded: (how: number | NodeJS.Signals) => void;
  readonly onViolation: (what: string) => void;
}

interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly url?: string;
  readonly clientPort?: number;
  readonly peerPort?: number;
}

export class MemberProcess {
  /** The last lines of its log. */
  readonly tail: string[] = [];
  readonly ended: Promise<void>;
  readonly #id: number;
  readonly #child: ChildProcess;
  readonly #events: ProcessEvents;
  /** The end that was asked for: an exit code, or a signal. */
  #expected: number | NodeJS.Signals | undefined;
  #clientPort = 0;

  /** `preload`: modules that the process loads before main.ts. */
  constructor(id: number, args: readonly string[], preload: readonly string[], logFile: string, events: ProcessEvents) {
    this.#id = id;
    this.#events = events;
    const imports = ["tsx", ...preload].flatMap((module) => ["--import", module]);
    this.#child = spawn(process.execPath, [...imports, main, "start-server", `--id=${id}`, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(this.#child);
    const log = fs.createWriteStream(logFile, { flags: "a" });
    const { stdout, stderr } = this.#child;
    createInterface({ input: stdout as NodeJS.ReadableStream }).on("line", (line) => {
      log.write(`${line}\n`);
      this.#keep(line);
      this.#read(line);
    });
    stderr?.on("data", (chunk: Buffer) => {
      log.write(chunk);
      this.#keep(String(chunk));
      // Killed in the middle of its start or its end, it may complain; nobody is there to be told.
      if (this.#expected === undefined) this.#violation("wrote to standard error", String(chunk));
    });
    this.ended = once(this.#child, "close").then(([code, signal]) => {
      running.delete(this.#child);
      log.end(`--- ended: ${signal ?? `exit code ${code}`}\n`);
      const how = (signal ?? code) as number | NodeJS.Signals;
      if (how !== this.#expected && this.#expected !== "SIGKILL") {
        this.#violation(`ended with ${typeof how === "string" ? how : `exit code ${how}`}`, this.tail.join("\n"));
      }
      events.onEnded(how);
    });
  }

  /** Sends a signal; `ends` says how the process is to end of it. */
  signal(signal: NodeJS.Signals, ends?: number | NodeJS.Signals): void {
    if (ends !== undefined) this.#expected = ends;
    this.#child.kill(signal);
  }

  /** From now on it may end by itself, with this exit code. */
  mayEnd(code: number): void {
    this.#expected ??= code;
  }

  #keep(line: string): void {
    this.tail.push(line);
    if (this.tail.length > keptLines) this.tail.shift();
  }

  #violation(what: string, detail: string): void {
    this.#events.onViolation(`member ${this.#id} ${what}:\n${detail}`);
  }

  #read(text: string): void {
    const line = parse(text);
    if (line === undefined) {
      // A kill may come in the middle of a line.
      if (this.#expected !== "SIGKILL") this.#violation("wrote a line that is no JSON", text);
      return;
    }
    const { level, msg, url, clientPort, peerPort } = line;
    if (level >= levelError || alarming.test(msg)) this.#violation("has logged", text);
    if (url !== undefined && msg === "connected to peer") this.#events.onConnected(url);
    if (msg === "peer has taken a snapshot") this.#events.onSnapshotSent();
    if (clientPort !== undefined) this.#clientPort = clientPort;
    if (peerPort !== undefined) this.#events.onListening({ client: this.#clientPort, peer: peerPort });
  }
}

function parse(text: string): LogLine | undefined {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return undefined;
  }
}
