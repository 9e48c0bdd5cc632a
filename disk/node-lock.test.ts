// The two locks, each with real processes. That of macOS and BSD runs here as well: it needs nothing but ps.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { Wal } from "../wal/index.ts";
import { FileSystemError, nodeFileSystem } from "./index.ts";
import { lockWithFile, lockWithSocket } from "./node-lock.ts";
import { removeTemporary, temporary } from "./testing.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const moduleUrl = (name: string): string => new URL(name, import.meta.url).href;
const started: ChildProcess[] = [];

afterEach(async () => {
  for (const child of started.splice(0)) await kill(child);
});
afterAll(removeTemporary);

/** Runs a program in a process of its own; resolves with the first line that it prints. */
async function child(command: string, args: string[], env = {}): Promise<{ process: ChildProcess; line: string }> {
  const running = spawn(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  started.push(running);
  const [line] = await once(running.stdout as NodeJS.ReadableStream, "data");
  return { process: running, line: String(line).trim() };
}

/** A process that tries to lock the directory, tells what became of it, and stays. */
function locker(name: "lockWithFile" | "lockWithSocket", directory: string, env = {}) {
  const program = `
    import(${JSON.stringify(moduleUrl("./node-lock.ts"))})
      .then((locks) => locks.${name}(${JSON.stringify(directory)}))
      .then(() => console.log("locked"), (error) => console.log(error.code));
    setInterval(() => {}, 1000);`;
  return child(process.execPath, ["--import", "tsx", "-e", program], env);
}

async function kill(running: ChildProcess): Promise<void> {
  if (running.exitCode !== null || running.signalCode !== null) return;
  const gone = once(running, "exit");
  running.kill("SIGKILL");
  await gone;
}

describe.each([
  ["socket", lockWithSocket, "lockWithSocket"],
  ["file", lockWithFile, "lockWithFile"],
] as const)("the lock by %s", (kind, lock, name) => {
  const here = kind === "file" || process.platform === "linux";

  test.skipIf(!here)("is exclusive, stays with a renamed directory, and can be released", async () => {
    const parent = temporary();
    const [a, b] = [path.join(parent, "a"), path.join(parent, "b")];
    fs.mkdirSync(a);
    const held = await lock(a);
    await expect(lock(a)).rejects.toBeInstanceOf(FileSystemError);
    fs.renameSync(a, b);
    await expect(lock(b)).rejects.toMatchObject({ code: "LOCKED", call: "lock", path: b });
    await held.release(b);
    await (await lock(b)).release();
    expect(fs.readdirSync(b)).toEqual([]);
  });

  test.skipIf(!here)("serves a log from its creation to its second closing", async () => {
    const directory = path.join(temporary(), "wal");
    const fileSystem = { ...nodeFileSystem, lock };
    const wal = await Wal.create({ fileSystem, directory, metadata: new Uint8Array(0) });
    await expect(Wal.open({ fileSystem, directory })).rejects.toMatchObject({ code: "LOCKED" });
    await wal.close();
    await (await Wal.open({ fileSystem, directory })).wal.close();
  });

  test.skipIf(!here)(
    "goes with a process that is killed",
    async () => {
      const directory = temporary();
      const { process: holder } = await locker(name, directory);
      await expect(lock(directory)).rejects.toMatchObject({ code: "LOCKED" });
      await kill(holder);
      await (await lock(directory)).release();
    },
    30_000,
  );
});

describe.skipIf(process.platform === "win32")("lockWithFile", () => {
  const fileOf = (directory: string): string => path.join(directory, "lock");
  const contents = (directory: string) => JSON.parse(fs.readFileSync(fileOf(directory), "utf8"));
  const write = (directory: string, text: string): void => fs.writeFileSync(fileOf(directory), text);
  const writeHolder = (directory: string, holder: object): void => write(directory, `${JSON.stringify(holder)}\n`);

  /** A directory with programs of this name and text, to be put before the others. */
  function programs(text: string): { PATH: string } {
    const directory = temporary();
    fs.writeFileSync(path.join(directory, "ps"), text, { mode: 0o755 });
    return { PATH: `${directory}:${process.env.PATH}` };
  }

  test("refuses a process of another time zone or locale, and one that finds no ps or one without lstart", async () => {
    const directory = temporary();
    const { line } = await locker("lockWithFile", directory, { TZ: "UTC" });
    expect(line).toBe("locked");
    // As ps is where the locale is German, unless it is asked for C.
    const german = `#!/bin/sh
case "$LC_ALL" in C*) exec env PATH=/bin:/usr/bin ps "$@";; esac
env PATH=/bin:/usr/bin ps "$@" | sed 's/Mon/Mo/; s/Tue/Di/; s/Wed/Mi/; s/Thu/Do/; s/Fri/Fr/; s/Sat/Sa/; s/Sun/So/; s/ \\([A-Z][a-z][a-z]\\) / \\1. /'
`;
    const others = [
      { TZ: "Asia/Tokyo" },
      { TZ: "America/New_York", LC_ALL: "de_DE.UTF-8" },
      programs(german),
      programs("#!/bin/sh\necho \"ps: bad -o argument 'lstart'\" >&2; exit 1\n"),
      programs("#!/bin/sh\nexit 127\n"),
    ];
    const told = await Promise.all(others.map((env) => locker("lockWithFile", directory, env)));
    expect(told.map((other) => other.line)).toEqual(others.map(() => "LOCKED"));
  }, 60_000);

  test("refuses while the clock of ps, from which starts are told, has been set", async () => {
    const directory = temporary();
    await locker("lockWithFile", directory);
    // All processes seem to have begun in another year: as after a step of the clock where starts are counted from the
    // boot.
    const stepped = programs(`#!/bin/sh\nenv PATH=/bin:/usr/bin ps "$@" | sed 's/ [0-9]*$/ 1999/'\n`);
    expect((await locker("lockWithFile", directory, stepped)).line).toBe("LOCKED");
  }, 60_000);

  test("takes a lock over whose process has gone, and one whose id another process has", async () => {
    const directory = temporary();
    const { process: holder } = await locker("lockWithFile", directory);
    const held = contents(directory);
    expect(held).toEqual({ pid: holder.pid, host: os.hostname(), afterFirst: expect.any(Number) });
    await expect(lockWithFile(directory)).rejects.toMatchObject({ code: "LOCKED" });
    await kill(holder);
    await (await lockWithFile(directory)).release();

    const { process: other } = await child("sh", ["-c", "echo here; exec sleep 1000"]);
    writeHolder(directory, { ...held, pid: other.pid, afterFirst: held.afterFirst - 60 });
    const lock = await lockWithFile(directory);
    expect(contents(directory)).toMatchObject({ pid: process.pid });
    await lock.release();
    expect(fs.existsSync(fileOf(directory))).toBe(false);
  }, 60_000);

  test("refuses a lock of an earlier release, a local time, unless its process has gone", async () => {
    const directory = temporary();
    const { process: other } = await child("sh", ["-c", "echo here; exec sleep 1000"]);
    for (const text of [`${other.pid} Sat Nov 28 20:05:59 2026\n`, `${other.pid} \n`]) {
      write(directory, text);
      const way = new RegExp(`process ${other.pid} has this directory open.* is another program, delete .*lock\\.$`);
      await expect(lockWithFile(directory)).rejects.toMatchObject({
        code: "LOCKED",
        message: expect.stringMatching(way),
      });
    }
    await kill(other);
    await (await lockWithFile(directory)).release();
  }, 60_000);

  test("begins its file with no number: an earlier release then cannot ask for the process, and refuses", async () => {
    const directory = temporary();
    await lockWithFile(directory);
    expect(Number(fs.readFileSync(fileOf(directory), "utf8").trim().split(" ")[0])).toBeNaN();
  });

  test("refuses a lock of another host, and one whose process began when nobody could tell", async () => {
    const directory = temporary();
    writeHolder(directory, { pid: 77, host: "elsewhere", afterFirst: 5 });
    await expect(lockWithFile(directory)).rejects.toThrow(
      /lock says that process 77 of host elsewhere has this directory open, and this host cannot check that/,
    );
    writeHolder(directory, { pid: process.pid, host: os.hostname() });
    await expect(lockWithFile(directory)).rejects.toThrow(/has this directory open.*delete/);
  });

  test.each([
    ["", /lock is empty: .*delete that file\.$/],
    ["7", /is not what a lock writes/],
    ["123 Sat Nov", /is not what a lock writes/],
    ["null\n", /is not what a lock writes/],
    ["{}\n", /is not what a lock writes/],
    ['{"pid":0,"host":"a"}\n', /is not what a lock writes/],
    ['{"pid":-1,"host":"a"}\n', /is not what a lock writes/],
    ['{"pid":1e300,"host":"a"}\n', /is not what a lock writes/],
    ['{"pid":1,"host":"a","afterFirst":"x"}\n', /is not what a lock writes/],
    ["99999999999999999999 x\n", /is not what a lock writes/],
    ["x".repeat(5000), /is not what a lock writes/],
  ])("refuses a torn or strange file %j in one line, and leaves it", async (text, reason) => {
    const directory = temporary();
    write(directory, text);
    const refused = await lockWithFile(directory).catch((error) => error);
    expect(refused).toMatchObject({ name: "FileSystemError", code: "LOCKED", message: expect.stringMatching(reason) });
    expect(refused.message).not.toContain("\n");
    expect(fs.readFileSync(fileOf(directory), "utf8")).toBe(text);
  });

  test("refuses what is no file, and names a directory that it may not write to", async () => {
    const directory = temporary();
    fs.mkdirSync(fileOf(directory));
    await expect(lockWithFile(directory)).rejects.toMatchObject({ code: "LOCKED" });
    await expect(lockWithFile(path.join(directory, "missing"))).rejects.toMatchObject({ code: "ENOENT", call: "lock" });
  });
});

describe("a process that cannot make the socket", () => {
  // As under Bun, or where a sandbox forbids it.
  const program = (directory: string): string => `
    const net = require("node:net");
    net.Server.prototype.listen = function () {
      process.nextTick(() => this.emit("error", Object.assign(new Error("listen EINVAL"), { code: "EINVAL" })));
      return this;
    };
    Object.defineProperty(process.versions, "bun", { value: "1.2.3" });
    const main = async () => {
      const { lockWithSocket } = await import(${JSON.stringify(moduleUrl("./node-lock.ts"))});
      const { nodeFileSystem: real } = await import(${JSON.stringify(moduleUrl("./index.ts"))});
      const { Snapshotter } = await import(${JSON.stringify(moduleUrl("../snap/index.ts"))});
      const fileSystem = { ...real, lock: lockWithSocket };
      const error = await Snapshotter.open({ fileSystem, directory: ${JSON.stringify(directory)} }).catch((e) => e);
      console.log(JSON.stringify([error.name, error.code, error.message]));
    };
    main();`;

  test("is told which runtime it is, and not that the disk failed", async () => {
    const directory = temporary();
    const { line } = await child(process.execPath, ["--import", "tsx", "-e", program(directory)]);
    const [name, code, message] = JSON.parse(line);
    expect([name, code]).toEqual(["SnapError", "NO_LOCK"]);
    expect(message).toBe(
      `lock ${directory}: Bun 1.2.3 cannot make the abstract socket of 108 bytes that locks a directory on Linux (listen: EINVAL). Run this with Node.js.`,
    );
  }, 60_000);
});
