// npm run fuzz: hostile inputs into every decoder and both ports, and lies for a cluster that serves.
//
// The corpus of a target is run first. An input that fails is made smaller and kept in it, as failed-seed-N.bin. Exits with 1 if anything
// has failed.

import { randomInt } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { maybeCountFlag, readFlags, textFlag } from "../../cli/script-flags.ts";
import { printTable } from "../../cli/table.ts";
import { attackTarget } from "./attack.ts";
import { type CorpusFile, keepFailure, readCorpus, soundOf } from "./corpus.ts";
import { kindOf, shrink } from "./shrink.ts";
import { type Failure, fuzz, type Report, replay, replayAll, type Target } from "./target.ts";
import { allTargets, clusterTargets, inputsFor, portTargets } from "./targets.ts";
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
  process.stderr.write(`there is no target ${unknown}: choose from ${allTargets.map((t) => t.name).join(", ")}\n`);
  process.exit(2);
}

/** Runs what is in the corpus; returns how many of the files fail. */
async function runCorpus(target: Target, files: readonly CorpusFile[], watchdog: Watchdog): Promise<number> {
  const inputs = files.map(({ bytes }) => bytes);
  const failures = await replayAll(target, soundOf(files), inputs, (i) => watchdog.pat(-i - 1));
  for (const { seed, error } of failures) say(`FAILED corpus/${target.name}/${files[seed]?.name}: ${error.message}`);
  return failures.length;
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
    const file = keepFailure(target.name, seed, input);
    say(`FAILED ${target.name}, seed ${seed}: ${error.message}`);
    say(`    kept as ${file}, ${input.length} bytes of ${found.input.length}`);
    say(`    again: npm run fuzz -- --target ${target.name} --seed ${seed} --inputs 1`);
    if (error.name !== "Fault") say(`    ${error.stack ?? ""}`);
  }
}

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

async function runTarget(target: Target, seed: number): Promise<{ row: string[]; failures: number }> {
  const files = readCorpus(target.name);
  const watchdog = new Watchdog();
  let failures = await runCorpus(target, files, watchdog);
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
  failures += report.failures.length;
  if (report.growthBytes > largestGrowthBytes) {
    failures++;
    say(`FAILED ${target.name}: ${report.growthBytes} bytes more are in use than at the beginning`);
  }
  return { row: row(report, failures), failures };
}

async function runFile(file: string): Promise<number> {
  const [target, ...more] = chosenTargets();
  if (target === undefined || more.length > 0) throw new Error("--input needs one --target");
  const input = Uint8Array.from(fs.readFileSync(path.resolve(file)));
  try {
    say(`${target.name}: ${await replay(target, soundOf(readCorpus(target.name)), input)}`);
    return 0;
  } catch (error) {
    say(`FAILED ${target.name}: ${(error as Error).stack}`);
    return 1;
  }
}

async function runAll(): Promise<number> {
  const seed = values.seed ?? randomInt(2 ** 31);
  say(`seed ${seed}`);
  const rows: string[][] = [];
  let failures = 0;
  for (const target of chosenTargets()) {
    const result = await runTarget(target, seed);
    rows.push(result.row);
    failures += result.failures;
  }
  printTable(["target", "inputs", "accepted", "inputs/s", "growth", "failures", "refused or answered"], rows);
  return failures === 0 ? 0 : 1;
}

process.exitCode = values.input === undefined ? await runAll() : await runFile(values.input);
