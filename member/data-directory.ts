// A member's data directory: the log and the snapshots, opened together.
//
//     <data-dir>/member/wal/   the log            <data-dir>/member/snap/   snapshots
//
// Promises: a member starts from the newest snapshot that its log confirms and whose checksum holds, and from the log behind it. If a
// snapshot is damaged it is set aside and the one before it is taken, as long as the log reaches back that far. A member that has saved
// anything never starts empty: a member that forgets its promises can undo what the cluster has acknowledged.
//
// A log in which nothing was ever saved holds no promise: a first start that failed, or had a slip in its flags, leaves one. A start with
// another identity replaces it. The incarnation stays: peers may have seen it, and would take another one for a lost log.
//
// The file system is a parameter, so that the simulator and the durability tests open their members with this code.

import { type FileSystem, FileSystemError } from "../disk/index.ts";
import type { Logger, SnapshotMetadata } from "../raft/index.ts";
import type { Recovered } from "../server/interfaces.ts";
import { Snapshotter } from "../snap/index.ts";
import { encodeMetadata, type Metadata, type Repaired, validSnapshots, Wal, WalError } from "../wal/index.ts";
import { DirectoryError } from "./directory-error.ts";
import { type LogHead, readMetadata, walOf } from "./log-head.ts";

export { type LogHead, readMetadata } from "./log-head.ts";

export interface DirectoryOptions {
  readonly fileSystem: FileSystem;
  /** `--data-dir`. */
  readonly path: string;
  /** Of the member. */
  readonly id: number;
  readonly logger?: Logger | undefined;
  /** Default: that of the log and of the snapshots. */
  readonly segmentBytes?: number | undefined;
  readonly pause?: (() => Promise<void>) | undefined;
  /** For the salts of the log's segments; node:crypto's unless given. */
  readonly random?: ((n: number) => number) | undefined;
}

export interface DataDirectory {
  readonly snapshots: Snapshotter;
  /** Undefined if nothing was ever saved here: makeLog makes one. */
  readonly log: OpenedLog | undefined;
  /** The metadata of a log in which nothing was ever saved; that log is not open. */
  readonly begun: Required<Metadata> | undefined;
}

export interface OpenedLog {
  readonly wal: Wal;
  readonly clusterId: number;
  /** Drawn when the log was made; 0 for a log of another program. */
  readonly incarnation: number;
  /** Undefined if nothing was saved in it, or the first save was cut short. */
  readonly recovered: Recovered | undefined;
  /** Set if the log ended in a torn write, which was cut off. */
  readonly repaired: Repaired | undefined;
}

/**
 * Opens the directory, and locks it against other processes. Throws DirectoryError, WalError, SnapError or FileSystemError if the data
 * cannot be trusted. Throws DirectoryError OTHER_MEMBER, before it changes anything, if the data are another member's.
 */
export async function openDataDirectory(options: DirectoryOptions): Promise<DataDirectory> {
  const { fileSystem, path, id, logger, pause } = options;
  const names = (await fileSystem.list(path)) ?? [];
  const left = names.find((name) => name.startsWith("member."));
  if (left !== undefined && !names.includes("member")) {
    throw new DirectoryError(
      "UNFINISHED",
      `${path} holds ${left} and no member: a restore or a recovery was cut short; run it again`,
    );
  }
  refuseOther(path, id, await readBeside(fileSystem, path));
  await fileSystem.makeDirectory(`${path}/member`);
  const snapshots = await Snapshotter.open({ fileSystem, directory: `${path}/member/snap`, logger, pause });
  try {
    // Read again: from here on the lock keeps other processes from writing.
    const head = await readMetadata(fileSystem, path);
    refuseOther(path, id, head);
    const hasSnapshots = (await snapshots.list()).length > 0;
    if (head === undefined && hasSnapshots) {
      throw new DirectoryError(
        "INCOMPLETE",
        `${path} holds snapshots but no log, and only the log has what this member has promised since. Put the log back; if it is lost, ` +
          "remove this member from the cluster and add a new one, with a new id and an empty data directory",
      );
    }
    if (head === undefined) return { snapshots, log: undefined, begun: undefined };
    if (!head.isSaved && !hasSnapshots) return { snapshots, log: undefined, begun: head };
    return { snapshots, log: await openLog(options, snapshots, head), begun: undefined };
  } catch (error) {
    await snapshots.close();
    throw error;
  }
}

