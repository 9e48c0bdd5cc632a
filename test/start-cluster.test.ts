// start-cluster as a process, with somebody at its console.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, expect, test } from "vitest";
import { freeBase, until } from "./cluster.ts";

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
  const base = await freeBase();
  const args = [`--client-port=${base}`, `--peer-port=${base + 1}`, `--data-dir=${directory}`];
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
  // Whether 1 led all the time or one of them was elected: both know who leads.
  await until(async () => {
    const ask = async (port: number): Promise<number> => {
      const response = await fetch(`http://127.0.0.1:${port}/_status`);
      return ((await response.json()) as { leader: number }).leader;
    };
    const [one, two] = await Promise.all([ask(base), ask(base + 100)]);
    return one !== 0 && one === two ? true : undefined;
  });
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
