// SIGINT, SIGTERM and SIGHUP (the terminal was closed): the first asks for an orderly stop, a second one of the same kind ends the process
// at once.
//
// One Ctrl-C can arrive twice: from the terminal, and from a wrapper such as npx that passes it on. So a second signal counts only some
// time after the first, and start-cluster's SIGTERM, which comes on top of the terminal's SIGINT, does not count as a second one.

import fs from "node:fs";
import tty from "node:tty";

const sameKeyPressMs = 500;
/** The exit code after a second signal, as a shell gives it: 128 plus the signal's number. */
const exitCodes: Readonly<Partial<Record<NodeJS.Signals, number>>> = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

/** Resolves with the name of the first signal. */
export function stopOnSignals(): { readonly stopped: Promise<string>; stop(reason: string): void } {
  let resolve: (reason: string) => void = () => undefined;
  const stopped = new Promise<string>((r) => {
    resolve = r;
  });
  const terminals = [0, 1, 2].filter((fd) => tty.isatty(fd));
  process.once("exit", () => closeGone(terminals));
  const first = new Map<NodeJS.Signals, number>();
  const handle = (signal: NodeJS.Signals): void => {
    const at = first.get(signal) ?? performance.now();
    first.set(signal, at);
    if (performance.now() - at > sameKeyPressMs) process.exit(exitCodes[signal]);
    resolve(signal);
  };
  for (const signal of Object.keys(exitCodes) as NodeJS.Signals[]) process.on(signal, handle);
  return { stopped, stop: resolve };
}

/** Node aborts at its exit over a terminal that is gone, whose settings it cannot restore, unless its descriptors are closed. */
function closeGone(terminals: readonly number[]): void {
  for (const fd of terminals.filter((one) => !tty.isatty(one))) {
    try {
      fs.closeSync(fd);
    } catch {
      // Closed already.
    }
  }
}
