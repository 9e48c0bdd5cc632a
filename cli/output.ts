// Standard output of a command, and what happens when it fails.
//
// Promises: a reader that has seen enough (`| head`) ends the output and changes nothing else: the command does its work, says nothing about
// it and ends with its own exit code. On any other failure, such as a full disk, one line on standard error says so, and a command that
// would have ended with 0 ends with 1. A short write to a file is a failure too. No failure here throws.
//
// The log of a server does not pass through here: see log-output.ts.

import { once } from "node:events";
import fs from "node:fs";
import type { Writable } from "node:stream";
import { exitCode } from "../command-line/exit-codes.ts";

let hasFailed = false;

/** Called once, by the entry: from then on the failures of process.stdout are handled. */
export function watchOutput(): void {
  const { stdout, stderr } = process;
  // A failure of standard error cannot be reported anywhere.
  stderr.on("error", () => undefined);
  stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (hasFailed) return;
    hasFailed = true;
    if (error.code === "EPIPE") return;
    process.on("exit", (code) => {
      if (code === exitCode.done) process.exitCode = exitCode.failed;
    });
    stderr.write(`readyloop: standard output cannot be written, and is not complete: ${error.message}\n`);
  });
  if (fs.fstatSync(1).isFile()) writeWhole(stdout, 1);
}

/** Node takes a short write to a file, as on a disk that has become full, for a whole one. */
function writeWhole(stream: Writable, fd: number): void {
  stream._write = (chunk: Buffer, _encoding, done) => {
    try {
      for (let at = 0; at < chunk.length; ) {
        const written = fs.writeSync(fd, chunk, at);
        if (written === 0) throw new Error("nothing was written");
        at += written;
      }
    } catch (error) {
      done(error as Error);
      return;
    }
    done();
  };
}

/** Prints pieces as fast as the reader takes them, and stops once nothing more can be printed. */
export async function print(pieces: AsyncIterable<string>): Promise<void> {
  const { stdout } = process;
  for await (const piece of pieces) {
    if (hasFailed) return;
    // A failure ends the waiting too; watchOutput has seen it then.
    if (!stdout.write(piece)) await once(stdout, "drain").catch(() => undefined);
  }
}
