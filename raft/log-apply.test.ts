// What the log hands out to be applied and to be stored, and what it makes of the answers.

import { describe, expect, test } from "vitest";
import { RaftLog } from "./log.ts";
import { discardLogger } from "./logger.ts";
import { type Entry, entrySize, makeSnapshot } from "./raftpb/index.ts";
import { MemoryStorage } from "./storage.ts";
import { entriesFrom, idsOf } from "./testing.ts";
import { noLimit } from "./types.ts";

const entries = entriesFrom(4, 1, 1, 1);

/** Behind a snapshot at 3: entry 4 is stable, 5 and 6 are not, and 5 is committed. */
function logAt3(maxApplying = noLimit): RaftLog {
  const storage = new MemoryStorage();
  storage.applySnapshot(makeSnapshot(3, 1));
  storage.append(entries.slice(0, 1));
  const log = new RaftLog(storage, discardLogger, maxApplying);
  log.append(entries);
  log.stableTo({ term: 1, index: 4 });
  log.maybeCommit({ term: 1, index: 5 });
  return log;
}

function threeUnstable(maxApplying = noLimit): RaftLog {
  const log = new RaftLog(new MemoryStorage(), discardLogger, maxApplying);
  log.append(entriesFrom(1, 1, 2, 3));
  return log;
}

describe("what is committed", () => {
  test.each<[applied: number, applying: number, allowUnstable: boolean, handedOut: number[]]>([
    [3, 3, true, [4, 5]],
    [3, 4, true, [5]],
    [3, 5, true, []],
    [4, 4, true, [5]],
    [4, 5, true, []],
    [5, 5, true, []],
    // only what is stable
    [3, 3, false, [4]],
    [3, 4, false, []],
    [3, 5, false, []],
    [4, 4, false, []],
    [4, 5, false, []],
    [5, 5, false, []],
  ])(
    "and applied up to %i, handed out up to %i, unstable too: %s, is handed out next: %j [TestHasNextCommittedEnts, TestNextCommittedEnts]",
    (applied, applying, allowUnstable, handedOut) => {
      const log = logAt3();
      log.appliedTo(applied, 0);
      log.acceptApplying(applying, 0, allowUnstable);
      log.applyingEntsPaused = false;
      expect(log.hasNextCommittedEnts(allowUnstable)).toBe(handedOut.length > 0);
      expect(log.nextCommittedEnts(allowUnstable).map((e) => e.index)).toEqual(handedOut);
    },
  );

  test("is held back while paused, and while a snapshot waits to be installed [TestHasNextCommittedEnts, TestNextCommittedEnts]", () => {
    const paused = logAt3();
    paused.applyingEntsPaused = true;
    const behindSnapshot = logAt3();
    behindSnapshot.restore(makeSnapshot(6, 1));
    for (const log of [paused, behindSnapshot]) {
      expect([log.hasNextCommittedEnts(true), log.nextCommittedEnts(true)]).toEqual([false, []]);
    }
  });

  test("is handed out once, in pages, and is acknowledged", () => {
    const size = entrySize(entriesFrom(1, 1)[0] as Entry);
    const log = threeUnstable(2 * size);
    log.commitTo(3);
    expect(idsOf(log.nextCommittedEnts(true))).toEqual([
      [1, 1],
      [2, 2],
    ]);
    log.acceptApplying(2, 2 * size, true);
    expect(log.hasNextCommittedEnts(true)).toBe(false);
    log.appliedTo(2, 2 * size);
    expect(idsOf(log.nextCommittedEnts(true))).toEqual([[3, 3]]);
    expect(() => log.appliedTo(1, 0)).toThrow(/applied\(1\) is out of range \[prevApplied\(2\), committed\(3\)\]/);
    expect(() => log.appliedTo(4, 0)).toThrow(/applied\(4\) is out of range/);
    expect(() => log.acceptApplying(4, 0, true)).toThrow(/applying\(4\) is out of range/);
  });

  test("is not asked for with no budget left", () => {
    const log = threeUnstable(10);
    log.commitTo(3);
    log.applyingEntsSize = 10;
    expect(() => log.nextCommittedEnts(true)).toThrow(/applying entry size \(10-10\)=0 not positive/);
  });
});

