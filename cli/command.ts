// How a command is declared: a table of its arguments and a table of its flags. The strict reader (read.ts), the help and the shell
// completion (help.ts), and the types of the command's parameters all come from these tables.

import { type Kind, onOff } from "./flags.ts";

export interface Flag<T = unknown> {
  readonly kind: Kind<T>;
  readonly describe: string;
  readonly required?: true;
  readonly default?: T;
  /** The default, as the help shows it. */
  readonly defaultText?: string;
  /** Only the command line sets it: a consent in an environment variable would hold for every later run. */
  readonly environment?: false;
  /** It may be given more than once; its value is an array. */
  readonly repeats?: true;
}

export type Flags = Readonly<Record<string, Flag>>;

type CamelCase<S extends string> = S extends `${infer A}-${infer B}` ? `${A}${Capitalize<CamelCase<B>>}` : S;

type One<F extends Flag> = F extends { kind: Kind<infer T> } ? (F extends { repeats: true } ? T[] : T) : never;

/** The values of a table's flags: `data-dir` becomes dataDir; undefined without a value and a default. */
export type Values<F extends Flags> = {
  [K in keyof F & string as CamelCase<K>]: F[K] extends { required: true } | { default: unknown }
    ? One<F[K]>
    : One<F[K]> | undefined;
};

/** Of arguments, which are all required. */
type Arguments<A extends Flags> = { [K in keyof A & string]: One<A[K]> };

/** A flag that needs no value. */
export const toggle = (describe: string) => ({ kind: onOff, describe, default: false }) as const;

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
