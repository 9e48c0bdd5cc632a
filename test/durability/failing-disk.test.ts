// A disk that fails: every call of a workload fails once, in every way; the workload ends with an error that tells, the
// log takes no more, and once the disk is well the next start finds what was acknowledged, whether the machine has lost
// its power in between or not.

import { afterAll, describe, expect, test } from "vitest";
import { type DiskCall, drawn, type Failure, FakeDisk } from "../../sim/disk.ts";
import { SnapError } from "../../snap/index.ts";
import { WalError } from "../../wal/index.ts";
import { randomFrom } from "./choices.ts";
import type { Workload } from "./explore.ts";
import { entry, History, openMember } from "./member.ts";
import { workloads } from "./workloads.ts";

const failures = { EIO: "input/output error", ENOSPC: "no space left", SHORT_WRITE: "only half|no space left" };

interface Failed {
  readonly disk: FakeDisk;
  readonly history: History;
  readonly call: DiskCall;
  readonly error: unknown;
}

/** Runs it with its `nth` call failing; undefined if it has fewer. */
async function failing(workload: Workload, nth: number, failure: Failure): Promise<Failed | undefined> {
  const history = new History();
  const blank = new FakeDisk({ random: () => 0 });
  const disk = ((await workload.prepare?.(blank, history)) ?? blank).killed();
  history.log = undefined; // what has prepared the disk is gone
  const number = disk.calls + nth;
  let call: DiskCall | undefined;
  disk.failNext((one) => {
    if (one.number === number) call = one;
    return call === one;
  }, failure);
  const error: unknown = await workload.run(disk, history).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return call === undefined ? undefined : { disk, history, call, error };
}

/** The error tells what failed, of which file, and what to do. */
function checkError({ error, call }: Failed, failure: Failure): void {
  expect(error).toBeInstanceOf(Error);
  const { message } = error as Error;
  expect(message).toMatch(new RegExp(failures[failure]));
  expect(message).toContain(call.path);
  expect(message).toMatch(/mend|make room/i);
}

/** After a failed write or sync the log does nothing more, and says so every time. */
async function checkStopped({ disk, history, error }: Failed): Promise<void> {
  const { log } = history;
  if (log === undefined) return;
  if (error instanceof WalError) {
    const before = disk.calls;
    await expect(log.wal.save(undefined, [entry(1, 9, 10)], true)).rejects.toMatchObject({ code: /FAILED|CLOSED/ });
    expect(disk.calls).toBe(before);
    await log.wal.close().catch((reason: unknown) => expect(reason).toBe(error));
  } else {
    expect(error).toBeInstanceOf(SnapError); // a snapshot was not saved or not released: the log goes on
    await log.wal.close();
  }
  await log.snapshots.close();
}

async function checkStarts(disk: FakeDisk, { history, call }: Failed, segmentBytes: number): Promise<void> {
  const member = await openMember(disk, segmentBytes);
  expect(history.allowed, `${call.kind} ${call.path} failed`).toContain(member.found);
  await member.wal?.close();
  await member.snapshots.close();
  expect(disk.openFiles).toBe(0);
}

describe("a disk that fails any call once", () => {
  let tried = 0;

  for (const workload of workloads) {
    test(`stops the log with an error that tells what to do, and nothing is lost: ${workload.name}`, async () => {
      const { segmentBytes } = workload;
      for (const failure of Object.keys(failures) as Failure[]) {
        for (let nth = 1; ; nth++) {
          const failed = await failing(workload, nth, failure);
          if (failed === undefined) break;
          tried++;
          const { disk, call } = failed;
          checkError(failed, failure);
          const survivors = [() => "lost" as const, drawn(randomFrom(tried)), drawn(randomFrom(-tried))];
          for (const choose of survivors) await checkStarts(disk.survivor(choose), failed, segmentBytes);
          await checkStarts(disk.fork(), failed, segmentBytes);
          await checkStopped(failed);
          // A file whose close failed is gone for the system, too, and not for the fake disk.
          if (call.kind !== "close") expect(disk.openFiles, `${call.kind} ${call.path}`).toBe(0);
          await checkStarts(disk.fork(), failed, segmentBytes);
        }
      }
    });
  }

  afterAll(() => console.log(`failing disk: ${tried} calls failed`));
});
