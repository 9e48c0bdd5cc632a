// The log as raft sees it: matching, appending, terms and slices, over storage, unstable tail and snapshot.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { errCompacted, errUnavailable, RaftError } from "./errors.ts";
import { RaftLog } from "./log.ts";
import { discardLogger } from "./logger.ts";
import { type Entry, entrySize, makeEntry, makeSnapshot } from "./raftpb/index.ts";
import { MemoryStorage } from "./storage.ts";
import { entriesFrom, idsOf } from "./testing.ts";
import { type EntryId, noLimit } from "./types.ts";
import { entsSize } from "./util.ts";

/** A log behind a snapshot at (index, term) with these terms in storage and, behind them, unstable. */
function logOf(stable: number[], unstable: number[] = [], base: EntryId = { term: 0, index: 0 }): RaftLog {
  const storage = new MemoryStorage();
  storage.applySnapshot(makeSnapshot(base.index, base.term));
  storage.append(entriesFrom(base.index + 1, ...stable));
  const log = new RaftLog(storage, discardLogger);
  log.append(entriesFrom(base.index + 1 + stable.length, ...unstable));
  return log;
}

const range = (lo: number, hi: number): number[] => Array.from({ length: hi - lo }, (_, i) => lo + i);
/** Entries [lo, hi) of a log in which each entry's term is its index. */
const rising = (lo: number, hi: number): Entry[] => entriesFrom(lo, ...range(lo, hi));

describe("RaftLog compares itself with another log:", () => {
  test.each<[Entry[], number]>([
    [[], 0],
    [entriesFrom(1, 1, 2, 3), 0],
    [entriesFrom(2, 2, 3), 0],
    [entriesFrom(3, 3), 0],
    // no conflict, but news
    [entriesFrom(1, 1, 2, 3, 4, 4), 4],
    [entriesFrom(2, 2, 3, 4, 5), 4],
    [entriesFrom(3, 3, 4, 4), 4],
    [entriesFrom(4, 4, 4), 4],
    // conflicts
    [entriesFrom(1, 4, 4), 1],
    [entriesFrom(2, 1, 4, 4), 2],
    [entriesFrom(3, 1, 2, 4, 4), 3],
  ])(
    "findConflict of %j in a log of terms 1, 2, 3 is %i, the first index that differs or is new [TestFindConflict]",
    (entries, conflict) => {
      expect(logOf([], [1, 2, 3]).findConflict(entries)).toBe(conflict);
    },
  );

  test.each<[base: EntryId, terms: number[], cases: [index: number, term: number, expected: number][]]>([
    [
      { term: 0, index: 0 },
      [2, 2, 5, 5, 5],
      [
        [100, 2, 100], // beyond the end: not known
        [5, 6, 5],
        [5, 5, 5],
        [5, 4, 2],
        [5, 2, 2],
        [5, 1, 0],
        [1, 2, 1],
        [1, 1, 0],
        [0, 0, 0],
      ],
    ],
    [
      { term: 3, index: 10 },
      [3, 3, 4, 4, 4],
      [
        [30, 3, 30],
        [14, 9, 14],
        [14, 4, 14],
        [14, 3, 12],
        [14, 2, 9],
        [11, 5, 11],
        [10, 5, 10],
        [10, 3, 10],
        [10, 2, 9],
        [9, 2, 9], // compacted: not known either
        [4, 2, 4],
        [0, 0, 0],
      ],
    ],
  ])(
    "findConflictByTerm, behind %j, terms %j, is the largest index whose term is no larger or unknown [TestFindConflictByTerm]",
    (base, terms, cases) => {
      const log = logOf([], terms, base);
      for (const [index, term, expected] of cases) {
        const known = log.term(expected);
        const wanted = { index: expected, term: typeof known === "number" ? known : 0 };
        expect(log.findConflictByTerm({ term, index })).toEqual(wanted);
      }
    },
  );

  test("isUpToDate compares the last terms first, then the lengths [TestIsUpToDate]", () => {
    const log = logOf([], [1, 2, 3]);
    const lengths = [2, 3, 4];
    const answers = (term: number) => lengths.map((index) => log.isUpToDate({ term, index }));
    expect(answers(4)).toEqual([true, true, true]);
    expect(answers(3)).toEqual([false, true, true]);
    expect(answers(2)).toEqual([false, false, false]);
  });
});

