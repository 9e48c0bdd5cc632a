// The one strict layer between the command line and every command: finds the command, and reads its flags and arguments.
//
// Promises: flags are read as command-line/read.ts promises; every argument is there, and none is left over. Any other command line throws a
// UsageError that names the fault, before the command begins.

import { shown, UsageError } from "../command-line/kinds.ts";
import { nearest } from "../command-line/nearest.ts";
import { type Environment, readFlags, readOne, split } from "../command-line/read.ts";
import type { Command, Group } from "./command.ts";
import { hint } from "./program.ts";

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
    if (start === "--version" && path.length === 0) return new UsageError("--version stands alone, without a value");
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
