// The flags of the npm scripts that measure and test: the simulator, the chaos run, the fuzzer, the benchmarks.
//
// Promises: --help lists the flags; a wrong command line gives one clear line on standard error and exit code 2, before anything begins.

import { availableParallelism } from "node:os";
import yargs from "yargs";
import { type Flags, toggle, type Values } from "./flags.ts";
import { amount, integer, shown, text, UsageError } from "./kinds.ts";
import { optionOf } from "./option.ts";
import { readFlags as readGiven, split } from "./read.ts";

export interface Script<F extends Flags> {
  /** As in `npm run NAME`. */
  readonly name: string;
  /** What it does, in a sentence or two. */
  readonly does: string;
  readonly flags: F;
  /** The arguments after the flags, like "FILE"; undefined: there are none. */
  readonly operands?: string;
}

/** Reads the command line; ends the process on --help, and if the command line is wrong. */
export function readFlags<const F extends Flags>(script: Script<F>): Values<F> & { readonly _: readonly string[] } {
  const { name, flags, operands: takes } = script;
  const words = process.argv.slice(2);
  if (words.includes("--help")) showHelp(script);
  try {
    const { given, operands } = split(words, flags);
    const unwanted = operands.find((operand) => takes === undefined || operand === "");
    if (unwanted !== undefined) throw new UsageError(`${shown(unwanted)} is one argument too many`);
    return { ...(readGiven(flags, given, {}).values as Values<F>), _: operands };
  } catch (error) {
    process.stderr.write(`npm run ${name}: ${(error as Error).message}\nTry: npm run ${name} -- --help\n`);
    process.exit(2);
  }
}

function showHelp({ name, does, flags, operands }: Script<Flags>): void {
  const parser = yargs(["--help"])
    .usage(`npm run ${name} --${operands === undefined ? "" : ` ${operands}`} [flags]\n\n${does}`)
    .detectLocale(false)
    .wrap(Math.min(110, process.stdout.columns ?? 110))
    .version(false);
  for (const [flag, declared] of Object.entries(flags)) parser.option(flag, optionOf(declared));
  parser.parseSync(); // prints it, and ends the process
}

/** A whole number, not below `least`, with a default. */
export const countFlag = (_flag: string, fallback: number, describe: string, least = 1) =>
  ({ kind: integer(least), describe, default: fallback }) as const;

/** An optional whole number. */
export const maybeCountFlag = (_flag: string, describe: string, least = 1) =>
  ({ kind: integer(least), describe }) as const;

/** An optional number above 0, with or without a fraction. */
export const maybeAmountFlag = (_flag: string, describe: string) => ({ kind: amount, describe }) as const;

export const jobsFlag = () => countFlag("jobs", availableParallelism(), "threads");
export const textFlag = (describe: string) => ({ kind: text, describe }) as const;
export const yesFlag = toggle;
