// The end of every npm script that tests: a last line that says OK or FAILED, and an exit code that says the same.
//
// Promises: the verdict is a single line, and the last; that of a failure has the command that shows it again, ready to be pasted into a shell.
// What is wrong with an operand, such as a file that is not there, is one line on standard error and exit code 2.

import fs from "node:fs";
import path from "node:path";
import { exitCode } from "./exit-codes.ts";

// `npm run sim -- --trace | head` has read enough: the run ends without a word. Not with 0, as no verdict was given.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(exitCode.failed);
});

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const oneLine = (text: string): string =>
  text.trim().replace(/([:;,.]?)\s*\n\s*/g, (_all, mark: string) => `${mark || ";"} `);

/** An argument as a shell takes it. */
const shellWord = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** `npm run NAME -- ARGS`, without those that are undefined. */
export function npmRun(name: string, ...args: readonly (string | undefined)[]): string {
  const words = args.filter((arg) => arg !== undefined).map(shellWord);
  return [`npm run ${name}`, ...(words.length === 0 ? [] : ["--", ...words])].join(" ");
}

/** Prints the verdict of a good run; returns the exit code. */
export function passed(text: string): number {
  say(`OK: ${oneLine(text)}`);
  return exitCode.done;
}

/** Prints the verdict of a bad run; returns the exit code. `replay` is the command that shows it again, perhaps with a remark behind it. */
export function failed(text: string, replay: string): number {
  say(`FAILED: ${oneLine(text)}; replay with: ${replay}`);
  return exitCode.failed;
}

/** Ends the process: the command line asks for what cannot be done. */
export function refuse(script: string, text: string): never {
  process.stderr.write(`npm run ${script}: ${oneLine(text)}\n`);
  process.exit(exitCode.usage);
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EISDIR: "is a directory, not a file",
  EACCES: "may not be read by this user",
  ENOTDIR: "there is no such file: a part of the path is no directory",
};

/** The bytes of a file that the command line names; ends the process if it cannot be read. */
export function readOperand(script: string, file: string): Buffer {
  try {
    return fs.readFileSync(path.resolve(file));
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    return refuse(script, `${file}: ${reasons[code] ?? message}`);
  }
}
