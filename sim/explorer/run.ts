// npm run sim:explore: walks every interleaving of small clusters, on the real core, and checks every state.
//
// Ends with a verdict. Exits with 1 if something is wrong in a world that is not expected there, with the way that
// leads there, or if a bug was not found.

import { maybeCountFlag, readFlags, textFlag, yesFlag } from "../../command-line/script-flags.ts";
import { failed, npmRun, passed, refuse } from "../../command-line/verdict.ts";
import { explore, type Limits, type Outcome } from "./explore.ts";
import { mutants } from "./mutants.ts";
import type { World } from "./world.ts";
import { worlds } from "./worlds.ts";

const values = readFlags({
  name: "sim:explore",
  does: `Walks every interleaving of small clusters, on the real core, and checks every state.

  --world="figure 8"                     the worlds whose names contain this
  --mutants --only="vote" --tell         bugs with this in their names, and the shortest way to each
  --world="lease" --tell                 a world that is wrong by its nature, and the way to what must be found there`,
  flags: {
    world: { ...textFlag("only worlds with this in their names; without it all that are not large"), default: "" },
    list: yesFlag("say what worlds there are"),
    mutants: yesFlag("plant each bug of mutants.ts, and tell how many states it took to find it"),
    only: { ...textFlag("with --mutants: only bugs with this in their names"), default: "" },
    tell: yesFlag("tell the shortest way to what was found"),
    "max-states": maybeCountFlag("max-states", "give a world up after so many states"),
    "allow-incomplete": yesFlag("a world that was given up is no failure"),
  },
});

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const counted = (n: number): string => Math.round(n).toLocaleString("en-US");
const seconds = (ms: number): string => (ms / 1000).toFixed(1);

const maxStates = (): Partial<Limits> => (values.maxStates === undefined ? {} : { maxStates: values.maxStates });

/** A line on a terminal that tells how far the walk has come; it goes when the walk is done. */
function walk(world: World, limits: Limits): Outcome {
  const { isTTY } = process.stderr;
  const onProgress = (states: number, depth: number, waiting: number): void => {
    if (!isTTY) return;
    process.stderr.write(
      `\r\x1b[K${world.name}: ${counted(states)} states, depth ${depth}, ${counted(waiting)} to visit`,
    );
  };
  const outcome = explore(world, { onProgress, ...limits });
  if (isTTY) process.stderr.write("\r\x1b[K");
  return outcome;
}

const widths = [24, 11, 13, 7, 13, 12, 8, 10];
const row = (...cells: string[]): string =>
  cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number))).join("");

const isAsExpected = ({ world, counterexample }: Outcome): boolean =>
  world.expects !== undefined && counterexample?.error.message.startsWith(world.expects) === true;

/** Whether the walk has told what it is there to tell. */
const isDone = (outcome: Outcome): boolean =>
  outcome.world.expects === undefined ? outcome.isComplete : isAsExpected(outcome);

const isWrong = (outcome: Outcome): boolean =>
  outcome.counterexample === undefined
    ? outcome.world.expects !== undefined && outcome.isComplete
    : !isAsExpected(outcome);

function result(outcome: Outcome): string {
  if (isAsExpected(outcome)) return "wrong, as expected";
  if (outcome.counterexample !== undefined) return "WRONG";
  if (isWrong(outcome)) return "NOT WRONG, as it should be";
  return outcome.isComplete ? "complete" : "INCOMPLETE";
}

const whatIsWrong = ({ counterexample, world }: Outcome): string =>
  counterexample === undefined ? `did not show what it must, "${world.expects}"` : counterexample.error.message;

const maxStatesFlag = (): string | undefined =>
  values.maxStates === undefined ? undefined : `--max-states=${values.maxStates}`;

const again = ({ world }: Outcome, ...flags: string[]): string =>
  npmRun("sim:explore", `--world=${world.name}`, maxStatesFlag(), ...flags);

