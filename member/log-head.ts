// Reads which member and cluster the log in a data directory belongs to, and whether anything was ever saved in it. It changes nothing,
// takes no lock and reads few records, so that it works while a member has the directory open.

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
   * Whether it holds a snapshot, a hard state or an entry. A torn save does not count: it was never acknowledged, and opening the log cuts
   * it off.
   */
  readonly isSaved: boolean;
}

export const walOf = (dataDir: string): string => `${dataDir}/member/wal`;

/**
 * Undefined if there is no log. Throws an Error if the log has no metadata or the directory cannot be read. While a member runs, its latest
 * saves may be missing; the metadata never changes.
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
    // A damaged log counts as saved, so that it is opened: that refuses it, with the reason.
    if (item.kind !== "record") isSaved ||= item.kind === "damaged";
    else if (item.record.type === RecordType.metadata) metadata ??= decodeMetadata(item.record.data);
    else isSaved ||= saves(item.record);
    if (isSaved && metadata !== undefined) break;
  }
  if (metadata !== undefined) return { ...metadata, isSaved };
  throw new Error(
    `${directory}: the log has no metadata, which names its member: readyloop wal verify shows what is wrong with it`,
  );
}

/** False for the records of every empty log: the checksum, the snapshot of index 0, and the hard state of zeros that closing it adds. */
function saves({ type, data }: WalRecord): boolean {
  if (type === RecordType.crc) return false;
  if (type === RecordType.snapshot) return decodeSnapshotRecord(data).index > 0;
  if (type !== RecordType.state) return true;
  const { term, vote, commit } = decodeHardState(data);
  return term > 0 || vote > 0 || commit > 0;
}
