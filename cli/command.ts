// How a command is declared: one table of its arguments and one of its flags, from which come the strict reading (read.ts), the help and the
// shell completion (help.ts), and the types of what it runs with.

import type { Flags, One, Values } from "../command-line/flags.ts";

/** Of arguments, which are all required. */
type Arguments<A extends Flags> = { [K in keyof A & string]: One<A[K]> };

interface Text {
  readonly name: string;
  /** One line, for the list of commands. */
  readonly describe: string;
  /** For the help of this command: what it does, if one line does not say it. */
  readonly about?: string;
  readonly examples?: readonly (readonly [words: string, what: string])[];
  readonly epilogue?: string;
}

export interface Command extends Text {
  /** In their order; each must be given. */
  readonly arguments: Flags;
  readonly flags: Flags;
  /** What the flags must be together; throws UsageError. Nothing is opened before it has passed. */
  check?(values: object): void;
  /** Resolves to the exit code. */
  run(values: object): Promise<number>;
}

export interface Group extends Text {
  readonly commands: readonly (Command | Group)[];
  /** One of its commands, as an example for those who named none. */
  readonly example: string;
}

interface Declared<A extends Flags, F extends Flags> extends Text {
  readonly arguments?: A;
  readonly flags?: F;
  readonly check?: (values: Arguments<A> & Values<F>) => void;
  readonly run: (values: Arguments<A> & Values<F>) => Promise<number>;
}

// Without a table there are no flags, not any flags.
type None = Record<never, never>;

export function command<const A extends Flags = None, const F extends Flags = None>(declared: Declared<A, F>): Command {
  return { arguments: {}, flags: {}, ...declared };
}
