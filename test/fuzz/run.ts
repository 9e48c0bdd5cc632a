// npm run fuzz: hostile inputs into every decoder and both ports, and lies for a cluster that serves.
//
// The corpus of a target is run first. An input that fails is made smaller and kept as failed-seed-N.bin, in the
// system's directory for temporary files unless --keep-in names another. Ends with a verdict, and exits with 1 if
// anything has failed. A decoder fails again of the same bytes; a port or a cluster depends on time as well, and then
// the verdict says so.

import { randomInt } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { maybeCountFlag, readFlags, textFlag } from "../../command-line/script-flags.ts";
import { printTable } from "../../command-line/table.ts";
import { failed, npmRun, passed, readOperand, refuse } from "../../command-line/verdict.ts";
import { attackTarget } from "./attack.ts";
import { type CorpusFile, corpusFile, keepFailure, readCorpus, soundOf } from "./corpus.ts";
import { kindOf, shrink } from "./shrink.ts";
import { type Failure, fuzz, type Report, replay, replayAll, type Target } from "./target.ts";
import { allTargets, clusterTargets, decoderTargets, inputsFor, portTargets } from "./targets.ts";
import { Watchdog } from "./watchdog.ts";

const values = readFlags({
  name: "fuzz",
  does: `Hostile inputs, drawn from a seed, into every decoder and both ports, and lies for a cluster that serves.

  --seed=7 --inputs=200000              so many for each target
  --target=wal --seed=7005 --inputs=1   one input again
  --target=wal --input=FILE             the one in a file, such as one of the corpus
  --target=attack                       how others are served while the client port is attacked, as a ratio`,
  flags: {
    seed: maybeCountFlag("seed", "of the first input; without it one is drawn, and printed", 0),
    inputs: maybeCountFlag("inputs", "for each target; some thousands to decoders, fewer to ports, unless given", 0),
    target: textFlag(`one or several, separated by commas, of ${allTargets.map(({ name }) => name).join(", ")}`),
    input: textFlag("a file, in place of what is drawn"),
    "keep-in": textFlag("the directory for inputs that fail, such as test/fuzz/corpus; a temporary one, unless given"),
  },
});

/** What a target may hold on to, in the end, of all that it was sent. */
const largestGrowthBytes = 32 * 1024 * 1024;
const mebibyte = 1024 * 1024;

const say = (text: string): void => void process.stdout.write(`${text}\n`);

function chosenTargets(): readonly Target[] {
  if (values.target === undefined) return allTargets;
  const names = values.target.split(",");
  const unknown = names.find((name) => allTargets.every((target) => target.name !== name));
  if (unknown === undefined) return allTargets.filter(({ name }) => names.includes(name));
  return refuse("fuzz", `there is no target ${unknown}: choose from ${allTargets.map((t) => t.name).join(", ")}`);
}

/** What failed, and the command that shows it again; the first is what the verdict tells. */
const faults: { readonly text: string; readonly replay: string }[] = [];

function fault(target: Target, text: string, ...args: string[]): void {
  const again = npmRun("fuzz", `--target=${target.name}`, ...args);
  const dependsOnTime = !decoderTargets.includes(target);
  const remark = " (it depends on time, so the same inputs may take a few tries, or not show it again)";
  faults.push({ text: `${target.name}: ${text}`, replay: dependsOnTime ? `${again}${remark}` : again });
}

let keepIn: string | undefined = values.keepIn;

function keptIn(): string {
  keepIn ??= fs.mkdtempSync(path.join(os.tmpdir(), "readyloop-fuzz-"));
  return keepIn;
}

/** Runs what is in the corpus. */
async function runCorpus(target: Target, files: readonly CorpusFile[], watchdog: Watchdog): Promise<void> {
  const inputs = files.map(({ bytes }) => bytes);
  const failures = await replayAll(target, soundOf(files), inputs, (i) => watchdog.pat(-i - 1));
  for (const { seed, error } of failures) {
    const file = corpusFile(target.name, files[seed]?.name ?? "");
    say(`failed: ${file}: ${error.message}`);
    fault(target, error.message, `--input=${file}`);
  }
}

function progress(target: Target, seed: number, done: number, inputs: number, began: number): void {
  if (!process.stderr.isTTY || done % 50 !== 0) return;
  const seconds = Math.round((performance.now() - began) / 1000);
  process.stderr.write(`\r\x1b[K${target.name}: ${done}/${inputs} inputs, seed ${seed}, ${seconds} s`);
}