/** readMetadata, before the directory is locked: another process may delete a segment between two calls. */
async function readBeside(fileSystem: FileSystem, path: string): Promise<LogHead | undefined> {
  try {
    return await readMetadata(fileSystem, path);
  } catch (error) {
    if (error instanceof FileSystemError && error.code === "ENOENT") return undefined;
    throw error;
  }
}

function refuseOther(path: string, id: number, head: LogHead | undefined): void {
  if (head === undefined || !head.isSaved || head.nodeId === id) return;
  throw new DirectoryError(
    "OTHER_MEMBER",
    `${path} holds the log of member ${head.nodeId}, not of member ${id}: start with --id=${head.nodeId}, or with another --data-dir`,
  );
}

/**
 * Makes the log of a member that has saved nothing. `begun` is what openDataDirectory found, and its directory is still open. A log that was
 * begun with this node id and cluster id is opened; one with others is made anew. A power cut leaves what was found, or the new log.
 */
export async function makeLog(
  options: DirectoryOptions,
  identity: Required<Metadata>,
  begun: Required<Metadata> | undefined,
): Promise<OpenedLog> {
  const { fileSystem, path, logger, segmentBytes, random } = options;
  const { nodeId, clusterId } = identity;
  const log = { fileSystem, directory: walOf(path), segmentBytes, logger, random };
  const incarnation = begun !== undefined && begun.incarnation > 0 ? begun.incarnation : identity.incarnation;
  if (begun?.nodeId === nodeId && begun.clusterId === clusterId) {
    const { wal, recovered } = await Wal.open(log);
    const { repaired } = recovered;
    return { wal, clusterId, incarnation: begun.incarnation, recovered: undefined, repaired };
  }
  if (begun !== undefined) {
    logger?.info?.(
      `${path} was begun for member ${begun.nodeId} of cluster ${begun.clusterId}, and nothing was ever saved in it: it is made anew for ` +
        `member ${nodeId} of cluster ${clusterId}`,
    );
  }
  const metadata = encodeMetadata({ nodeId, clusterId, incarnation });
  const wal = await Wal.create({ ...log, metadata, replaces: begun !== undefined });
  return { wal, clusterId, incarnation, recovered: undefined, repaired: undefined };
}

async function openLog(options: DirectoryOptions, snapshots: Snapshotter, head: LogHead): Promise<OpenedLog> {
  const { fileSystem, path, logger } = options;
  const { clusterId, incarnation } = head;
  const confirmed = await validSnapshots(fileSystem, walOf(path));
  const newest = await snapshots.newest(confirmed);
  const { wal, recovered } = await openBehind(options, newest, confirmed.at(-1)?.index ?? 0);
  // Keep a snapshot that the log has no record of: the leader was sending it. If the majority is lost, it may hold the only copy of some
  // writes.
  const { hardState, entries, repaired } = recovered;
  const from = newest === undefined ? "" : `snapshot at index ${newest.index}, `;
  logger?.info?.(`recovered ${from}${entries.length} entries, commit ${hardState?.commit ?? 0}`);
  // Entries without a hard state are a first save that a crash cut short. The member has promised nothing, and begins again.
  const isEmpty = newest === undefined && hardState === undefined;
  return {
    wal,
    clusterId,
    incarnation,
    recovered: isEmpty ? undefined : { snapshot: newest, hardState, entries },
    repaired,
  };
}

/** Opens the log behind this snapshot, or from its beginning, if it reaches back that far. */
async function openBehind(options: DirectoryOptions, newest: SnapshotMetadata | undefined, confirmed: number) {
  const { fileSystem, path, logger, segmentBytes, random } = options;
  const startAt = { index: newest?.index ?? 0, term: newest?.term ?? 0 };
  try {
    const opened = await Wal.open({ fileSystem, directory: walOf(path), startAt, segmentBytes, logger, random });
    if (confirmed > startAt.index) {
      const from = newest === undefined ? "the beginning of the log" : `the snapshot at index ${startAt.index}`;
      logger?.warning?.(`the snapshot at index ${confirmed} is damaged or gone: starting from ${from} instead`);
    }
    return opened;
  } catch (error) {
    if (confirmed === startAt.index || !(error instanceof WalError)) throw error;
    throw new DirectoryError(
      "INCOMPLETE",
      `the snapshot at index ${confirmed} is damaged or gone, and the log cannot do without it: ${error.message}. This member does not ` +
        "start, since it would not know what it has promised. Put the snapshot's file back; if it is lost, remove this member from the " +
        "cluster and add a new one, with a new id and an empty data directory",
      error,
    );
  }
}
