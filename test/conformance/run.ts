// Runs every script under the given files and directories, and shows what differs.
//
//     npm run conformance -- DIR...              a table, the first difference of each failing script, and a count
//     npm run conformance -- --rewrite DIR...    writes the actual output into the scripts instead
//
// The exit code is 1 if a script failed, 2 if there was none to run.

import fs from "node:fs";
import path from "node:path";
import { styleText } from "node:util";
import { readFlags, yesFlag } from "../../cli/script-flags.ts";
import { type Failure, type Outcome, runScript } from "./script.ts";

const flags = readFlags({
  name: "conformance",
  does: "Runs etcd-raft's interaction scripts, and shows what differs from the output that is recorded in them.",
  operands: "DIR...",
  flags: { rewrite: yesFlag("write the actual output into the scripts instead") },
});

function scriptsUnder(root: string): string[] {
  if (fs.statSync(root).isFile()) return [root];
  const entries = fs.readdirSync(root, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((e) => e.isFile() && e.name.endsWith(".txt"))
    .map((e) => path.join(e.parentPath, e.name));
  return files.filter((file) => fs.readFileSync(file, "utf8").includes("\n----\n")).sort();
}

const width = 30;

function progressBar(done: number, all: number): void {
  if (process.stdout.isTTY !== true) return;
  const full = Math.round((width * done) / all);
  process.stdout.write(
    `\r[${"#".repeat(full)}${" ".repeat(width - full)}] ${done} of ${all}${done === all ? "\n" : ""}`,
  );
}

/** The lines that differ, with two equal ones before them. */
function diff(expected: string, actual: string): string {
  const before = expected.split("\n");
  const after = actual.split("\n");
  const at = before.findIndex((line, i) => line !== after[i]);
  const first = at < 0 ? before.length : at;
  const same = before.slice(Math.max(0, first - 2), first).map((line) => `      ${line}`);
  const gone = before.slice(first, first + 5).map((line) => styleText("red", `    - ${line}`));
  const come = after.slice(first, first + 5).map((line) => styleText("green", `    + ${line}`));
  return [...same, ...gone, ...come].join("\n");
}

function describeFailure(failure: Failure): string {
  const { step } = failure;
  const where = step === undefined ? "the script cannot be read" : `line ${step.line}: ${step.name}`;
  if (failure.kind === "exception") return `  ${where}: ${styleText("red", failure.error.message)}`;
  return `  ${where}\n${diff(failure.step.expected, failure.actual)}`;
}

const files = flags._.map(String).flatMap(scriptsUnder);
const results: { file: string; outcome: Outcome }[] = [];
for (const file of files) {
  const outcome = runScript(file, fs.readFileSync(file, "utf8"), flags.rewrite);
  if (outcome.rewritten !== undefined) fs.writeFileSync(file, outcome.rewritten);
  results.push({ file, outcome });
  progressBar(results.length, files.length);
}

const nameWidth = Math.max(4, ...files.map((file) => file.length));
console.log(`${"file".padEnd(nameWidth)}  steps  result`);
for (const { file, outcome } of results) {
  const result = outcome.failure === undefined ? styleText("green", "passed") : styleText("red", "FAILED");
  console.log(`${file.padEnd(nameWidth)}  ${String(outcome.steps).padStart(5)}  ${result}`);
  if (outcome.failure !== undefined) console.log(describeFailure(outcome.failure));
}
const failed = results.filter(({ outcome }) => outcome.failure !== undefined).length;
console.log(`${results.length - failed} passed, ${failed} failed`);
if (results.length === 0) process.exitCode = 2;
else if (failed > 0) process.exitCode = 1;
