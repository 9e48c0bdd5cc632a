// How often a snapshot goes to a peer that does not take it. The rest of snapshots.ts is tested with real members: snapshots.test.ts.

import { expect, test } from "vitest";
import { MessageType, makeConfState, makeMessage, makeSnapshot } from "../raft/index.ts";
import { type SnapshotParts, Snapshots } from "./snapshots.ts";

/** Raft asks at every heartbeat, each 100 ms, for so long; returns when a transfer began. */
async function ask(untilMs: number, takes: (to: number, now: number) => boolean): Promise<Map<number, number[]>> {
  const began = new Map<number, number[]>();
  let now = 0;
  const parts: Partial<SnapshotParts> = {
    now: () => now,
    logger: {},
    store: {
      save: () => Promise.reject(new Error("nothing is saved here")),
      async *read() {
        yield Uint8Array.of(1);
      },
      release: () => Promise.resolve(),
    },
    transport: {
      sendSnapshot: ({ to }) => {
        began.set(to, [...(began.get(to) ?? []), now]);
        return Promise.resolve(takes(to, now));
      },
    } as Pick<SnapshotParts["transport"], "sendSnapshot"> as SnapshotParts["transport"],
  };
  const snapshots = new Snapshots({ count: 10, catchupEntries: 0 }, undefined, parts as SnapshotParts);
  const metadata = { index: 5, term: 1, confState: makeConfState({ voters: [1, 2, 3] }) };
  const snapshot = { ...makeSnapshot(0, 0), metadata };
  for (; now <= untilMs; now += 100) {
    for (const to of [2, 3]) {
      const before = began.get(to)?.length ?? 0;
      const taken = await snapshots.send(makeMessage(MessageType.MsgSnap, { from: 1, to, term: 1, snapshot }));
      expect(taken).toBe((began.get(to)?.length ?? 0) > before && takes(to, now));
    }
  }
  return began;
}

test("a peer that refuses is sent it once more at once, then after ever longer waits, of at most five seconds", async () => {
  const began = await ask(30_000, () => false);
  expect(began.get(2)?.slice(0, 9)).toEqual([0, 100, 300, 700, 1500, 3100, 6300, 11_300, 16_300]);
  expect(began.get(3)).toEqual(began.get(2));
});

test("one that has taken it begins anew, and no peer waits for another", async () => {
  const began = await ask(3000, (to, now) => to === 3 || now === 700);
  expect(began.get(2)).toEqual([0, 100, 300, 700, 800, 900, 1100, 1500, 2300]);
  expect(began.get(3)).toHaveLength(31);
});
