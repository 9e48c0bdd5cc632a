// The unstable tail: what of it is new, being written, or gone, and what appends, acknowledgements and snapshots do to
// it.

import { describe, expect, test } from "vitest";
import { Unstable } from "./log-unstable.ts";
import { discardLogger } from "./logger.ts";
import { type Entry, makeSnapshot, type Snapshot } from "./raftpb/index.ts";
import { entriesFrom, idsOf } from "./testing.ts";

/** A tail of these entries from `offset` on, written as far as `inProgress`, behind a snapshot if there is one. */
function tail(offset: number, entries: readonly Entry[], inProgress = offset, snapshot?: Snapshot): Unstable {
  const u = new Unstable(offset, discardLogger);
  u.entries = [...entries];
  u.offsetInProgress = inProgress;
  u.snapshot = snapshot;
  return u;
}

const snapshot = makeSnapshot(4, 1);
const state = (u: Unstable) => [u.offset, u.offsetInProgress, idsOf(u.entries)];

describe("Unstable", () => {
  test("maybeFirstIndex knows the first index only with a snapshot [TestUnstableMaybeFirstIndex]", () => {
    expect(tail(5, entriesFrom(5, 1)).maybeFirstIndex()).toBeUndefined();
    expect(tail(0, []).maybeFirstIndex()).toBeUndefined();
    expect(tail(5, entriesFrom(5, 1), 5, snapshot).maybeFirstIndex()).toBe(5);
    expect(tail(5, [], 5, snapshot).maybeFirstIndex()).toBe(5);
  });

  test("maybeLastIndex is that of the entries, else that of the snapshot [TestMaybeLastIndex]", () => {
    expect(tail(5, entriesFrom(5, 1)).maybeLastIndex()).toBe(5);
    expect(tail(5, entriesFrom(5, 1), 5, snapshot).maybeLastIndex()).toBe(5);
    expect(tail(5, [], 5, snapshot).maybeLastIndex()).toBe(4);
    expect(tail(0, []).maybeLastIndex()).toBeUndefined();
  });

  test.each<[what: string, Unstable, terms: (number | undefined)[]]>([
    ["entries", tail(5, entriesFrom(5, 1)), [undefined, undefined, 1, undefined]],
    ["entries behind a snapshot", tail(5, entriesFrom(5, 1), 5, snapshot), [undefined, 1, 1, undefined]],
    ["a snapshot", tail(5, [], 5, snapshot), [undefined, 1, undefined, undefined]],
    ["nothing", tail(0, []), [undefined, undefined, undefined, undefined]],
  ])(
    "maybeTerm, with %s, knows the terms of the indexes that lie here and of no other [TestUnstableMaybeTerm]",
    (_what, u, terms) => {
      expect([3, 4, 5, 6].map((i) => u.maybeTerm(i))).toEqual(terms);
    },
  );

  test("restore replaces entries, snapshot and the marks of writes by the new snapshot [TestUnstableRestore]", () => {
    const u = tail(5, entriesFrom(5, 1), 6, snapshot);
    u.snapshotInProgress = true;
    const newer = makeSnapshot(6, 2);
    u.restore(newer);
    expect([...state(u), u.snapshot, u.snapshotInProgress]).toEqual([7, 7, [], newer, false]);
  });

  test.each([
    [5, [5, 6]],
    [6, [6]],
    [7, []],
  ])("nextEntries, with writes in progress up to %i, hands out %j [TestUnstableNextEntries]", (inProgress, indexes) => {
    const u = tail(5, entriesFrom(5, 1, 1), inProgress);
    expect([u.nextEntries().map((e) => e.index), u.hasNextEntries()]).toEqual([indexes, indexes.length > 0]);
  });

  test("nextSnapshot hands out a snapshot unless it is being written [TestUnstableNextSnapshot]", () => {
    const u = tail(5, []);
    expect(u.nextSnapshot()).toBeUndefined();
    u.snapshot = snapshot;
    expect(u.nextSnapshot()).toBe(snapshot);
    u.snapshotInProgress = true;
    expect(u.nextSnapshot()).toBeUndefined();
    u.stableSnapTo(3);
    expect(u.snapshot).toBe(snapshot);
    u.stableSnapTo(4);
    expect([u.snapshot, u.snapshotInProgress]).toEqual([undefined, false]);
  });

  test.each([0, 1, 2])(
    "acceptInProgress marks all of %i entries as being written, and the snapshot [TestUnstableAcceptInProgress]",
    (count) => {
      const entries = entriesFrom(5, 1, 1).slice(0, count);
      for (let inProgress = 5; inProgress <= 5 + count; inProgress++) {
        for (const snapshotInProgress of [undefined, false, true]) {
          const u = tail(5, entries, inProgress, snapshotInProgress === undefined ? undefined : snapshot);
          u.snapshotInProgress = snapshotInProgress === true;
          u.acceptInProgress();
          expect([u.offset, u.offsetInProgress, u.snapshotInProgress]).toEqual([
            5,
            5 + count,
            snapshotInProgress !== undefined,
          ]);
          expect(u.hasNextEntries()).toBe(false);
        }
      }
    },
  );
});

