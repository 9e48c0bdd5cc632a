// What a member's log on disk must hold, as the watcher of its calls sees it: which entries were written, and which of
// them are durable.
//
// The member's log answers for what it was given. This is the record that it is held against: after a crash the log may
// have lost what was not yet synced, in any part from some point on, and nothing else.

import type { ConfState, Entry, HardState } from "../raft/index.ts";
import type { LogStore, Recovered } from "../server/interfaces.ts";

interface Position {
  readonly index: number;
  readonly term: number;
}

/** The terms of a log's entries, from a position on. */
export class LogImage {
  base: Position = { index: 0, term: 0 };
  terms: number[] = [];
  hardState: HardState | undefined;

  get lastIndex(): number {
    return this.base.index + this.terms.length;
  }

  /** Undefined above the log; the base's own below its end, where only a snapshot speaks. */
  term(index: number): number | undefined {
    return index <= this.base.index ? this.base.term : this.terms[index - this.base.index - 1];
  }

  /** Whether it has this entry, or a snapshot in its place. */
  has({ index, term }: Position): boolean {
    return index < this.base.index || this.term(index) === term;
  }

  append(entries: readonly Entry[]): void {
    for (const { index, term } of entries) {
      if (index <= this.base.index) continue;
      this.terms.length = index - this.base.index - 1;
      this.terms.push(term);
    }
  }

  replace(base: Position): void {
    this.base = base;
    this.terms = [];
  }
}

/** One call of the log, to be carried over to what is durable once a sync says so. */
type Written =
  | { readonly kind: "snapshot"; readonly position: Position }
  | { readonly kind: "save"; readonly hardState: HardState | undefined; readonly entries: readonly Entry[] };

function carryOut(image: LogImage, call: Written, replacing: Position | undefined): Position | undefined {
  if (call.kind === "snapshot") {
    return call.position.index > (image.hardState?.commit ?? 0) ? call.position : replacing;
  }
  const { hardState, entries } = call;
  let left = replacing;
  if (left !== undefined && hardState !== undefined && hardState.commit >= left.index) {
    image.replace(left);
    left = undefined;
  }
  image.append(entries);
  if (hardState !== undefined) image.hardState = hardState;
  return left;
}

export interface LogListener {
  /** Before the call: the member hands this to its log. */
  saving(hardState: HardState | undefined, entries: readonly Entry[]): void;
  /** This is durable. */
  saved(hardState: HardState): void;
}

/** The facts about one member's log, over all its lives. */
export class LogFacts {
  written = new LogImage();
  durable = new LogImage();
  /** Index of the newest snapshot that a leader has sent in place of the log. */
  received = 0;
  #unsynced: Written[] = [];
  #replacingWritten: Position | undefined;
  #replacingDurable: Position | undefined;

  note(call: Written): void {
    this.#unsynced.push(call);
    if (call.kind === "snapshot" && call.position.index > (this.written.hardState?.commit ?? 0)) {
      this.received = call.position.index;
    }
    this.#replacingWritten = carryOut(this.written, call, this.#replacingWritten);
  }

  /** The term of an entry as written, or of the snapshot that ends with it; undefined where neither is known. */
  termOf(index: number): number | undefined {
    if (this.#replacingWritten?.index === index) return this.#replacingWritten.term;
    return index < this.written.base.index ? undefined : this.written.term(index);
  }

  /** Everything noted before `count` calls ago is durable. */
  synced(upTo: Written): void {
    const end = this.#unsynced.indexOf(upTo);
    for (const call of this.#unsynced.splice(0, end + 1)) {
      this.#replacingDurable = carryOut(this.durable, call, this.#replacingDurable);
    }
  }

  /** Holds what a start has found against what must be there. Returns what is wrong. */
  recovered(found: Recovered | undefined): string | undefined {
    const image = new LogImage();
    if (found?.snapshot !== undefined) image.replace(found.snapshot);
    image.append(found?.entries ?? []);
    image.hardState = found?.hardState;
    const wrong = this.#lost(image);
    this.durable = image;
    this.written = new LogImage();
    this.written.replace(image.base);
    this.written.terms = [...image.terms];
    this.written.hardState = image.hardState;
    this.#unsynced = [];
    this.#replacingWritten = undefined;
    this.#replacingDurable = undefined;
    return wrong;
  }

  #lost(found: LogImage): string | undefined {
    const { durable } = this;
    const { term = 0, vote = 0, commit = 0 } = durable.hardState ?? {};
    const now = found.hardState ?? { term: 0, vote: 0, commit: 0 };
    if (now.term < term || now.commit < commit || (now.term === term && vote !== 0 && now.vote !== vote)) {
      return `its hard state was durable as term ${term}, vote ${vote}, commit ${commit}, and is now term ${now.term}, vote ${now.vote}, commit ${now.commit}`;
    }
    const saves = this.#unsynced.flatMap((call) => (call.kind === "save" ? call.entries.slice(0, 1) : []));
    const overwritten = Math.min(Number.POSITIVE_INFINITY, ...saves.map(({ index }) => index));
    // A snapshot of the leader's that took the place of the log.
    if (this.#unsynced.some((call) => call.kind === "snapshot" && call.position.index === found.base.index))
      return undefined;
    if (this.#replacingDurable !== undefined && this.#replacingDurable.index === found.base.index) return undefined;
    for (let index = found.base.index + 1; index <= Math.min(durable.lastIndex, overwritten - 1); index++) {
      const was = durable.term(index);
      if (index > durable.base.index && found.term(index) !== was) {
        return `entry ${index} of term ${was} was durable, and is now ${found.term(index) === undefined ? "gone" : `of term ${found.term(index)}`}`;
      }
    }
    return undefined;
  }
}

/** The member's log, with every call noted in the facts. */
export class WatchedLog implements LogStore {
  readonly #log: LogStore;
  readonly #facts: LogFacts;
  readonly #listener: LogListener;

  constructor(log: LogStore, facts: LogFacts, listener: LogListener) {
    this.#log = log;
    this.#facts = facts;
    this.#listener = listener;
  }

  async save(hardState: HardState | undefined, entries: readonly Entry[], mustSync: boolean): Promise<void> {
    this.#listener.saving(hardState, entries);
    const call = { kind: "save", hardState, entries } as const;
    this.#facts.note(call);
    await this.#log.save(hardState, entries, mustSync);
    if (!mustSync) return;
    this.#facts.synced(call);
    if (hardState !== undefined) this.#listener.saved(hardState);
  }

  async saveSnapshot(snapshot: { index: number; term: number; confState: ConfState }): Promise<void> {
    const call = { kind: "snapshot", position: { index: snapshot.index, term: snapshot.term } } as const;
    this.#facts.note(call);
    await this.#log.saveSnapshot(snapshot);
    this.#facts.synced(call);
  }

  release(index: number): Promise<void> {
    return this.#log.release(index);
  }

  close(): Promise<void> {
    return this.#log.close();
  }
}
