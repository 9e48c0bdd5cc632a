// The log against a plain array of entries: whatever is appended, replaced, made stable, committed and compacted, both
// tell the same.

import fc from "fast-check";
import { expect, test } from "vitest";
import { errCompacted, errUnavailable } from "./errors.ts";
import { RaftLog } from "./log.ts";
import { discardLogger } from "./logger.ts";
import { type Entry, makeEntry } from "./raftpb/index.ts";
import { MemoryStorage } from "./storage.ts";
import { noLimit } from "./types.ts";

/** The model: list[i] is the entry at index i + 1. What is compacted stays in the list, but is not shown. */
class PlainLog {
  list: Entry[] = [];
  committed = 0;
  compacted = 0;

  term(i: number): number | undefined {
    return i === 0 ? 0 : this.list[i - 1]?.term;
  }

  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first !== undefined) this.list = [...this.list.slice(0, first.index - 1), ...entries];
  }

  /** A follower's rule: what matches stays, from the first conflict on the leader's entries stand. */
  merge(prev: { term: number; index: number }, entries: readonly Entry[], committed: number): number | undefined {
    if (this.term(prev.index) !== prev.term) return undefined;
    const conflict = entries.findIndex((e) => this.term(e.index) !== e.term);
    if (conflict >= 0) this.append(entries.slice(conflict));
    const last = prev.index + entries.length;
    this.committed = Math.max(this.committed, Math.min(committed, last));
    return last;
  }
}

type Step =
  | { kind: "append"; at: number; terms: number[]; size: number }
  | { kind: "merge"; at: number; wrong: boolean; keep: number; terms: number[]; commit: number }
  | { kind: "store"; part: number }
  | { kind: "commit"; to: number }
  | { kind: "compact"; to: number };

const small = fc.nat(6);
const terms = fc.array(fc.nat(1), { maxLength: 4 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("append" as const), at: small, terms, size: small }),
  fc.record({
    kind: fc.constant("merge" as const),
    at: small,
    wrong: fc.boolean(),
    keep: small,
    terms,
    commit: fc.nat(20),
  }),
  fc.record({ kind: fc.constant("store" as const), part: small }),
  fc.record({ kind: fc.constant("commit" as const), to: small }),
  fc.record({ kind: fc.constant("compact" as const), to: small }),
);

/** New entries from index `from` on, of terms that rise by `steps` from `term`. */
function rising(from: number, term: number, steps: number[], size = 0): Entry[] {
  let t = term;
  return steps.map((add, i) => {
    t += add;
    return makeEntry(undefined, t, from + i, size === 0 ? undefined : new Uint8Array(size));
  });
}

class Pair {
  readonly storage = new MemoryStorage();
  readonly log = new RaftLog(this.storage, discardLogger);
  readonly plain = new PlainLog();
  #newest = 1;

  do(s: Step): void {
    const { log, plain, storage } = this;
    const spare = plain.list.length - plain.committed;
    if (s.kind === "append") {
      // A leader's way: behind what is committed, in a term of its own.
      const prev = plain.committed + Math.min(s.at, spare);
      const entries = rising(prev + 1, this.#nextTerm(), s.terms, s.size);
      expect(log.append(entries)).toBe(entries.at(-1)?.index ?? plain.list.length);
      plain.append(entries);
    } else if (s.kind === "merge") {
      const index = plain.committed + Math.min(s.at, spare);
      const prev = { index, term: (plain.term(index) as number) + (s.wrong ? 1 : 0) };
      const kept = plain.list.slice(index, index + s.keep);
      const entries = [...kept, ...rising(index + kept.length + 1, this.#nextTerm(), s.terms)];
      const slice = { term: this.#newest, prev, entries };
      expect(log.maybeAppend(slice, s.commit)).toBe(plain.merge(prev, entries, s.commit));
    } else if (s.kind === "store") {
      // What is handed out is written, and acknowledged as a whole or in part.
      const entries = log.nextUnstableEnts();
      log.acceptUnstable();
      storage.append(entries);
      const last = entries[Math.min(s.part, entries.length - 1)];
      if (last !== undefined) log.stableTo(last);
    } else if (s.kind === "commit") {
      const to = plain.committed + Math.min(s.to, spare);
      log.commitTo(to);
      plain.committed = to;
      log.appliedTo(to, 0);
    } else {
      const to = Math.min(plain.compacted + s.to, log.applied, log.unstable.offset - 1, storage.lastIndex());
      const done = storage.compact(to);
      expect(done).toBe(to > plain.compacted ? undefined : errCompacted);
      plain.compacted = Math.max(plain.compacted, to);
    }
  }

  #nextTerm(): number {
    this.#newest = Math.max(this.#newest, this.plain.list.at(-1)?.term ?? 0) + 1;
    return this.#newest;
  }

  compare(): void {
    const { log, plain } = this;
    const [first, last] = [plain.compacted + 1, plain.list.length];
    expect([log.firstIndex(), log.lastIndex(), log.committed]).toEqual([first, last, plain.committed]);
    expect(log.allEntries()).toEqual(plain.list.slice(plain.compacted));
    for (let i = 0; i <= last + 1; i++) {
      const outside = i < plain.compacted ? errCompacted : errUnavailable;
      expect(log.term(i)).toBe(i < plain.compacted || i > last ? outside : plain.term(i));
    }
    for (let lo = first; lo <= last + 1; lo++) {
      expect(log.slice(lo, last + 1, noLimit)).toEqual(plain.list.slice(lo - 1));
    }
    const { unstable } = log;
    expect(unstable.offset).toBeLessThanOrEqual(unstable.offsetInProgress);
    expect(unstable.offsetInProgress).toBeLessThanOrEqual(unstable.offset + unstable.entries.length);
    // What was acknowledged as stable is what storage holds.
    for (let i = first; i < unstable.offset; i++) expect(this.storage.term(i)).toBe(plain.term(i));
  }
}

test("RaftLog answers as a plain array of entries does, after any sequence of calls", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (all) => {
      const pair = new Pair();
      for (const s of all) {
        pair.do(s);
        pair.compare();
      }
    }),
    { numRuns: 300 },
  );
});
