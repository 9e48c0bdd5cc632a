// The two locks of a directory: a socket on Linux, a file elsewhere.
//
// The socket listens in the abstract namespace, named by the directory's device and inode. The kernel drops it with the
// process, however that dies, and leaves no file behind; a renamed directory keeps its inode and so its lock. It holds
// between the processes of one network namespace: containers that share a volume but not a network do not see each
// other's. A runtime that cannot make it (Bun) is refused by name and gets no lock file instead: it would not see a
// holder on Node.js, nor be seen by it.
//
// The file holds the process id, the host, and how many seconds after process 1 the holder began. That number is the
// same in every time zone and locale, and stays the same when the clock is set, since both processes are read at once.
// A file is taken over only if its holder is certainly gone: there is no such process on this host, or another one has
// its id. Any doubt is a refusal that names the way out: a file of another host, of an earlier release (a local time),
// an empty or strange file, and a living process whose start `ps` does not show. Two processes that find the same stale
// file in the same instant can both take it; the socket has no such gap.

import { execFile } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { type DirectoryLock, FileSystemError } from "./file-system.ts";
import { attempt, codeOf, failure } from "./node-errors.ts";

const LOCK_FILE = "lock";
const largestLockFileBytes = 4096;
const largestPid = 2 ** 31 - 1;
const largestPsBytes = 16 * 1024 * 1024;
const psPatienceMs = 10_000;
/** ps gives starts in whole seconds, so that the difference of two may be off by one. */
const toleranceSeconds = 1;

function locked(directory: string, by: string, otherwise = ""): FileSystemError {
  const detail = `${by} has this directory open. Stop it first, or give this one another directory.${otherwise}`;
  return new FileSystemError("lock", directory, "LOCKED", detail);
}

/** An abstract socket that serves no one: it only holds the name. */
export async function lockWithSocket(directory: string): Promise<DirectoryLock> {
  const { dev, ino } = await attempt("lock", directory, () => fs.promises.stat(directory, { bigint: true }));
  // All 108 bytes that a name can have: some versions of Node fill a shorter one up with zeros and some do not, which
  // makes two names.
  const name = `\0${`readyloop-${dev}-${ino}-`.padEnd(107, "-")}`;
  const server = net.createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => {
      reject(codeOf(cause) === "EADDRINUSE" ? locked(directory, "another process") : noSocket(directory, cause));
    });
    try {
      server.listen({ path: name, exclusive: true }, resolve);
    } catch (cause) {
      reject(noSocket(directory, cause));
    }
  });
  server.unref();
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}

/** No process holds the lock, and this one cannot take it: not the disk's fault. */
function noSocket(directory: string, cause: unknown): FileSystemError {
  const { bun, deno } = process.versions as { readonly bun?: string; readonly deno?: string };
  const other = bun === undefined ? deno && `Deno ${deno}` : `Bun ${bun}`;
  const detail =
    `${other ?? `Node.js ${process.version}`} cannot make the abstract socket of 108 bytes that locks a directory on Linux ` +
    `(listen: ${codeOf(cause) ?? String(cause)}). ` +
    (other === undefined ? "Allow this process to listen on one." : "Run this with Node.js.");
  return new FileSystemError("lock", directory, "NO_LOCK", detail);
}

/** The contents of a lock file. */
interface Holder {
  readonly pid: number;
  /** Undefined in a file of an earlier release. */
  readonly host: string | undefined;
  /** How many seconds after process 1 it began; undefined if that could not be found out. */
  readonly afterFirst: number | undefined;
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const psLine = new RegExp(
  `^\\s*(\\d+)\\s+[A-Z][a-z]{2} (${months.join("|")}) +(\\d+) (\\d\\d):(\\d\\d):(\\d\\d) (\\d{4})\\s*$`,
);

/** How many seconds after process 1 the process began; undefined if it is gone, or ps does not show it. */
async function secondsAfterFirst(pid: number): Promise<number | undefined> {
  if (process.platform === "win32") return undefined;
  // Nothing else of this process's environment: ps has more variables that change what it prints.
  const env = { PATH: process.env.PATH, LC_ALL: "C", TZ: "UTC0" };
  const options = { env, maxBuffer: largestPsBytes, timeout: psPatienceMs };
  const { stdout } = await promisify(execFile)("ps", ["-A", "-o", "pid=", "-o", "lstart="], options).catch(() => ({
    stdout: "",
  }));
  const starts = new Map<number, number>();
  for (const line of stdout.split("\n")) {
    const [, id, month = "", ...numbers] = psLine.exec(line) ?? [];
    const [day, hour, minute, second, year] = numbers.map(Number) as [number, number, number, number, number];
    if (id !== undefined) {
      starts.set(Number(id), Date.UTC(year, months.indexOf(month), day, hour, minute, second) / 1000);
    }
  }
  const seconds = (starts.get(pid) ?? Number.NaN) - (starts.get(1) ?? Number.NaN);
  return Number.isNaN(seconds) ? undefined : seconds;
}

const isPid = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) > 0 && (value as number) <= largestPid;

