// A power cut, and the death of the process, at each call to the disk of snapshot restore and of recover; and each call
// failing. Whatever is left: the old member is there as it was, or the new one is and is whole, or a start says that
// the work was cut short. Then the command is run again, which is cut off at each of its own calls as well, and at last
// the new member is there; of recover also the old one, put aside.

import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { restoreMember } from "../../cli/snapshot-restore.ts";
import type { FileSystem } from "../../disk/index.ts";
import { encodePut } from "../../kvstore/command.ts";
import { KvMap } from "../../kvstore/map.ts";
import { openDataDirectory } from "../../member/data-directory.ts";
import { recoverDirectory } from "../../member/recover-directory.ts";
import { checkSnapshotFile, writeSnapshotFile } from "../../member/snapshot-file.ts";
import { type Entry, makeConfState, makeEntry } from "../../raft/index.ts";
import { encodeEnvelope } from "../../server/envelope.ts";
import { encodeSnapshotHeader, splitSnapshot } from "../../server/snapshot-header.ts";
import { type DiskCall, drawn, type Failure, FakeDisk } from "../../sim/disk.ts";
import { Random } from "../../sim/random.ts";
import { Snapshotter } from "../../snap/index.ts";
import { encodeMetadata, Wal } from "../../wal/index.ts";
import { choices, randomFrom } from "./choices.ts";
import { hardState, snap, textOf, walFile } from "./member.ts";

const segmentBytes = 4096;
const oldCluster = 77;

/** The same ones in every run. */
const salts = (seed: number): ((n: number) => number) => {
  const random = new Random(seed);
  return (n) => random.below(n);
};

/** The member as a start finds it: whose it is, where it starts, what its map holds then. Or why it does not start. */
type Outcome = string;

const nothing: Outcome = "nothing";
const cutShort: Outcome = "cut short; run it again";

async function look(fileSystem: FileSystem, id: number): Promise<Outcome> {
  if (((await fileSystem.list("/data")) ?? []).length === 0) return nothing;
  const opened = await openDataDirectory({ fileSystem, path: "/data", id, segmentBytes }).catch((error: Error) => {
    if (/was cut short; run it again$/.test(error.message)) return undefined;
    throw error;
  });
  if (opened === undefined) return cutShort;
  const { log, snapshots } = opened;
  if (log?.recovered === undefined) throw new Error("a member without a log, or with an empty one");
  const { snapshot, entries, hardState: state } = log.recovered;
  const map = new KvMap();
  if (snapshot !== undefined) await map.restore((await splitSnapshot(snapshots.read(snapshot))).rest);
  await log.wal.close();
  await snapshots.close();
  const { index = 0, confState } = snapshot ?? {};
  return `cluster ${log.clusterId}, voters ${confState?.voters}, ${map.size} keys: ${textOf(`of ${index}`, state, entries)}`;
}

interface Work {
  readonly name: string;
  readonly id: number;
  prepare(): Promise<FakeDisk>;
  run(fileSystem: FileSystem): Promise<unknown>;
  /** What may be there besides the new member. */
  readonly before: (disk: FakeDisk) => Promise<readonly Outcome[]>;
  /** Looks at what has to be there beside the new member. */
  readonly after: (disk: FakeDisk) => Promise<void>;
}

async function* chunksOf(map: KvMap): AsyncGenerator<Uint8Array, void, void> {
  yield encodeSnapshotHeader({ members: [], removed: [] });
  yield* map.snapshot();
}

const command = (index: number): Uint8Array => encodePut(`k${index}`, new Uint8Array(300).fill(index));
const confState = makeConfState({ voters: [1, 2, 3] });
const urls = ["http://a:1", "http://b:1", "http://c:1"];

