// Runs every script under the given files and directories, and shows what differs.
//
//     npm run conformance -- DIR...             a table, the first difference of each failing script, and a count
//     npm run conformance -- --show FILE        plays one script: comments, each command and its output, step by step
//     npm run conformance -- --rewrite DIR...   writes the actual output into the scripts instead
//
// Ends with a verdict. The exit code is 1 if a script failed, 2 if there was none to run or one cannot be read.
// --rewrite writes into the named files, and those in the named directories. It writes into none at all if one of them
// has an unknown command, or cannot be run.

import fs from "node:fs";
import path from "node:path";
import { readFlags, textFlag, yesFlag } from "../../command-line/script-flags.ts";
import { failed, npmRun, passed, readOperand, refuse } from "../../command-line/verdict.ts";
import { diff, paint } from "./paint.ts";
import { type Failure, type Outcome, runScript } from "./script.ts";
import { showScript } from "./show.ts";

const flags = readFlags({
  name: "conformance",
  does: "Runs etcd-raft's interaction scripts, and shows what differs from the output that is recorded in them.",
  operands: "DIR...",
  flags: {
    show: textFlag("play this script, with its comments; on a terminal Enter goes on"),
    rewrite: yesFlag("write the actual output into the scripts instead"),
  },
});
const roots = flags._.map(String);

const textOf = (file: string): string => readOperand("conformance", file).toString("utf8");

/** Links within a directory are not followed: what they lead to was not named. */
function scriptsUnder(root: string): string[] {
  if (!fs.statSync(root, { throwIfNoEntry: false })?.isDirectory()) {
    textOf(root); // or it ends here, with the reason
    return [root];
  }
  const entries = fs.readdirSync(root, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((e) => e.isFile() && e.name.endsWith(".txt"))
    .map((e) => path.join(e.parentPath, e.name));
  return files.filter((file) => textOf(file).includes("\n----\n")).sort();
}

const width = 30;

function progressBar(done: number, all: number): void {
  if (process.stdout.isTTY !== true) return;
  const full = Math.round((width * done) / all);
  process.stdout.write(
    `\r[${"#".repeat(full)}${" ".repeat(width - full)}] ${done} of ${all}${done === all ? "\n" : ""}`,
  );
}

function describeFailure(failure: Failure): string {
  const { step } = failure;
  const where = step === undefined ? "the script cannot be run" : `line ${step.line}: ${step.name}`;
  if (failure.kind === "exception") return `  ${where}: ${paint("red", failure.error.message)}`;
  return `  ${where}\n${diff(failure.step.expected, failure.actual)}`;
}

async function show(file: string): Promise<number> {
  const text = textOf(file);
  const again = npmRun("conformance", file);
  try {
    const { steps, seen, wrong } = await showScript(file, text, console.log);
    if (wrong !== undefined) return failed(`${file}, line ${wrong.line}: the output is not the recorded one`, again);
    if (steps === 0) refuse("conformance", `${file}: there is no step in it`);
    return passed(seen < steps ? `left after ${seen} of ${steps} steps` : `${steps} steps, each as recorded`);
  } catch (error) {
    return failed(`${file}: ${(error as Error).message}`, again);
  }
}

function runAll(): number {
  const files = [...new Set(roots.flatMap(scriptsUnder))];
  if (files.length === 0) refuse("conformance", "no script to run: name a script or a directory, like raft/testdata");
  const results: { file: string; outcome: Outcome }[] = [];
  for (const file of files) {
    const outcome = runScript(file, textOf(file), flags.rewrite);
    if (outcome.failure === undefined && outcome.steps === 0) refuse("conformance", `${file}: there is no step in it`);
    results.push({ file, outcome });
    progressBar(results.length, files.length);
  }
  const nameWidth = Math.max(4, ...files.map((file) => file.length));
  console.log(`${"file".padEnd(nameWidth)}  steps  result`);
  for (const { file, outcome } of results) {
    const result = outcome.failure === undefined ? paint("green", "passed") : paint("red", "FAILED");
    console.log(`${file.padEnd(nameWidth)}  ${String(outcome.steps).padStart(5)}  ${result}`);
    if (outcome.failure !== undefined) console.log(describeFailure(outcome.failure));
  }
  const bad = results.filter(({ outcome }) => outcome.failure !== undefined);
  const [first] = bad;
  const count = `${results.length - bad.length} passed, ${bad.length} failed`;
  if (first !== undefined) {
    const unwritten = flags.rewrite ? ", and nothing was written" : "";
    return failed(`${count}${unwritten}; the first: ${first.file}`, npmRun("conformance", first.file));
  }
  let written = 0;
  for (const { file, outcome } of results) {
    if (outcome.rewritten === undefined || outcome.rewritten === textOf(file)) continue;
    fs.writeFileSync(file, outcome.rewritten);
    written++;
  }
  return passed(flags.rewrite ? `${results.length} scripts were run, ${written} of them written anew` : count);
}

if (flags.show === undefined) process.exitCode = runAll();
else if (roots.length > 0 || flags.rewrite) refuse("conformance", "--show takes one FILE, and nothing else");
else process.exitCode = await show(flags.show);