describe("RaftLog appends:", () => {
  test.each<[Entry[], last: number, terms: number[], offset: number]>([
    [[], 2, [1, 2], 3],
    [entriesFrom(3, 2), 3, [1, 2, 2], 3],
    [entriesFrom(1, 2), 1, [2], 1],
    [entriesFrom(2, 3, 3), 3, [1, 3, 3], 2],
  ])(
    "append of %j to stable terms 1, 2 ends at %i with terms %j, unstable from %i [TestAppend]",
    (entries, last, terms, offset) => {
      const log = logOf([1, 2]);
      expect(log.append(entries)).toBe(last);
      expect(log.allEntries().map((e) => e.term)).toEqual(terms);
      expect(log.unstable.offset).toBe(offset);
    },
  );

  const [last, commit] = [3, 1];
  test.each<
    [what: string, prev: EntryId, committed: number, Entry[], lastNew: number | undefined, committedAfter: number]
  >([
    ["another term at prev", { term: 2, index: 3 }, 3, entriesFrom(4, 4), undefined, commit],
    ["prev beyond the end", { term: 3, index: 4 }, 3, entriesFrom(5, 4), undefined, commit],
    ["nothing new", { term: 3, index: 3 }, last, [], 3, 3],
    ["a commit index beyond the last new entry", { term: 3, index: 3 }, last + 1, [], 3, 3],
    ["a commit index before it", { term: 3, index: 3 }, last - 1, [], 3, 2],
    ["a lower commit index", { term: 3, index: 3 }, 0, [], 3, commit],
    ["the origin", { term: 0, index: 0 }, last, [], 0, commit],
    ["one new entry", { term: 3, index: 3 }, last, entriesFrom(4, 4), 4, 3],
    ["one new entry, committed", { term: 3, index: 3 }, last + 1, entriesFrom(4, 4), 4, 4],
    ["one new entry and a commit index beyond", { term: 3, index: 3 }, last + 2, entriesFrom(4, 4), 4, 4],
    ["two new entries, committed", { term: 3, index: 3 }, last + 2, entriesFrom(4, 4, 4), 5, 5],
    ["a conflict at the last entry", { term: 2, index: 2 }, last, entriesFrom(3, 4), 3, 3],
    ["a conflict before it", { term: 1, index: 1 }, last, entriesFrom(2, 4), 2, 2],
    ["a conflict and more", { term: 1, index: 1 }, last, entriesFrom(2, 4, 4), 3, 3],
    ["a conflict behind entries that match", { term: 1, index: 1 }, last, entriesFrom(2, 2, 4), 3, 3],
  ])(
    "maybeAppend of a slice to terms 1, 2, 3, with %s, appends and commits as listed [TestLogMaybeAppend]",
    (_what, prev, committed, entries, lastNew, after) => {
      const log = logOf([], [1, 2, 3]);
      log.commitTo(commit);
      expect(log.maybeAppend({ term: 100, prev, entries }, committed)).toBe(lastNew);
      expect(log.committed).toBe(after);
      if (lastNew === undefined) expect(idsOf(log.allEntries())).toEqual(idsOf(entriesFrom(1, 1, 2, 3)));
      else if (entries.length > 0) expect(log.slice(prev.index + 1, log.lastIndex() + 1, noLimit)).toEqual(entries);
    },
  );

  test("maybeAppend panics at a conflict with a committed entry [TestLogMaybeAppend]", () => {
    const log = logOf([], [1, 2, 3]);
    log.commitTo(commit);
    const slice = { term: 100, prev: { term: 0, index: 0 }, entries: entriesFrom(1, 4) };
    expect(() => log.maybeAppend(slice, 3)).toThrow(/entry 1 conflict with committed entry \[committed\(1\)\]/);
    expect(() => log.append(entriesFrom(1, 4))).toThrow(/after\(0\) is out of range \[committed\(1\)\]/);
  });

  test("maybeAppend panics on entries that do not start right after their prev", () => {
    const log = logOf([], [1, 2, 3]);
    const slice = { term: 100, prev: { term: 1, index: 1 }, entries: entriesFrom(9, 4) };
    expect(() => log.maybeAppend(slice, 3)).toThrow(/index, 7, is out of range \[1\]/);
  });
});

