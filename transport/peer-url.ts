// The form of a member's id and address.
//
// An address is reduced to its origin, so that two spellings of one address are equal and a request's path can follow
// it. Both are checked wherever they come in: from the command line and the log (addPeer), and from the network
// (join.ts).

import { TransportError } from "./options.ts";

/** A peer URL reduced to its origin. Throws TransportError unless it is http://host:port with nothing behind it. */
export function originOf(url: string): string {
  const bad = (): TransportError =>
    new TransportError("BAD_PEER_URL", `peer URL ${JSON.stringify(url)} must have the form http://host:port`);
  if (!URL.canParse(url)) throw bad();
  const parsed = new URL(url);
  const bare = parsed.pathname === "/" && parsed.search === "" && parsed.hash === "" && parsed.username === "";
  if (parsed.protocol !== "http:" || !bare) throw bad();
  return parsed.origin;
}

/** Whether this is an id that a member can have: an integer in [1, 2^53). */
export const isMemberId = (id: unknown): id is number => Number.isSafeInteger(id) && (id as number) >= 1;