describe("Unstable.stableTo", () => {
  test.each<
    [what: string, before: [number, number[], number], [term: number, index: number], after: [number, number, number]]
  >([
    ["without a tail", [0, [], 0], [1, 5], [0, 0, 0]],
    ["of the only entry", [5, [1], 6], [1, 5], [6, 6, 0]],
    ["of the first of two", [5, [1, 1], 6], [1, 5], [6, 6, 1]],
    ["of the first, while both are written", [5, [1, 1], 7], [1, 5], [6, 7, 1]],
    ["of more than was marked", [5, [1, 1], 5], [1, 6], [7, 7, 0]],
    ["of another term", [6, [2], 7], [1, 6], [6, 7, 1]],
    ["of an older entry", [5, [1], 6], [1, 4], [5, 6, 1]],
    ["of an older entry of another term", [5, [1], 6], [2, 4], [5, 6, 1]],
  ])(
    "%s drops only the entries that it attests, with a snapshot and without [TestUnstableStableTo]",
    (_what, [offset, terms, inProgress], [term, index], [after, written, left]) => {
      for (const snap of [undefined, makeSnapshot(offset - 1, 1)]) {
        const u = tail(offset, entriesFrom(offset, ...terms), inProgress, snap);
        u.stableTo({ term, index });
        expect([u.offset, u.offsetInProgress, u.entries.length]).toEqual([after, written, left]);
        expect(u.snapshot).toBe(snap);
      }
    },
  );

  test("drops nothing for entries that were replaced while they were written [TestUnstableStableTo]", () => {
    const u = tail(1, entriesFrom(1, 1, 2, 3));
    u.acceptInProgress();
    u.truncateAndAppend(entriesFrom(2, 4));
    u.stableTo({ term: 2, index: 2 });
    u.stableTo({ term: 3, index: 3 });
    expect(state(u)).toEqual([1, 2, idsOf(entriesFrom(1, 1, 4))]);
  });
});

describe("Unstable.truncateAndAppend", () => {
  test.each<[what: string, terms: number[], inProgress: number, Entry[], after: [number, number, Entry[]]]>([
    ["at the end", [1], 5, entriesFrom(6, 1, 1), [5, 5, entriesFrom(5, 1, 1, 1)]],
    ["at the end of what is written", [1], 6, entriesFrom(6, 1, 1), [5, 6, entriesFrom(5, 1, 1, 1)]],
    ["in place of all", [1], 5, entriesFrom(5, 2, 2), [5, 5, entriesFrom(5, 2, 2)]],
    ["from before the tail", [1], 5, entriesFrom(4, 2, 2, 2), [4, 4, entriesFrom(4, 2, 2, 2)]],
    ["in place of what is written", [1], 6, entriesFrom(5, 2, 2), [5, 5, entriesFrom(5, 2, 2)]],
    ["in the middle", [1, 1, 1], 5, entriesFrom(6, 2), [5, 5, entriesFrom(5, 1, 2)]],
    ["in place of the last", [1, 1, 1], 5, entriesFrom(7, 2, 2), [5, 5, entriesFrom(5, 1, 1, 2, 2)]],
    ["behind what is written", [1, 1, 1], 6, entriesFrom(6, 2), [5, 6, entriesFrom(5, 1, 2)]],
    ["in the middle of what is written", [1, 1, 1], 7, entriesFrom(6, 2), [5, 6, entriesFrom(5, 1, 2)]],
  ])(
    "%s cuts the entries from there on, and takes back the mark of their writes [TestUnstableTruncateAndAppend]",
    (_what, terms, inProgress, entries, after) => {
      const u = tail(5, entriesFrom(5, ...terms), inProgress);
      const handedOut = u.nextEntries();
      const before = [...handedOut];
      u.truncateAndAppend(entries);
      expect([u.offset, u.offsetInProgress, u.entries]).toEqual(after);
      expect(handedOut).toEqual(before);
    },
  );
});

describe("Unstable.slice", () => {
  test("panics outside of the tail", () => {
    const u = tail(5, entriesFrom(5, 1, 1));
    expect(u.slice(5, 7)).toEqual(entriesFrom(5, 1, 1));
    expect(() => u.slice(7, 6)).toThrow(/invalid unstable.slice 7 > 6/);
    expect(() => u.slice(4, 6)).toThrow(/unstable.slice\[4,6\) out of bound \[5,7\]/);
    expect(() => u.slice(6, 8)).toThrow(/unstable.slice\[6,8\) out of bound \[5,7\]/);
  });
});
