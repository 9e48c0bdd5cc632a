// How a command is declared: a table of its arguments and a table of its flags. The strict reader (read.ts), the help and the shell
// completion (help.ts), and the types of the command's parameters all come from these tables.

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
  /** Checks the flags against each other; throws UsageError. The command opens nothing before. */
  check?(values: object): void;
  /** Resolves to the exit code. */
  run(values: object): Promise<number>;
}

export interface Group extends Text {
  readonly commands: readonly (Command | Group)[];
  /** The command that an error shows as an example, when the user named none. */
  readonly example: string;
}

interface Declared<A extends Flags, F extends Flags> extends Text {
  readonly arguments?: A;
  readonly flags?: F;
  readonly check?: (values: Arguments<A> & Values<F>) => void;
  readonly run: (values: Arguments<A> & Values<F>) => Promise<number>;
}

// A command without a table has no flags; the type Flags would allow any.
type None = Record<never, never>;

export function command<const A extends Flags = None, const F extends Flags = None>(declared: Declared<A, F>): Command {
  return { arguments: {}, flags: {}, ...declared };
}
