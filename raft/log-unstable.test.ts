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

describe("the unstable tail", () => {
  test("knows the first index only with a snapshot [TestUnstableMaybeFirstIndex]", () => {
    expect(tail(5, entriesFrom(5, 1)).maybeFirstIndex()).toBeUndefined();
    expect(tail(0, []).maybeFirstIndex()).toBeUndefined();
    expect(tail(5, entriesFrom(5, 1), 5, snapshot).maybeFirstIndex()).toBe(5);
    expect(tail(5, [], 5, snapshot).maybeFirstIndex()).toBe(5);
  });

  test("knows the last index from its entries, else from its snapshot [TestMaybeLastIndex]", () => {
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
  ])("with %s knows the terms of just these indexes [TestUnstableMaybeTerm]", (_what, u, terms) => {
    expect([3, 4, 5, 6].map((i) => u.maybeTerm(i))).toEqual(terms);
  });

  test("is replaced by a snapshot, marks of what is being written included [TestUnstableRestore]", () => {
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
  ])("being written up to %i hands out %j next [TestUnstableNextEntries]", (inProgress, indexes) => {
    const u = tail(5, entriesFrom(5, 1, 1), inProgress);
    expect([u.nextEntries().map((e) => e.index), u.hasNextEntries()]).toEqual([indexes, indexes.length > 0]);
  });

  test("hands out a snapshot unless that is being written [TestUnstableNextSnapshot]", () => {
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
    "of %i entries, handed out, is being written as a whole, its snapshot too [TestUnstableAcceptInProgress]",
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

describe("an acknowledgement", () => {
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
    "%s leaves what it does not attest, with a snapshot and without [TestUnstableStableTo]",
    (_what, [offset, terms, inProgress], [term, index], [after, written, left]) => {
      for (const snap of [undefined, makeSnapshot(offset - 1, 1)]) {
        const u = tail(offset, entriesFrom(offset, ...terms), inProgress, snap);
        u.stableTo({ term, index });
        expect([u.offset, u.offsetInProgress, u.entries.length]).toEqual([after, written, left]);
        expect(u.snapshot).toBe(snap);
      }
    },
  );

  test("of entries that were replaced while they were written counts for nothing [TestUnstableStableTo]", () => {
    const u = tail(1, entriesFrom(1, 1, 2, 3));
    u.acceptInProgress();
    u.truncateAndAppend(entriesFrom(2, 4));
    u.stableTo({ term: 2, index: 2 });
    u.stableTo({ term: 3, index: 3 });
    expect(state(u)).toEqual([1, 2, idsOf(entriesFrom(1, 1, 4))]);
  });
});

describe("appending", () => {
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
    "%s cuts what stood there, and takes back the mark of what is written [TestUnstableTruncateAndAppend]",
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

describe("a slice", () => {
  test("outside of the tail is a programming error", () => {
    const u = tail(5, entriesFrom(5, 1, 1));
    expect(u.slice(5, 7)).toEqual(entriesFrom(5, 1, 1));
    expect(() => u.slice(7, 6)).toThrow(/invalid unstable.slice 7 > 6/);
    expect(() => u.slice(4, 6)).toThrow(/unstable.slice\[4,6\) out of bound \[5,7\]/);
    expect(() => u.slice(6, 8)).toThrow(/unstable.slice\[6,8\) out of bound \[5,7\]/);
  });
});
