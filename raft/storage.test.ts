import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { errCompacted, errSnapOutOfDate, errUnavailable } from "./errors.ts";
import { type Entry, entrySize, makeConfState, makeHardState, makeSnapshot, type Snapshot } from "./raftpb/index.ts";
import { MemoryStorage } from "./storage.ts";
import { entriesFrom } from "./testing.ts";
import { noLimit } from "./types.ts";

/** A storage compacted at (3, 3) that holds (4, 4), (5, 5), (6, 6). */
function storage(): MemoryStorage {
  const ms = new MemoryStorage();
  ms.applySnapshot(makeSnapshot(3, 3));
  ms.append(entriesFrom(4, 4, 5, 6));
  return ms;
}

describe("MemoryStorage", () => {
  test("term is known for its entries and the one before them, and for no other [TestStorageTerm]", () => {
    const ms = storage();
    expect([2, 3, 4, 6, 7].map((i) => ms.term(i))).toEqual([errCompacted, 3, 4, 6, errUnavailable]);
    expect([ms.firstIndex(), ms.lastIndex()]).toEqual([4, 6]);
  });

  test("entries hands out entries up to a size, but at least one [TestStorageEntries]", () => {
    const ms = storage();
    const size = entrySize(entriesFrom(4, 4)[0] as Entry);
    const indexes = (maxSize: number) => (ms.entries(4, 7, maxSize) as Entry[]).map((e) => e.index);
    expect([0, size, 2 * size - 1, 2 * size, noLimit].map(indexes)).toEqual([[4], [4], [4], [4, 5], [4, 5, 6]]);
    expect(ms.entries(3, 5, noLimit)).toBe(errCompacted);
    expect(() => ms.entries(4, 8, noLimit)).toThrow(/out of bound/);
    expect(new MemoryStorage().entries(1, 1, noLimit)).toBe(errUnavailable);
  });

  test.each<[what: string, Entry[], terms: number[]]>([
    ["nothing", [], [4, 5, 6]],
    ["the same entries", entriesFrom(4, 4, 5, 6), [4, 5, 6]],
    ["a conflict in the middle", entriesFrom(4, 4, 7), [4, 7]],
    ["a conflict at the first", entriesFrom(4, 7), [7]],
    ["an overlap and more", entriesFrom(4, 4, 5, 6, 6), [4, 5, 6, 6]],
    ["what is partly compacted", entriesFrom(2, 3, 3, 8), [8]],
    ["what is wholly compacted", entriesFrom(2, 3, 3), [4, 5, 6]],
    ["the next entry", entriesFrom(7, 6), [4, 5, 6, 6]],
  ])("append takes %s [TestStorageAppend]", (_what, appended, terms) => {
    const ms = storage();
    ms.append(appended);
    expect(ms.entries(4, ms.lastIndex() + 1, noLimit)).toEqual(entriesFrom(4, ...terms));
  });

  test("append panics at a gap [TestStorageAppend]", () => {
    expect(() => storage().append(entriesFrom(8, 7))).toThrow(/missing log entry \[last: 6, append at: 8\]/);
  });

  test("never changes a list that it has handed out", () => {
    const ms = storage();
    const before = ms.entries(4, 7, noLimit) as Entry[];
    const copy = [...before];
    ms.append(entriesFrom(5, 9));
    ms.compact(4);
    before.push(...entriesFrom(1, 1));
    expect(before.slice(0, 3)).toEqual(copy);
    expect((ms.entries(5, 6, noLimit) as Entry[]).map((e) => e.term)).toEqual([9]);
  });

  test("never changes a list that it has handed out, after any sequence of calls", () => {
    const step = fc.oneof(
      fc.record({
        append: fc.nat(12),
        terms: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }),
      }),
      fc.record({ compact: fc.nat(12) }),
      fc.record({ snapshot: fc.nat(12) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const ms = storage();
        const handedOut: { list: Entry[]; copy: Entry[] }[] = [];
        for (const s of steps) {
          const list = ms.entries(ms.firstIndex(), ms.lastIndex() + 1, noLimit);
          if (Array.isArray(list)) handedOut.push({ list, copy: structuredClone(list) });
          const at = (offset: number) => Math.min(ms.firstIndex() + offset, ms.lastIndex());
          if ("append" in s) ms.append(entriesFrom(at(s.append) + 1, ...s.terms));
          else if ("compact" in s) ms.compact(at(s.compact));
          else ms.applySnapshot(makeSnapshot(ms.lastIndex() + s.snapshot, 9));
        }
        for (const { list, copy } of handedOut) expect(list).toEqual(copy);
      }),
    );
  });

  test("firstIndex follows compact, and lastIndex follows append [TestStorageFirstIndex, TestStorageLastIndex]", () => {
    const ms = storage();
    expect([ms.firstIndex(), ms.lastIndex()]).toEqual([4, 6]);
    ms.append(entriesFrom(7, 6));
    ms.compact(4);
    expect([ms.firstIndex(), ms.lastIndex()]).toEqual([5, 7]);
    expect([new MemoryStorage().firstIndex(), new MemoryStorage().lastIndex()]).toEqual([1, 0]);
  });

  test("compact keeps the term of the last dropped entry [TestStorageCompact]", () => {
    const ms = storage();
    expect(ms.compact(3)).toBe(errCompacted);
    expect(ms.compact(5)).toBeUndefined();
    expect([ms.firstIndex(), ms.lastIndex(), ms.term(5), ms.term(4)]).toEqual([6, 6, 5, errCompacted]);
    expect(() => ms.compact(7)).toThrow(/out of bound/);
  });

  test("createSnapshot takes the entry's term, and keeps the configuration if none is given [TestStorageCreateSnapshot]", () => {
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

  test("applySnapshot replaces the log by a newer snapshot, and refuses an older one [TestStorageApplySnapshot]", () => {
    const ms = storage();
    expect(ms.applySnapshot(makeSnapshot(3, 3))).toBe(errSnapOutOfDate);
    expect(ms.applySnapshot(makeSnapshot(9, 7))).toBeUndefined();
    expect([ms.firstIndex(), ms.lastIndex(), ms.term(9)]).toEqual([10, 9, 7]);
    // A configuration alone, at index 0, is how a test or an application begins; it gives way to any snapshot.
    const fresh = new MemoryStorage();
    const confState = makeConfState({ voters: [1] });
    for (let i = 0; i < 2; i++) expect(fresh.applySnapshot(makeSnapshot(0, 0, confState))).toBeUndefined();
    expect(fresh.initialState()).toEqual({ hardState: undefined, confState });
  });

  test.each([undefined, Number.NaN, Number.POSITIVE_INFINITY, 4.5, "5", null])(
    "compact and createSnapshot refuse %j as an index, and change nothing",
    (index) => {
      const ms = storage();
      const before = ms.snapshot();
      expect(() => ms.compact(index as never)).toThrow(`compact: ${index} is no log index`);
      expect(() => ms.createSnapshot(index as never, undefined, undefined)).toThrow(
        /createSnapshot: .* is no log index/,
      );
      expect([ms.firstIndex(), ms.lastIndex(), ms.snapshot()]).toEqual([4, 6, before]);
    },
  );

  test.each<[what: string, misuse: (ms: MemoryStorage) => void, says: RegExp]>([
    ["createSnapshot of what is compacted", (ms) => ms.createSnapshot(2, undefined, undefined), /snapshot 2 is out of/],
    [
      "append with a gap inside",
      (ms) => ms.append([...entriesFrom(5, 9), ...entriesFrom(7, 9)]),
      /entry 7 stands where/,
    ],
    ["append of entries backwards", (ms) => ms.append([...entriesFrom(5, 9), ...entriesFrom(4, 9)]), /entry 4 stands/],
    ["append of no index", (ms) => ms.append(entriesFrom(Number.NaN, 9)), /append: NaN is no log index/],
    ["append of half an index", (ms) => ms.append(entriesFrom(4.5, 9)), /append: 4.5 is no log index/],
    ["entries from no index", (ms) => ms.entries(Number.NaN, 5), /entries: NaN is no log index/],
    ["entries up to no index", (ms) => ms.entries(4, undefined as never), /entries: undefined is no log index/],
    ["applySnapshot at no index", (ms) => ms.applySnapshot(makeSnapshot(Number.NaN, 3)), /applySnapshot: NaN is no/],
    ["setHardState without one", (ms) => ms.setHardState(undefined as never), /setHardState: term, vote and commit/],
    ["setHardState with a part of one", (ms) => ms.setHardState({ term: 1 } as never), /setHardState: term, vote/],
  ])("%s panics, and changes nothing", (_what, misuse, says) => {
    const ms = new MemoryStorage();
    ms.append(entriesFrom(1, 3, 3, 3, 4, 5, 6));
    ms.setHardState(makeHardState(6, 2, 3));
    ms.compact(3);
    const state = () => [ms.initialState(), ms.snapshot(), ms.firstIndex(), ms.entries(4, ms.lastIndex() + 1)];
    const before = state();
    expect(() => misuse(ms)).toThrow(says);
    expect(state()).toEqual(before);
  });

  test("entries without a size hands out all that was asked for", () => {
    expect(storage().entries(4, 7)).toHaveLength(3);
  });
});
