// A sync that fails, and a machine that goes on. The system has then forgotten which pages it still had to write: every reader sees them, a
// later sync reports success without them, and a power cut takes them. So what a start finds after that is worth nothing until it has
// been written anew.
//
// Each sync of each workload fails in turn. The process ends and is started again on the same machine; what this second life finds, and what
// it writes then, it counts on: a power cut takes none of it. The same if another sync fails while it starts, and a third life follows.
// And the same if the system drops those pages when the start has read the log, and is about to read some of it again: what it
// returns is what the disk has got by then, or it refuses.

import { afterAll, describe, expect, test } from "vitest";
import { type Choice, type DiskCall, drawn, FakeDisk } from "../../sim/disk.ts";
import { randomFrom } from "./choices.ts";
import type { Workload } from "./explore.ts";
import {
  createWal,
  emptyLog,
  entry,
  type Found,
  History,
  hardState,
  type Member,
  openMember,
  textOf,
} from "./member.ts";
import { workloads } from "./workloads.ts";

const isSync = ({ kind }: DiskCall): boolean => kind === "datasync" || kind === "syncDirectory";

/** Makes the `nth` sync from now on fail. Returns that call, once it has been made. */
function failSync(disk: FakeDisk, nth: number): () => DiskCall | undefined {
  let syncs = 0;
  let failed: DiskCall | undefined;
  disk.failNext((call) => {
    if (isSync(call) && ++syncs === nth) failed = call;
    return call === failed;
  }, "EIO");
  return () => failed;
}

/** What its first life leaves, if its `nth` sync fails; undefined if it has fewer. */
async function failing(workload: Workload, nth: number) {
  const history = new History();
  const blank = new FakeDisk({ random: () => 0 });
  const disk = ((await workload.prepare?.(blank, history)) ?? blank).killed();
  const failed = failSync(disk, nth);
  const error: unknown = await workload.run(disk, history).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  const call = failed();
  if (call === undefined) return undefined;
  expect(error).toBeInstanceOf(Error);
  return { disk: disk.killed(), history, what: `sync ${nth}, of ${call.path}, failed` };
}

const lost: Choice = () => "lost";

/**
 * The same disk, whose `nth` read from now on that is the second, or a later one, of a file since its sync finds the file as the disk has
 * it. Tells whether there has been one.
 */
function forgetting(found: FakeDisk, nth: number, choose: Choice): { disk: FakeDisk; happened: () => boolean } {
  const once = new Map<string, boolean>();
  let reads = 0;
  const disk: FakeDisk = found.fork({
    watch: ({ kind, path }) => {
      if (kind === "datasync") once.set(path, false);
      if (kind !== "read" || !once.has(path)) return;
      if (once.get(path) && ++reads === nth) disk.forget(path, choose);
      once.set(path, true);
    },
  });
  return { disk, happened: () => reads >= nth };
}

