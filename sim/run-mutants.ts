// npm run sim:mutants: plants each bug of mutants.ts, and tells how many seeds it took to find it. Ends with a verdict;
// exits with 1 if one was not found.

import { countFlag, jobsFlag, readFlags, textFlag, yesFlag } from "../command-line/script-flags.ts";
import { failed, npmRun, passed, refuse } from "../command-line/verdict.ts";
import { mutants } from "./mutants.ts";
import { Threads } from "./threads.ts";

const values = readFlags({
  name: "sim:mutants",
  does: "Plants each bug of mutants.ts, one at a time, and tells how many seeds it took to find it.",
  flags: {
    seeds: countFlag("seeds", 1000, "so many are tried at most"),
    ticks: countFlag("ticks", 400, "length of a run's safety phase, in ticks of 100 ms"),
    jobs: jobsFlag(),
    only: { ...textFlag("those with this in their name; may be given more than once"), repeats: true, default: [""] },
    markdown: yesFlag("print the table as a page shows it"),
  },
});
const { seeds, ticks } = values;
const chosen = mutants.filter(({ name }) => values.only.some((part) => name.includes(part)));
if (chosen.length === 0) {
  refuse("sim:mutants", `no bug has ${values.only.join(" or ")} in its name: see the names in sim/mutants.ts`);
}

const threads = await Threads.start(values.jobs);
const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** The first seed that finds it; all threads look for it together. */
async function find(mutant: string): Promise<{ readonly seed: number; readonly error: string } | undefined> {
  let next = 1;
  let found: { readonly seed: number; readonly error: string } | undefined;
  const work = async (): Promise<void> => {
    while (next <= seeds && next < (found?.seed ?? Number.POSITIVE_INFINITY)) {
      const { seed, error } = await threads.run({ seed: next++, ticks, mutant });
      if (error !== undefined && seed < (found?.seed ?? Number.POSITIVE_INFINITY)) found = { seed, error };
    }
  };
  await Promise.all(Array.from({ length: values.jobs }, work));
  return found;
}

if (values.markdown) say("| bug | seeds to find it | found by |\n| --- | ---: | --- |");
const missed: string[] = [];
for (const { name } of chosen) {
  const found = await find(name);
  if (found === undefined) missed.push(name);
  const result = found === undefined ? `NOT FOUND in ${seeds}` : String(found.seed);
  const by = found?.error.slice(0, 160) ?? "";
  if (values.markdown) say(`| ${name} | ${result} | ${by.split(":")[0]} |`);
  else say(`${name.padEnd(60)} ${result} ${found?.seed === 1 ? "seed" : "seeds"}\n    ${by}`);
}
await threads.close();
if (missed.length === 0) process.exitCode = passed(`${chosen.length} of ${chosen.length} planted bugs were found`);
else {
  const again = npmRun(
    "sim:mutants",
    ...missed.map((name) => `--only=${name}`),
    `--seeds=${seeds}`,
    `--ticks=${ticks}`,
  );
  process.exitCode = failed(`not found in ${seeds} seeds: ${missed.join("; ")}`, again);
}
