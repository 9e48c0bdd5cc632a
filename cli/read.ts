// The one strict layer between the command line and every command: finds the command, and reads its flags and arguments.
//
// Promises: every flag is known, given once, and has one value of its kind; every argument is there, and none is left over. Any other command
// line throws a UsageError that names the fault, before the command begins. A flag that the command line does not give is taken from
// READYLOOP_<FLAG>, read as strictly; variables of flags that the command does not have are ignored. After -- every word is an argument.

import type { Command, Flag, Flags, Group } from "./command.ts";
import { shown, UsageError } from "./flags.ts";
import { nearest } from "./nearest.ts";
import { hint } from "./program.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Follows the words to a command, or as far as they lead. */
export function find(root: Group, args: readonly string[]): { path: string[]; node: Command | Group; rest: string[] } {
  const rest = [...args];
  const path: string[] = [];
  let node: Command | Group = root;
  while ("commands" in node) {
    const next: Command | Group | undefined = node.commands.find(({ name }) => name === rest[0]);
    if (next === undefined) break;
    path.push(rest.shift() as string);
    node = next;
  }
  return { path, node, rest };
}

/** The words did not lead to a command: says why. */
export function noCommand({ commands, example }: Group, path: readonly string[], rest: readonly string[]): UsageError {
  const [word] = rest;
  const names = commands.map(({ name }) => name);
  const forExample = `For example: ${hint(example)}`;
  if (word === undefined) return new UsageError(`Which command? ${forExample}`);
  if (word.startsWith("-")) {
    const [start] = word.split("=");
    return new UsageError(`the command comes first, before ${shown(start as string)}. ${forExample}`);
  }
  const wanted = [...path, word].join(" ");
  const near = nearest(word, names);
  const instead = near === undefined ? `There are: ${names.join(", ")}` : `Did you mean ${[...path, near].join(" ")}?`;
  return new UsageError(`there is no command ${shown(wanted)}. ${instead}`);
}

/** Reads what follows the command's name. */
export function read(command: Command, name: string, words: readonly string[], environment: Environment): object {
  const { given, operands } = split(words, command.flags);
  const { values, missing } = readFlags(command.flags, given, environment);
  const names = Object.keys(command.arguments);
  for (const [i, [argument, declared]] of Object.entries(command.arguments).entries()) {
    const text = operands[i];
    if (text === undefined) missing.push(`<${argument}>`);
    else values[argument] = readOne(declared, text, `<${argument}>`);
  }
  const extra = operands[names.length];
  if (extra !== undefined) {
    const takes = names.length === 0 ? "no argument" : names.map((one) => `<${one}>`).join(" ");
    throw new UsageError(`${name} takes ${takes}, and ${shown(extra)} is one too many`);
  }
  if (missing.length > 0) {
    throw new UsageError(`${name}: ${missing.join(" and ")} ${missing.length === 1 ? "is" : "are"} missing`);
  }
  command.check?.(values);
  return values;
}

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

function readOne({ kind }: Flag, text: string, name: string): unknown {
  if (text === "" && kind.takesEmpty !== true) {
    throw new UsageError(`${name} is empty: give it a value, or leave it out`);
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
  const what = `there is no flag ${/^[\w.-]{1,60}$/.test(start) ? start : shown(start)}`;
  if (!start.startsWith("--")) {
    return new UsageError(`${what}: write -- before arguments that begin with a dash`);
  }
  const near = nearest(start.slice(2), [...Object.keys(flags), "help"]);
  return new UsageError(near === undefined ? what : `${what}. Did you mean --${near}?`);
}
