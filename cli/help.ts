// Help and shell completion, which yargs makes from the declared commands. read.ts reads the command line itself, strictly: yargs runs no
// command, and refuses none.

import yargs, { type Argv, type PositionalOptions } from "yargs";
import { exitCodesText } from "../command-line/exit-codes.ts";
import type { Flag } from "../command-line/flags.ts";
import { optionOf, typeOf } from "../command-line/option.ts";
import type { Command, Group } from "./command.ts";
import { programName } from "./program.ts";

/** The flag with which bash, zsh and fish ask for completions; the words follow it. */
export const completionFlag = "--get-yargs-completions";

export async function helpText(root: Group, path: readonly string[]): Promise<string> {
  let text = "";
  await parserOf(root, programName()).parseAsync([...path, "--help"], {}, (_error, _values, output) => {
    text = output;
  });
  return text;
}

/** The script for the shell in use; it completes the installed program. */
export const showCompletionScript = (root: Group): void => void parserOf(root, "readyloop").showCompletionScript();

/** Prints what the last word may be, for the shell. */
export const showCompletions = async (root: Group, words: readonly string[]): Promise<void> =>
  void (await parserOf(root, "readyloop").parseAsync([completionFlag, ...words]));

function parserOf(root: Group, name: string): Argv {
  const parser = yargs()
    .scriptName(name)
    .detectLocale(false)
    .parserConfiguration({ "boolean-negation": false })
    .wrap(Math.min(110, process.stdout.columns ?? 110))
    .version(false)
    .exitProcess(false)
    .fail(false)
    .option("version", { describe: "Show the version", type: "boolean", global: false });
  return describeGroup(parser, root, "<command>");
}

function describeGroup(parser: Argv, group: Group, usage: string): Argv {
  const all = addText(parser, group, usage, asksMembers(group));
  for (const node of group.commands) {
    const path = usage.replace("<command>", node.name);
    if ("commands" in node) {
      all.command(node.name, node.describe, (y) => describeGroup(y, node, `${path} <command>`));
    } else {
      const words = [node.name, ...Object.keys(node.arguments).map((argument) => `<${argument}>`)].join(" ");
      all.command(words, node.describe, (y) => describeCommand(y, node, usage.replace("<command>", words)));
    }
  }
  return all;
}

function describeCommand(parser: Argv, command: Command, usage: string): Argv {
  for (const [name, argument] of Object.entries(command.arguments)) parser.positional(name, positionalOf(argument));
  for (const [name, flag] of Object.entries(command.flags)) parser.option(name, optionOf(flag));
  return addText(parser, command, usage, asksMembers(command));
}

const asksMembers = (node: Command | Group): boolean =>
  "commands" in node ? node.commands.some(asksMembers) : "endpoints" in node.flags;

function addText(parser: Argv, node: Command | Group, usage: string, asks: boolean): Argv {
  for (const [words, what] of node.examples ?? []) parser.example(`$0 ${words}`, what);
  const epilogue = node.epilogue === undefined ? "" : `${node.epilogue}\n\n`;
  return parser.usage(`$0 ${usage}\n\n${node.about ?? node.describe}`).epilogue(`${epilogue}${exitCodesText(asks)}`);
}

const positionalOf = (argument: Flag): PositionalOptions => ({
  describe: argument.describe,
  type: typeOf(argument),
  demandOption: true,
});
