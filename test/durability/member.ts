// A member's log and snapshots on a fake disk, and the history of what was asked of them: what a start may find after a
// crash, and what not.
//
// A history is a list of records: what the log was told, in its order. A crash may lose records from the end on, but
// none that was acknowledged. So what a start finds must be what the records up to some point amount to, and that point
// must lie between the last record that was acknowledged and the last that was written. The history works that out by
// itself, with no help of wal/ or snap/.

import { crc32c, type FileSystem } from "../../disk/index.ts";
import { makeLog, openDataDirectory } from "../../member/data-directory.ts";
import {
  type Entry,
  type HardState,
  makeConfState,
  makeEntry,
  makeSnapshot,
  type SnapshotMetadata,
} from "../../raft/raftpb/index.ts";
import type { Recovered } from "../../server/interfaces.ts";
import { Random } from "../../sim/random.ts";
import type { Snapshotter } from "../../snap/index.ts";
import { Wal } from "../../wal/index.ts";

export const walFile = "/data/member/wal";
export const snap = "/data/member/snap";
export const metadata = Uint8Array.of(0x08, 1, 0x10, 7, 0x18, 0x7b);
export const confState = makeConfState({ voters: [1, 2, 3] });

// Salts as the log draws them, but the same in every run.
const salts = new Random(1);
const random = (n: number): number => salts.below(n);

export const hardState = (term: number, vote: number, commit: number): HardState => ({ term, vote, commit });

/** Bytes without a pattern and without zeros; the same for the same seed. */
export function noise(size: number, seed: number): Uint8Array {
  let state = Math.imul(seed + 1, 0x9e3779b1);
  return Uint8Array.from({ length: size }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 24) | 1;
  });
}

export const entry = (index: number, term: number, size: number): Entry =>
  makeEntry(0, term, index, noise(size, index * 1000 + term));

export const snapshotData = (index: number, term: number): Uint8Array => noise(700 + index, index * 1000 + term);

interface Position {
  readonly index: number;
  readonly term: number;
}

const zero: Position = { index: 0, term: 0 };

/** What a start found: equal texts for equal contents. */
export type Found = string;

export const nothing: Found = "nothing";

/** `snapshot` as in Member. */
export function textOf(snapshot: string, state: HardState | undefined, entries: readonly Entry[]): Found {
  const { term, vote, commit } = state ?? hardState(0, 0, 0);
  const list = entries.map((e) => `${e.index}:${e.term}:${e.data?.length ?? 0}:${crc32c(e.data ?? new Uint8Array(0))}`);
  return `snapshot ${snapshot}; term ${term}, vote ${vote}, commit ${commit}; ${list.join(" ")}`;
}

const snapshotText = (index: number, term: number, data: Uint8Array): string =>
  index === 0 ? "none" : `${index}/${term} of ${data.length} bytes, ${crc32c(data)}`;

export interface Member {
  readonly snapshots: Snapshotter;
  readonly wal: Wal | undefined;
  readonly recovered: Recovered | undefined;
  /** Position and contents of the snapshot that it starts from. */
  readonly snapshot: string;
  readonly position: Position;
  /** That snapshot's metadata. */
  readonly newest: SnapshotMetadata | undefined;
  readonly found: Found;
}

/** Opens what is there, with the lines of the real start. A log that is missing is not made. */
export async function openMember(fileSystem: FileSystem, segmentBytes: number): Promise<Member> {
  const pause = (): Promise<void> => Promise.resolve();
  const where = { fileSystem, path: "/data", id: 1, segmentBytes, pause, random };
  const { snapshots, log: saved, begun } = await openDataDirectory(where);
  if (saved === undefined && begun === undefined) {
    const none = { wal: undefined, recovered: undefined, snapshot: "none", newest: undefined };
    return { snapshots, ...none, position: zero, found: nothing };
  }
  const identity = { nodeId: 1, clusterId: 7, incarnation: 0 };
  const log = saved ?? (await makeLog(where, identity, begun));
  try {
    const { wal, recovered = { snapshot: undefined, hardState: undefined, entries: [] } } = log;
    if (log.clusterId !== 7) throw new Error("other metadata than was written");
    const newest = recovered.snapshot;
    const { index, term } = newest ?? zero;
    const data = newest === undefined ? new Uint8Array(0) : await collect(snapshots.read(newest));
    const snapshot = snapshotText(index, term, data);
    const found = textOf(snapshot, recovered.hardState, recovered.entries);
    return { snapshots, wal, recovered, snapshot, position: { index, term }, newest, found };
  } catch (error) {
    await log.wal.close();
    await snapshots.close();
    throw error;
  }
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk.slice());
  return Buffer.concat(all);
}

export const emptyLog: Found = textOf("none", undefined, []);

export const createWal = (fileSystem: FileSystem, segmentBytes: number): Promise<Wal> =>
  Wal.create({ fileSystem, directory: walFile, metadata, segmentBytes, random });

