// A start that makes anew a directory in which nothing was ever saved: a power cut, the death of the process, and a
// failure, at each of its calls to the disk. Each leaves a directory in which nothing was saved, of the old identity or
// the new; the next start has the new one, and its saves stay.

import { describe, expect, test } from "vitest";
import type { FileSystem } from "../../disk/index.ts";
import { makeLog, openDataDirectory } from "../../member/data-directory.ts";
import { type Failure, FakeDisk } from "../../sim/disk.ts";
import { Random } from "../../sim/random.ts";
import { choices } from "./choices.ts";

const old = { nodeId: 1, clusterId: 7, incarnation: 5 };
const asked = { nodeId: 2, clusterId: 8, incarnation: 6 };
/** What the directory is made anew as: the incarnation stays. */
const anew = { ...asked, incarnation: old.incarnation };

const where = (fileSystem: FileSystem, id: number, seed = 1) => {
  const salts = new Random(seed);
  return { fileSystem, path: "/data", id, segmentBytes: 2048, random: (n: number) => salts.below(n) };
};

/** A directory as a start leaves it that ended before it saved anything. */
async function begin(disk: FakeDisk, wasClosed: boolean): Promise<void> {
  const { snapshots } = await openDataDirectory(where(disk, old.nodeId));
  const { wal } = await makeLog(where(disk, old.nodeId), old, undefined);
  if (!wasClosed) return;
  await wal.close();
  await snapshots.close();
}

async function startAsked(fileSystem: FileSystem): Promise<void> {
  const options = where(fileSystem, asked.nodeId, 2);
  const { snapshots, log, begun } = await openDataDirectory(options);
  try {
    if (log !== undefined) throw new Error("something was saved, it seems");
    await (await makeLog(options, asked, begun)).wal.close();
  } finally {
    await snapshots.close();
  }
}

/** Whose directory a start finds, in which nothing was saved. */
async function look(disk: FakeDisk): Promise<object | undefined> {
  const { snapshots, log, begun } = await openDataDirectory(where(disk, asked.nodeId));
  await snapshots.close();
  if (log !== undefined) throw new Error("something was saved, it seems");
  if (begun === undefined) return undefined;
  const { nodeId, clusterId, incarnation } = begun;
  return { nodeId, clusterId, incarnation };
}

const lost = () => "lost" as const;

/** It starts with the new identity, and what it saves outlives a power cut. */
async function goesOn(disk: FakeDisk): Promise<void> {
  const options = where(disk, asked.nodeId, 3);
  const first = await openDataDirectory(options);
  const made = await makeLog(options, asked, first.begun);
  await made.wal.save({ term: 3, vote: 2, commit: 0 }, [], true);
  const { log, begun } = await openDataDirectory(where(disk.survivor(lost), asked.nodeId));
  expect(begun).toBeUndefined();
  expect(log).toMatchObject({ clusterId: 8, recovered: { hardState: { term: 3, vote: 2 } } });
}

describe("a start that makes a directory anew", () => {
  for (const wasClosed of [true, false]) {
    const how = wasClosed ? "closed" : "left by a killed process";
    test(`leaves the old log or the new one when a crash ends it at any call: ${how}`, async () => {
      const seen = new Map<string, number>();
      const visited = new Set<string>();
      const left: { disk: FakeDisk; origin: string; depth: number }[] = [];
      const run = async (found: FakeDisk, before: string, depth: number): Promise<void> => {
        const crash = (origin: string): void => {
          for (const { what, choose } of choices(disk.unsynced, { few: 6, tears: true, draws: 8 })) {
            left.push({
              disk: disk.survivor(choose, { watch: undefined }),
              origin: `${origin}: power cut, ${what}`,
              depth,
            });
          }
          left.push({ disk: disk.fork({ watch: undefined }), origin: `${origin}: process killed`, depth });
        };
        const disk: FakeDisk = found.killed({
          watch: ({ number, kind, path }) => crash(`${before}before call ${number}, ${kind} ${path}`),
        });
        await startAsked(disk);
        crash(`${before}at the end`);
      };
      const blank = new FakeDisk({ random: () => 0 });
      await begin(blank, wasClosed);
      // Only what a power cut spares.
      await run(blank.survivor(lost), "", 1);
      for (const { disk, origin, depth } of left) {
        const digest = JSON.stringify([
          [...disk.files()].map(([name, bytes]) => [name, Buffer.from(bytes).toString("base64")]),
          disk.directories(),
          disk.unsynced.length,
        ]);
        if (visited.has(digest)) continue;
        visited.add(digest);
        try {
          const found = await look(disk.fork());
          expect([old, anew]).toContainEqual(found);
          seen.set(JSON.stringify(found), (seen.get(JSON.stringify(found)) ?? 0) + 1);
          if (depth < 2) await run(disk.fork(), `${origin}; again, `, depth + 1);
          await goesOn(disk);
        } catch (cause) {
          throw new Error(`${origin}: ${(cause as Error).message}`, { cause });
        }
      }
      expect([...seen.keys()].sort()).toEqual([JSON.stringify(old), JSON.stringify(anew)].sort());
      expect(await look(blank.survivor(lost))).toEqual(old);
    }, 120_000);
  }

  test("leaves the old log or the new one when any call fails, and the next start has the new one", async () => {
    for (const failure of ["EIO", "ENOSPC", "SHORT_WRITE"] satisfies Failure[]) {
      for (let number = 1; ; number++) {
        const disk = new FakeDisk({ random: () => 0 });
        await begin(disk, true);
        const first = disk.calls;
        disk.failNext((call) => call.number === first + number, failure);
        const error = await startAsked(disk).catch((caught: Error) => caught);
        if (disk.calls < first + number) break;
        // Closing fails as well, behind a log that is made.
        if (error !== undefined) expect(error).toBeInstanceOf(Error);
        const survivor = disk.powerCut();
        expect([old, anew]).toContainEqual(await look(survivor.fork()));
        await goesOn(survivor);
      }
    }
  }, 120_000);
});
