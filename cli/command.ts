// How a command is declared: one table of its arguments and one of its flags, from which come the strict reading (read.ts), the help and the
// shell completion (help.ts), and the types of what it runs with.

import { type Kind, onOff } from "./flags.ts";

export interface Flag<T = unknown> {
  readonly kind: Kind<T>;
  readonly describe: string;
  readonly required?: true;
  readonly default?: T;
  /** What the help shows for the value that is used where none is given. */
  readonly defaultText?: string;
  /** The command line alone sets it: a consent in a variable would be given for all time. */
  readonly environment?: false;
  /** It may be given more than once; its value is an array. */
  readonly repeats?: true;
}

export type Flags = Readonly<Record<string, Flag>>;

type CamelCase<S extends string> = S extends `${infer A}-${infer B}` ? `${A}${Capitalize<CamelCase<B>>}` : S;

type One<F extends Flag> = F extends { kind: Kind<infer T> } ? (F extends { repeats: true } ? T[] : T) : never;

/** What a table's flags come to: `data-dir` is dataDir; undefined where neither a value nor a default is given. */
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
