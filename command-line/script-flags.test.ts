import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const execute = promisify(execFile);

async function run(script: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const command = ["--import", "tsx", script, ...args];
  const { code = 0, stdout, stderr } = await execute(process.execPath, command).catch((error) => error);
  return { code, out: stdout, err: stderr };
}

test("--help says what there is, and ends well", async () => {
  const { code, out, err } = await run("sim/run.ts", "--help");
  expect([code, err]).toEqual([0, ""]);
  expect(out).toContain("npm run sim -- [flags]");
  expect(out).toMatch(/--ticks +length of the safety phase.*\[default: 1000\]/);
});

test.each([
  [["--sed=7"], "there is no flag --sed. Did you mean --seed?"],
  [["7"], '"7" is one argument too many'],
  [["--seed=x"], '--seed must be an integer from 1 to 9007199254740991, not "x"'],
  [["--seed=1", "--seed=2"], "--seed is given more than once"],
  [["--seed"], "--seed needs a value"],
  [["--only="], "--only is empty"],
  [["--ticks=1e3"], '--ticks must be an integer from 1 to 9007199254740991, in plain digits, not "1e3"'],
  [["--trace=yes"], "--trace is a switch"],
])("%j is wrong: one line that says so, another that leads on, exit code 2", async (args, line) => {
  const { code, out, err } = await run("sim/run.ts", ...args);
  expect([code, out]).toEqual([2, ""]);
  expect(err.split("\n")).toEqual([expect.stringContaining(`npm run sim: ${line}`), "Try: npm run sim -- --help", ""]);
});
