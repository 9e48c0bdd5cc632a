// How flags are declared: one table. The strict reader (read.ts), the help (option.ts), and the types of a command's parameters all come
// from it.

import { type Kind, onOff } from "./kinds.ts";

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

/** The value of one flag. */
export type One<F extends Flag> = F extends { kind: Kind<infer T> } ? (F extends { repeats: true } ? T[] : T) : never;

/** The values of a table's flags: `data-dir` becomes dataDir; undefined without a value and a default. */
export type Values<F extends Flags> = {
  [K in keyof F & string as CamelCase<K>]: F[K] extends { required: true } | { default: unknown }
    ? One<F[K]>
    : One<F[K]> | undefined;
};

/** A flag that needs no value. */
export const toggle = (describe: string) => ({ kind: onOff, describe, default: false }) as const;
