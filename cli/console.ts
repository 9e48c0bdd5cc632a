// The console of start-cluster: what one types while the members run.
//
//     add              a fourth member joins, as a learner first, and votes once it has caught up
//     stop 2, kill 2   the orderly way, and the power cut
//     start 2          again, with its data
//     remove 2         for good: it stops once the others know, and its id is spent
//     status, help

import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { jsonBody } from "./endpoints.ts";
import { type LocalCluster, say } from "./local-cluster.ts";
import { changeMembers, printMembers } from "./members.ts";
import { printStatus } from "./status.ts";

export const consoleHelp =
  "Type: add | stop <id> | kill <id> | start <id> | remove <id> | status | help. Ctrl-C ends all members.";

const pauseMs = 300;
const catchUpMs = 60_000;

/** Takes commands, one after the other, until the input ends. */
export async function runConsole(cluster: LocalCluster, input: Readable): Promise<void> {
  for await (const line of createInterface({ input })) {
    const [command = "", argument, ...rest] = line.trim().split(/\s+/);
    if (command === "") continue;
    try {
      if (rest.length > 0) throw new Error(`too many words. ${consoleHelp}`);
      await carryOut(cluster, command, argument);
    } catch (error) {
      say(`${command}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

async function carryOut(cluster: LocalCluster, command: string, argument: string | undefined): Promise<void> {
  const memberOf = (): number => {
    const id = Number(argument);
    if (argument === undefined || !cluster.ids.includes(id)) {
      throw new Error(`which member? For example: ${command} ${cluster.ids.at(-1)}`);
    }
    return id;
  };
  switch (command) {
    case "add":
      return add(cluster);
    case "stop":
      return cluster.end(memberOf(), "SIGTERM");
    case "kill":
      return cluster.end(memberOf(), "SIGKILL");
    case "start": {
      const id = memberOf();
      if (cluster.isAlive(id)) throw new Error(`member ${id} runs already`);
      return cluster.start(id);
    }
    case "remove":
      return printMembers(await changeMembers(cluster, { method: "DELETE", path: `/_members/${memberOf()}` }));
    case "status":
      await printStatus(cluster);
      return;
    case "help":
      return say(consoleHelp);
    default:
      throw new Error(`no such command. ${consoleHelp}`);
  }
}

/** Adds a member as a learner, starts it, and promotes it when the leader says that it has caught up. */
async function add(cluster: LocalCluster): Promise<void> {
  const id = cluster.freeId;
  if (!URL.canParse(cluster.peerUrl(id))) throw new Error(`there is no port left for member ${id}`);
  const body = jsonBody({ id, peerUrl: cluster.peerUrl(id), learner: true });
  await changeMembers(cluster, { method: "POST", path: "/_members", body });
  say(`member ${id} is a learner now; starting it`);
  cluster.start(id);
  for (const until = performance.now() + catchUpMs; ; ) {
    await sleep(pauseMs);
    try {
      printMembers(await changeMembers(cluster, { method: "POST", path: `/_members/${id}/promote` }));
      return say(`member ${id} votes now; it serves clients on ${cluster.clientUrl(id)}`);
    } catch (error) {
      // It has to catch up; beside that, whatever stands in the way may pass.
      if (performance.now() > until) throw error;
    }
  }
}