/** What the records so far amount to. */
interface Contents {
  /** The snapshot that the entries follow. */
  readonly base: Position;
  readonly entries: readonly Entry[];
  readonly state: HardState | undefined;
  readonly snapshots: readonly Position[];
}

interface Point {
  readonly contents: Contents;
  readonly found: Found;
}

export class History {
  /** At each count of records: what they amount to, and what a start then finds. The first is that of no log. */
  #points: Point[];
  #acknowledged = 0;
  /** What tells it; undefined until a log is open. */
  log: Recorder | undefined;

  constructor() {
    this.#points = [{ contents: { base: zero, entries: [], state: undefined, snapshots: [zero] }, found: nothing }];
  }

  /** What a start may find now: from the last record that was acknowledged to the last that was written. */
  get allowed(): readonly Found[] {
    return this.#points.slice(this.#acknowledged).map(({ found }) => found);
  }

  get #contents(): Contents {
    return (this.#points.at(-1) as Point).contents;
  }

  /** Tells that the log is made. */
  creating(): void {
    this.#add({});
  }

  acknowledge(): void {
    this.#acknowledged = this.#points.length - 1;
  }

  /** Tells what a start has found: the member goes on from there, and counts on it. */
  started(found: Found): void {
    const point = this.#points.findIndex((one, i) => i >= this.#acknowledged && one.found === found);
    if (point < 0) throw new Error(`found ${found}, which the history does not allow`);
    this.#points = this.#points.slice(0, point + 1);
    this.acknowledge();
  }

  /**
   * Tells what a save writes, in its order. The hard state that commits a snapshot from the leader comes before the
   * entries too.
   */
  saving(state: HardState | undefined, entries: readonly Entry[]): void {
    const { index } = this.#contents.snapshots.at(-1) as Position;
    const replaces = index > (this.#contents.state?.commit ?? 0) && state !== undefined && state.commit >= index;
    if (replaces) this.#addState({ ...state, commit: index });
    for (const e of entries) {
      const { base, entries: before } = this.#contents;
      this.#add({ entries: [...before.slice(0, e.index - base.index - 1), e] });
    }
    if (state !== undefined) this.#addState(state);
  }

  savingSnapshot(position: Position): void {
    this.#add({ snapshots: [...this.#contents.snapshots, position] });
  }

  /** A snapshot that the log does not lead up to replaces the log with the hard state that commits it. */
  #addState(state: HardState): void {
    const { base, entries, snapshots } = this.#contents;
    const snapshot = snapshots.at(-1) as Position;
    const isCommitted = snapshot.index > base.index && snapshot.index <= state.commit;
    const isOurs = entries.some(({ index, term }) => index === snapshot.index && term === snapshot.term);
    this.#add(isCommitted && !isOurs ? { state, base: snapshot, entries: [] } : { state });
  }

  #add(change: Partial<Contents>): void {
    const contents = { ...this.#contents, ...change };
    const start = contents.snapshots.findLast(({ index }) => index <= (contents.state?.commit ?? 0)) as Position;
    // Without a hard state nothing was promised: a start takes no notice of the entries.
    const known = contents.state === undefined ? [] : contents.entries;
    const entries = known.filter(({ index }) => index > start.index);
    const data = start.index === 0 ? new Uint8Array(0) : snapshotData(start.index, start.term);
    const found = textOf(snapshotText(start.index, start.term, data), contents.state, entries);
    this.#points.push({ contents, found });
  }
}

/** A log and snapshots that tell a history all that is asked of them. */
export class Recorder {
  readonly wal: Wal;
  readonly snapshots: Snapshotter;
  readonly history: History;

  constructor(wal: Wal, snapshots: Snapshotter, history: History) {
    this.wal = wal;
    this.snapshots = snapshots;
    this.history = history;
    history.log = this;
  }

  async save(state: HardState | undefined, entries: readonly Entry[], mustSync: boolean): Promise<void> {
    this.history.saving(state, entries);
    await this.wal.save(state, entries, mustSync);
    if (mustSync) this.history.acknowledge();
  }

  async saveSnapshot(index: number, term: number): Promise<void> {
    await this.saveFile(index, term);
    await this.recordSnapshot(index, term);
  }

  saveFile(index: number, term: number): Promise<void> {
    const data = snapshotData(index, term);
    async function* chunks(): AsyncGenerator<Uint8Array, void, void> {
      yield data.subarray(0, 300);
      yield data.subarray(300);
    }
    return this.snapshots.save(makeSnapshot(index, term, confState).metadata, chunks());
  }

  async recordSnapshot(index: number, term: number): Promise<void> {
    this.history.savingSnapshot({ index, term });
    await this.wal.saveSnapshot({ index, term, confState });
    this.history.acknowledge();
  }
}
