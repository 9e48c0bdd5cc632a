// npm run chaos: three real servers, kill -9, pauses, a failing network and changes of the members, under load, and the verdict.
//
//     npm run chaos                            two minutes
//     npm run chaos -- --minutes=30            a long run
//     npm run chaos -- --kills=10              until so many processes have been killed
//     npm run chaos -- --seed=7                draws the faults from this seed; without it a seed is drawn, and printed
//     npm run chaos -- --keep                  keeps history, journal and logs also of a good run
//     npm run chaos -- --mutant=early-answer   with servers that err on purpose (mutants.ts): it must fail
//
// Exits with 1 if anything was lost, disagreed, crashed or could not be ordered, and if the run was too quiet to tell.

import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { printTable } from "../../cli/table.ts";
import { removeDirectory, runChaos } from "./chaos.ts";
import { mutantPreload } from "./mutants.ts";
import { rowsOf } from "./report.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    minutes: { type: "string" },
    kills: { type: "string" },
    mutant: { type: "string" },
    keep: { type: "boolean", default: false },
  },
});

function positive(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${flag}=${text} is no number above 0`);
  return value;
}

const endPatienceMs = 10_000;

const say = (text: string): void => void process.stdout.write(`${text}\n`);

function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

const kills = positive("kills", values.kills);
const minutes = positive("minutes", values.minutes) ?? (kills === undefined ? 2 : undefined);
const seed = positive("seed", values.seed) ?? randomInt(1, 2 ** 31);
const preload = values.mutant === undefined ? [] : mutantPreload(values.mutant);
process.once("SIGINT", () => process.exit(130)); // takes the members along
say(`seed ${seed}`);
const result = await runChaos({ seed, minutes, kills, preload }, progress);
if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
printTable(["", ""], rowsOf(result));
const failed = result.violations.length > 0;
for (const violation of result.violations) say(`\nFAILED: ${violation}`);
if (failed || values.keep) say(`\nhistory, journal and logs: ${result.directory}`);
if (failed) say(`check the history again with: npm run check-history -- ${result.historyFile} --picture=history.html`);
else if (!values.keep) await removeDirectory(result.directory);
process.exitCode = failed ? 1 : 0;

/** The run ends since nothing is left to do. What is left all the same, nobody has closed. */
function failIfAnythingIsLeft(): void {
  const left = process.getActiveResourcesInfo();
  if (left.length === 0) return;
  say(`\nFAILED: at the end there was still open: ${left.join(", ")}`);
  process.exit(1);
}

process.once("exit", failIfAnythingIsLeft); // a socket that nobody owns any more lets the loop end, and then not the process
setTimeout(() => process.exit(1), endPatienceMs).unref();
