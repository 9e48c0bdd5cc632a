// The shapes in which a network falls apart.
//
// Whole halves that cannot talk are the least of it: a link that works in one direction only lets a leader be heard and
// not hear, or the other way round, and a member in the middle that reaches both halves makes elections that no
// candidate can win.

import type { Network } from "./network.ts";
import type { Random } from "./random.ts";

export const shapes = [
  "one alone",
  "one does not hear",
  "one is not heard",
  "two groups",
  "two groups and a bridge",
  "one link",
  "some directions",
] as const;
export type Shape = (typeof shapes)[number];

/**
 * One alone more often than the others: a leader that does not know yet that it has no followers is what makes stale
 * reads.
 */
export const drawShape = (random: Random): Shape => (random.chance(0.3) ? "one alone" : random.pick(shapes));

/** Cuts the network between the members `ids`, of which `one` is in the middle of it. */
export function cutInShape(shape: Shape, network: Network, one: number, ids: readonly number[], random: Random): void {
  const rest = ids.filter((id) => id !== one);
  const cutBoth = (a: number, b: number): void => {
    network.cut(a, b);
    network.cut(b, a);
  };
  const cutBetween = (some: readonly number[], others: readonly number[]): void => {
    for (const a of some) for (const b of others) cutBoth(a, b);
  };
  switch (shape) {
    case "one alone":
      return cutBetween([one], rest);
    case "one does not hear":
      for (const id of rest) network.cut(id, one);
      return;
    case "one is not heard":
      for (const id of rest) network.cut(one, id);
      return;
    case "two groups": {
      const size = random.between(1, ids.length);
      return cutBetween(ids.slice(0, size), ids.slice(size));
    }
    case "two groups and a bridge": {
      const size = rest.length >> 1;
      return cutBetween(rest.slice(0, size), rest.slice(size));
    }
    case "one link":
      return cutBetween([one], rest.slice(0, 1));
    case "some directions":
      for (const a of ids) for (const b of ids) if (a !== b && random.chance(0.3)) network.cut(a, b);
  }
}