const restore: Work = {
  name: "snapshot restore",
  id: 2,
  prepare: async () => {
    const disk = new FakeDisk({ random: () => 0 });
    const map = new KvMap();
    map.apply([command(1), command(2)]);
    await disk.makeDirectory("/backups");
    await writeSnapshotFile(disk, "/backups/file", { index: 9, term: 3, confState }, chunksOf(map));
    return disk;
  },
  run: (fileSystem) => {
    const peers = urls.map((url, i) => ({ id: i + 1, url }));
    const flags = { file: "/backups/file", dataDir: "/data", id: 2, peers, token: "" };
    return restoreMember(flags, { fileSystem, incarnation: 5, segmentBytes, random: salts(1) });
  },
  before: async () => [nothing, cutShort],
  after: async () => undefined,
};

/** Member 2 of three: a snapshot at index 2, entries up to 5, of which it knew 4 to be committed. */
async function oldMember(): Promise<FakeDisk> {
  const disk = new FakeDisk({ random: () => 0 });
  const metadata = encodeMetadata({ nodeId: 2, clusterId: oldCluster, incarnation: 88 });
  const snapshots = await Snapshotter.open({ fileSystem: disk, directory: snap });
  const wal = await Wal.create({ fileSystem: disk, directory: walFile, metadata, segmentBytes, random: salts(3) });
  const entry = (index: number): Entry =>
    makeEntry(0, 3, index, encodeEnvelope({ member: 1, epoch: 1, counter: index }, command(index)));
  await wal.save(hardState(3, 1, 2), [entry(1), entry(2)], true);
  const map = new KvMap();
  map.apply([command(1), command(2)]);
  await snapshots.save({ index: 2, term: 3, confState }, chunksOf(map));
  await wal.saveSnapshot({ index: 2, term: 3, confState });
  await wal.save(hardState(4, 2, 4), [entry(3), entry(4), entry(5)], true);
  await wal.close();
  await snapshots.close();
  return disk;
}

const recover: Work = {
  name: "recover",
  id: 2,
  prepare: oldMember,
  run: (fileSystem) =>
    recoverDirectory({
      fileSystem,
      dataDir: "/data",
      peer: { id: 2, url: "http://b:1" },
      clusterId: 78,
      incarnation: 89,
      acceptLostTail: false,
      logger: {},
      isSure: () => Promise.resolve(true),
      segmentBytes,
      random: salts(2),
    }),
  before: async (disk) => [await look(disk.fork(), 2), cutShort],
  after: async (disk) => {
    const kept = (await disk.list("/data"))?.filter((name) => name !== "member");
    expect(kept).toEqual(["member.before-recovery"]);
    await disk.rename("/data/member", "/data/aside");
    await disk.rename("/data/member.before-recovery", "/data/member");
    expect(await look(disk, 2)).toContain(
      `cluster ${oldCluster}, voters 1,2,3, 2 keys: snapshot of 2; term 4, vote 2, commit 4; 3:3`,
    );
  },
};

interface State {
  readonly disk: FakeDisk;
  readonly origin: string;
  readonly depth: number;
}

const lost = () => "lost" as const;

/** Follows every crash of the work, and of the work that is done again after a crash. */
class Crashes {
  readonly states = new Map<string, State>();
  crashes = 0;
  /** How often each outcome was found. */
  readonly outcomes = new Map<Outcome, number>();
  readonly #work: Pick<Work, "run">;
  readonly #draws: number;

  constructor(work: Pick<Work, "run">, draws: number) {
    this.#work = work;
    this.#draws = draws;
  }

  /** Runs the work on the disk, with a crash before each of its calls. */
  async run(found: FakeDisk, origin: string, depth: number): Promise<FakeDisk> {
    const disk: FakeDisk = found.killed({
      watch: ({ number, kind, path }) => this.#crash(disk, `${origin}before call ${number}, ${kind} ${path}`, depth),
    });
    await this.#work.run(disk);
    this.#crash(disk, `${origin}at the end`, depth);
    return disk.killed({ watch: undefined });
  }

