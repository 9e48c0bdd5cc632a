// Reading flags: what a value must be, and what to say if it is not.

import type { Argv } from "yargs";

/** A flag is wrong: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Wraps a command's function for yargs; its number is the exit code. */
export type Run = <A>(command: (argv: A) => Promise<number>) => (argv: A) => Promise<void>;
export type Parser = Argv<object>;

/**
 * What the environment says of these flags: READYLOOP_PEER_PORT for --peer-port. Only a command's own flags are looked up, so that a variable
 * meant for one command is no unknown flag to another.
 */
export function fromEnvironment(flags: object): Record<string, string> {
  const found: Record<string, string> = {};
  for (const flag of Object.keys(flags)) {
    const value = process.env[`READYLOOP_${flag.replaceAll("-", "_").toUpperCase()}`];
    if (value !== undefined) found[flag] = value;
  }
  return found;
}

/** A check for yargs' `coerce`: an integer in [min, max]. */
export function integer(flag: string, min: number, max: number): (value: unknown) => number {
  return (value) => {
    const number = typeof value === "string" && value.trim() === "" ? Number.NaN : Number(value);
    if (Array.isArray(value)) throw new UsageError(`--${flag} is given more than once`);
    if (!Number.isSafeInteger(number) || number < min || number > max) {
      throw new UsageError(`--${flag} must be an integer from ${min} to ${max}, not ${JSON.stringify(value)}`);
    }
    return number;
  };
}

export const port = (flag: string): ((value: unknown) => number) => integer(flag, 0, 65535);

export interface PeerFlag {
  readonly id: number;
  readonly url: string;
}

/**
 * The value of --peers: `http://a:2380,http://b:2380`, where a member's id is its place in the list, or `1=http://a:2380,7=http://b:2380`.
 * Sorted by id, addresses reduced to their origin: every member must start from the very same list.
 */
export function parsePeers(value: unknown): PeerFlag[] {
  if (typeof value !== "string" || value.trim() === "") {
    throw new UsageError("--peers needs the peer URL of each member, for example --peers=http://localhost:2380");
  }
  const items = value.split(",").map((item) => item.trim());
  const named = items.filter((item) => /^[^/]*=/.test(item)).length;
  if (named > 0 && named < items.length) {
    throw new UsageError("--peers: either all members are written as id=url, or none");
  }
  const peers = items.map((item, i) => {
    const equals = named > 0 ? item.indexOf("=") : -1;
    const id = named > 0 ? integer("peers", 1, Number.MAX_SAFE_INTEGER)(item.slice(0, equals)) : i + 1;
    return { id, url: originOf(item.slice(equals + 1)) };
  });
  peers.sort((a, b) => a.id - b.id);
  for (const [i, peer] of peers.entries()) {
    if (peers[i + 1]?.id === peer.id) throw new UsageError(`--peers: id ${peer.id} stands there twice`);
    if (peers.findIndex(({ url }) => url === peer.url) !== i) {
      throw new UsageError(`--peers: ${peer.url} stands there twice`);
    }
  }
  return peers;
}

/** `http://host:port`, with nothing behind it. */
export function originOf(text: string): string {
  if (!URL.canParse(text)) throw new UsageError(`${JSON.stringify(text)} is not a URL like http://localhost:2380`);
  const url = new URL(text);
  const bare = url.pathname === "/" && url.search === "" && url.hash === "" && url.username === "";
  if (url.protocol !== "http:" || !bare) {
    throw new UsageError(`${JSON.stringify(text)} must have the form http://host:port and nothing more`);
  }
  return url.origin;
}
