// What the value of a flag or an argument may be: one kind for each sort of value. Kinds that know this server are in cli/flags.ts.
//
// A kind reads a text and refuses what it does not take, with a UsageError that names the flag and the value. It takes one spelling only:
// numbers are plain decimals (not 1e3, 0x10, +5 or 007), and nothing is trimmed. Which flags a command has is declared beside the command
// (flags.ts); read.ts checks that each is given once and with a value.

/** The command line is wrong: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export interface Kind<T> {
  readonly name:
    | "text"
    | "integer"
    | "amount"
    | "switch"
    | "choice"
    | "choices"
    | "host"
    | "hosts"
    | "key"
    | "url"
    | "urls"
    | "peers";
  /** `name` is the flag as the user gave it. The text is not empty, unless `takesEmpty`. */
  readonly read: (text: string, name: string) => T;
  readonly takesEmpty?: true;
  /** Of an integer. */
  readonly min?: number;
  readonly max?: number;
  readonly choices?: readonly string[];
}

/** A value as an error shows it: on one line, and no longer than a line. */
export const shown = (value: string): string => JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}...` : value);

const orList = (words: readonly string[]): string => `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;

export const text: Kind<string> = {
  name: "text",
  read: (value, name) => {
    if (value.trim() !== "") return value;
    throw new UsageError(`${name} is blank: ${shown(value)}`);
  },
};

/** A value of a key: the empty one is a value too. */
export const anyText: Kind<string> = { name: "text", takesEmpty: true, read: (value) => value };

export const integer = (min: number, max: number = Number.MAX_SAFE_INTEGER): Kind<number> => ({
  name: "integer",
  min,
  max,
  read: (value, name) => {
    const number = Number(value);
    const inRange = Number.isSafeInteger(number) && number >= min && number <= max;
    if (inRange && /^(0|[1-9][0-9]*)$/.test(value)) return number;
    const digits = inRange ? ", in plain digits" : "";
    throw new UsageError(`${name} must be an integer from ${min} to ${max}${digits}, not ${shown(value)}`);
  },
});

/** A number above 0, with or without a fraction. */
export const amount: Kind<number> = {
  name: "amount",
  read: (value, name) => {
    const number = Number(value);
    if (/^(0|[1-9][0-9]*)(\.[0-9]+)?$/.test(value) && number > 0 && Number.isFinite(number)) return number;
    throw new UsageError(`${name} must be a number above 0, such as 1.5, not ${shown(value)}`);
  },
};

/** On the command line it needs no value. */
export const onOff: Kind<boolean> = {
  name: "switch",
  read: (value, name) => {
    if (value === "true" || value === "false") return value === "true";
    throw new UsageError(`${name} is a switch: leave its value out, or give true or false, not ${shown(value)}`);
  },
};

export const choice = <T extends string>(choices: readonly T[]): Kind<T> => ({
  name: "choice",
  choices,
  read: (value, name) => {
    const found = choices.find((one) => one === value);
    if (found !== undefined) return found;
    throw new UsageError(`${name} must be ${orList(choices)}, not ${shown(value)}`);
  },
});

/** Some of these, between commas. */
export const choices = (all: readonly string[]): Kind<ReadonlySet<string>> => ({
  name: "choices",
  choices: all,
  read: (value, name) => {
    const items = itemsOf(value, name);
    const unknown = items.find((item) => !all.includes(item));
    if (unknown === undefined) return new Set(items);
    throw new UsageError(`${name} takes ${all.join(", ")}, and not ${shown(unknown)}`);
  },
});

/** The items of a list; none is empty, and none occurs twice. */
export function itemsOf(value: string, name: string): string[] {
  const items = value.split(",");
  if (items.includes("")) throw new UsageError(`${name} has a comma too many: ${shown(value)}`);
  refuseTwice(items, name);
  return items;
}

/** Throws UsageError if an item occurs twice; `what` names the items in the error. */
export function refuseTwice(items: readonly (string | number)[], name: string, what = ""): void {
  const twice = items.find((item, i) => items.indexOf(item) !== i);
  if (twice !== undefined) throw new UsageError(`${name} names ${what}${twice} twice`);
}
