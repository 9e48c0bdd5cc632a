// start-cluster: several members on this machine, each a process of its own, their logs side by side.

import { type ChildProcess, spawn } from "node:child_process";
import path from "node:path";
import { createInterface } from "node:readline";
import { fromEnvironment, integer, type Parser, type Run } from "./flags.ts";
import { type LogLevel, logLevels } from "./logger.ts";
import { stopOnSignals } from "./signals.ts";

interface ClusterFlags {
  size: number;
  clientPort: number;
  peerPort: number;
  dataDir: string;
  logLevel: LogLevel;
}

const step = 100;
const colours = [36, 33, 35, 32, 34, 31, 96, 93, 95];

const options = {
  size: { describe: "how many members", default: 3, coerce: integer("size", 1, 9) },
  "client-port": {
    describe: `client port of member 1; the next has it ${step} higher, and so on`,
    default: 2379,
    coerce: integer("client-port", 1, 65535 - 9 * step),
  },
  "peer-port": {
    describe: "peer port of member 1, likewise",
    default: 2380,
    coerce: integer("peer-port", 1, 65535 - 9 * step),
  },
  "data-dir": { describe: "where the members' directories lie", type: "string", default: "data" },
  "log-level": { describe: "of every member", choices: logLevels, default: "info" as LogLevel },
} as const;

export function startCluster(parser: Parser, run: Run): Parser {
  return parser.command(
    "start-cluster",
    "start several members on this machine (loopback only); Ctrl-C stops them",
    (y) => y.options(options).config(fromEnvironment(options)),
    run(cluster),
  );
}

async function cluster(flags: ClusterFlags): Promise<number> {
  const { size, clientPort, peerPort } = flags;
  const ids = Array.from({ length: size }, (_, i) => i + 1);
  const peers = ids.map((id) => `http://127.0.0.1:${peerPort + (id - 1) * step}`).join(",");
  const signals = stopOnSignals();
  const alive = new Map<number, ChildProcess>();
  let stopping = false;

  const exits = ids.map((id) => {
    const child = spawn(
      process.execPath,
      [...process.execArgv, process.argv[1] as string, ...memberArgs(id, flags, peers)],
      {
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    alive.set(id, child);
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => process.stdout.write(`${prefix(id)} ${line}\n`));
    }
    return new Promise<number>((resolve) => {
      child.on("close", (code, signal) => {
        alive.delete(id);
        if (!stopping) {
          process.stdout.write(
            `${prefix(id)} has ended (${signal ?? `exit code ${code}`}); ${alive.size} of ${size} are left\n`,
          );
        }
        if (alive.size === 0) signals.stop("no member is left");
        resolve(code ?? 1);
      });
    });
  });
  const endpoints = ids.map((id) => `http://127.0.0.1:${clientPort + (id - 1) * step}`).join(",");
  process.stdout.write(`${size} members; look at them with: readyloop status --endpoints=${endpoints}\n`);

  await signals.stopped;
  stopping = true;
  for (const child of alive.values()) child.kill("SIGTERM");
  const codes = await Promise.all(exits);
  return codes.every((code) => code === 0) ? 0 : 1;
}

function memberArgs(id: number, flags: ClusterFlags, peers: string): string[] {
  const shift = (id - 1) * step;
  return [
    "start-server",
    `--id=${id}`,
    `--peers=${peers}`,
    `--peer-port=${flags.peerPort + shift}`,
    `--client-port=${flags.clientPort + shift}`,
    `--data-dir=${path.join(flags.dataDir, String(id))}`,
    `--log-level=${flags.logLevel}`,
    "--log-format=pretty",
  ];
}

function prefix(id: number): string {
  const text = `[${id}]`;
  if (process.stdout.isTTY !== true || process.env.NO_COLOR !== undefined) return text;
  return `\u001b[${colours[(id - 1) % colours.length]}m${text}\u001b[0m`;
}
