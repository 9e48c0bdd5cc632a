// The command line: one file for each command, put together here.
//
// Promises: every flag may also be set by an environment variable READYLOOP_<FLAG>; a command line that is wrong gives one clear line on
// standard error and exit code 2, before anything is opened, sent or written; a command that fails says why there, and ends with one of
// the codes of exit-codes.ts.

import fs from "node:fs";
import { exitCode } from "../command-line/exit-codes.ts";
import type { Environment } from "../command-line/read.ts";
import { clientCommands } from "./client.ts";
import { command, type Group } from "./command.ts";
import { ClientError } from "./endpoints.ts";
import { completionFlag, helpText, showCompletionScript, showCompletions } from "./help.ts";
import { members } from "./members.ts";
import { hint } from "./program.ts";
import { find, noCommand, read } from "./read.ts";
import { recover } from "./recover.ts";
import { snapshot } from "./snapshot.ts";
import { startCluster } from "./start-cluster.ts";
import { startServer } from "./start-server.ts";
import { transfer } from "./transfer.ts";
import { wal } from "./wal.ts";

const completion = command({
  name: "completion",
  describe: "print a script that makes the shell complete commands and flags",
  about:
    "Prints a script for the shell that SHELL names (bash, zsh or fish). It completes the installed program, readyloop. To install it:\n\n" +
    "  bash  readyloop completion >> ~/.bashrc\n" +
    "  zsh   readyloop completion >> ~/.zshrc\n" +
    "  fish  readyloop completion > ~/.config/fish/completions/readyloop.fish\n\n" +
    "Then open a new shell.",
  run: async () => {
    showCompletionScript(root);
    return exitCode.done;
  },
});

/** All commands. */
export const root: Group = {
  name: "readyloop",
  describe: "A replicated key-value server on the raft of etcd, in TypeScript.",
  example: "start-cluster",
  commands: [startServer, startCluster, ...clientCommands, members, transfer, snapshot, recover, wal, completion],
  examples: [
    ["start-server --id=1 --peers=http://localhost:2380", "one member, on the default ports"],
    ["start-cluster --size=3", "three members on this machine; Ctrl-C stops them"],
    ["put greeting 'hello, world'", "write"],
    ["get greeting", "read"],
    ["put -- -1 -2", "a key and a value that begin with a dash"],
    ["status", "who leads, and how far each member is"],
    ["members add 4 http://127.0.0.1:2680 --learner", "a fourth member; then start it with start-server --join"],
    ["snapshot save backup.snap", "a backup, while the cluster runs"],
    ["recover --data-dir=data/1 --id=1 --peer-url=http://localhost:2380", "when the majority is lost for ever"],
    ["wal dump --data-dir=data/1", "the records of a member's log"],
  ],
  epilogue:
    "A variable sets a flag that the command line does not give: READYLOOP_CLIENT_PORT sets --client-port, and a switch takes true or false. " +
    "A command reads only the variables of its own flags, and ignores all others, misspelt ones too. No variable sets a consent such as --yes.",
};

/** Runs one command; resolves to the exit code. A server command resolves when the server has stopped. */
export async function main(args: readonly string[], environment: Environment = process.env): Promise<number> {
  const { path, node, rest } = find(root, args);
  try {
    if (args[0] === completionFlag) return await complete(args.slice(1));
    const [word = ""] = rest;
    if ("commands" in node && !word.startsWith("-") && word !== "") throw noCommand(node, path, rest);
    if (asksForHelp(rest)) return print(await helpText(root, path));
    if (path.length === 0 && rest[0] === "--version" && rest.length === 1) return print(version());
    if ("commands" in node) throw noCommand(node, path, rest);
    return await node.run(read(node, path.join(" "), rest, environment));
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    process.stderr.write(`readyloop: ${message}\n`);
    if (error instanceof ClientError) return error.exitCode;
    if (name !== "UsageError") return exitCode.failed;
    process.stderr.write(`Try: ${hint([...path, "--help"].join(" "))}\n`);
    return exitCode.usage;
  }
}

async function complete(words: readonly string[]): Promise<number> {
  await showCompletions(root, words);
  return exitCode.done;
}

function print(text: string): number {
  process.stdout.write(`${text}\n`);
  return exitCode.done;
}

/** Looks only before a lone --; after it, --help is an argument. */
function asksForHelp(words: readonly string[]): boolean {
  const end = words.indexOf("--");
  return words.slice(0, end < 0 ? words.length : end).includes("--help");
}

function version(): string {
  const text = fs.readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
