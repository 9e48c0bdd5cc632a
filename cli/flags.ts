// What the value of a flag or an argument may be: one kind for each sort of value.
//
// A kind reads a text and refuses what it does not take, with a UsageError that names the flag and the value. It takes one spelling only:
// numbers are plain decimals (not 1e3, 0x10, +5 or 007), and nothing is trimmed. Which flags a command has is declared beside the command
// (command.ts); read.ts checks that each is given once and with a value.

import net from "node:net";
import { MAX_KEY_BYTES } from "../kvstore/key.ts";

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

/** A member's id; a node's id is an integer that JavaScript holds exactly. */
export const memberId = integer(1);
/** A port that the user names. */
export const port = integer(1, 65535);
/** A port to listen on, where 0 takes a free one. */
export const portOrFree = integer(0, 65535);

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

function refuseTwice(items: readonly (string | number)[], name: string, what = ""): void {
  const twice = items.find((item, i) => items.indexOf(item) !== i);
  if (twice !== undefined) throw new UsageError(`${name} names ${what}${twice} twice`);
}

/** An address or a name to listen on. An IPv6 address may be in brackets, as in a URL; they are taken off. */
export const host: Kind<string> = {
  name: "host",
  read: (value, name) => {
    const bare = /^\[(.*)\]$/.exec(value)?.[1] ?? value;
    if (net.isIPv6(bare) || /^[^\s/:[\]?#@]+$/.test(value)) return bare;
    throw new UsageError(
      `${name} must be an address or a name alone, such as 127.0.0.1, ::1 or localhost, not ${shown(value)}`,
    );
  },
};

export const key: Kind<string> = {
  name: "key",
  read: (value, name) => {
    const size = Buffer.byteLength(value);
    if (size <= MAX_KEY_BYTES) return value;
    throw new UsageError(`${name} has ${size} bytes; a key has at most ${MAX_KEY_BYTES}`);
  },
};

/** `http://host:port`, with nothing behind it. */
export const url: Kind<string> = { name: "url", read: originOf };

/** Client URLs, between commas; http:// may be left out. */
export const urls: Kind<string[]> = {
  name: "urls",
  read: (value, name) => {
    const origins = itemsOf(value, name).map((item) => {
      if (/^[a-z][a-z0-9+.-]*:\/\//i.test(item)) return originOf(item, name);
      // Without http:// a lone name is more likely a slip than port 80.
      if (!/:[0-9]+$/.test(item))
        throw new UsageError(`${name}: ${shown(item)} is not a URL like http://localhost:2379`);
      return originOf(`http://${item}`, name);
    });
    refuseTwice(origins, name);
    return origins;
  },
};

export interface PeerFlag {
  readonly id: number;
  readonly url: string;
}

/**
 * `http://a:2380,http://b:2380`, where a member's id is its place in the list, or `1=http://a:2380,7=http://b:2380`.
 * Sorted by id, addresses reduced to their origin: every member must start from the very same list.
 */
export const peers: Kind<PeerFlag[]> = {
  name: "peers",
  read: (value, name) => {
    const items = itemsOf(value, name);
    const named = items.filter((item) => /^[^/]*=/.test(item)).length;
    if (named > 0 && named < items.length) {
      throw new UsageError(`${name}: either all members are written as id=url, or none`);
    }
    const list = items.map((item, i) => {
      const equals = named > 0 ? item.indexOf("=") : -1;
      const id = named > 0 ? memberId.read(item.slice(0, equals), `${name}: an id`) : i + 1;
      return { id, url: originOf(item.slice(equals + 1), name) };
    });
    refuseTwice(
      list.map((peer) => peer.id),
      name,
      "id ",
    );
    refuseTwice(
      list.map((peer) => peer.url),
      name,
    );
    return list.sort((a, b) => a.id - b.id);
  },
};

/** Stricter than the URL class, which reads http:a, http://a:080 and http://:pw@a without complaint. */
function originOf(value: string, name: string): string {
  const parts = /^http:\/\/(?:\[[0-9a-f:.]+\]|[^\s/\\:?#@[\]]+)(?::([0-9]+))?\/?$/i.exec(value);
  if (!URL.canParse(value)) throw new UsageError(`${name}: ${shown(value)} is not a URL like http://localhost:2380`);
  if (parts === null) {
    throw new UsageError(`${name}: ${shown(value)} must have the form http://host:port and nothing more`);
  }
  if (parts[1] !== undefined) port.read(parts[1], `${name}: the port of ${shown(value)}`);
  return new URL(value).origin;
}
