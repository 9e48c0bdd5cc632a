// npm run sim: runs the simulator, one seed and its story, or many and a table. `npm run sim -- --help` lists the flags.
//
// Exits with 1 if a run has failed, or if one of the faults never happened over 100 seeds and more.

import { countFlag, jobsFlag, maybeCountFlag, readFlags, textFlag, yesFlag } from "../cli/script-flags.ts";
import { minimize } from "./minimize.ts";
import { simulate } from "./simulation.ts";
import { type Job, parseFaults, summaryOf, Totals } from "./summary.ts";
import { Threads } from "./threads.ts";

const values = readFlags({
  name: "sim",
  does: `Runs clusters of the real code in virtual time, with faults drawn from a seed, and checks every step of it.

  --seed=7             one run, and a short table of it; the same seed gives the same run
  --seed=7 --trace     its whole text
  --seed=7 --minimize  fewer faults and less time, as long as it still fails
  --seeds=2000         many, and a table of all`,
  flags: {
    seed: countFlag("seed", 1, "the run to play"),
    seeds: maybeCountFlag("seeds", "play so many, each with a seed of its own"),
    from: countFlag("from", 1, "the first of many"),
    ticks: countFlag("ticks", 1000, "length of the safety phase, in ticks of 100 ms"),
    jobs: jobsFlag(),
    only: textFlag("of the faults that the seed draws only these: --only=crash,loss"),
    trace: yesFlag("print what happens, in etcd's words"),
    minimize: yesFlag("take away faults and time, as long as it still fails"),
    markdown: yesFlag("print the table of many runs as a page shows it"),
  },
});

const { ticks } = values;
const only = values.only === undefined ? undefined : parseFaults(values.only);
const enoughSeeds = 100;

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

async function runMany(from: number, wanted: number): Promise<number> {
  const totals = new Totals();
  const began = performance.now();
  const threadCount = Math.min(values.jobs, wanted);
  let next = from;
  const end = from + wanted;
  const threads = await Threads.start(threadCount);
  const work = async (): Promise<void> => {
    while (next < end) {
      const job: Job = { seed: next++, ticks, only };
      const summary = await threads.run(job);
      totals.add(summary);
      if (summary.error !== undefined) say(`\nFAILED ${commandOf(job)}\n    ${summary.error}`);
      progress(totals, wanted, began);
    }
  };
  await Promise.all(Array.from({ length: threadCount }, work));
  await threads.close();
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  const minutes = (performance.now() - began) / 60_000;
  const { user, system } = process.cpuUsage();
  const perMinute = Math.round(wanted / minutes / threadCount);
  const perCoreMinute = Math.round(wanted / ((user + system) / 60e6));
  if (values.markdown) {
    const speed = ["seeds a minute and core", String(perCoreMinute)] as const;
    say(totals.markdown([["ticks of faults in each seed", String(ticks)], speed]));
  } else {
    say(totals.table());
    say(
      `\n${minutes.toFixed(1)} minutes on ${threadCount} threads: ${perMinute} seeds a minute and thread, ${perCoreMinute} a minute of a core's own time`,
    );
  }
  if (totals.failures.length > 0) say(`failed: seeds ${totals.failures.map(({ seed }) => seed).join(", ")}`);
  const missing = only === undefined && wanted >= enoughSeeds ? totals.missing : [];
  if (missing.length > 0) say(`never happened: ${missing.join(", ")}`);
  return totals.failures.length > 0 || missing.length > 0 ? 1 : 0;
}

function progress(totals: Totals, wanted: number, began: number): void {
  if (!process.stderr.isTTY) return;
  const width = 40;
  const done = Math.floor((totals.runs / wanted) * width);
  const seconds = Math.round((performance.now() - began) / 1000);
  const bar = `${"#".repeat(done)}${".".repeat(width - done)}`;
  process.stderr.write(`\r[${bar}] ${totals.runs}/${wanted} seeds, ${totals.failures.length} failed, ${seconds} s`);
}

process.exitCode =
  values.seeds === undefined
    ? await runOne({ seed: values.seed, ticks, only })
    : await runMany(values.from, values.seeds);
