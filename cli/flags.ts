// The kinds of values that know this server: a member's id, ports, a host to listen on, keys, URLs, and the list of the members. The general
// ones, and what a kind promises, are in command-line/kinds.ts.

import net from "node:net";
import { integer, itemsOf, type Kind, refuseTwice, shown, UsageError } from "../command-line/kinds.ts";
import { maxKeyBytes } from "../kvstore/key.ts";

/** A member's id; a node's id is an integer that JavaScript holds exactly. */
export const memberId = integer(1);
/** A port that the user names. */
export const port = integer(1, 65535);
/** A port to listen on, where 0 takes a free one. */
export const portOrFree = integer(0, 65535);

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
    if (size <= maxKeyBytes) return value;
    throw new UsageError(`${name} has ${size} bytes; a key has at most ${maxKeyBytes}`);
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