describe("the budget of what is being applied", () => {
  const max = 100;

  test.each<[allowUnstable: boolean, index: number, under: boolean]>([
    // Short of what could be applied: the next entry did not fit.
    [true, 3, true],
    [true, 4, true],
    [true, 5, false],
    [false, 3, true],
    [false, 4, false],
    [false, 5, false],
  ])(
    "unstable too: %s, handed out up to %i: one byte under the limit pauses %s, at it and over it always [TestAcceptApplying]",
    (allowUnstable, index, under) => {
      const paused = [max - 1, max, max + 1].map((size) => {
        const log = logAt3(max);
        log.acceptApplying(index, size, allowUnstable);
        return log.applyingEntsPaused;
      });
      expect(paused).toEqual([under, true, true]);
    },
  );

  test.each<[index: number, size: number, left: number, paused: boolean]>([
    [4, 4, max + 1, true],
    [4, 5, max, true],
    [4, 6, max - 1, false],
    [5, 4, max + 1, true],
    [5, 5, max, true],
    [5, 6, max - 1, false],
    [4, max + 5, 0, false],
    [4, max + 6, 0, false], // more than was handed out: no debt remains
  ])(
    "exceeded by 5: applied up to %i with %i bytes leaves %i, paused %s [TestAppliedTo]",
    (index, size, left, paused) => {
      const log = logAt3(max);
      log.acceptApplying(5, max + 5, false);
      log.appliedTo(index, size);
      expect([log.applied, log.applying, log.applyingEntsSize, log.applyingEntsPaused]).toEqual([
        index,
        5,
        left,
        paused,
      ]);
    },
  );
});

describe("what is unstable", () => {
  test.each([
    [2, []],
    [0, [1, 2]],
    [1, [2]],
  ])(
    "with %i of two entries in storage is %j, and is in storage once that says so [TestNextUnstableEnts]",
    (stable, indexes) => {
      const all = entriesFrom(1, 1, 2);
      const storage = new MemoryStorage();
      storage.append(all.slice(0, stable));
      const log = new RaftLog(storage, discardLogger);
      log.append(all.slice(stable));
      expect([log.hasNextUnstableEnts(), log.nextUnstableEnts().map((e) => e.index)]).toEqual([
        indexes.length > 0,
        indexes,
      ]);
      log.stableTo({ term: 2, index: 2 });
      expect([log.unstable.offset, log.nextUnstableEnts()]).toEqual([3, []]);
    },
  );

  test.each([
    [1, 1, 2],
    [2, 2, 3],
    [2, 1, 1], // another term
    [3, 1, 1], // beyond the end
  ])("with an answer for index %i of term %i starts at %i [TestStableTo]", (index, term, offset) => {
    const log = new RaftLog(new MemoryStorage(), discardLogger);
    log.append(entriesFrom(1, 1, 2));
    log.stableTo({ term, index });
    expect(log.unstable.offset).toBe(offset);
  });

  test.each([false, true])(
    "behind a snapshot, with an entry %s, moves only with an answer for that very entry [TestStableToWithSnap]",
    (withEntry) => {
      for (const term of [2, 3]) {
        for (const index of [4, 5, 6]) {
          const storage = new MemoryStorage();
          storage.applySnapshot(makeSnapshot(5, 2));
          const log = new RaftLog(storage, discardLogger);
          log.append(withEntry ? entriesFrom(6, 2) : []);
          log.stableTo({ term, index });
          expect(log.unstable.offset).toBe(withEntry && term === 2 && index === 6 ? 7 : 6);
        }
      }
    },
  );
});

describe("the commit index", () => {
  test("goes up, never down, and not beyond the log [TestCommitTo]", () => {
    const log = threeUnstable();
    log.commitTo(2);
    log.commitTo(1);
    expect(log.committed).toBe(2);
    log.commitTo(3);
    expect(log.committed).toBe(3);
    expect(() => log.commitTo(4)).toThrow(/tocommit\(4\) is out of range \[lastIndex\(3\)\]/);
  });

  test("shows, with all else, in the log's text", () => {
    expect(String(logAt3())).toBe(
      "committed=5, applied=3, applying=3, unstable.offset=5, unstable.offsetInProgress=5, len(unstable.Entries)=2",
    );
  });
});
