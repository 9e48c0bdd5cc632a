// put, get, delete and status: a client on the command line.
//
// Each tries the endpoints in turn. A member that cannot be reached, or that says that it did nothing (503), is passed over; a
// write whose outcome is unknown (504, or a connection lost on the way) is not tried elsewhere: it may have happened.

import { buffer } from "node:stream/consumers";
import type { MemberStatus } from "../server/interfaces.ts";
import { fromEnvironment, originOf, type Parser, type Run, UsageError } from "./flags.ts";

interface Endpoints {
  endpoints: string[];
}

export function clientCommands(parser: Parser, run: Run): Parser {
  const environment = fromEnvironment({ endpoints: undefined });
  const endpoints = {
    describe: "client URLs of members, tried in turn",
    default: "http://127.0.0.1:2379,http://127.0.0.1:2479,http://127.0.0.1:2579" as unknown as string[],
    coerce: (value: unknown): string[] => {
      if (typeof value !== "string" || value === "") throw new UsageError("--endpoints needs a list of client URLs");
      return value.split(",").map((url) => originOf(url.trim()));
    },
  } as const;
  const key = { describe: "the key", type: "string", demandOption: true } as const;
  return parser
    .command(
      "put <key> <value>",
      "write a value ('-' reads it from standard input)",
      (y) =>
        y
          .positional("key", key)
          .positional("value", { describe: "the value", type: "string", demandOption: true })
          .option("endpoints", endpoints)
          .config(environment),
      run(put),
    )
    .command(
      "get <key>",
      "read a value",
      (y) =>
        y
          .positional("key", key)
          .option("stale", { describe: "the member's own copy, which may lag", type: "boolean", default: false })
          .option("endpoints", endpoints)
          .config(environment),
      run(get),
    )
    .command(
      "delete <key>",
      "remove a key",
      (y) => y.positional("key", key).option("endpoints", endpoints).config(environment),
      run(remove),
    )
    .command(
      "status",
      "show each member: role, term, leader, how far its log is",
      (y) => y.option("endpoints", endpoints).config(environment),
      run(status),
    );
}

async function put({ key, value, endpoints }: Endpoints & { key: string; value: string }): Promise<number> {
  const body = value === "-" ? await buffer(process.stdin) : Buffer.from(value);
  await ask(endpoints, "PUT", pathOf(key), body);
  return 0;
}

async function get({ key, stale, endpoints }: Endpoints & { key: string; stale: boolean }): Promise<number> {
  const response = await ask(endpoints, "GET", pathOf(key) + (stale ? "?consistency=stale" : ""));
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

/** The first answer that settles the matter; undefined for 404. Throws with what every endpoint said. */
async function ask(
  endpoints: readonly string[],
  method: string,
  path: string,
  body?: Buffer,
): Promise<Response | undefined> {
  const failures: string[] = [];
  for (const endpoint of endpoints) {
    let response: Response;
    try {
      response = await fetch(endpoint + path, {
        method,
        ...(body === undefined ? {} : { body: new Uint8Array(body) }),
      });
    } catch (error) {
      const cause = (error as Error).cause as NodeJS.ErrnoException | undefined;
      if (method !== "GET" && cause?.code !== "ECONNREFUSED") {
        throw new Error(
          `${endpoint}: the connection broke (${cause?.code ?? cause?.message ?? error}); the write may have happened`,
        );
      }
      failures.push(`${endpoint}: ${cause?.code ?? cause?.message ?? String(error)}`);
      continue;
    }
    if (response.ok) return response;
    if (response.status === 404) return undefined;
    const text = `${endpoint}: ${response.status} ${await response.text()}`;
    if (response.status !== 503) throw new Error(text.trim());
    failures.push(text.trim());
  }
  throw new Error(`no member could do it\n  ${failures.join("\n  ")}`);
}

async function status({ endpoints }: Endpoints): Promise<number> {
  const rows = await Promise.all(endpoints.map(statusRow));
  printTable(
    ["ENDPOINT", "ID", "ROLE", "TERM", "LEADER", "COMMIT", "APPLIED", "MEMBERS"],
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
    return {
      reached: true,
      cells: [endpoint, String(s.id), s.role, String(s.term), leader, String(s.commit), String(s.applied), members],
    };
  } catch (error) {
    const cause = (error as Error).cause as NodeJS.ErrnoException | undefined;
    return { reached: false, cells: [endpoint, `not reached (${cause?.code ?? (error as Error).message})`] };
  }
}

function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  // A row that is cut short ends in a remark, which may run over the columns to its right.
  const width = head.map((title, column) =>
    Math.max(
      title.length,
      ...rows.filter((r) => r.length === head.length || column === 0).map((r) => r[column]?.length ?? 0),
    ),
  );
  for (const row of [head, ...rows]) {
    process.stdout.write(
      `${row
        .map((cell, i) => cell.padEnd(width[i] ?? 0))
        .join("  ")
        .trimEnd()}\n`,
    );
  }
}
