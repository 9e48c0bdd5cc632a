import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { errCompacted, errUnavailable } from "./errors.ts";
import { RaftLog } from "./log.ts";
import { discardLogger } from "./logger.ts";
import { type Entry, entrySize, makeEntry, makeSnapshot } from "./raftpb/index.ts";
import { MemoryStorage } from "./storage.ts";
import { noLimit } from "./types.ts";
import { entsSize } from "./util.ts";

const run = (...ids: [term: number, index: number][]): Entry[] =>
  ids.map(([term, index]) => makeEntry(undefined, term, index, undefined));
const idsOf = (entries: readonly Entry[]): [number, number][] => entries.map((e) => [e.term, e.index]);

/** A log with `stable` in storage and `unstable` behind it. */
function logOf(stable: Entry[], unstable: Entry[] = [], maxApplying = noLimit): RaftLog {
  const storage = new MemoryStorage();
  storage.append(stable);
  const log = new RaftLog(storage, discardLogger, maxApplying);
  log.append(unstable);
  return log;
}

const three = run([1, 1], [2, 2], [3, 3]);

describe("the log", () => {
  test.each<[Entry[], number]>([
    [[], 0],
    [run([1, 1], [2, 2]), 0],
    [run([3, 3]), 0],
    [run([1, 1], [2, 2], [3, 3], [4, 4]), 4],
    [run([4, 1]), 1],
    [run([2, 2], [4, 3]), 3],
  ])("findConflict of %j is %i: the first index that differs or is new", (entries, conflict) => {
    expect(logOf([], three).findConflict(entries)).toBe(conflict);
  });

  test.each<[number, number, number, number]>([
    [5, 5, 5, 5],
    [5, 4, 4, 4],
    [5, 3, 3, 3],
    [5, 1, 2, 1],
    [3, 9, 3, 3],
    [0, 0, 0, 0],
  ])(
    "findConflictByTerm(%i, %i) is the largest index whose term is no larger",
    (index, term, expected, expectedTerm) => {
      const log = logOf([], run([1, 1], [1, 2], [3, 3], [4, 4], [5, 5]));
      expect(log.findConflictByTerm(index, term)).toEqual({ index: expected, term: expectedTerm });
    },
  );

  test("a log is as up to date as another by term first, then by length", () => {
    const log = logOf([], three);
    const up = ([term, index]: [number, number]) => log.isUpToDate({ term, index });
    expect(
      (
        [
          [4, 2],
          [3, 3],
          [3, 4],
        ] as [number, number][]
      ).map(up),
    ).toEqual([true, true, true]);
    expect(
      (
        [
          [3, 2],
          [2, 4],
        ] as [number, number][]
      ).map(up),
    ).toEqual([false, false]);
  });

  test("takes a slice only where its prev is there, and commits what both sides have", () => {
    const slice = (term: number, index: number, entries: Entry[]) => ({ term: 9, prev: { term, index }, entries });
    const fresh = () => {
      const log = logOf([], three);
      log.commitTo(1);
      return log;
    };
    expect(fresh().maybeAppend(slice(2, 3, run([4, 4])), 3)).toBeUndefined();
    expect(fresh().maybeAppend(slice(3, 4, run([4, 5])), 3)).toBeUndefined();
    const same = fresh();
    expect([same.maybeAppend(slice(3, 3, []), 9), same.committed]).toEqual([3, 3]);
    const longer = fresh();
    expect([longer.maybeAppend(slice(3, 3, run([4, 4])), 3), longer.committed, longer.lastIndex()]).toEqual([4, 3, 4]);
    const cut = fresh();
    expect([cut.maybeAppend(slice(1, 1, run([4, 2])), 2), cut.committed, cut.lastIndex()]).toEqual([2, 2, 2]);
  });

  test("panics at a conflict with what is committed", () => {
    const log = logOf([], three);
    log.commitTo(3);
    const slice = { term: 9, prev: { term: 1, index: 1 }, entries: run([4, 2]) };
    expect(() => log.maybeAppend(slice, 3)).toThrow(/entry 2 conflict with committed entry \[committed\(3\)\]/);
  });

  test("commitTo never lowers, and panics beyond the end", () => {
    const log = logOf([], three);
    log.commitTo(2);
    log.commitTo(1);
    expect(log.committed).toBe(2);
    expect(() => log.commitTo(4)).toThrow(/tocommit\(4\) is out of range \[lastIndex\(3\)\]/);
  });

  test("only entries of the given term commit", () => {
    const log = logOf([], three);
    expect([log.maybeCommit(1, 3), log.maybeCommit(0, 3), log.maybeCommit(3, 3), log.maybeCommit(3, 3)]).toEqual([
      false,
      false,
      true,
      false,
    ]);
  });

  test("knows terms over storage, unstable tail and snapshot, and one index before the first", () => {
    const log = logOf(run([1, 1], [1, 2]), run([2, 3]));
    expect([0, 1, 3, 4].map((i) => log.term(i))).toEqual([0, 1, 2, errUnavailable]);
    log.restore(makeSnapshot(10, 5));
    expect([9, 10, 11].map((i) => log.term(i))).toEqual([errCompacted, 5, errUnavailable]);
    expect([log.firstIndex(), log.lastIndex(), log.committed]).toEqual([11, 10, 10]);
  });

  test("slices over the border of storage and tail like one list, for any size limit", () => {
    const all = Array.from({ length: 12 }, (_, i) => makeEntry(undefined, 1, i + 1, new Uint8Array((i * 7) % 5)));
    fc.assert(
      fc.property(fc.nat(12), fc.nat(11), fc.nat(12), fc.nat(120), (border, from, length, maxSize) => {
        const log = logOf(all.slice(0, border), all.slice(border));
        const to = Math.min(12, from + length);
        const wanted = all.slice(from, to);
        const got = log.slice(from + 1, to + 1, maxSize) as Entry[];
        expect(got).toEqual(wanted.slice(0, got.length));
        if (wanted.length > 0) expect(got.length).toBeGreaterThan(0);
        if (got.length > 1) expect(entsSize(got)).toBeLessThanOrEqual(maxSize);
        const next = wanted[got.length];
        // What was left out did not fit, but for the first unstable entry after a page that the limit closed already.
        if (next !== undefined && got.length > 0) expect(entsSize(got) + entrySize(next)).toBeGreaterThan(maxSize);
      }),
    );
  });

  test("scan visits the same entries page by page, and stops when told", () => {
    const log = logOf(run([1, 1], [1, 2]), run([1, 3], [1, 4]));
    const pages: [number, number][][] = [];
    log.scan(1, 5, 0, (page) => pages.push(idsOf(page)) < 3);
    expect(pages).toEqual([[[1, 1]], [[1, 2]], [[1, 3]]]);
  });

  test("hands out committed entries once, in pages, and pauses until they are acknowledged", () => {
    const size = entrySize(three[0] as Entry);
    const log = logOf([], three, 2 * size);
    log.commitTo(3);
    const first = log.nextCommittedEnts(true);
    expect(idsOf(first)).toEqual([
      [1, 1],
      [2, 2],
    ]);
    log.acceptApplying(2, 2 * size, true);
    expect(log.hasNextCommittedEnts(true)).toBe(false);
    log.appliedTo(2, 2 * size);
    expect(idsOf(log.nextCommittedEnts(true))).toEqual([[3, 3]]);
    expect(log.nextCommittedEnts(false)).toEqual([]);
    log.stableTo(3, 3);
    expect(() => log.appliedTo(1, 0)).toThrow(/applied\(1\) is out of range/);
  });
});