function runWorlds(chosen: readonly World[]): number {
  if (chosen.length === 0) refuse("sim:explore", `no world's name contains "${values.world}": see --list`);
  const outcomes: Outcome[] = [];
  say(`${row("world", "states", "transitions", "depth", "node states", "core steps", "s", "states/s")}  result`);
  const line = (
    name: string,
    o: Pick<Outcome, "states" | "transitions" | "depth" | "nodeStates" | "coreSteps" | "ms">,
  ) =>
    row(
      name,
      ...[o.states, o.transitions, o.depth, o.nodeStates, o.coreSteps].map(counted),
      seconds(o.ms),
      counted((o.states / o.ms) * 1000),
    );
  for (const world of chosen) {
    const outcome = walk(world, { ...maxStates(), isShortest: world.expects !== undefined });
    outcomes.push(outcome);
    say(`${line(world.name, outcome)}  ${result(outcome)}`);
    const { counterexample } = outcome;
    if (counterexample !== undefined && (values.tell || isWrong(outcome))) say(`\n${counterexample.text}\n`);
  }
  const sum = (of: (outcome: Outcome) => number): number => outcomes.reduce((total, outcome) => total + of(outcome), 0);
  const done = outcomes.filter(isDone).length;
  const total = {
    states: sum((o) => o.states),
    transitions: sum((o) => o.transitions),
    depth: Math.max(...outcomes.map((o) => o.depth)),
    nodeStates: sum((o) => o.nodeStates),
    coreSteps: sum((o) => o.coreSteps),
    ms: sum((o) => o.ms),
  };
  say(`${line("all", total)}  ${done} of ${outcomes.length} as they should be`);
  const wrong = outcomes.find(isWrong);
  if (wrong !== undefined) return failed(`${wrong.world.name}: ${whatIsWrong(wrong)}`, again(wrong, "--tell"));
  const givenUp = outcomes.find((outcome) => !isDone(outcome));
  if (givenUp !== undefined && !values.allowIncomplete) {
    return failed(`${givenUp.world.name} was given up after ${counted(givenUp.states)} states`, again(givenUp));
  }
  return passed(
    `${done} of ${outcomes.length} worlds are as they should be${givenUp === undefined ? "" : ", the others were given up"}`,
  );
}

function runMutants(): number {
  const chosen = mutants.filter(
    (mutant) => mutant.name.includes(values.only) && mutant.world.name.includes(values.world),
  );
  if (chosen.length === 0) {
    refuse(
      "sim:explore",
      `no bug's name contains "${values.only}", or none is planted in a world named "${values.world}"`,
    );
  }
  const missed: string[] = [];
  for (const { name, world, mutation } of chosen) {
    const { counterexample, states, ms } = walk(world, { mutation, isShortest: true, ...maxStates() });
    if (counterexample === undefined) missed.push(name);
    const found =
      counterexample === undefined
        ? `NOT FOUND in ${counted(states)} states`
        : `${counted(states)} states, ${counterexample.moves} moves, ${seconds(ms)} s`;
    say(`${name.padEnd(80)}${world.name.padEnd(24)}${found}`);
    if (counterexample !== undefined) say(`    ${counterexample.error.message}`);
    if (counterexample !== undefined && values.tell) say(`\n${counterexample.text}\n`);
  }
  const [first] = missed;
  if (first === undefined) return passed(`${chosen.length} of ${chosen.length} planted bugs were found`);
  const command = npmRun("sim:explore", "--mutants", `--only=${first}`, maxStatesFlag());
  return failed(`not found: ${missed.join("; ")}`, command);
}

if (values.list)
  for (const { name, about, isLarge } of worlds) say(`${name.padEnd(24)}${isLarge ? "(large) " : ""}${about}`);
else if (values.mutants) process.exitCode = runMutants();
else {
  const isChosen = (world: World): boolean =>
    values.world === "" ? world.isLarge !== true : world.name.includes(values.world);
  process.exitCode = runWorlds(worlds.filter(isChosen));
}
