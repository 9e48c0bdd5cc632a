// What members do to their disks, in small: each of these runs is cut at each of its calls.

import type { FileSystem } from "../../disk/index.ts";
import type { FakeDisk } from "../../sim/disk.ts";
import type { Workload } from "./explore.ts";
import { createWal, entry, type History, hardState, openMember, Recorder } from "./member.ts";

/** A member that has just been made. */
async function made(disk: FileSystem, history: History, segmentBytes: number): Promise<Recorder> {
  const { snapshots } = await openMember(disk, segmentBytes);
  history.creating();
  try {
    const wal = await createWal(disk, segmentBytes);
    history.acknowledge();
    return new Recorder(wal, snapshots, history);
  } catch (error) {
    await snapshots.close();
    throw error;
  }
}

/** A member that goes on where it was. */
async function started(disk: FileSystem, history: History, segmentBytes: number): Promise<Recorder> {
  const { wal, snapshots, found } = await openMember(disk, segmentBytes);
  if (wal === undefined) throw new Error("there is no log");
  history.started(found);
  return new Recorder(wal, snapshots, history);
}

const range = (lo: number, hi: number, term: number, size: number) =>
  Array.from({ length: hi - lo }, (_, i) => entry(lo + i, term, size + 7 * i));

export const append: Workload = {
  name: "append with segment cuts",
  segmentBytes: 4096,
  prepare: async (blank, history) => {
    await made(blank, history, 4096);
    return blank;
  },
  run: async (disk, history) => {
    const log = await started(disk, history, 4096);
    await log.save(hardState(1, 1, 0), range(1, 4, 1, 200), true);
    await log.save(hardState(1, 1, 2), [], false);
    await log.save(undefined, range(4, 7, 1, 333), false);
    await log.save(hardState(1, 1, 5), range(7, 9, 1, 700), true);
    await log.save(undefined, [entry(9, 1, 1500)], false); // cuts
    await log.save(hardState(1, 1, 8), [entry(10, 1, 40)], false);
    await log.save(undefined, [entry(11, 1, 600)], false);
    await log.save(hardState(2, 0, 10), [], true);
    await log.save(hardState(2, 2, 11), range(12, 14, 2, 1900), true); // cuts
    await log.save(undefined, range(14, 20, 2, 100), false);
    await log.wal.close();
    history.acknowledge();
  },
};

const batches: Workload = {
  name: "batches larger than a page",
  segmentBytes: 16384,
  prepare: async (blank, history) => {
    await made(blank, history, 16384);
    return blank;
  },
  run: async (disk, history) => {
    const log = await started(disk, history, 16384);
    await log.save(hardState(1, 1, 0), range(1, 9, 1, 600), true);
    await log.save(hardState(1, 1, 5), range(9, 12, 1, 1200), false);
    await log.save(hardState(1, 1, 8), range(12, 15, 1, 900), true);
    await log.save(hardState(1, 1, 11), [entry(15, 1, 6000)], true); // cuts
    await log.save(hardState(1, 1, 14), [entry(16, 1, 4200)], true);
  },
};

const overwrite: Workload = {
  name: "overwrite of a suffix",
  segmentBytes: 2048,
  prepare: async (blank, history) => {
    const log = await made(blank, history, 2048);
    await log.save(hardState(1, 1, 2), range(1, 7, 1, 120), true);
    return blank;
  },
  run: async (disk, history) => {
    const log = await started(disk, history, 2048);
    await log.save(hardState(2, 2, 2), range(4, 6, 2, 150), true);
    await log.save(undefined, range(6, 8, 2, 300), false);
    await log.save(hardState(3, 1, 3), range(5, 8, 3, 130), false); // cuts
    await log.save(hardState(3, 1, 4), range(8, 10, 3, 520), true);
    await log.save(hardState(4, 3, 4), range(9, 10, 4, 60), true);
    await log.save(hardState(4, 3, 9), range(10, 13, 4, 400), true); // cuts
    await log.save(hardState(5, 0, 9), range(10, 11, 5, 30), true);
  },
};

