// start-cluster as a process, with somebody at its console.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs/promises";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, expect, test } from "vitest";

let directory: string;
let child: ChildProcess;
let lines: string[];
let watchers: (() => void)[];
beforeEach(async () => {
  directory = await fs.mkdtemp(path.join(os.tmpdir(), "readyloop-console-"));
  lines = [];
  watchers = [];
});
afterEach(async () => {
  if (child.exitCode === null) {
    child.kill("SIGTERM");
    await once(child, "close");
  }
  await fs.rm(directory, { recursive: true });
});

/** Ports in the steps that start-cluster takes; taken up at once, so that somebody else is unlikely to be faster. */
async function freeBase(count: number): Promise<number> {
  for (;;) {
    const base = 20_000 + Math.floor(Math.random() * 20_000);
    const servers = Array.from({ length: count }, (_, i) => net.createServer().listen(base + 100 * i, "127.0.0.1"));
    const free = await Promise.all(
      servers.map((s) =>
        once(s, "listening").then(
          () => true,
          () => false,
        ),
      ),
    );
    await Promise.all(servers.map((s) => new Promise((resolve) => s.close(resolve))));
    if (free.every(Boolean)) return base;
  }
}

async function seen(pattern: RegExp): Promise<void> {
  const found = lines.findIndex((line) => pattern.test(line));
  if (found >= 0) {
    lines.splice(0, found + 1);
    return;
  }
  await new Promise<void>((resolve) => watchers.push(resolve));
  return seen(pattern);
}

test("a member is added, killed, started and removed while the cluster runs, and all end well", async () => {
  const args = [`--client-port=${await freeBase(3)}`, `--peer-port=${await freeBase(3)}`, `--data-dir=${directory}`];
  const main = path.join(import.meta.dirname, "..", "main.ts");
  child = spawn(process.execPath, ["--import", "tsx", main, "start-cluster", "--size=1", ...args], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
    lines.push(line);
    for (const watch of watchers.splice(0)) watch();
  });
  const type = (command: string): void => void child.stdin?.write(`${command}\n`);

  await seen(/became leader/);
  type("add");
  await seen(/^member 2 is a learner now/);
  await seen(/^member 2 votes now/);
  type("kill 2");
  await seen(/^\[2\] has ended \(SIGKILL\); 1 of 2 are left/);
  type("start 2");
  await seen(/^\[2\] .*recovered \d+ entries/);
  await seen(/became leader/);
  type("status");
  await seen(/2 voters/);
  type("start 2");
  await seen(/^start: member 2 runs already/);
  type("dance");
  await seen(/^dance: no such command/);
  type("remove 2");
  await seen(/^\[2\] .*member 2 was removed from the cluster/);
  await seen(/^\[2\] has ended \(exit code 0\); 1 of 2 are left/);
  child.kill("SIGINT");
  expect(await once(child, "close")).toEqual([0, null]);
});
