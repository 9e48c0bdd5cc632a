// Crashes at every call to the disk, in every way that a power cut knows: explore.ts tells how, workloads.ts what runs.
//
// READYLOOP_EXPLORE=full looks at more: larger subsets of unsynced changes, more draws, torn writes of the starts.

import { afterAll, describe, expect, test } from "vitest";
import type { FileSystem } from "../../disk/index.ts";
import { FakeDisk } from "../../sim/disk.ts";
import { type Counts, Explorer, type Limits, type Workload } from "./explore.ts";
import { History } from "./member.ts";
import { append, create, reopenings, snapshots, workloads } from "./workloads.ts";

const isFull = process.env.READYLOOP_EXPLORE === "full";
const limits: Limits = isFull
  ? { run: { few: 9, tears: true, draws: 100 }, start: { few: 6, tears: true, draws: 0 }, depth: 2 }
  : { run: { few: 6, tears: true, draws: 24 }, start: { few: 4, tears: false, draws: 0 }, depth: 2 };

const explore = (workload: Workload, within = limits): Promise<Counts> =>
  new Explorer(workload, within).explore(new FakeDisk({ random: () => 0 }), new History());

/** Runs it on a disk that spares itself some of the work. */
const cheated = (workload: Workload, cheat: (disk: FileSystem) => Partial<FileSystem>): Workload => ({
  ...workload,
  run: (disk, history) => {
    const fileSystem: FileSystem = {
      open: (path, mode) => disk.open(path, mode),
      rename: (from, to) => disk.rename(from, to),
      unlink: (path) => disk.unlink(path),
      list: (directory) => disk.list(directory),
      makeDirectory: (directory) => disk.makeDirectory(directory),
      syncDirectory: (directory) => disk.syncDirectory(directory),
      lock: (directory) => disk.lock(directory),
      ...cheat(disk),
    };
    return workload.run(fileSystem, history);
  },
});

describe("a member that a crash ends at any call to the disk", () => {
  const all: Counts = { crashes: 0, disks: 0, states: 0, afterSecondCrash: 0 };
  const timeout = isFull ? 3_600_000 : 300_000;

  for (const workload of workloads) {
    test(`finds what it has acknowledged, and of the rest a prefix: ${workload.name}`, { timeout }, async () => {
      const counts = await explore(workload);
      for (const key of Object.keys(all) as (keyof Counts)[]) all[key] += counts[key];
    });
  }

  for (const workload of reopenings) {
    test(`finds it also if starts tear what they write: ${workload.name}`, { timeout }, async () => {
      const counts = await explore(workload, { ...limits, start: { few: 4, tears: true, draws: 4 } });
      expect(counts.afterSecondCrash).toBeGreaterThan(0);
      for (const key of Object.keys(all) as (keyof Counts)[]) all[key] += counts[key];
    });
  }

  test("was started from at least 5,000 different disks", () => {
    expect(all.states).toBeGreaterThanOrEqual(5000);
  });

  afterAll(() => {
    const { crashes, disks, states, afterSecondCrash } = all;
    console.log(
      `crash exploration: ${crashes} crashes left ${disks} disks, ${states} of them different (${afterSecondCrash} after a second crash)`,
    );
  });
});

describe("the exploration finds", () => {
  test("writes that are acknowledged and not synced", async () => {
    const unsynced = cheated(append, (disk) => ({
      open: async (path, mode) => ({ ...(await disk.open(path, mode)), datasync: () => Promise.resolve() }),
    }));
    await expect(explore(unsynced)).rejects.toThrow(/append with segment cuts: before call \d+, .*power cut/);
  });

  test("names that are not synced", async () => {
    const unsynced = (workload: Workload): Workload =>
      cheated(workload, () => ({ syncDirectory: () => Promise.resolve() }));
    await expect(explore(unsynced(append))).rejects.toThrow(/power cut.*(lost|kept)/);
    await expect(explore(unsynced(create))).rejects.toThrow("found\n  nothing\n");
    await expect(explore(unsynced(snapshots))).rejects.toThrow(/power cut.*(lost|kept)/);
  });

  test("a write that is made twice, one that is not made, and bytes other than were asked for", async () => {
    const other = (spoil: (bytes: Uint8Array) => Uint8Array): Workload =>
      cheated(append, (disk) => ({
        open: async (path, mode) => {
          const file = await disk.open(path, mode);
          return { ...file, writeAt: (bytes, offset) => file.writeAt(spoil(bytes), offset) };
        },
      }));
    await expect(explore(other((bytes) => bytes.subarray(0, 0)))).rejects.toThrow(/start fails|found/);
    await expect(explore(other((bytes) => bytes.map((byte, i) => (i === 40 ? byte ^ 1 : byte))))).rejects.toThrow(
      /start fails|found/,
    );
  });
});
