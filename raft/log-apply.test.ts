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

describe("nextCommittedEnts and hasNextCommittedEnts", () => {
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
    "applied to %i, handed out to %i, with unstable entries allowed: %s, hand out %j next [TestHasNextCommittedEnts, TestNextCommittedEnts]",
    (applied, applying, allowUnstable, handedOut) => {
      const log = logAt3();
      log.appliedTo(applied, 0);
      log.acceptApplying(applying, 0, allowUnstable);
      log.applyingEntsPaused = false;
      expect(log.hasNextCommittedEnts(allowUnstable)).toBe(handedOut.length > 0);
      expect(log.nextCommittedEnts(allowUnstable).map((e) => e.index)).toEqual(handedOut);
    },
  );

  test("hand out nothing while paused, nor while a snapshot waits to be restored [TestHasNextCommittedEnts, TestNextCommittedEnts]", () => {
    const paused = logAt3();
    paused.applyingEntsPaused = true;
    const behindSnapshot = logAt3();
    behindSnapshot.restore(makeSnapshot(6, 1));
    for (const log of [paused, behindSnapshot]) {
      expect([log.hasNextCommittedEnts(true), log.nextCommittedEnts(true)]).toEqual([false, []]);
    }
  });

  test("hand out each entry once, in pages", () => {
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

  test("panic if they are called with no budget left", () => {
    const log = threeUnstable(10);
    log.commitTo(3);
    log.applyingEntsSize = 10;
    expect(() => log.nextCommittedEnts(true)).toThrow(/applying entry size \(10-10\)=0 not positive/);
  });
});

describe("the budget for entries that are being applied", () => {
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
    "acceptApplying, unstable entries allowed: %s, to %i: one byte under the limit pauses %s, at and over it always [TestAcceptApplying]",
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
    "appliedTo %i with %i bytes, at 5 over the limit, leaves %i bytes and paused %s [TestAppliedTo]",
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

describe("RaftLog.stableTo and nextUnstableEnts", () => {
  test.each([
    [2, []],
    [0, [1, 2]],
    [1, [2]],
  ])(
    "with %i of two entries in storage hand out %j, and nothing once stableTo has named the last [TestNextUnstableEnts]",
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
  ])("for index %i of term %i leave a tail that starts at %i [TestStableTo]", (index, term, offset) => {
    const log = new RaftLog(new MemoryStorage(), discardLogger);
    log.append(entriesFrom(1, 1, 2));
    log.stableTo({ term, index });
    expect(log.unstable.offset).toBe(offset);
  });

  test.each([false, true])(
    "behind a snapshot, with an entry %s, move the tail only for the id of that entry [TestStableToWithSnap]",
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

describe("RaftLog", () => {
  test("commitTo raises the commit index, never lowers it, and panics beyond the log [TestCommitTo]", () => {
    const log = threeUnstable();
    log.commitTo(2);
    log.commitTo(1);
    expect(log.committed).toBe(2);
    log.commitTo(3);
    expect(log.committed).toBe(3);
    expect(() => log.commitTo(4)).toThrow(/tocommit\(4\) is out of range \[lastIndex\(3\)\]/);
  });

  test("toString shows its positions as etcd prints them", () => {
    expect(String(logAt3())).toBe(
      "committed=5, applied=3, applying=3, unstable.offset=5, unstable.offsetInProgress=5, len(unstable.Entries)=2",
    );
  });
});
