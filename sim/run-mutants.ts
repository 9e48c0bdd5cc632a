// npm run sim:mutants: plants each bug of mutants.ts, and tells how many seeds it took to find it.
//
//     npm run sim:mutants [-- --seeds=300 --ticks=400 --only="a vote"]      only those whose names contain this
//
// Exits with 1 if one was not found.

import { parseArgs } from "node:util";
import { mutants } from "./mutants.ts";
import { simulate } from "./simulation.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "300" },
    ticks: { type: "string", default: "400" },
    only: { type: "string", default: "" },
  },
});
const seeds = Number(values.seeds);
const ticks = Number(values.ticks);

for (const { name, mutation } of mutants.filter((mutant) => mutant.name.includes(values.only))) {
  let found: string | undefined;
  let seed = 0;
  while (found === undefined && seed < seeds) {
    const { error } = await simulate({ seed: ++seed, ticks, mutation });
    found = error?.message;
  }
  if (found === undefined) process.exitCode = 1;
  const result = found === undefined ? `NOT FOUND in ${seeds} seeds` : `${seed} seeds`;
  process.stdout.write(`${name.padEnd(60)} ${result}\n    ${(found ?? "").slice(0, 160)}\n`);
}