/** Undefined if the file is not what a lock writes. */
function parseHolder(text: string): Holder | undefined {
  const old = /^(\d+) .*\n$/.exec(text);
  if (old !== null)
    return isPid(Number(old[1])) ? { pid: Number(old[1]), host: undefined, afterFirst: undefined } : undefined;
  if (!text.endsWith("\n")) return undefined;
  try {
    const { pid, host, afterFirst } = (JSON.parse(text) ?? {}) as { readonly [key: string]: unknown };
    if (!isPid(pid) || typeof host !== "string") return undefined;
    if (afterFirst !== undefined && typeof afterFirst !== "number") return undefined;
    return { pid, host, afterFirst };
  } catch {
    return undefined;
  }
}

/** The holder; undefined if there is no file any more. Throws LOCKED if the file cannot be understood. */
async function readHolder(directory: string, file: string): Promise<Holder | undefined> {
  let text: string | undefined;
  try {
    const found = fs.lstatSync(file);
    if (found.isFile() && found.size <= largestLockFileBytes) text = fs.readFileSync(file, "utf8");
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return undefined;
    throw failure("lock", file, cause);
  }
  const holder = parseHolder(text ?? "");
  if (holder !== undefined) return holder;
  const what = text === "" ? "is empty" : "is not what a lock writes";
  const detail = `${file} ${what}: a process is taking this directory right now, or crashed while it did. If no process has it open, delete that file.`;
  throw new FileSystemError("lock", directory, "LOCKED", detail);
}

/** Returns if the holder is certainly gone, and else throws LOCKED. */
async function mustBeGone(holder: Holder, directory: string, file: string): Promise<void> {
  const { pid, host, afterFirst } = holder;
  if (host !== undefined && host !== os.hostname()) {
    const detail = `${file} says that process ${pid} of host ${host} has this directory open, and this host cannot check that. If the process has ended, delete that file.`;
    throw new FileSystemError("lock", directory, "LOCKED", detail);
  }
  try {
    process.kill(pid, 0);
  } catch (cause) {
    if (codeOf(cause) === "ESRCH") return;
  }
  const now = afterFirst === undefined ? undefined : await secondsAfterFirst(pid);
  if (afterFirst !== undefined && now !== undefined) {
    if (Math.abs(now - afterFirst) > toleranceSeconds) return;
    throw locked(directory, `process ${pid}`);
  }
  throw locked(directory, `process ${pid}`, ` If process ${pid} is another program, delete ${file}.`);
}

/** Writes the lock file as a whole, or not at all. False if there is one. */
function create(file: string, text: string): boolean {
  let fd: number;
  try {
    fd = fs.openSync(file, "wx", 0o600);
  } catch (cause) {
    if (codeOf(cause) === "EEXIST") return false;
    throw cause;
  }
  try {
    fs.writeFileSync(fd, text);
    fs.fsyncSync(fd); // after a power cut it is whole or missing: an operator would have to delete an empty one
  } catch (cause) {
    fs.rmSync(file, { force: true });
    throw cause;
  } finally {
    fs.closeSync(fd);
  }
  return true;
}

/** A file that names its holder, for systems without abstract sockets. */
export async function lockWithFile(directory: string): Promise<DirectoryLock> {
  const file = path.join(directory, LOCK_FILE);
  const afterFirst = await secondsAfterFirst(process.pid);
  // Not a number at its beginning: an earlier release takes that for a process that it cannot ask, and refuses.
  const mine = `${JSON.stringify({ pid: process.pid, host: os.hostname(), afterFirst })}\n`;
  for (let tries = 0; tries < 3; tries++) {
    if (await attempt("lock", directory, () => create(file, mine))) {
      const release = (movedTo = directory): Promise<void> =>
        attempt("unlock", movedTo, () => fs.promises.unlink(path.join(movedTo, LOCK_FILE)));
      return { release };
    }
    const holder = await readHolder(directory, file);
    if (holder === undefined) continue;
    await mustBeGone(holder, directory, file);
    await attempt("lock", file, () => fs.promises.rm(file, { force: true }));
  }
  throw locked(directory, "another process");
}
