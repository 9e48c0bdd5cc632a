// Reading a command's arguments as etcd's handlers read them: positional words, `key=value` pairs, and Go's notations
// of numbers and truth values.
//
// Two kinds of trouble: text that a handler reports as its command's outcome comes back as an Error, in Go's words,
// because the scripts record them. What would end the Go test at once (a node that does not exist, a word where a
// number belongs) is a ScriptError and is thrown: no runner can go on, and no output is recorded for it.

import type { Argument, Command } from "./datadriven.ts";

/** The script asks for what cannot be done; it must be changed. */
export class ScriptError extends Error {
  override readonly name = "ScriptError";
  readonly code = "SCRIPT";
}

/** strconv.ParseUint(text, 10, 64), for numbers that a double holds exactly. */
export function parseUint(text: string): number | Error {
  return parseNumber("ParseUint", /^[0-9]+$/, text);
}

/** strconv.ParseInt(text, 10, 64), for numbers that a double holds exactly. */
export function parseInteger(text: string): number | Error {
  return parseNumber("ParseInt", /^[+-]?[0-9]+$/, text);
}

function parseNumber(call: string, form: RegExp, text: string): number | Error {
  const quoted = JSON.stringify(text);
  if (!form.test(text)) return new Error(`strconv.${call}: parsing ${quoted}: invalid syntax`);
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : new Error(`strconv.${call}: parsing ${quoted}: value out of range`);
}

/** strconv.ParseBool. */
export function parseBool(text: string): boolean | Error {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  return new Error(`strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
}

/** The value, or a ScriptError thrown with what the parser said. */
export function must<T>(parsed: T | Error): T {
  if (parsed instanceof Error) throw new ScriptError(parsed.message);
  return parsed;
}

/** The argument at this position, whether or not it has values. */
export function argumentAt(command: Command, position: number): Argument {
  const found = command.args[position];
  if (found === undefined) throw new ScriptError(`${command.name} needs ${position + 1} or more arguments`);
  return found;
}

/** The number that opens the arguments: for most commands, the node. */
export function firstNumber(command: Command): number {
  return must(parseInteger(argumentAt(command, 0).key));
}

/** Every bare word as a node number. */
export function nodeNumbers(command: Command): number[] {
  return command.args.filter((arg) => arg.values.length === 0).map((arg) => must(parseInteger(arg.key)));
}

/** The `key=value` pairs of the arguments from this position on, lists taken apart, in order. */
export function pairs(command: Command, from = 0): { key: string; value: string }[] {
  return command.args.slice(from).flatMap(({ key, values }) => values.map((value) => ({ key, value })));
}

/** The one value of the argument with this key, which must be there. */
export function soleValue(command: Command, key: string): string {
  const [value, ...more] = command.args.find((arg) => arg.key === key)?.values ?? [];
  if (value === undefined || more.length > 0) throw new ScriptError(`${command.name} needs ${key}= with one value`);
  return value;
}
