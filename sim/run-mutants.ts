// npm run sim:mutants: plants each bug of mutants.ts, and tells how many seeds it took to find it.
//
//     npm run sim:mutants [-- --seeds=1000 --ticks=400 --jobs=2]
//     npm run sim:mutants -- --only="a vote"       those whose names contain this; may be given more than once
//     npm run sim:mutants -- --markdown            as a table for a page
//
// Exits with 1 if one was not found.

import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { mutants } from "./mutants.ts";
import { Threads } from "./threads.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1000" },
    ticks: { type: "string", default: "400" },
    jobs: { type: "string", default: String(availableParallelism()) },
    only: { type: "string", multiple: true, default: [""] },
    markdown: { type: "boolean", default: false },
  },
});
const seeds = Number(values.seeds);
const ticks = Number(values.ticks);
const jobs = Math.max(1, Number(values.jobs));
const chosen = mutants.filter(({ name }) => values.only.some((part) => name.includes(part)));
if (chosen.length === 0) throw new Error(`no mutant has ${values.only.join(" or ")} in its name`);

const threads = await Threads.start(jobs);
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
  await Promise.all(Array.from({ length: jobs }, work));
  return found;
}

if (values.markdown) say("| bug | seeds to find it | found by |\n| --- | ---: | --- |");
for (const { name } of chosen) {
  const found = await find(name);
  if (found === undefined) process.exitCode = 1;
  const result = found === undefined ? `NOT FOUND in ${seeds}` : String(found.seed);
  const by = found?.error.slice(0, 160) ?? "";
  if (values.markdown) say(`| ${name} | ${result} | ${by.split(":")[0]} |`);
  else say(`${name.padEnd(60)} ${result} ${found?.seed === 1 ? "seed" : "seeds"}\n    ${by}`);
}
await threads.close();
