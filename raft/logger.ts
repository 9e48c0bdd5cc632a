// Where the core writes its log lines.
//
// A level that is off has no method: the core writes `logger.debug?.(`...`)`, and then JavaScript does not even build
// the text. The lines are etcd's, word for word, written where the thing happens.
//
// Ports logger.go. Leaves out the default logger and its global setter: a core without a logger is silent.

import { RaftPanic } from "./errors.ts";

export interface Logger {
  readonly debug?: ((text: string) => void) | undefined;
  readonly info?: ((text: string) => void) | undefined;
  readonly warning?: ((text: string) => void) | undefined;
  readonly error?: ((text: string) => void) | undefined;
  /** The last words before a RaftPanic is thrown. */
  readonly fatal?: ((text: string) => void) | undefined;
}

export const discardLogger: Logger = Object.freeze({});

/** Logs a broken invariant and throws it. */
export function panic(logger: Logger, text: string): never {
  logger.fatal?.(text);
  throw new RaftPanic(text);
}
