// start-cluster: several members on this machine, each a process of its own, and a console to use, add, stop and remove them.
//
// Order: check the members' directories and ports, then start all members, so that a mistake leaves nothing half started. The line that
// begins with "ready:" follows once a leader has shown that a majority follows it.

import { once } from "node:events";
import net from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { choice, integer, text, UsageError } from "../command-line/kinds.ts";
import { nodeFileSystem } from "../disk/index.ts";
import type { MemberStatus } from "../server/member.ts";
import { checkDirectories, maxFirstPort, maxSize, portStep } from "./cluster-directories.ts";
import { command } from "./command.ts";
import { Console } from "./console.ts";
import { type ClusterFlags, LocalCluster } from "./local-cluster.ts";
import { logLevels } from "./logger.ts";
import { Screen } from "./screen.ts";
import { stopOnSignals } from "./signals.ts";

export const startCluster = command({
  name: "start-cluster",
  describe: "start several members on this machine (loopback only); Ctrl-C stops them",
  flags: {
    size: { kind: integer(1, maxSize), describe: "how many members", default: 3 },
    "client-port": {
      kind: integer(1, maxFirstPort),
      describe: `client port of member 1; each further member has it ${portStep} higher`,
      default: 2379,
    },
    "peer-port": { kind: integer(1, maxFirstPort), describe: "peer port of member 1, likewise", default: 2380 },
    "data-dir": {
      kind: text,
      describe: "holds a data directory and a log file for each member",
      default: "data/cluster",
    },
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
    "log-level": {
      kind: choice(logLevels),
      describe: "show the members' logs of this level on the screen",
      defaultText: "they go to files",
    },
  },
  check: ({ clientPort, peerPort }) => {
    const apart = Math.abs(clientPort - peerPort);
    if (apart % portStep !== 0 || apart > maxSize * portStep) return;
    throw new UsageError(
      `--client-port=${clientPort} and --peer-port=${peerPort} collide: each member's ports are ${portStep} higher than the last one's. Choose two that do not differ by a multiple of ${portStep}`,
    );
  },
  run: serve,
});

const pollMs = 200;
const answerMs = 2000;
const patienceMs = 10_000;

async function serve(flags: ClusterFlags): Promise<number> {
  const { ids, missing } = await checkDirectories(nodeFileSystem, flags.dataDir, flags);
  for (const id of ids) {
    await checkPort("client", flags.clientPort + (id - 1) * portStep);
    await checkPort("peer", flags.peerPort + (id - 1) * portStep);
  }
  const signals = stopOnSignals();
  const screen = new Screen();
  const cluster = new LocalCluster(flags, {
    say: screen.say,
    onAllEnded: () => signals.stop("no member is left"),
  });
  await cluster.startAll(ids);
  for (const id of ids) screen.say(cluster.describe(id));
  for (const id of missing) screen.say(missingText(cluster.directory(id), id, flags.dataDir));
  if (flags.logLevel === undefined)
    screen.say(`The members log to ${logNames(flags.dataDir, ids)}. Type help for what you can do here.`);
  else screen.say("Type help for what you can do here.");
  const console = new Console(cluster, screen, signals.stop);
  const ended = new AbortController();
  void announceReady(cluster, screen, ended.signal);
  const reason = await signals.stopped;
  ended.abort();
  console.close();
  screen.say(`ending all members (${reason})`);
  return (await cluster.endAll()) ? 0 : 1;
}

const logNames = (dataDir: string, ids: readonly number[]): string =>
  path.join(dataDir, ids.length === 1 ? `${ids[0]}.log` : `{${ids.join(",")}}.log`);

const missingText = (directory: string, id: number, dataDir: string): string =>
  `member ${id} is not started: its directory ${directory} is gone, and with it what the member has promised. If it was removed from the ` +
  `cluster, nothing is left to do. Else put the directory back or, if it is lost, type: remove ${id}. To begin anew, stop and delete ${dataDir}`;

/** Throws if the port is in use, before any member starts. */
async function checkPort(kind: "client" | "peer", port: number): Promise<void> {
  const probe = net.createServer().listen(port, "127.0.0.1");
  try {
    await once(probe, "listening");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === "EADDRINUSE" ? "another program uses it" : message;
    throw new Error(
      `${kind} port ${port} is not free: ${why}. Nothing was started. End the program that holds it, or choose others with --${kind}-port`,
    );
  }
  probe.close();
  await once(probe, "close");
}

/** Says once that the cluster is ready; if that takes long, first says what it waits for. */
async function announceReady(cluster: LocalCluster, screen: Screen, ended: AbortSignal): Promise<void> {
  let patience = performance.now() + patienceMs;
  while (!ended.aborted) {
    const leader = await provenLeader(cluster);
    if (ended.aborted) return;
    const first = cluster.running[0];
    if (leader !== undefined && first !== undefined) {
      screen.say(
        `ready: member ${leader} leads. Try: curl -X PUT ${cluster.clientUrl(first)}/greeting -d 'hello, world'`,
      );
      return;
    }
    if (performance.now() > patience) {
      patience = Number.POSITIVE_INFINITY;
      const { running, ids } = cluster;
      screen.say(
        `still waiting for a leader: ${running.length} of ${ids.length} members run. If it lasts, their logs say why`,
      );
    }
    await sleep(pollMs);
  }
}

/**
 * The leader, once a member here has answered a linearizable read: a majority has just confirmed that leader, so a write would succeed too.
 * The leader may run elsewhere.
 */
async function provenLeader(cluster: LocalCluster): Promise<number | undefined> {
  for (const id of cluster.running) {
    try {
      const read = await get(`${cluster.clientUrl(id)}/greeting`);
      if (read.status !== 200 && read.status !== 404) continue;
      const status = (await (await get(`${cluster.clientUrl(id)}/_status`)).json()) as MemberStatus;
      if (status.id === id && status.leader !== 0) return status.leader;
    } catch {
      // It does not answer yet.
    }
  }
  return undefined;
}

const get = (url: string): Promise<Response> =>
  fetch(url, { signal: AbortSignal.timeout(answerMs), redirect: "manual" });
