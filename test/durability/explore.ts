// Crash exploration: one run of a workload is ended at each of its calls to the disk, in every way that choices.ts
// knows. From each disk that this leaves a member is started, and each start is ended at each of its own calls, and
// from what that leaves others are started.
//
// A run ends with the power, or with its process alone: then all is there, and a cut in the next start can still undo
// what was not synced. Of each start is asked: it finds what the history allows; a power cut right behind it takes
// nothing of what it found, and neither does one behind the next write. Disks with the same bytes are started from
// once, and held against every moment that leaves them.

import { createHash } from "node:crypto";
import type { FileSystem } from "../../disk/index.ts";
import type { FakeDisk } from "../../sim/disk.ts";
import { choices, type Ways } from "./choices.ts";
import {
  createWal,
  emptyLog,
  entry,
  type Found,
  type History,
  hardState,
  type Member,
  openMember,
  textOf,
} from "./member.ts";

export interface Workload {
  readonly name: string;
  readonly segmentBytes: number;
  /** Gives the disk that it runs on; the history is that of a new directory. */
  prepare?(blank: FakeDisk, history: History): Promise<FakeDisk>;
  run(fileSystem: FileSystem, history: History): Promise<void>;
}

export interface Counts {
  /** Calls at which a run or a start was ended. */
  crashes: number;
  /** Disks that crashes left. */
  disks: number;
  /** Of these, different ones: each was started from. */
  states: number;
  /** Of these, ones that only a second crash, or a later one, leaves. */
  afterSecondCrash: number;
}

export interface Limits {
  readonly run: Ways;
  /** For the crashes of starts. */
  readonly start: Ways;
  /** How many crashes follow each other. */
  readonly depth: number;
}

interface State {
  readonly origin: string;
  readonly depth: number;
  /** What a start may find, one list for each moment that leaves this disk. */
  readonly allowed: Map<string, readonly Found[]>;
  /** Undefined once it has been started from. */
  disk: FakeDisk | undefined;
  found: Found | undefined;
}

const lost = () => "lost" as const;

export class Explorer {
  readonly counts: Counts = { crashes: 0, disks: 0, states: 0, afterSecondCrash: 0 };
  readonly #workload: Workload;
  readonly #limits: Limits;
  readonly #states = new Map<string, State>();

  constructor(workload: Workload, limits: Limits) {
    this.#workload = workload;
    this.#limits = limits;
  }

  /** Throws with the crashes that led there, what was found, and what should have been. */
  async explore(blank: FakeDisk, history: History): Promise<Counts> {
    const prepared = (await this.#workload.prepare?.(blank, history)) ?? blank;
    const crash = (origin: string): void => {
      const { allowed } = history;
      const lists = new Map([[allowed.join("|"), allowed]]);
      this.#cutPower(disk, origin, 1, lists);
      if (disk.unsynced.length > 0) this.#killProcess(disk, origin, lists);
    };
    const disk: FakeDisk = prepared.killed({
      watch: ({ number, kind, path }) => crash(`before call ${number}, ${kind} ${path}`),
    });
    await this.#workload.run(disk, history);
    crash("at the end");
    // The map grows while it is walked through: what crashes of starts leave comes last.
    for (const state of this.#states.values()) await this.#start(state);
    return this.counts;
  }

  #cutPower(disk: FakeDisk, origin: string, depth: number, allowed: State["allowed"]): void {
    this.counts.crashes++;
    const ways = depth === 1 ? this.#limits.run : this.#limits.start;
    for (const { what, choose } of choices(disk.unsynced, ways)) {
      const survivor = disk.survivor(choose, { watch: undefined });
      this.#left(digestOf(survivor), survivor, `${origin}: power cut, ${what}`, depth, allowed);
    }
  }

  #killProcess(disk: FakeDisk, origin: string, allowed: State["allowed"]): void {
    this.counts.crashes++;
    const digest = `not synced: ${digestOf(disk)} ${digestOf(disk.survivor(lost))}`;
    this.#left(digest, disk.fork({ watch: undefined }), `${origin}: process killed`, 1, allowed);
  }

  #left(digest: string, disk: FakeDisk, origin: string, depth: number, allowed: State["allowed"]): void {
    this.counts.disks++;
    let state = this.#states.get(digest);
    if (state === undefined) {
      state = { disk, origin, depth, allowed: new Map(), found: undefined };
      this.#states.set(digest, state);
      this.counts.states++;
      if (depth > 1) this.counts.afterSecondCrash++;
    }
    for (const [key, list] of allowed) {
      if (state.found !== undefined) this.#compare(state.found, list, origin);
      state.allowed.set(key, list);
    }
  }

  async #start(state: State): Promise<void> {
    const { origin, depth, allowed } = state;
    const found = state.disk as FakeDisk;
    state.disk = undefined;
    const wasKilled = found.unsynced.length > 0;
    const disk: FakeDisk = found.killed({
      watch: ({ number, kind, path }) => {
        if (depth >= this.#limits.depth || disk.unsynced.length === 0) return;
        this.#cutPower(disk, `${origin}; then before call ${number} of the start, ${kind} ${path}`, depth + 1, allowed);
      },
    });
    const member = await this.#open(disk, origin);
    state.found = member.found;
    for (const list of allowed.values()) this.#compare(member.found, list, origin);
    await this.#goOn(disk.survivor(lost, { watch: undefined }), member, `${origin}; started, power cut`);
    if (wasKilled) await this.#goOn(disk.fork({ watch: undefined }), member, `${origin}; started, process killed`);
  }

  /** What is written now must survive, together with what the start has found. */
  async #goOn(disk: FakeDisk, before: Member, origin: string): Promise<void> {
    const member = await this.#open(disk, origin);
    this.#compare(member.found, [before.found], origin);
    let expected = emptyLog;
    if (member.wal === undefined || member.recovered === undefined) {
      await createWal(disk, this.#workload.segmentBytes);
    } else {
      const { snapshot, position, recovered } = member;
      const state = hardState(9, 3, recovered.hardState?.commit ?? 0);
      const next = entry(position.index + recovered.entries.length + 1, 9, 50);
      await member.wal.save(state, [next], true);
      expected = textOf(snapshot, state, [...recovered.entries, next]);
    }
    const again = await this.#open(disk.survivor(lost), `${origin}, written to, power cut`);
    this.#compare(again.found, [expected], `${origin}, written to, power cut`);
  }

  async #open(disk: FakeDisk, origin: string): Promise<Member> {
    try {
      return await openMember(disk, this.#workload.segmentBytes);
    } catch (cause) {
      const reason = (cause as Error).message;
      throw new Error(`${this.#workload.name}: ${origin}: the start fails: ${reason}`, { cause });
    }
  }

  #compare(found: Found, allowed: readonly Found[], origin: string): void {
    if (allowed.includes(found)) return;
    const what = `found\n  ${found}\nwhere one of these was to be found:\n  ${allowed.join("\n  ")}`;
    throw new Error(`${this.#workload.name}: ${origin}: ${what}`);
  }
}

const digestOf = (disk: FakeDisk): string => {
  const hash = createHash("sha1");
  for (const directory of disk.directories()) hash.update(`${directory}\n`);
  for (const [path, bytes] of disk.files()) hash.update(`${path} ${bytes.length}\n`).update(bytes);
  return hash.digest("hex");
};
