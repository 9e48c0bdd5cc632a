// put, get and delete: a client on the command line. Each asks one member, the first of the endpoints that answers: see endpoints.ts.

import fs from "node:fs";
import type { Readable } from "node:stream";
import { exitCode } from "../command-line/exit-codes.ts";
import { toggle } from "../command-line/flags.ts";
import { anyText } from "../command-line/kinds.ts";
import { MAX_VALUE_BYTES, nothing, value } from "./answers.ts";
import { command } from "./command.ts";
import { ask, ClientError, clientFlags, type Endpoints } from "./endpoints.ts";
import { key } from "./flags.ts";
import { printStatus } from "./status.ts";

const keyArgument = { kind: key, describe: "the key" } as const;

export const clientCommands = [
  command({
    name: "put",
    describe: "write a value ('-' reads it from standard input)",
    arguments: { key: keyArgument, value: { kind: anyText, describe: "the value" } },
    flags: clientFlags,
    run: put,
  }),
  command({
    name: "get",
    describe: "read a value",
    arguments: { key: keyArgument },
    flags: { stale: toggle("the member's own copy, which may lag"), ...clientFlags },
    run: get,
  }),
  command({
    name: "delete",
    describe: "remove a key",
    arguments: { key: keyArgument },
    flags: clientFlags,
    run: remove,
  }),
  command({
    name: "status",
    describe: "show every member: role, term, leader and indexes; exit code 1 without a leader or a majority",
    flags: { json: toggle("print JSON"), ...clientFlags },
    run: printStatus,
  }),
];

export async function put({ key, value: text, ...to }: Endpoints & { key: string; value: string }): Promise<number> {
  if (text === "-" && process.stdin.isTTY !== true) requireInput(0);
  await putValue(to, key, text === "-" ? await readValue(process.stdin) : Buffer.from(text));
  return 0;
}

async function get({ key, stale, ...to }: Endpoints & { key: string; stale: boolean }): Promise<number> {
  process.stdout.write(await getValue(to, key, stale));
  if (process.stdout.isTTY === true) process.stdout.write("\n");
  return 0;
}

async function remove({ key, ...to }: Endpoints & { key: string }): Promise<number> {
  await deleteKey(to, key);
  return 0;
}

/** Resolves once the value is committed. Throws ClientError. */
export function putValue(to: Endpoints, key: string, bytes: Uint8Array): Promise<void> {
  const body = { bytes, contentType: "application/octet-stream" };
  return ask(to, { method: "PUT", path: pathOf(key), body, answer: nothing });
}

/** Throws ClientError, also if there is no such key. */
export function getValue(to: Endpoints, key: string, stale = false): Promise<Buffer> {
  const path = pathOf(key) + (stale ? "?consistency=stale" : "");
  return ask(to, { method: "GET", path, answer: value, absent: `there is no key ${JSON.stringify(key)}` });
}

/** Resolves once the key is gone, whether or not it was there. Throws ClientError. */
export function deleteKey(to: Endpoints, key: string): Promise<void> {
  return ask(to, { method: "DELETE", path: pathOf(key), answer: nothing });
}

const pathOf = (key: string): string => `/${encodeURIComponent(key)}`;

/** Node reads nothing, without an error, where standard input is closed or is a directory: the key would lose its value. */
export function requireInput(fd: number): void {
  const stats = fs.fstatSync(fd);
  const isReadable = stats.isFile() || stats.isFIFO() || stats.isSocket() || stats.isCharacterDevice();
  if (isReadable && !isStandIn(fd, stats)) return;
  const what = isReadable ? "closed" : stats.isDirectory() ? "a directory" : "neither a file nor a pipe";
  throw new ClientError(
    exitCode.usage,
    `standard input is ${what}, and the value would come from it; nothing was sent. An empty value is ''`,
  );
}

/** Node opens /dev/null for a descriptor that it finds closed, to read and write; a shell opens it to read. Linux shows the difference. */
function isStandIn(fd: number, { rdev }: fs.Stats): boolean {
  try {
    if (rdev === 0 || rdev !== fs.statSync("/dev/null").rdev) return false;
    return /^flags:\s+[0-7]*2$/m.test(fs.readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"));
  } catch {
    return false;
  }
}

/** All that comes, up to the largest value that a server may be set to take. */
export async function readValue(input: Readable & { isTTY?: boolean }): Promise<Buffer> {
  if (input.isTTY === true) process.stderr.write("reading the value from the terminal: end it with Ctrl-D\n");
  const parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of input) {
    const part = Buffer.from(chunk);
    size += part.length;
    if (size > MAX_VALUE_BYTES) {
      const limit = `${MAX_VALUE_BYTES} bytes`;
      throw new ClientError(
        exitCode.usage,
        `standard input holds more than ${limit}, the largest value that a server accepts; nothing was sent`,
      );
    }
    parts.push(part);
  }
  return Buffer.concat(parts, size);
}
