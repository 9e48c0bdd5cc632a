// start-cluster: several members on this machine, each a process of its own, and a console to add, stop and remove them.

import { consoleHelp, runConsole } from "./console.ts";
import { fromEnvironment, integer, type Parser, type Run } from "./flags.ts";
import { type ClusterFlags, LocalCluster, portStep, say } from "./local-cluster.ts";
import { type LogLevel, logLevels } from "./logger.ts";
import { stopOnSignals } from "./signals.ts";

const maxPort = 65535 - 9 * portStep;

const options = {
  size: { describe: "how many members", default: 3, coerce: integer("size", 1, 9) },
  "client-port": {
    describe: `client port of member 1; the next has it ${portStep} higher, and so on`,
    default: 2379,
    coerce: integer("client-port", 1, maxPort),
  },
  "peer-port": {
    describe: "peer port of member 1, likewise",
    default: 2380,
    coerce: integer("peer-port", 1, maxPort),
  },
  "data-dir": { describe: "where the members' directories lie", type: "string", default: "data" },
  "snapshot-count": {
    describe: "every member takes a snapshot after so many entries",
    default: 10_000,
    coerce: integer("snapshot-count", 1, 1_000_000_000),
  },
  "snapshot-catchup-entries": {
    describe: "entries kept in memory behind a snapshot",
    default: 5000,
    coerce: integer("snapshot-catchup-entries", 0, 1_000_000_000),
  },
  "log-level": { describe: "of every member", choices: logLevels, default: "info" as LogLevel },
} as const;

export function startCluster(parser: Parser, run: Run): Parser {
  return parser.command(
    "start-cluster",
    "start several members on this machine (loopback only); Ctrl-C stops them",
    (y) => y.options(options).config(fromEnvironment(options)),
    run(serve),
  );
}

async function serve(flags: ClusterFlags): Promise<number> {
  const signals = stopOnSignals();
  const cluster = new LocalCluster(flags, () => signals.stop("no member is left"));
  cluster.startAll();
  say(`${cluster.ids.length} members; look at them with: readyloop status --endpoints=${cluster.endpoints.join(",")}`);
  say(consoleHelp);
  // Where nobody types, the input ends at once, and the members run on.
  void runConsole(cluster, process.stdin);
  await signals.stopped;
  const well = await cluster.endAll();
  process.stdin.destroy(); // or the console would go on waiting for a line
  return well ? 0 : 1;
}
