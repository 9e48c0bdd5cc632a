// Runs one script: tells its kind, feeds its commands to the runner of that kind, and compares what each prints.
//
// A script ends at its first difference: what follows would differ for the same reason. A command that throws ends it
// as well, with nothing to compare; rewriting never writes such a script, because its rest was not run.

import path from "node:path";
import { ScriptError } from "./arguments.ts";
import { confChangeRunner } from "./confchange.ts";
import { type Command, endLine, formatScript, parseScript, type Script, type Step } from "./datadriven.ts";
import { interactionCommands, interactionRunner } from "./interaction.ts";
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
  /**
   * The file with the actual output; undefined if a command is unknown or threw, if there is none, or unless it was
   * asked for.
   */
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

/** A script that is parsed, and the runner that takes its steps in turn. */
export interface OpenScript {
  readonly script: Script;
  readonly run: Runner;
}

/** Throws ScriptSyntaxError, or a ScriptError for a command that is unknown, if that is asked for. */
export function openScript(file: string, text: string, { mustKnow }: { readonly mustKnow: boolean }): OpenScript {
  const script = parseScript(text);
  const kind = kindOf(file, script.steps);
  const knows = (name: string): boolean =>
    kind === "interaction" ? interactionCommands.has(name) : kindOfCommand.get(name) === kind;
  const stranger = mustKnow ? script.steps.find(({ name }) => !knows(name)) : undefined;
  if (stranger !== undefined) throw new ScriptError(`line ${stranger.line}: there is no command ${stranger.name}`);
  return { script, run: runners[kind]() };
}

/**
 * Runs the script that `text` holds; with `rewrite` differences are collected into a new text instead of counting. A
 * script with a command that is unknown is then not run at all: it may be no script, and what would be written is no
 * output.
 */
export function runScript(file: string, text: string, rewrite = false): Outcome {
  let steps: readonly Step[] = [];
  const outputs: string[] = [];
  try {
    const { script, run } = openScript(file, text, { mustKnow: rewrite });
    steps = script.steps;
    for (const step of steps) {
      const actual = endLine(run(step));
      if (actual !== step.expected && !rewrite) {
        const failure: Failure = { kind: "difference", step, actual };
        return { steps: steps.length, passed: outputs.length, failure, rewritten: undefined };
      }
      outputs.push(actual);
    }
    const rewritten = rewrite && steps.length > 0 ? formatScript(script, outputs) : undefined;
    return { steps: steps.length, passed: steps.length, failure: undefined, rewritten };
  } catch (thrown) {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    const failure: Failure = { kind: "exception", step: steps[outputs.length], error };
    return { steps: steps.length, passed: outputs.length, failure, rewritten: undefined };
  }
}
