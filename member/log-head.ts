// Whose log lies in a data directory, and whether anything was ever saved in it. Changes nothing, takes no lock, reads a few records: it works
// beside the member that has the directory open.

import type { FileSystem } from "../disk/index.ts";
import { decodeHardState } from "../raft/raftpb/index.ts";
import {
  decodeMetadata,
  decodeSnapshotRecord,
  type Metadata,
  RecordType,
  readRecords,
  type WalRecord,
} from "../wal/index.ts";

export interface LogHead extends Required<Metadata> {
  /**
   * Whether it holds a snapshot, a hard state or an entry. A torn save that opening the log would cut off is none: it was acknowledged to
   * nobody.
   */
  readonly isSaved: boolean;
}

export const walOf = (dataDir: string): string => `${dataDir}/member/wal`;

/**
 * Undefined if there is no log. Throws an Error for a log that does not say whose it is, and for a directory that cannot be read. Of a log
 * that runs, what was just saved may be missing; whose it is never changes.
 */
export async function readMetadata(fileSystem: FileSystem, dataDir: string): Promise<LogHead | undefined> {
  const directory = walOf(dataDir);
  // Each directory on the way: an error names the path that is wrong.
  if (!(await fileSystem.list(dataDir))?.includes("member")) return undefined;
  if (!(await fileSystem.list(`${dataDir}/member`))?.includes("wal")) return undefined;
  const segments = ((await fileSystem.list(directory)) ?? []).filter((name) => name.endsWith(".wal"));
  if (segments.length === 0) return undefined;
  let metadata: Required<Metadata> | undefined;
  // A log goes on to a second segment only with what was saved in the first.
  let isSaved = segments.length > 1;
  for await (const item of readRecords(fileSystem, directory)) {
    // Opening a damaged log refuses it with the reason.
    if (item.kind !== "record") isSaved ||= item.kind === "damaged";
    else if (item.record.type === RecordType.metadata) metadata ??= decodeMetadata(item.record.data);
    else isSaved ||= saves(item.record);
    if (isSaved && metadata !== undefined) break;
  }
  if (metadata !== undefined) return { ...metadata, isSaved };
  throw new Error(`${directory}: the log does not say whose it is: readyloop wal verify tells what is wrong with it`);
}

/** Not the head of an empty log: its checksum, and the snapshot of index 0. Closing a log adds a hard state of zeros. */
function saves({ type, data }: WalRecord): boolean {
  if (type === RecordType.crc) return false;
  if (type === RecordType.snapshot) return decodeSnapshotRecord(data).index > 0;
  if (type !== RecordType.state) return true;
  const { term, vote, commit } = decodeHardState(data);
  return term > 0 || vote > 0 || commit > 0;
}