describe("RaftLog after a compaction of its storage:", () => {
  test("terms, bounds and appends of the rest are as before [TestCompactionSideEffects]", () => {
    const log = logOf(range(1, 751), range(751, 1001));
    expect(log.maybeCommit({ term: 1000, index: 1000 })).toBe(true);
    log.appliedTo(1000, 0);
    (log.storage as MemoryStorage).compact(500);
    expect([log.firstIndex(), log.lastIndex()]).toEqual([501, 1000]);
    for (let i = 500; i <= 1000; i++) expect([log.term(i), log.matchTerm({ term: i, index: i })]).toEqual([i, true]);
    expect(log.term(499)).toBe(errCompacted);
    expect([log.nextUnstableEnts().length, log.nextUnstableEnts()[0]?.index]).toEqual([250, 751]);
    expect(log.append(rising(1001, 1002))).toBe(1001);
    expect(log.entries(1001, noLimit)).toHaveLength(1);
  });

  test.each<[at: number[], left: (number | RaftError | RegExp)[]]>([
    [[1001], [/compact 1001 is out of bound lastindex\(1000\)/]],
    [
      [300, 500, 800, 900],
      [700, 500, 200, 100],
    ],
    [
      [300, 299],
      [700, errCompacted],
    ],
  ])(
    "compact of 1000 entries at %j leaves %j entries, panics beyond the end, and is refused below the first [TestCompaction]",
    (at, left) => {
      const log = logOf(range(1, 1001));
      at.forEach((index, i) => {
        const compact = () => (log.storage as MemoryStorage).compact(index);
        const expected = left[i];
        if (expected instanceof RegExp) expect(compact).toThrow(expected);
        else if (expected instanceof RaftError) expect(compact()).toBe(expected);
        else expect([compact(), log.allEntries().length]).toEqual([undefined, expected]);
      });
    },
  );

  test("a log behind a snapshot begins empty and knows the snapshot's term [TestLogRestore]", () => {
    const log = logOf([], [], { term: 1000, index: 1000 });
    expect(log.allEntries()).toEqual([]);
    expect([log.firstIndex(), log.committed, log.unstable.offset, log.term(1000)]).toEqual([1001, 1000, 1001, 1000]);
  });
});

describe("RaftLog", () => {
  test("term is known from the entry before the first to the last [TestTerm]", () => {
    const log = logOf([], range(1, 100), { term: 1, index: 100 });
    expect([99, 100, 150, 199, 200].map((i) => log.term(i))).toEqual([errCompacted, 1, 50, 99, errUnavailable]);
  });

  test("term counts all entries before an unstable snapshot as compacted [TestTermWithUnstableSnapshot]", () => {
    const log = logOf([], [], { term: 1, index: 100 });
    log.restore(makeSnapshot(105, 1));
    expect([100, 101, 104, 105, 106].map((i) => log.term(i))).toEqual([
      errCompacted,
      errCompacted,
      errCompacted,
      1,
      errUnavailable,
    ]);
  });

  test("lastEntryId is that of the last entry, or of the snapshot if there is none [TestEntryID]", () => {
    expect(logOf([1], [2, 5]).lastEntryId()).toEqual({ term: 5, index: 3 });
    expect(logOf([], [], { term: 4, index: 10 }).lastEntryId()).toEqual({ term: 4, index: 10 });
    expect(logOf([]).lastEntryId()).toEqual({ term: 0, index: 0 });
  });

  test("maybeCommit commits only an entry of the given term", () => {
    const log = logOf([], [1, 2, 3]);
    const attempts: [number, number][] = [
      [1, 3],
      [0, 3],
      [3, 3],
      [3, 3],
    ];
    expect(attempts.map(([term, index]) => log.maybeCommit({ term, index }))).toEqual([false, false, true, false]);
  });
});

