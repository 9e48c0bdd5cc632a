// npm run chaos: three real servers, kill -9, pauses, a failing network and changes of the members, under load, and the
// verdict.
//
// Ends with a verdict. Exits with 1 if anything was lost, disagreed, crashed or could not be ordered, and if the run
// was too quiet to tell. The seed draws the faults; what they meet is up to real processes and clocks, and the verdict
// says so.

import { randomInt } from "node:crypto";
import { maybeAmountFlag, maybeCountFlag, readFlags, textFlag, yesFlag } from "../../command-line/script-flags.ts";
import { printTable } from "../../command-line/table.ts";
import { failed, npmRun, passed, refuse } from "../../command-line/verdict.ts";
import { removeDirectory, runChaos } from "./chaos.ts";
import { mutantPreload, mutants } from "./mutants.ts";
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

// What this process writes to, a terminal or a pipe, is not its own to close. Written to, since it is opened no
// earlier.
process.stdout.write("");
process.stderr.write("");
const given = process.getActiveResourcesInfo();

const say = (text: string): void => void process.stdout.write(`${text}\n`);

function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

const { kills, seed = randomInt(1, 2 ** 31) } = values;
const minutes = values.minutes ?? (kills === undefined ? 2 : undefined);
const { mutant } = values;
if (mutant !== undefined && !(mutants as readonly string[]).includes(mutant)) {
  refuse("chaos", `--mutant=${mutant}: there is no such mutant; there are ${mutants.join(", ")}`);
}
const preload = mutant === undefined ? [] : mutantPreload(mutant);
process.once("SIGINT", () => process.exit(130)); // takes the members along
say(`seed ${seed}`);
const result = await runChaos({ seed, minutes, kills, preload }, progress);
if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
printTable(["", ""], rowsOf(result));
const isBad = result.violations.length > 0;
for (const violation of result.violations) say(`\n${violation}`);
if (isBad || values.keep) say(`\nhistory, journal and logs: ${result.directory}`);
if (isBad) {
  say(`check the history again with: ${npmRun("check-history", result.historyFile)}`);
} else if (!values.keep) await removeDirectory(result.directory);

const numberFlag = (flag: string, value: number | undefined): string | undefined =>
  value === undefined ? undefined : `--${flag}=${value}`;

function conclude(violations: readonly string[]): number {
  const [first, ...others] = violations;
  if (first === undefined)
    return passed(`seed ${seed}: nothing was lost, all members agree, the history is linearizable`);
  const more = others.length === 0 ? "" : ` (and ${others.length} more)`;
  const lengths = [numberFlag("minutes", values.minutes), numberFlag("kills", kills)];
  const again = npmRun("chaos", `--seed=${seed}`, ...lengths, mutant && `--mutant=${mutant}`);
  return failed(
    `${first}${more}`,
    `${again} (the same faults; what they meet depends on time, so it may take a few tries)`,
  );
}

/** The run ends since nothing is left to do. A resource that is still open is a leak. */
function conclusion(): void {
  const left = process.getActiveResourcesInfo();
  for (const kind of given) if (left.includes(kind)) left.splice(left.indexOf(kind), 1);
  const leak = left.length === 0 ? [] : [`at the end there was still open: ${left.join(", ")}`];
  process.exitCode = conclude([...result.violations, ...leak]);
}

process.once("exit", conclusion); // a socket without an owner lets the loop end, and then not the process
setTimeout(() => process.exit(1), endPatienceMs).unref();