  #crash(disk: FakeDisk, origin: string, depth: number): void {
    const { unsynced } = disk;
    this.crashes++;
    for (const { what, choose } of choices(unsynced, { few: 4, tears: false, draws: 0 })) {
      this.#left(disk.survivor(choose, { watch: undefined }), `${origin}: power cut, ${what}`, depth);
    }
    for (let seed = 1; unsynced.length > 0 && seed <= this.#draws; seed++) {
      const choose = drawn(randomFrom(seed * 1_000_003 + disk.calls));
      this.#left(disk.survivor(choose, { watch: undefined }), `${origin}: power cut, drawn from seed ${seed}`, depth);
    }
    if (unsynced.length > 0) this.#left(disk.fork({ watch: undefined }), `${origin}: process killed`, depth);
  }

  #left(disk: FakeDisk, origin: string, depth: number): void {
    const digest = `${digestOf(disk)} ${disk.unsynced.length === 0 ? "" : digestOf(disk.survivor(lost))}`;
    if (!this.states.has(digest)) this.states.set(digest, { disk, origin, depth });
  }
}

const digestOf = (disk: FakeDisk): string => {
  const hash = createHash("sha1");
  for (const directory of disk.directories()) hash.update(`${directory}\n`);
  for (const [path, bytes] of disk.files()) hash.update(`${path} ${bytes.length}\n`).update(bytes);
  return hash.digest("hex");
};

async function explore(work: Work, depth: number): Promise<Crashes> {
  const prepared = await work.prepare();
  const before = await work.before(prepared);
  const crashes = new Crashes(work, 3);
  const whole = await crashes.run(prepared.fork(), "", 1);
  const after = await look(whole.fork(), work.id);
  expect(before).not.toContain(after);
  // The map grows while it is walked through.
  for (const state of crashes.states.values()) {
    try {
      const seen = state.disk.fork();
      const outcome = await look(seen, work.id);
      expect([...before, after]).toContain(outcome);
      crashes.outcomes.set(outcome, (crashes.outcomes.get(outcome) ?? 0) + 1);
      // What a start has found stays.
      if (outcome !== cutShort) expect(await look(seen.survivor(lost), work.id)).toBe(outcome);
      let done = state.disk.fork();
      if (outcome !== after) {
        if (state.depth < depth) done = await crashes.run(done, `${state.origin}; again, `, state.depth + 1);
        else await work.run(done);
        done = done.survivor(lost);
      }
      expect(await look(done, work.id)).toBe(after);
      await work.after(done.killed());
    } catch (cause) {
      throw new Error(`${work.name}: ${state.origin}: ${(cause as Error).message}`, { cause });
    }
  }
  return crashes;
}

describe("a crash at any call", () => {
  for (const work of [restore, recover]) {
    test(`of ${work.name} leaves what was there, or the whole new member, or the word to run it again`, async () => {
      const { crashes, states, outcomes } = await explore(work, 2);
      console.log(`${work.name}: ${crashes} crashes left ${states.size} different disks`, outcomes);
    }, 300_000);
  }
});

describe("the file of snapshot save", () => {
  const map = new KvMap();
  map.apply([command(1), command(2), command(3)]);
  const run = (disk: FileSystem): Promise<void> =>
    writeSnapshotFile(disk, "/backups/file", { index: 9, term: 3, confState }, chunksOf(map));
  const isThere = async (disk: FakeDisk): Promise<boolean> => {
    if (!(await disk.list("/backups"))?.includes("file")) return false;
    expect(await checkSnapshotFile(disk, "/backups/file")).toMatchObject({ keys: 3, metadata: { index: 9 } });
    return true;
  };
  const prepare = async (): Promise<FakeDisk> => {
    const disk = new FakeDisk({ random: () => 0 });
    await disk.makeDirectory("/backups");
    return disk;
  };

  test("is whole or not there, whatever crash ends it; then it can be saved again", async () => {
    const crashes = new Crashes({ run }, 20);
    const whole = await crashes.run(await prepare(), "", 1);
    expect(await isThere(whole.survivor(lost))).toBe(true);
    let there = 0;
    for (const { disk } of crashes.states.values()) {
      if (await isThere(disk)) there++;
      else {
        await run(disk);
        expect(await isThere(disk.survivor(lost))).toBe(true);
      }
    }
    expect(there).toBeGreaterThan(0);
    expect(there).toBeLessThan(crashes.states.size);
  });

  test("is whole or absent when a call fails, which is reported, and no other file is left", async () => {
    for (let nth = 1; ; nth++) {
      const disk = await prepare();
      const number = disk.calls + nth;
      let call: DiskCall | undefined;
      disk.failNext((one) => {
        if (one.number === number) call = one;
        return call === one;
      }, "ENOSPC");
      const error: unknown = await run(disk).catch((reason: unknown) => reason);
      if (call === undefined) break;
      expect(String(error)).toMatch(/no space left on device; make room/);
      await isThere(disk);
      expect((await disk.list("/backups"))?.filter((name) => name !== "file")).toEqual([]);
    }
  });
});

