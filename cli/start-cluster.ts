// start-cluster: several members on this machine, each a process of its own, and a console to add, stop and remove them.

import { command } from "./command.ts";
import { consoleHelp, runConsole } from "./console.ts";
import { choice, integer, text, UsageError } from "./flags.ts";
import { type ClusterFlags, LocalCluster, portStep, say } from "./local-cluster.ts";
import { logLevels } from "./logger.ts";
import { hint } from "./program.ts";
import { stopOnSignals } from "./signals.ts";

const mostMembers = 9;
const maxPort = 65535 - mostMembers * portStep;

export const startCluster = command({
  name: "start-cluster",
  describe: "start several members on this machine (loopback only); Ctrl-C stops them",
  flags: {
    size: { kind: integer(1, mostMembers), describe: "how many members", default: 3 },
    "client-port": {
      kind: integer(1, maxPort),
      describe: `client port of member 1; the next has it ${portStep} higher, and so on`,
      default: 2379,
    },
    "peer-port": { kind: integer(1, maxPort), describe: "peer port of member 1, likewise", default: 2380 },
    "data-dir": { kind: text, describe: "the directory of the members' directories", default: "data" },
    "snapshot-count": {
      kind: integer(1, 1_000_000_000),
      describe: "every member takes a snapshot after so many entries",
      default: 10_000,
    },
    "snapshot-catchup-entries": {
      kind: integer(0, 1_000_000_000),
      describe: "entries kept in memory behind a snapshot",
      default: 5000,
    },
    "log-level": { kind: choice(logLevels), describe: "of every member", default: "info" },
  },
  check: ({ clientPort, peerPort }) => {
    const apart = Math.abs(clientPort - peerPort);
    if (apart % portStep !== 0 || apart > mostMembers * portStep) return;
    throw new UsageError(
      `--client-port=${clientPort} and --peer-port=${peerPort} meet, since each member's are ${portStep} higher than the last one's`,
    );
  },
  run: serve,
});

async function serve(flags: ClusterFlags): Promise<number> {
  const signals = stopOnSignals();
  const cluster = new LocalCluster(flags, () => signals.stop("no member is left"));
  cluster.startAll();
  say(`${cluster.ids.length} members; look at them with: ${hint("status")} --endpoints=${cluster.endpoints.join(",")}`);
  say(consoleHelp);
  // Where nobody types, the input ends at once, and the members run on.
  void runConsole(cluster, process.stdin);
  await signals.stopped;
  const well = await cluster.endAll();
  process.stdin.destroy(); // or the console would go on waiting for a line
  return well ? 0 : 1;
}