describe("the unstable tail", () => {
  test("what is being written is not handed out again, and is gone once it is stable", () => {
    const { unstable } = logOf([], three);
    expect(idsOf(unstable.nextEntries())).toEqual(idsOf(three));
    unstable.acceptInProgress();
    expect(unstable.nextEntries()).toEqual([]);
    unstable.truncateAndAppend(run([3, 4]));
    expect(idsOf(unstable.nextEntries())).toEqual([[3, 4]]);
    unstable.stableTo(3, 3);
    expect([unstable.offset, unstable.entries.length]).toEqual([4, 1]);
  });

  test("an acknowledgement of what was replaced meanwhile counts for nothing", () => {
    const { unstable } = logOf([], three);
    unstable.acceptInProgress();
    unstable.truncateAndAppend(run([4, 2]));
    expect(idsOf(unstable.nextEntries())).toEqual([[4, 2]]);
    unstable.stableTo(2, 2);
    unstable.stableTo(3, 3);
    expect([unstable.offset, idsOf(unstable.entries)]).toEqual([
      1,
      [
        [1, 1],
        [4, 2],
      ],
    ]);
  });

  test("entries from before the offset replace everything", () => {
    const { unstable } = logOf(three, run([3, 4], [3, 5]));
    unstable.truncateAndAppend(run([5, 3]));
    expect([unstable.offset, unstable.offsetInProgress, idsOf(unstable.entries)]).toEqual([3, 3, [[5, 3]]]);
  });

  test("a list that was handed out does not change", () => {
    const { unstable } = logOf([], three);
    const handed = unstable.nextEntries();
    unstable.truncateAndAppend(run([3, 4]));
    unstable.truncateAndAppend(run([9, 1]));
    expect(idsOf(handed)).toEqual(idsOf(three));
  });

  test("a snapshot replaces everything, marks included, until it is stable", () => {
    const { unstable } = logOf([], three);
    unstable.acceptInProgress();
    unstable.restore(makeSnapshot(8, 4));
    expect([unstable.offset, unstable.offsetInProgress, unstable.entries]).toEqual([9, 9, []]);
    expect([unstable.maybeFirstIndex(), unstable.maybeLastIndex(), unstable.maybeTerm(8)]).toEqual([9, 8, 4]);
    unstable.acceptInProgress();
    expect(unstable.nextSnapshot()).toBeUndefined();
    unstable.stableSnapTo(7);
    expect(unstable.snapshot).toBeDefined();
    unstable.stableSnapTo(8);
    expect(unstable.snapshot).toBeUndefined();
  });
});