describe("the exploration finds", () => {
  const unsynced = (work: Work, at: (directory: string) => boolean): Work => ({
    ...work,
    run: (disk) =>
      work.run({
        open: (path, mode) => disk.open(path, mode),
        rename: (from, to) => disk.rename(from, to),
        unlink: (path) => disk.unlink(path),
        list: (directory) => disk.list(directory),
        makeDirectory: (directory) => disk.makeDirectory(directory),
        syncDirectory: (directory) => (at(directory) ? Promise.resolve() : disk.syncDirectory(directory)),
        lock: (directory) => disk.lock(directory),
      }),
  });

  test("two renames of which a power cut may keep the second alone", async () => {
    await expect(
      explore(
        unsynced(recover, (directory) => directory === "/data"),
        1,
      ),
    ).rejects.toThrow(/recover: .*power cut/);
  });

  test("files whose names are not synced before the directory gets its own", async () => {
    for (const work of [restore, recover]) {
      const spared = unsynced(work, (directory) => directory.startsWith("/data/member.new"));
      await expect(explore(spared, 1)).rejects.toThrow(/power cut/);
    }
  });
});

describe("a disk that fails any call once", () => {
  const failures = { EIO: "input/output error", ENOSPC: "no space left", SHORT_WRITE: "only half|no space left" };

  /** Runs it with its `nth` call failing; undefined if it has fewer. */
  async function failing(work: Work, found: FakeDisk, nth: number, failure: Failure) {
    const disk = found.fork();
    const number = disk.calls + nth;
    let call: DiskCall | undefined;
    disk.failNext((one) => {
      if (one.number === number) call = one;
      return call === one;
    }, failure);
    const error: unknown = await work.run(disk).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    return call === undefined ? undefined : { disk, call, error };
  }

  for (const work of [restore, recover]) {
    test(`ends ${work.name} with an error that tells, and it can be run again: no half member`, async () => {
      const prepared = await work.prepare();
      const before = await work.before(prepared);
      const whole = prepared.fork();
      await work.run(whole);
      const after = await look(whole.killed(), work.id);
      let tried = 0;
      for (const failure of Object.keys(failures) as Failure[]) {
        for (let nth = 1; ; nth++) {
          const failed = await failing(work, prepared, nth, failure);
          if (failed === undefined) break;
          tried++;
          const { disk, call, error } = failed;
          const where = `${failure} of ${call.kind} ${call.path}`;
          expect(error, where).toBeInstanceOf(Error);
          const { message } = error as Error;
          expect(message).toMatch(new RegExp(failures[failure]));
          expect(message).toContain(call.path);
          expect(message).toMatch(/mend|make room/i);
          for (const left of [disk.fork(), disk.survivor(lost), disk.survivor(drawn(randomFrom(tried)))]) {
            const outcome = await look(left.fork(), work.id);
            expect([...before, after], where).toContain(outcome);
            if (outcome === after) await look(left, work.id);
            else await work.run(left);
            expect(await look(left.survivor(lost), work.id), where).toBe(after);
          }
          if (call.kind !== "close") expect(disk.openFiles, where).toBe(0);
          // In the process that has met the error, too: all locks are let go.
          if ((await look(disk.fork(), work.id)) !== after) await work.run(disk);
        }
      }
      console.log(`${work.name}: ${tried} calls failed`);
    }, 300_000);
  }
});
