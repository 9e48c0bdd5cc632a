// Reads flags, strictly.
//
// Promises: every flag is known, given once unless it repeats, and has one value of its kind. Any other command line throws a UsageError that
// names the fault. A flag that the command line does not give is taken from READYLOOP_<FLAG> of the given environment, read as strictly;
// variables of other flags are ignored. After -- every word is an argument.

import type { Flag, Flags } from "./flags.ts";
import { shown, UsageError } from "./kinds.ts";
import { nearest } from "./nearest.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** The value of each flag, and the names of required flags that are missing. */
export function readFlags(
  flags: Flags,
  given: ReadonlyMap<string, readonly string[]>,
  environment: Environment,
): { values: Record<string, unknown>; missing: string[] } {
  const values: Record<string, unknown> = {};
  const missing: string[] = [];
  for (const [flag, declared] of Object.entries(flags)) {
    const variable = variableOf(flag);
    const texts = given.get(flag);
    const set = declared.environment === false ? undefined : environment[variable];
    let value: unknown = declared.default;
    if (texts !== undefined) {
      const all = texts.map((text) => readOne(declared, text, `--${flag}`));
      value = declared.repeats === true ? all : all[0];
    } else if (set !== undefined) {
      value = readOne(declared, set, `${variable} (--${flag})`);
    } else if (declared.required === true) {
      missing.push(`--${flag}`);
    }
    values[camelCase(flag)] = value;
  }
  return { values, missing };
}

/** Reads the value of a flag or an argument; the user knows it as `name`. */
export function readOne({ kind }: Flag, text: string, name: string): unknown {
  if (text === "" && kind.takesEmpty !== true) {
    throw new UsageError(`${name} is empty: give it a value, or leave it out`);
  }
  // Node puts U+FFFD for bytes that are not UTF-8: another key would be written, another directory opened.
  if (text.includes("\ufffd")) {
    const remedy = kind.takesEmpty === true ? "; - takes any bytes, from standard input" : "";
    throw new UsageError(`${name} is not UTF-8, or holds U+FFFD, which stands for that: ${shown(text)}${remedy}`);
  }
  return kind.read(text, name);
}

export const variableOf = (flag: string): string => `READYLOOP_${flag.replaceAll("-", "_").toUpperCase()}`;

export const camelCase = (flag: string): string => flag.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());

/** Flags and arguments apart. A lone - is an argument. */
export function split(words: readonly string[], flags: Flags): { given: Map<string, string[]>; operands: string[] } {
  const given = new Map<string, string[]>();
  const operands: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as string;
    if (word === "--") {
      operands.push(...words.slice(i + 1));
      break;
    }
    if (!looksLikeFlag(word)) {
      operands.push(word);
      continue;
    }
    const equals = word.indexOf("=");
    const start = equals < 0 ? word : word.slice(0, equals);
    const flag = start.slice(2);
    if (!start.startsWith("--") || !Object.hasOwn(flags, flag)) throw unknownFlag(start, flags);
    const { kind, repeats } = flags[flag] as Flag;
    const before = given.get(flag) ?? [];
    if (before.length > 0 && repeats !== true) throw new UsageError(`${start} is given more than once`);
    let text = "true";
    if (equals >= 0) text = word.slice(equals + 1);
    else if (kind.name !== "switch") text = valueAfter(start, words[++i]);
    given.set(flag, [...before, text]);
  }
  return { given, operands };
}

const looksLikeFlag = (word: string): boolean => word.startsWith("-") && word !== "-";

function valueAfter(start: string, next: string | undefined): string {
  if (next === undefined) throw new UsageError(`${start} needs a value: ${start}=...`);
  if (!looksLikeFlag(next)) return next;
  throw new UsageError(`${start} needs a value, and ${shown(next)} looks like a flag: write ${start}=...`);
}

function unknownFlag(start: string, flags: Flags): UsageError {
  if (start === "--help") return new UsageError("--help takes no value");
  const what = `there is no flag ${/^[\w.-]{1,60}$/.test(start) ? start : shown(start)}`;
  if (!start.startsWith("--")) {
    return new UsageError(`${what}: write -- before arguments that begin with a dash`);
  }
  const near = nearest(start.slice(2), [...Object.keys(flags), "help"]);
  return new UsageError(near === undefined ? what : `${what}. Did you mean --${near}?`);
}
