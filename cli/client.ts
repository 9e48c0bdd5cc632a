// put, get, delete and status: a client on the command line.
//
// All but status ask one member, whichever of the endpoints answers first in their order: see endpoints.ts.

import { buffer } from "node:stream/consumers";
import type { MemberStatus } from "../server/interfaces.ts";
import { command, toggle } from "./command.ts";
import { ask, type Endpoints, endpoints, find } from "./endpoints.ts";
import { anyText, key } from "./flags.ts";
import { printTable } from "./table.ts";

const keyArgument = { kind: key, describe: "the key" } as const;

export const clientCommands = [
  command({
    name: "put",
    describe: "write a value ('-' reads it from standard input)",
    arguments: { key: keyArgument, value: { kind: anyText, describe: "the value" } },
    flags: { endpoints },
    run: put,
  }),
  command({
    name: "get",
    describe: "read a value",
    arguments: { key: keyArgument },
    flags: { stale: toggle("the member's own copy, which may lag"), endpoints },
    run: get,
  }),
  command({
    name: "delete",
    describe: "remove a key",
    arguments: { key: keyArgument },
    flags: { endpoints },
    run: remove,
  }),
  command({
    name: "status",
    describe: "show each member: role, term, leader, how far its log is",
    flags: { endpoints },
    run: status,
  }),
];

async function put({ key, value, endpoints }: Endpoints & { key: string; value: string }): Promise<number> {
  const bytes = value === "-" ? await buffer(process.stdin) : Buffer.from(value);
  await ask(endpoints, "PUT", pathOf(key), { bytes, contentType: "application/octet-stream" });
  return 0;
}

async function get({ key, stale, endpoints }: Endpoints & { key: string; stale: boolean }): Promise<number> {
  const response = await find(endpoints, "GET", pathOf(key) + (stale ? "?consistency=stale" : ""));
  if (response === undefined) {
    process.stderr.write(`readyloop: there is no key ${JSON.stringify(key)}\n`);
    return 1;
  }
  process.stdout.write(Buffer.from(await response.arrayBuffer()));
  if (process.stdout.isTTY === true) process.stdout.write("\n");
  return 0;
}

async function remove({ key, endpoints }: Endpoints & { key: string }): Promise<number> {
  await ask(endpoints, "DELETE", pathOf(key));
  return 0;
}

const pathOf = (key: string): string => `/${encodeURIComponent(key)}`;

function status({ endpoints }: Endpoints): Promise<number> {
  return printStatus(endpoints);
}

/** Prints a line for each endpoint; the exit code is 0 if any of them answers. */
export async function printStatus(endpoints: readonly string[]): Promise<number> {
  const rows = await Promise.all(endpoints.map(statusRow));
  printTable(
    ["ENDPOINT", "ID", "ROLE", "TERM", "LEADER", "COMMIT", "APPLIED", "SNAPSHOT", "MEMBERS"],
    rows.map(({ cells }) => cells),
  );
  return rows.some(({ reached }) => reached) ? 0 : 1;
}

async function statusRow(endpoint: string): Promise<{ reached: boolean; cells: string[] }> {
  try {
    const response = await fetch(`${endpoint}/_status`);
    if (!response.ok) return { reached: false, cells: [endpoint, `HTTP ${response.status}`] };
    const s = (await response.json()) as MemberStatus;
    const voters = s.members.filter(({ role }) => role === "voter").length;
    const learners = s.members.length - voters;
    const members = learners === 0 ? `${voters} voters` : `${voters} voters, ${learners} learners`;
    const leader = s.leader === 0 ? "none" : String(s.leader);
    const numbers = [s.commit, s.applied, s.snapshot].map(String);
    return { reached: true, cells: [endpoint, String(s.id), s.role, String(s.term), leader, ...numbers, members] };
  } catch (error) {
    const cause = (error as Error).cause as NodeJS.ErrnoException | undefined;
    return { reached: false, cells: [endpoint, `not reached (${cause?.code ?? (error as Error).message})`] };
  }
}
