// Looking at a log: its records one by one, the snapshots that it confirms, whether it could be opened.
//
// Promises: these functions lock, sync and change nothing, so they work on the log of a running member, and on a
// damaged one up to the damage. Memory does not grow with the size of the log, but for a few dozen bytes for each entry
// in verifyFrom. They find the same end of the log as opening it would, as long as no process writes meanwhile.
//
// Ports ValidSnapshotEntries and Verify of wal.go. Differs: Verify there decodes no entries and so finds no gap. Leaves
// out its second try when a segment vanishes between listing and opening: no process runs beside a start, and people
// can retry.

import type { FileSystem } from "../disk/file-system.ts";
import { decodeHardState } from "../raft/raftpb/index.ts";
import { Decoder } from "./decoder.ts";
import { type Refused, refusal } from "./errors.ts";
import { listSegments, type SegmentName, segmentsFrom } from "./names.ts";
import { decode, ReadAll, type StartAt } from "./read-all.ts";
import { decodeSnapshotRecord, RecordType, type WalRecord, type WalSnapshot } from "./record.ts";
import { judgeEnd } from "./repair.ts";

/** One find of readRecords. */
export type LogItem =
  | { readonly kind: "record"; readonly file: string; readonly offset: number; readonly record: WalRecord }
  /**
   * The last segment ends in `size` bytes that were never known to be durable: opening the log cuts them off. In a log
   * that is being written this may be a partly visible save.
   */
  | {
      readonly kind: "torn";
      readonly file: string;
      readonly offset: number;
      readonly reason: string;
      readonly size: number;
    }
  /**
   * Opening the log would refuse it; what follows is not read. `isForeign`: another program wrote it, and no bit is
   * wrong.
   */
  | ({ readonly kind: "damaged" } & Refused);

/**
 * The records in order: those of all segments, or of the ones needed to read on from the index `from`. Each record is
 * valid until the next is read. Throws WalError, FileSystemError; ENOENT if the member that has the log open has just
 * released a segment.
 */
export async function* readRecords(
  fileSystem: FileSystem,
  directory: string,
  from?: number,
): AsyncGenerator<LogItem, void, void> {
  const all = await listSegments(fileSystem, directory);
  const segments = segmentsFrom(all, from ?? (all[0] as SegmentName).firstIndex, directory);
  let chain: number | undefined;
  for (const segment of segments) {
    const path = `${directory}/${segment.name}`;
    const file = await fileSystem.open(path, "read");
    try {
      const decoder = new Decoder(file, await file.size(), chain);
      let step = await decoder.next();
      for (; step.kind === "record"; step = await decoder.next()) {
        yield { kind: "record", file: path, offset: step.offset, record: step.record };
      }
      const { offset, bad, used, damage, isForeign } = await judgeEnd(decoder, step, segment === segments.at(-1));
      if (damage !== undefined) yield { kind: "damaged", file: path, offset, reason: damage, isForeign };
      else if (bad !== undefined) yield { kind: "torn", file: path, offset, reason: bad.reason, size: used - offset };
      if (bad !== undefined) return;
      chain = decoder.chain;
    } finally {
      await file.close();
    }
  }
}

/**
 * The snapshots that a member may start at, if their files are sound: those that the log records and whose index was
 * committed, each once and the newest last, after the empty log's 0/0. A record whose index was not committed comes
 * from a crash before the hard state, and does not count. Changes nothing. Throws WalError, also for damage, and
 * FileSystemError.
 */
export async function validSnapshots(fileSystem: FileSystem, directory: string): Promise<WalSnapshot[]> {
  const recorded = new Map<number, WalSnapshot>([[0, { index: 0, term: 0, confState: undefined }]]);
  let commit = 0;
  for await (const item of readRecords(fileSystem, directory)) {
    if (item.kind === "damaged") throw refusal(item);
    if (item.kind === "torn") break;
    const { type, data } = item.record;
    if (type === RecordType.state) commit = decode(data, decodeHardState, item).commit;
    if (type !== RecordType.snapshot) continue;
    const snapshot = decode(data, decodeSnapshotRecord, item);
    recorded.set(snapshot.index, snapshot);
  }
  return [...recorded.values()].filter(({ index }) => index <= commit).sort((a, b) => a.index - b.index);
}

/** Resolves if the log could be opened at this snapshot; a torn tail is no obstacle. Throws as opening would. */
export async function verifyFrom(fileSystem: FileSystem, directory: string, startAt: StartAt): Promise<void> {
  const all = new ReadAll(startAt, "without data");
  for await (const item of readRecords(fileSystem, directory, startAt.index)) {
    if (item.kind === "damaged") throw refusal(item);
    if (item.kind === "record") all.add(item.record, item.file, item.offset);
  }
  all.finish(directory);
}