describe("RaftLog.slice", () => {
  /** Entries 301 to 399, each of the term of its index and all of one size: up to 349 in storage. */
  const log = logOf(range(301, 350), range(350, 400), { term: 300, index: 300 });
  const [first, half, last] = [301, 350, 399];

  test("returns errCompacted below the first entry, and panics beyond the last [TestIsOutOfBounds]", () => {
    for (const lo of [first - 2, first - 1]) expect(log.slice(lo, first + 1, noLimit)).toBe(errCompacted);
    for (const at of [first, half, last, last + 1]) expect(log.slice(at, at, noLimit)).toEqual([]);
    expect(() => log.slice(last + 1, last + 2, noLimit)).toThrow(/slice\[400,401\) out of bound \[301,399\]/);
    expect(() => log.slice(last + 2, last + 2, noLimit)).toThrow(/out of bound/);
    expect(() => log.slice(half, half - 1, noLimit)).toThrow(/invalid slice 350 > 349/);
  });

  const size = entrySize(rising(half, half + 1)[0] as Entry);
  test.each<[lo: number, hi: number, limit: number, end: number]>([
    [first, half - 1, noLimit, half - 1],
    [first, half, noLimit, half],
    [first, half + 1, noLimit, half + 1],
    [first, last, noLimit, last],
    [half - 1, half, noLimit, half],
    [half - 1, half + 1, noLimit, half + 1],
    [half, last, noLimit, last],
    [last - 1, last, noLimit, last],
    // at least one
    [first, last, 0, first + 1],
    [half - 1, half + 1, 0, half],
    [half, last, 0, half + 1],
    [half, last, size - 1, half + 1],
    // enough for one, not for two
    [first, last, size, first + 1],
    [half - 1, half + 1, size, half],
    [half - 1, half + 1, size + 1, half],
    [half, last, size + 1, half + 1],
    // enough for two
    [first, last, 2 * size, first + 2],
    [half - 2, half + 1, 2 * size, half],
    [half - 1, half + 1, 2 * size, half + 1],
    [half, last, 2 * size, half + 2],
    [half - 2, half + 1, 3 * size - 1, half],
    [half - 1, half + 2, 3 * size, half + 2],
  ])("of [%i, %i) up to %d bytes ends before %i [TestSlice]", (lo, hi, limit, end) => {
    expect(log.slice(lo, hi, limit)).toEqual(rising(lo, end));
  });

  test("over the border of storage and tail is that of one list, for any size limit [TestSlice]", () => {
    const all = Array.from({ length: 12 }, (_, i) => makeEntry(undefined, 1, i + 1, new Uint8Array((i * 7) % 5)));
    fc.assert(
      fc.property(fc.nat(12), fc.nat(11), fc.nat(12), fc.nat(120), (border, from, length, maxSize) => {
        const storage = new MemoryStorage();
        storage.append(all.slice(0, border));
        const mixed = new RaftLog(storage, discardLogger);
        mixed.append(all.slice(border));
        const wanted = all.slice(from, Math.min(12, from + length));
        const got = mixed.slice(from + 1, from + 1 + wanted.length, maxSize) as Entry[];
        expect(got).toEqual(wanted.slice(0, got.length));
        if (wanted.length > 0) expect(got.length).toBeGreaterThan(0);
        if (got.length > 1) expect(entsSize(got)).toBeLessThanOrEqual(maxSize);
        const next = wanted[got.length];
        if (next !== undefined && got.length > 0) expect(entsSize(got) + entrySize(next)).toBeGreaterThan(maxSize);
      }),
    );
  });

  test("and scan visit the same entries, and scan fills each page up to the limit [TestScan]", () => {
    for (const pageSize of [0, 1, size - 1, size, size + 1, 2 * size, 100]) {
      for (const [lo, hi] of [
        [first, last],
        [first, half],
        [half - 3, half + 3],
        [half, last],
        [last, last],
      ] as const) {
        const pages: (readonly Entry[])[] = [];
        expect(log.scan(lo, hi, pageSize, (page) => pages.push(page) > 0)).toBeUndefined();
        expect(pages.flat()).toEqual(rising(lo, hi));
        const most = Math.max(1, Math.floor(pageSize / size));
        for (const page of pages) expect(page.length).toBeLessThanOrEqual(most);
        expect(pages.length).toBeLessThanOrEqual(Math.ceil((hi - lo) / most) + 1); // one page may end at the border
      }
    }
  });

  test("and scan: scan stops when the visitor returns false, and returns an error for entries that do not exist [TestScan]", () => {
    let pages = 0;
    expect(log.scan(first, half, 0, () => ++pages < 2)).toBeUndefined();
    expect(pages).toBe(2);
    expect(log.scan(first - 1, half, 0, () => true)).toBe(errCompacted);
  });
});

describe("RaftLog on a storage that contradicts itself", () => {
  class Storage extends MemoryStorage {
    answer: Entry[] | RaftError = [];
    override entries(): Entry[] | RaftError {
      return this.answer;
    }
  }
  function lying(answer: Entry[] | RaftError): RaftLog {
    const storage = new Storage();
    storage.append(rising(1, 6));
    storage.answer = answer;
    return new RaftLog(storage, discardLogger);
  }

  test("panics if entries are unavailable that were just counted, and returns errCompacted for compacted ones", () => {
    expect(() => lying(errUnavailable).slice(1, 3, noLimit)).toThrow(/entries\[1:3\) is unavailable from storage/);
    expect(lying(errCompacted).slice(1, 3, noLimit)).toBe(errCompacted);
  });

  test("ends a scan that is given no entries with an error", () => {
    expect(lying([]).scan(1, 3, 0, () => true)).toMatchObject({
      code: "UNAVAILABLE",
      message: "got 0 entries in [1, 3)",
    });
  });

  test("panics in allEntries and in nextCommittedEnts", () => {
    expect(() => lying(errCompacted).allEntries()).toThrow(/compaction/);
    const log = lying(errCompacted);
    log.commitTo(2);
    expect(() => log.nextCommittedEnts(true)).toThrow(/unexpected error when getting unapplied entries/);
  });

  test("panics in lastEntryId if the term of the last entry is unknown", () => {
    const log = logOf([1, 2]);
    (log.storage as MemoryStorage).term = () => errUnavailable;
    expect(() => log.lastEntryId()).toThrow(/unexpected error when getting the last term at 2/);
  });
});
