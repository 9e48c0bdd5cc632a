// A declared flag as yargs describes it in a help. yargs checks nothing: see read.ts.

import type { Options } from "yargs";
import type { Flag } from "./flags.ts";

/** The type of a flag or an argument as yargs calls it. */
export const typeOf = ({ kind }: Flag): "boolean" | "number" | "string" =>
  kind.name === "switch" ? "boolean" : kind.name === "integer" || kind.name === "amount" ? "number" : "string";

/** A flag, for `option` of yargs. */
export function optionOf(flag: Flag): Options {
  const { kind, describe, required, defaultText } = flag;
  const shownDefault =
    defaultText ?? (flag.default === undefined || flag.default === "" ? undefined : `${flag.default}`);
  return {
    describe,
    type: typeOf(flag),
    ...(kind.name === "choice" ? { choices: kind.choices as readonly string[] } : {}),
    ...(required === true ? { demandOption: true } : {}),
    ...(shownDefault === undefined ? {} : { default: undefined, defaultDescription: shownDefault }),
  };
}
