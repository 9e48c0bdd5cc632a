// npm run chaos: three real servers, kill -9, pauses, a failing network and changes of the members, under load, and the verdict.
//
// Exits with 1 if anything was lost, disagreed, crashed or could not be ordered, and if the run was too quiet to tell.

import { randomInt } from "node:crypto";
import { maybeAmountFlag, maybeCountFlag, readFlags, textFlag, yesFlag } from "../../cli/script-flags.ts";
import { printTable } from "../../cli/table.ts";
import { removeDirectory, runChaos } from "./chaos.ts";
import { mutantPreload } from "./mutants.ts";
import { rowsOf } from "./report.ts";

const values = readFlags({
  name: "chaos",
  does: "Three real servers, clients that write down what they see, and everything that may go wrong meanwhile; then the verdict.",
  flags: {
    minutes: maybeAmountFlag("minutes", "length of the run; 2, unless --kills is given"),
    kills: maybeCountFlag("kills", "goes on until so many processes have been killed"),
    seed: maybeCountFlag("seed", "draws the faults from this seed; without it one is drawn, and printed"),
    mutant: textFlag("servers that err on purpose (mutants.ts), like early-answer: the run must fail"),
    keep: yesFlag("keep history, journal and logs also of a good run"),
  },
});

const endPatienceMs = 10_000;

// What this process writes to, a terminal or a pipe, is not its own to close. Written to, since it is opened no earlier.
process.stdout.write("");
process.stderr.write("");
const given = process.getActiveResourcesInfo();

const say = (text: string): void => void process.stdout.write(`${text}\n`);

function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

const { kills, seed = randomInt(1, 2 ** 31) } = values;
const minutes = values.minutes ?? (kills === undefined ? 2 : undefined);
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
  for (const kind of given) if (left.includes(kind)) left.splice(left.indexOf(kind), 1);
  if (left.length === 0) return;
  say(`\nFAILED: at the end there was still open: ${left.join(", ")}`);
  process.exit(1);
}

process.once("exit", failIfAnythingIsLeft); // a socket that nobody owns any more lets the loop end, and then not the process
setTimeout(() => process.exit(1), endPatienceMs).unref();
