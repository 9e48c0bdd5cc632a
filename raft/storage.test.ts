import { describe, expect, test } from "vitest";
import { errCompacted, errSnapOutOfDate, errUnavailable } from "./errors.ts";
import { type Entry, entrySize, makeConfState, makeEntry, makeSnapshot, type Snapshot } from "./raftpb/index.ts";
import { MemoryStorage } from "./storage.ts";
import { noLimit } from "./types.ts";

const run = (...ids: [term: number, index: number][]): Entry[] =>
  ids.map(([term, index]) => makeEntry(undefined, term, index, undefined));

/** A storage compacted at (3, 3) that holds (4, 4), (5, 5), (6, 6). */
function storage(): MemoryStorage {
  const ms = new MemoryStorage();
  ms.applySnapshot(makeSnapshot(3, 3));
  ms.append(run([4, 4], [5, 5], [6, 6]));
  return ms;
}

describe("MemoryStorage", () => {
  test("knows the term of what it holds and of the entry before, nothing below and nothing above", () => {
    const ms = storage();
    expect([2, 3, 4, 6, 7].map((i) => ms.term(i))).toEqual([errCompacted, 3, 4, 6, errUnavailable]);
    expect([ms.firstIndex(), ms.lastIndex()]).toEqual([4, 6]);
  });

  test("hands out entries up to a size, but at least one", () => {
    const ms = storage();
    const size = entrySize(run([4, 4])[0] as Entry);
    const indexes = (maxSize: number) => (ms.entries(4, 7, maxSize) as Entry[]).map((e) => e.index);
    expect([0, size, 2 * size - 1, 2 * size, noLimit].map(indexes)).toEqual([[4], [4], [4], [4, 5], [4, 5, 6]]);
    expect(ms.entries(3, 5, noLimit)).toBe(errCompacted);
    expect(() => ms.entries(4, 8, noLimit)).toThrow(/out of bound/);
    expect(new MemoryStorage().entries(1, 1, noLimit)).toBe(errUnavailable);
  });

  test.each<[string, [number, number][], [number, number][]]>([
    [
      "the same entries",
      [
        [4, 4],
        [5, 5],
        [6, 6],
      ],
      [
        [4, 4],
        [5, 5],
        [6, 6],
      ],
    ],
    [
      "a conflict in the middle",
      [
        [4, 4],
        [7, 5],
      ],
      [
        [4, 4],
        [7, 5],
      ],
    ],
    [
      "an overlap and more",
      [
        [6, 6],
        [6, 7],
      ],
      [
        [4, 4],
        [5, 5],
        [6, 6],
        [6, 7],
      ],
    ],
    [
      "what is partly compacted",
      [
        [3, 2],
        [3, 3],
        [8, 4],
      ],
      [[8, 4]],
    ],
    [
      "what is wholly compacted",
      [
        [3, 2],
        [3, 3],
      ],
      [
        [4, 4],
        [5, 5],
        [6, 6],
      ],
    ],
    [
      "the next entry",
      [[6, 7]],
      [
        [4, 4],
        [5, 5],
        [6, 6],
        [6, 7],
      ],
    ],
    [
      "nothing",
      [],
      [
        [4, 4],
        [5, 5],
        [6, 6],
      ],
    ],
  ])("appends %s", (_what, appended, expected) => {
    const ms = storage();
    ms.append(run(...appended));
    const all = ms.entries(4, ms.lastIndex() + 1, noLimit) as Entry[];
    expect(all.map((e) => [e.term, e.index])).toEqual(expected);
  });

  test("panics at a gap", () => {
    expect(() => storage().append(run([7, 8]))).toThrow(/missing log entry \[last: 6, append at: 8\]/);
  });

  test("never changes a list that it has handed out", () => {
    const ms = storage();
    const before = ms.entries(4, 7, noLimit) as Entry[];
    const copy = [...before];
    ms.append(run([9, 5]));
    ms.compact(4);
    before.push(...run([1, 1]));
    expect(before.slice(0, 3)).toEqual(copy);
    expect((ms.entries(5, 6, noLimit) as Entry[]).map((e) => e.term)).toEqual([9]);
  });

  test("compacts: the last dropped entry's term stays known", () => {
    const ms = storage();
    expect(ms.compact(3)).toBe(errCompacted);
    expect(ms.compact(5)).toBeUndefined();
    expect([ms.firstIndex(), ms.lastIndex(), ms.term(5), ms.term(4)]).toEqual([6, 6, 5, errCompacted]);
    expect(() => ms.compact(7)).toThrow(/out of bound/);
  });

  test("makes a snapshot with the entry's term, and keeps the configuration if none is given", () => {
    const ms = storage();
    const cs = makeConfState({ voters: [1, 2] });
    const first = ms.createSnapshot(4, cs, new Uint8Array([1])) as Snapshot;
    expect(first).toEqual(makeSnapshot(4, 4, cs, new Uint8Array([1])));
    expect((ms.createSnapshot(5, undefined, undefined) as Snapshot).metadata).toEqual({
      index: 5,
      term: 5,
      confState: cs,
    });
    expect(ms.createSnapshot(5, undefined, undefined)).toBe(errSnapOutOfDate);
    expect(() => ms.createSnapshot(7, undefined, undefined)).toThrow(/out of bound/);
    expect(first.metadata.index).toBe(4);
  });

  test("takes a newer snapshot in place of its log, and refuses an older one", () => {
    const ms = storage();
    expect(ms.applySnapshot(makeSnapshot(3, 3))).toBe(errSnapOutOfDate);
    expect(ms.applySnapshot(makeSnapshot(9, 7))).toBeUndefined();
    expect([ms.firstIndex(), ms.lastIndex(), ms.term(9)]).toEqual([10, 9, 7]);
  });
});
