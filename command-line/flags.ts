// How flags are declared: one table, from which come the strict reading (read.ts), the help (option.ts), and the types of what a command runs
// with.

import { type Kind, onOff } from "./kinds.ts";

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

/** What one flag comes to. */
export type One<F extends Flag> = F extends { kind: Kind<infer T> } ? (F extends { repeats: true } ? T[] : T) : never;

/** What a table's flags come to: `data-dir` is dataDir; undefined where neither a value nor a default is given. */
export type Values<F extends Flags> = {
  [K in keyof F & string as CamelCase<K>]: F[K] extends { required: true } | { default: unknown }
    ? One<F[K]>
    : One<F[K]> | undefined;
};

/** A flag that needs no value. */
export const toggle = (describe: string) => ({ kind: onOff, describe, default: false }) as const;
