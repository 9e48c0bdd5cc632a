// npm run sim: runs the simulator, one seed and its story, or many and a table. `npm run sim -- --help` lists the
// flags.
//
// Ends with a verdict, OK or FAILED with the command that replays it. Exits with 1 if a run has failed, or if one of
// the faults never happened over 100 seeds and more.

import { countFlag, jobsFlag, maybeCountFlag, readFlags, textFlag, yesFlag } from "../command-line/script-flags.ts";
import { failed, npmRun, passed, refuse } from "../command-line/verdict.ts";
import { minimize } from "./minimize.ts";
import type { FaultName } from "./plan.ts";
import { simulate } from "./simulation.ts";
import { type Job, parseFaults, summaryOf, Totals } from "./summary.ts";
import { Threads } from "./threads.ts";

const values = readFlags({
  name: "sim",
  does: `Runs clusters of the real code in virtual time, with faults drawn from a seed, and checks every step of it.

  --seed=7             one run, and a short table of it; the same seed gives the same run
  --seed=7 --trace     its whole text; with --member=2 only that member's lines
  --seed=7 --minimize  fewer faults and less time, as long as it still fails
  --seeds=2000         many, and a table of all`,
  flags: {
    seed: countFlag("seed", 1, "the run to play"),
    seeds: maybeCountFlag("seeds", "play so many, each with a seed of its own"),
    from: countFlag("from", 1, "the first of many"),
    ticks: countFlag("ticks", 1000, "length of the safety phase, in ticks of 100 ms"),
    jobs: jobsFlag(),
    only: textFlag("of the faults that the seed draws only these: --only=crash,loss, or none"),
    trace: yesFlag("print what happens, in etcd's words"),
    member: maybeCountFlag("member", "with --trace: only the lines of this member"),
    minimize: yesFlag("take away faults and time, as long as it still fails"),
    markdown: yesFlag("print the table of many runs as a page shows it"),
  },
});

const { ticks } = values;
const only = onlyFlag();
const enoughSeeds = 100;

const say = (text: string): void => void process.stdout.write(`${text}\n`);

function onlyFlag(): readonly FaultName[] | undefined {
  try {
    return values.only === undefined ? undefined : parseFaults(values.only);
  } catch (error) {
    return refuse("sim", `--only: ${(error as Error).message}`);
  }
}

if (values.member !== undefined && !values.trace) refuse("sim", "--member goes with --trace, which prints the lines");
if (values.trace && values.minimize)
  refuse("sim", "--trace and --minimize exclude each other: trace what --minimize finds");
if (values.seeds !== undefined && (values.trace || values.minimize)) {
  refuse("sim", `--${values.trace ? "trace" : "minimize"} is for one run, --seed=N, and not for --seeds`);
}

const commandOf = (job: Pick<Job, "seed" | "ticks" | "only">): string =>
  npmRun("sim", `--seed=${job.seed}`, `--ticks=${job.ticks}`, onlyOf(job));

const onlyOf = ({ only: faults }: Pick<Job, "only">): string | undefined =>
  faults === undefined ? undefined : `--only=${faults.join(",") || "none"}`;

/** Prints the trace, or the lines of one member, and says at the end if it has none. */
class Trace {
  readonly #members = new Set<number>();

  readonly line = (text: string, who: string): void => {
    if (who !== "world") this.#members.add(Number(who));
    if (values.member === undefined || who === String(values.member)) say(text);
  };

  end(): void {
    if (values.member === undefined || this.#members.has(values.member)) return;
    const ids = [...this.#members].sort((a, b) => a - b).join(", ");
    say(`there is no member ${values.member} in this run: it has the members ${ids}`);
  }
}

async function runOne(job: Job): Promise<number> {
  if (values.minimize) return runSmaller(job);
  const trace = values.trace ? new Trace() : undefined;
  const began = performance.now();
  const result = await simulate({ ...job, trace: trace?.line });
  const totals = new Totals();
  totals.add(summaryOf(result));
  const { members, clients, faults } = result.plan;
  say(`seed ${job.seed}: ${members} members, ${clients} clients; ${faults.join(", ") || "no faults"}`);
  say(totals.table());
  say(`trace hash ${result.traceHash.toString(16).padStart(8, "0")}, ${Math.round(performance.now() - began)} ms`);
  trace?.end();
  if (result.error === undefined) return passed(`seed ${job.seed} held all that must hold`);
  say(`\n${result.error.stack}\n`);
  return failed(`seed ${job.seed} at ${Math.round(result.simulatedMs)} ms: ${result.error.message}`, commandOf(job));
}

async function runSmaller(job: Job): Promise<number> {
  const smallest = await minimize(job, (found) => {
    say(`${commandOf(found.job)}\n    ${found.result.error?.message}`);
  });
  if (smallest === undefined) return passed(`seed ${job.seed} does not fail: there is nothing to make smaller`);
  const { message } = smallest.result.error as Error;
  return failed(`the smallest run that was found: ${message}`, commandOf(smallest.job));
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
      if (summary.error !== undefined) say(`\nseed ${job.seed} failed: ${commandOf(job)}\n    ${summary.error}`);
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
  const missing = only === undefined && wanted >= enoughSeeds ? totals.missing : [];
  const [first] = totals.failures;
  if (first !== undefined) {
    const seeds = totals.failures.map(({ seed }) => seed).sort((a, b) => a - b);
    const told = seeds.length === 1 ? `seed ${seeds[0]}` : `seeds ${seeds.join(", ")}`;
    return failed(`${told} of ${wanted}`, commandOf({ seed: seeds[0] as number, ticks, only }));
  }
  if (missing.length > 0) {
    const again = npmRun("sim", `--seeds=${wanted}`, `--from=${from}`, `--ticks=${ticks}`);
    return failed(`these never happened, so nothing was seen of them: ${missing.join(", ")}`, again);
  }
  return passed(`${wanted} ${wanted === 1 ? "seed" : "seeds"} held all that must hold`);
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
