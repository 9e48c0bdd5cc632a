// What all benchmarks share: a directory for their data, programs that must be installed, and the last line, OK or
// FAILED.
//
// Data lies in the system's directory for temporary files, or where --dir says, never in the work tree, and is removed
// at the end. Where that directory is kept in memory a sync costs nothing and the figures say nothing: then a line says
// so.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { textFlag } from "../command-line/script-flags.ts";
import { failed, npmRun, passed, refuse } from "../command-line/verdict.ts";

export const directoryFlag = () =>
  textFlag("directory for the data, on the disk to measure; the system's temporary one");

const inMemory: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]); // tmpfs and ramfs, of linux/magic.h

/** A new directory below the given one; ends the process if there can be none. */
export function dataDirectory(script: string, parent: string = os.tmpdir()): string {
  try {
    const directory = fs.mkdtempSync(path.join(path.resolve(parent), "readyloop-bench-"));
    console.log(`data: ${directory}`);
    if (inMemory.has(fs.statfsSync(directory).type)) {
      console.log("this directory is in memory, where a sync costs nothing: name one on a disk with --dir=DIR");
    }
    console.log();
    return directory;
  } catch (error) {
    return refuse(script, `${parent}: ${(error as Error).message}`);
  }
}

/** Ends the process if the program is not installed, before anything has begun. */
export function mustHave(script: string, program: string): void {
  try {
    execFileSync(program, ["--version"], { stdio: "ignore" });
  } catch (error) {
    // An exit code that is not 0 is an answer, too: some programs give one to --version.
    if ((error as NodeJS.ErrnoException).code === "ENOENT")
      refuse(script, `needs ${program}: install it, and try again`);
  }
}

/** Does the work, which returns what is wrong with its outcome if anything is, then prints the verdict. */
export async function measure(
  script: string,
  flags: readonly string[],
  work: () => Promise<string | undefined> | Promise<void>,
): Promise<void> {
  const again = npmRun(script, ...flags);
  try {
    const wrong = await work();
    console.log();
    process.exitCode = wrong === undefined ? passed("measured") : failed(wrong, again);
  } catch (error) {
    console.log(`\n${(error as Error).stack}\n`);
    process.exitCode = failed((error as Error).message, again);
  }
}