/** Each opens the target anew. An input of the attack is one byte and a seed: nothing of it can be left out. */
function triesFor(target: Target): number {
  if (target === attackTarget) return 0;
  return clusterTargets.includes(target) ? 30 : portTargets.includes(target) ? 200 : 10_000;
}

/** Of failures of one kind the first is made smaller and kept. */
async function keep(target: Target, corpus: readonly Uint8Array[], failures: readonly Failure[]): Promise<void> {
  const kinds = new Map(failures.map((failure) => [kindOf(failure.error), failure]).reverse() as [string, Failure][]);
  for (const found of kinds.values()) {
    const { seed, input, error } = await shrink(target, corpus, found, triesFor(target));
    say(`failed: ${target.name}, seed ${seed}: ${error.message}`);
    if (!found.isOfTheRun) {
      const file = keepFailure(keptIn(), target.name, seed, input);
      say(`    kept as ${file}, ${input.length} bytes of ${found.input.length}`);
      say(`    the same bytes again: ${npmRun("fuzz", `--target=${target.name}`, `--input=${file}`)}`);
    }
    if (error.name !== "Fault") say(`    ${error.stack ?? ""}`);
    if (found.isOfTheRun) fault(target, `${error.message} (of the whole run)`, ...wholeRun(target));
    else fault(target, error.message, `--seed=${seed}`, "--inputs=1");
  }
}

const firstSeed = values.seed ?? randomInt(2 ** 31);
const wholeRun = (target: Target): string[] => [
  `--seed=${firstSeed}`,
  `--inputs=${values.inputs ?? inputsFor(target)}`,
];

function row(report: Report, failures: number): string[] {
  const { outcomes, inputs, ms, growthBytes } = report;
  const accepted = outcomes.get("accepted") ?? 0;
  const others = [...outcomes].filter(([outcome]) => outcome !== "accepted").sort((a, b) => b[1] - a[1]);
  return [
    report.target,
    String(inputs),
    String(accepted),
    String(Math.round(inputs / (ms / 1000))),
    `${(growthBytes / mebibyte).toFixed(1)} MiB`,
    String(failures),
    others.map(([outcome, count]) => `${outcome} ${count}`).join(", "),
  ];
}

async function runTarget(target: Target, seed: number): Promise<string[]> {
  const files = readCorpus(target.name);
  const watchdog = new Watchdog(
    target.name,
    files.map(({ name }) => corpusFile(target.name, name)),
  );
  const before = faults.length;
  await runCorpus(target, files, watchdog);
  const inputs = values.inputs ?? inputsFor(target);
  const began = performance.now();
  const watch = (own: number, done: number): void => {
    watchdog.pat(own);
    progress(target, own, done, inputs, began);
  };
  const report = await fuzz(target, soundOf(files), { seed, inputs, measure: true, watch });
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  await watchdog.close();
  await keep(target, soundOf(files), report.failures);
  if (report.growthBytes > largestGrowthBytes) {
    const text = `${report.growthBytes} bytes more are in use than at the beginning`;
    say(`failed: ${target.name}: ${text}`);
    fault(target, text, ...wholeRun(target));
  }
  return row(report, faults.length - before);
}

async function runFile(file: string): Promise<void> {
  const [target, ...more] = chosenTargets();
  if (target === undefined || more.length > 0) return refuse("fuzz", "--input needs one --target");
  if (values.seed !== undefined || values.inputs !== undefined) {
    refuse("fuzz", "--input is one input, from a file: --seed and --inputs draw others");
  }
  const input = Uint8Array.from(readOperand("fuzz", file));
  try {
    say(`${target.name}: ${await replay(target, soundOf(readCorpus(target.name)), input)}`);
  } catch (error) {
    say(`failed: ${target.name}: ${(error as Error).stack}`);
    fault(target, (error as Error).message, `--input=${file}`);
  }
}

async function runAll(): Promise<void> {
  const targets = chosenTargets();
  say(`seed ${firstSeed}`);
  const rows: string[][] = [];
  for (const target of targets) rows.push(await runTarget(target, firstSeed));
  printTable(["target", "inputs", "accepted", "inputs/s", "growth", "failures", "refused or answered"], rows);
}

function conclude(): number {
  const [first, ...others] = faults;
  if (first === undefined) return passed("no input did what it must not");
  return failed(`${first.text}${others.length === 0 ? "" : ` (and ${others.length} more)`}`, first.replay);
}

await (values.input === undefined ? runAll() : runFile(values.input));
process.exitCode = conclude();
