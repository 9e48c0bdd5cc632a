// npm run sim: runs the simulator.
//
//     npm run sim -- --seed=7                    one run, and a short table of it
//     npm run sim -- --seed=7 --trace            its whole text, as etcd's describe functions have it
//     npm run sim -- --seed=7 --minimize         the smallest run that still fails
//     npm run sim -- --seeds=2000 [--from=1]     many, over as many threads as there are cores (--jobs=N), and a table of all
//
//     --ticks=1000      length of the safety phase, in ticks of 100 ms
//     --markdown        the table of many runs as a page shows it
//     --only=crash,loss of the faults that the seed draws, only these
//
// Exits with 1 if a run has failed, or if one of the faults never happened over 100 seeds and more.

import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { minimize } from "./minimize.ts";
import { simulate } from "./simulation.ts";
import { type Job, parseFaults, summaryOf, Totals } from "./summary.ts";
import { Threads } from "./threads.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    from: { type: "string", default: "1" },
    ticks: { type: "string", default: "1000" },
    jobs: { type: "string", default: String(availableParallelism()) },
    only: { type: "string" },
    trace: { type: "boolean", default: false },
    minimize: { type: "boolean", default: false },
    markdown: { type: "boolean", default: false },
  },
});

const ticks = integer("ticks", values.ticks);
const only = values.only === undefined ? undefined : parseFaults(values.only);
const enoughSeeds = 100;

function integer(flag: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${flag}=${text} is no whole number from 0 on`);
  return value;
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

const commandOf = (job: Pick<Job, "seed" | "ticks" | "only">): string =>
  `npm run sim -- --seed=${job.seed} --ticks=${job.ticks}${job.only === undefined ? "" : ` --only="${job.only.join(",")}"`}`;

async function runOne(job: Job): Promise<number> {
  if (values.minimize) return runSmaller(job);
  const trace = values.trace ? (line: string): void => void process.stdout.write(`${line}\n`) : undefined;
  const began = performance.now();
  const result = await simulate({ ...job, trace });
  const totals = new Totals();
  totals.add(summaryOf(result));
  const { members, clients, faults } = result.plan;
  say(`seed ${job.seed}: ${members} members, ${clients} clients; ${faults.join(", ") || "no faults"}`);
  say(totals.table());
  say(`trace hash ${result.traceHash.toString(16).padStart(8, "0")}, ${Math.round(performance.now() - began)} ms`);
  if (result.error !== undefined) say(`\nFAILED at ${Math.round(result.simulatedMs)} ms: ${result.error.stack}`);
  return result.error === undefined ? 0 : 1;
}

async function runSmaller(job: Job): Promise<number> {
  const smallest = await minimize(job, (found) => {
    say(`${commandOf(found.job)}\n    ${found.result.error?.message}`);
  });
  say(smallest === undefined ? "the run does not fail" : `\nsmallest: ${commandOf(smallest.job)}`);
  return smallest === undefined ? 0 : 1;
}

async function runMany(from: number, count: number): Promise<number> {
  const totals = new Totals();
  const began = performance.now();
  const jobs = Math.max(1, Math.min(integer("jobs", values.jobs), count));
  let next = from;
  const end = from + count;
  const threads = await Threads.start(jobs);
  const work = async (): Promise<void> => {
    while (next < end) {
      const job: Job = { seed: next++, ticks, only };
      const summary = await threads.run(job);
      totals.add(summary);
      if (summary.error !== undefined) say(`\nFAILED ${commandOf(job)}\n    ${summary.error}`);
      progress(totals, count, began);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  await threads.close();
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  const minutes = (performance.now() - began) / 60_000;
  const { user, system } = process.cpuUsage();
  const perMinute = Math.round(count / minutes / jobs);
  const perCoreMinute = Math.round(count / ((user + system) / 60e6));
  if (values.markdown) {
    const speed = ["seeds a minute and core", String(perCoreMinute)] as const;
    say(totals.markdown([["ticks of faults in each seed", String(ticks)], speed]));
  } else {
    say(totals.table());
    say(
      `\n${minutes.toFixed(1)} minutes on ${jobs} threads: ${perMinute} seeds a minute and thread, ${perCoreMinute} a minute of a core's own time`,
    );
  }
  if (totals.failures.length > 0) say(`failed: seeds ${totals.failures.map(({ seed }) => seed).join(", ")}`);
  const missing = only === undefined && count >= enoughSeeds ? totals.missing : [];
  if (missing.length > 0) say(`never happened: ${missing.join(", ")}`);
  return totals.failures.length > 0 || missing.length > 0 ? 1 : 0;
}

function progress(totals: Totals, count: number, began: number): void {
  if (!process.stderr.isTTY) return;
  const width = 40;
  const done = Math.floor((totals.runs / count) * width);
  const seconds = Math.round((performance.now() - began) / 1000);
  const bar = `${"#".repeat(done)}${".".repeat(width - done)}`;
  process.stderr.write(`\r[${bar}] ${totals.runs}/${count} seeds, ${totals.failures.length} failed, ${seconds} s`);
}

const from = integer("from", values.from);
process.exitCode =
  values.seeds === undefined
    ? await runOne({ seed: integer("seed", values.seed ?? "1"), ticks, only })
    : await runMany(from, integer("seeds", values.seeds));