export const snapshots: Workload = {
  name: "snapshot, release and purge",
  segmentBytes: 1024,
  prepare: async (blank, history) => {
    const log = await made(blank, history, 1024);
    await log.save(hardState(1, 1, 4), range(1, 6, 1, 150), true);
    return blank;
  },
  run: async (disk, history) => {
    const log = await started(disk, history, 1024);
    await log.saveSnapshot(3, 1);
    await log.save(hardState(1, 1, 6), range(6, 9, 1, 250), true);
    // The file of a snapshot is written beside the loop.
    const saved = log.saveFile(6, 1);
    void saved.catch(() => undefined); // it is awaited below, unless the log fails first
    await log.save(hardState(1, 1, 7), range(9, 11, 1, 300), true);
    await log.save(undefined, range(11, 12, 1, 100), false);
    await saved;
    await log.recordSnapshot(6, 1);
    await log.wal.release(6);
    await log.snapshots.release(6);
    await log.save(hardState(1, 1, 11), range(12, 15, 1, 310), true);
    await log.saveSnapshot(11, 1);
    await log.save(undefined, [entry(15, 1, 40)], true);
    await log.snapshots.release(11);
    await log.wal.release(11);
  },
};

const sent: Workload = {
  name: "a snapshot from the leader replaces the log",
  segmentBytes: 2048,
  prepare: async (blank, history) => {
    const log = await made(blank, history, 2048);
    await log.save(hardState(1, 1, 4), range(1, 8, 1, 150), true);
    return blank;
  },
  run: async (disk, history) => {
    const log = await started(disk, history, 2048);
    await log.saveSnapshot(20, 3);
    await log.save(hardState(3, 0, 21), range(21, 24, 3, 200), true);
    await log.wal.release(20);
    await log.snapshots.release(20);
    await log.save(hardState(4, 2, 22), range(23, 25, 4, 100), false);
    // One within the log, of another term than its entry there.
    await log.saveSnapshot(24, 5);
    await log.save(hardState(5, 0, 24), [], true);
    await log.save(hardState(5, 0, 25), range(25, 28, 5, 330), true);
    await log.wal.release(24);
  },
};

export const create: Workload = {
  name: "create",
  segmentBytes: 2048,
  run: async (disk, history) => {
    const log = await made(disk, history, 2048);
    await log.save(hardState(1, 1, 0), [entry(1, 1, 900)], true);
  },
};

const createAgain: Workload = {
  name: "create after a crash in create",
  segmentBytes: 2048,
  prepare: async (blank) => {
    const aside = new Promise<FakeDisk>((resolve) => {
      const disk: FakeDisk = blank.killed({
        watch: ({ kind }) => {
          if (kind === "rename") resolve(disk.survivor(() => "kept", { watch: undefined }));
        },
      });
      void createWal(disk, 1024);
    });
    return aside;
  },
  run: create.run,
};

const repair: Workload = {
  name: "repair",
  segmentBytes: 4096,
  prepare: async (blank, history) => {
    const log = await made(blank, history, 4096);
    await log.save(hardState(1, 1, 0), range(1, 3, 1, 300), true);
    await log.save(hardState(1, 1, 1), range(3, 5, 1, 500), false);
    await log.save(hardState(1, 1, 2), range(5, 7, 1, 400), false);
    return blank.survivor((change, sector) => (change.kind === "write" && sector === 3 ? "garbage" : "kept"));
  },
  run: async (disk, history) => {
    const log = await started(disk, history, 4096);
    await log.save(hardState(2, 1, 2), range(4, 6, 2, 350), true);
    await log.save(hardState(2, 1, 4), range(6, 9, 2, 250), false);
  },
};

const closed: Workload = {
  name: "a log that was closed goes on",
  segmentBytes: 1024,
  prepare: async (blank, history) => {
    const log = await made(blank, history, 1024);
    await log.save(hardState(1, 1, 0), [entry(1, 1, 300)], true);
    await log.wal.close();
    await log.snapshots.close();
    return blank.killed();
  },
  run: async (disk, history) => {
    const log = await started(disk, history, 1024);
    await log.save(hardState(1, 1, 1), [entry(2, 1, 30)], false);
    await log.save(undefined, [entry(3, 1, 40)], true);
  },
};

const vote: Workload = {
  name: "a vote was the last that was saved",
  segmentBytes: 1024,
  prepare: async (blank, history) => {
    const log = await made(blank, history, 1024);
    await log.save(hardState(2, 0, 0), [entry(1, 1, 300)], true);
    await log.save(hardState(2, 3, 0), [], true);
    return blank.killed();
  },
  run: async (disk, history) => {
    await started(disk, history, 1024);
  },
};

/** What opening writes in place: the last record of a log, torn in every way. */
export const reopenings: readonly Workload[] = [closed, vote];

export const workloads: readonly Workload[] = [
  append,
  batches,
  overwrite,
  snapshots,
  sent,
  create,
  createAgain,
  repair,
];
