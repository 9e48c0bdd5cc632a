// Runs one script: tells its kind, feeds its commands to the runner of that kind, and compares what each prints.
//
// A script ends at its first difference: what follows would differ for the same reason. A command that throws ends it as well,
// with nothing to compare; rewriting never writes such a script, because its rest was not run.

import path from "node:path";
import { confChangeRunner } from "./confchange.ts";
import { type Command, endLine, formatScript, parseScript, type Step } from "./datadriven.ts";
import { interactionRunner } from "./interaction.ts";
import { quorumRunner } from "./quorum.ts";

/** How a script failed: at a step (undefined if the file cannot be parsed), by other output or by an exception. */
export type Failure =
  | { readonly kind: "difference"; readonly step: Step; readonly actual: string }
  | { readonly kind: "exception"; readonly step: Step | undefined; readonly error: Error };

export interface Outcome {
  /** Steps in the script, and how many of them passed before the failure. */
  readonly steps: number;
  readonly passed: number;
  readonly failure: Failure | undefined;
  /** The file with the actual output; undefined if a step threw, or unless it was asked for. */
  readonly rewritten: string | undefined;
}

type Runner = (command: Command) => string;
type Kind = "interaction" | "confchange" | "quorum";

const runners: Readonly<Record<Kind, () => Runner>> = {
  interaction: interactionRunner,
  confchange: confChangeRunner,
  quorum: quorumRunner,
};

const kindOfCommand: ReadonlyMap<string, Kind> = new Map([
  ["simple", "confchange"],
  ["enter-joint", "confchange"],
  ["leave-joint", "confchange"],
  ["committed", "quorum"],
  ["vote", "quorum"],
]);

/** The kind of a script: what its first command says, or else the folder that it is in. */
function kindOf(file: string, commands: readonly Command[]): Kind {
  const told = kindOfCommand.get(commands[0]?.name ?? "");
  if (told !== undefined) return told;
  const folders = path.dirname(path.resolve(file)).split(path.sep).reverse();
  const folder = folders.find((name) => name === "confchange" || name === "quorum" || name === "interaction");
  const fits = commands.some(({ name }) => folder !== undefined && kindOfCommand.get(name) === folder);
  return fits ? (folder as Kind) : "interaction";
}

/** Runs the script that `text` holds; with `rewrite` differences are collected into a new text instead of counting. */
export function runScript(file: string, text: string, rewrite = false): Outcome {
  let steps: readonly Step[] = [];
  const outputs: string[] = [];
  try {
    const script = parseScript(text);
    steps = script.steps;
    const run = runners[kindOf(file, steps)]();
    for (const step of steps) {
      const actual = endLine(run(step));
      if (actual !== step.expected && !rewrite) {
        const failure: Failure = { kind: "difference", step, actual };
        return { steps: steps.length, passed: outputs.length, failure, rewritten: undefined };
      }
      outputs.push(actual);
    }
    const rewritten = rewrite ? formatScript(script, outputs) : undefined;
    return { steps: steps.length, passed: steps.length, failure: undefined, rewritten };
  } catch (thrown) {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    const failure: Failure = { kind: "exception", step: steps[outputs.length], error };
    return { steps: steps.length, passed: outputs.length, failure, rewritten: undefined };
  }
}
