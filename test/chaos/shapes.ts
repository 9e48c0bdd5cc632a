// The shapes of a network that fails, each as a change of the links between members.
//
// Whole halves that cannot talk are the least of it. A link that works in one direction only lets a leader be heard and
// not hear; a ring lets each member hear one other and answer a third; a slow or throttled link lets messages of an old
// term arrive long after it.

import type { Random } from "../../sim/random.ts";
import type { LinkFaults } from "./link.ts";
import type { Network } from "./network.ts";

export interface Scene {
  readonly network: Network;
  /** The leader, or any member if there is none, then the others. */
  readonly leader: number;
  readonly followers: readonly number[];
  readonly random: Random;
}

/** The network goes on to the next part of the shape once this member needs a snapshot. */
export interface Behind {
  readonly id: number;
  readonly next: () => void;
}

const cut = { cut: true };

const allIds = ({ leader, followers }: Scene): number[] => [leader, ...followers];

/** From each of these to each of those, one way. */
function cutWay({ network }: Scene, from: readonly number[], to: readonly number[]): void {
  for (const a of from) for (const b of to) if (a !== b) network.link(a, b).set(cut);
}

/** A follower that is alone until it needs a snapshot, which it gets over a network with these faults. */
function leaveOneBehind(s: Scene, faults: Partial<LinkFaults>): Behind {
  const id = s.random.pick(s.followers);
  s.network.setBetween([id], allIds(s), cut);
  const next = (): void => {
    // What the links hold back would bring it up to date.
    s.network.setBetween([id], allIds(s), { reset: 1 });
    s.network.setBetween([id], allIds(s), faults);
  };
  return { id, next };
}

const shapeTable = {
  "leader alone": (s) => s.network.setBetween([s.leader], s.followers, cut),
  "leader does not hear": (s) => cutWay(s, s.followers, [s.leader]),
  "leader is not heard": (s) => cutWay(s, [s.leader], s.followers),
  "follower alone": (s) => {
    const one = s.random.pick(s.followers);
    s.network.setBetween([one], allIds(s), cut);
  },
  "follower alone until it needs a snapshot": (s) => leaveOneBehind(s, {}),
  "follower does not hear": (s) => cutWay(s, allIds(s), [s.random.pick(s.followers)]),
  "follower is not heard": (s) => cutWay(s, [s.random.pick(s.followers)], allIds(s)),
  "bridge: leader and one follower meet through the others": (s) =>
    s.network.setBetween([s.leader], [s.random.pick(s.followers)], cut),
  "star: the followers meet through the leader": (s) => s.network.setBetween(s.followers, s.followers, cut),
  "ring: each hears one other": (s) => {
    const ids = s.random.shuffle(allIds(s));
    for (const [i, a] of ids.entries()) {
      for (const b of ids) if (b !== a && b !== ids[(i + 1) % ids.length]) s.network.link(a, b).set(cut);
    }
  },
  "some directions": (s) => {
    for (const a of allIds(s)) {
      for (const b of allIds(s)) if (a !== b && s.random.chance(0.4)) s.network.link(a, b).set(cut);
    }
  },
  "all alone": (s) => s.network.setBetween(allIds(s), allIds(s), cut),
  "delay of 200 ms": (s) => s.network.setBetween(allIds(s), allIds(s), { delayMs: 200 }),
  "leader far away": (s) => s.network.setBetween([s.leader], s.followers, { delayMs: s.random.between(50, 400) }),
  throttled: (s) => s.network.setBetween(allIds(s), allIds(s), { bytesPerSecond: 8 * 1024 }),
  resets: (s) => s.network.setBetween(allIds(s), allIds(s), { reset: 0.05 }),
  corrupt: (s) => s.network.setBetween(allIds(s), allIds(s), { corrupt: 0.02 }),
  "corrupt snapshots": (s) => leaveOneBehind(s, { corrupt: 0.5 }),
} as const satisfies Record<string, (scene: Scene) => unknown>;

export type Shape = keyof typeof shapeTable;

export const shapes = Object.keys(shapeTable) as readonly Shape[];

/** Returns the second part of the shape, if it has one. */
export function applyShape(shape: Shape, scene: Scene): Behind | undefined {
  const second = shapeTable[shape](scene);
  return typeof second === "object" ? second : undefined;
}