describe("what a start has found on a machine that goes on after a failed sync", () => {
  const counts = { syncs: 0, starts: 0, cuts: 0, refused: 0 };

  /** A power cut takes nothing of it. */
  async function survives(disk: FakeDisk, found: Found, segmentBytes: number, what: string): Promise<void> {
    const draws = [1, 2].map((n) => drawn(randomFrom(++counts.cuts * 10 + n)));
    for (const choose of [lost, ...draws]) {
      const member = await openMember(disk.survivor(choose), segmentBytes).catch((cause: unknown) => {
        throw new Error(`${what}; power cut: the start fails: ${(cause as Error).message}`, { cause });
      });
      expect(member.found, `${what}; power cut`).toBe(found);
    }
  }

  /** Writes what comes next, and returns what is there then. */
  async function goOn(
    disk: FakeDisk,
    { wal, recovered, snapshot, position }: Member,
    segmentBytes: number,
  ): Promise<Found> {
    if (wal === undefined || recovered === undefined) {
      await createWal(disk, segmentBytes);
      return emptyLog;
    }
    const state = hardState(9, 3, recovered.hardState?.commit ?? 0);
    const next = entry(position.index + recovered.entries.length + 1, 9, 50);
    await wal.save(state, [next], true);
    return textOf(snapshot, state, [...recovered.entries, next]);
  }

  /** Starts on the disk, and cuts the power at once, after the next write, and after a close. */
  async function startsAndCounts(disk: FakeDisk, history: History, segmentBytes: number, what: string): Promise<void> {
    counts.starts++;
    const member = await openMember(disk, segmentBytes);
    expect(history.allowed, what).toContain(member.found);
    await survives(disk, member.found, segmentBytes, `${what}; started`);
    const idle = disk.fork();
    await (await openMember(idle, segmentBytes)).wal?.close();
    await survives(idle, member.found, segmentBytes, `${what}; started, killed, started, closed`);
    const written = await goOn(disk, member, segmentBytes);
    await survives(disk, written, segmentBytes, `${what}; started, written to`);
    await member.wal?.close();
    await survives(disk, written, segmentBytes, `${what}; started, written to, closed`);
  }

  /** Starts while the system drops what a failed sync left, before each second reading in turn. A start may refuse; the next one does not. */
  async function startsForgetting(found: FakeDisk, history: History, segmentBytes: number, what: string) {
    for (let nth = 1; ; nth++) {
      for (const choose of [lost, drawn(randomFrom(nth))]) {
        const { disk, happened } = forgetting(found, nth, choose);
        const then = `${what}; pages dropped before second reading ${nth} of the start`;
        const member = await openMember(disk, segmentBytes).catch((reason: unknown) => {
          expect(reason, then).toMatchObject({ code: "OTHER_BYTES" });
          counts.refused++;
        });
        if (!happened()) return;
        if (member !== undefined) {
          expect(history.allowed, then).toContain(member.found);
          await survives(disk, member.found, segmentBytes, then);
          await survives(disk, await goOn(disk, member, segmentBytes), segmentBytes, `${then}; written to`);
        } else await startsAndCounts(disk.killed({ watch: undefined }), history, segmentBytes, then);
      }
    }
  }

  for (const workload of workloads) {
    test(`survives a power cut, and so does what it writes: ${workload.name}`, { timeout: 120_000 }, async () => {
      const { segmentBytes } = workload;
      for (let nth = 1; ; nth++) {
        const failed = await failing(workload, nth);
        if (failed === undefined) break;
        counts.syncs++;
        const { disk, history, what } = failed;
        await startsAndCounts(disk.fork(), history, segmentBytes, what);
        await startsForgetting(disk, history, segmentBytes, what);
        for (let second = 1; ; second++) {
          const again = disk.fork();
          const call = failSync(again, second);
          await openMember(again, segmentBytes).catch((reason: unknown) => expect(reason).toBeInstanceOf(Error));
          if (call() === undefined) break;
          const then = `${what}; sync ${second} of the start failed, of ${call()?.path}`;
          await startsAndCounts(again.killed(), history, segmentBytes, then);
        }
      }
    });
  }

  test("survives if the sync of a close failed", async () => {
    const segmentBytes = 4096;
    for (const nth of [1, 2]) {
      const disk = new FakeDisk({ random: () => 0 });
      const wal = await createWal(disk, segmentBytes);
      await wal.save(hardState(1, 1, 0), [entry(1, 1, 100)], true);
      await wal.save(hardState(1, 1, 1), [entry(2, 1, 100)], false);
      const call = failSync(disk, nth);
      await expect(wal.close()).rejects.toMatchObject({ code: "FAILED" });
      expect(call()?.kind).toBe("datasync");
      const member = await openMember(disk.fork(), segmentBytes);
      const history = new History();
      history.creating();
      history.saving(hardState(1, 1, 0), [entry(1, 1, 100)]);
      history.saving(hardState(1, 1, 1), [entry(2, 1, 100)]);
      expect(history.allowed).toContain(member.found);
      await startsForgetting(disk, history, segmentBytes, `sync ${nth} of the close failed`);
      await startsAndCounts(disk.killed(), history, segmentBytes, `sync ${nth} of the close failed`);
    }
  });

  afterAll(() => {
    expect(counts.starts).toBeGreaterThan(counts.syncs);
    expect(counts.refused).toBeGreaterThan(0);
    const { syncs, starts, refused } = counts;
    console.log(
      `failed syncs: ${syncs}, and ${starts} starts on the same machine after them; ${refused} found other bytes`,
    );
  });
});
