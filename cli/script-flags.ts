// The flags of the npm scripts that measure and test: the simulator, the chaos run, the fuzzer, the benchmarks.
//
// Promises: --help says what there is; what is wrong gives one clear line on standard error and exit code 2, before anything has begun.

import { availableParallelism } from "node:os";
import yargs, { type Options } from "yargs";
import { integer, UsageError } from "./flags.ts";

export interface Script<O> {
  /** As in `npm run NAME`. */
  readonly name: string;
  /** What it does, in a sentence or two. */
  readonly does: string;
  readonly flags: O;
  /** What stands behind the flags, like "FILE"; without it nothing may. */
  readonly operands?: string;
}

/** Reads the command line; ends the process on --help, and if something is wrong. */
export function readFlags<O extends Record<string, Options>>({ name, does, flags, operands }: Script<O>) {
  return yargs(process.argv.slice(2))
    .usage(`npm run ${name} --${operands === undefined ? "" : ` ${operands}`} [flags]\n\n${does}`)
    .options(flags)
    .parserConfiguration({ "parse-positional-numbers": false })
    .strictOptions()
    .strict(operands === undefined)
    .wrap(Math.min(110, process.stdout.columns ?? 110))
    .version(false)
    .fail((message, error) => {
      process.stderr.write(`npm run ${name}: ${error?.message ?? message}\nTry: npm run ${name} -- --help\n`);
      process.exit(2);
    })
    .parseSync();
}

type Read<T> = (value: unknown) => T;

const unlessMissing =
  <T>(read: Read<T>): Read<T | undefined> =>
  (value) =>
    value === undefined ? undefined : read(value);

/** A whole number, not below `least`, and what it is if it is not given. */
export const countFlag = (flag: string, fallback: number, describe: string, least = 1) => ({
  describe,
  default: fallback,
  requiresArg: true,
  coerce: integer(flag, least, Number.MAX_SAFE_INTEGER),
});

/** A whole number that need not be given. */
export const maybeCountFlag = (flag: string, describe: string, least = 1) => ({
  describe,
  requiresArg: true,
  coerce: unlessMissing(integer(flag, least, Number.MAX_SAFE_INTEGER)),
});

/** A number above 0, not always a whole one, that need not be given. */
export const maybeAmountFlag = (flag: string, describe: string) => ({
  describe,
  requiresArg: true,
  coerce: unlessMissing((value) => {
    const number = Number(value);
    if (number > 0 && number < Number.POSITIVE_INFINITY) return number;
    throw new UsageError(`--${flag} must be a number above 0, not ${JSON.stringify(value)}`);
  }),
});

export const jobsFlag = () => countFlag("jobs", availableParallelism(), "threads");
export const textFlag = (describe: string) => ({ describe, type: "string", requiresArg: true }) as const;
export const yesFlag = (describe: string) => ({ describe, type: "boolean", default: false }) as const;
