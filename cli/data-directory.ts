// A member's data directory: the log and the snapshots, opened together.
//
//     <data-dir>/member/wal/   the log            <data-dir>/member/snap/   snapshots
//
// Promises: a member starts from the newest snapshot that its log confirms and whose checksum holds, and from the log behind it. If a
// snapshot is damaged it is set aside and the one before it is taken, as long as the log reaches back that far. It never starts empty where
// there was something: whoever forgets what it has promised can undo what the cluster has acknowledged.
//
// The disk is handed in, so that the simulator and the tests of durability open their members by these very lines.

import type { Logger, SnapshotMetadata } from "../raft/index.ts";
import type { Recovered } from "../server/interfaces.ts";
import { Snapshotter } from "../snap/index.ts";
import {
  decodeMetadata,
  encodeMetadata,
  type FileSystem,
  type Metadata,
  RecordType,
  type Repaired,
  readRecords,
  validSnapshots,
  Wal,
  WalError,
} from "../wal/index.ts";
import { UsageError } from "./flags.ts";
import { hint } from "./program.ts";

export interface DirectoryOptions {
  readonly fileSystem: FileSystem;
  /** `--data-dir`. */
  readonly path: string;
  /** Of the member. */
  readonly id: number;
  readonly logger?: Logger | undefined;
  /** As the log and the snapshots have it, if not given. */
  readonly segmentBytes?: number | undefined;
  readonly pause?: (() => Promise<void>) | undefined;
  /** For the salts of the log's segments; node:crypto's unless given. */
  readonly random?: ((n: number) => number) | undefined;
}

export interface DataDirectory {
  readonly snapshots: Snapshotter;
  /** Undefined if there is none yet: createLog makes it. */
  readonly log: OpenedLog | undefined;
}

export interface OpenedLog {
  readonly wal: Wal;
  readonly clusterId: number;
  /** Drawn when the log was made; 0 for a log of another program. */
  readonly incarnation: number;
  /** Undefined if nothing was ever saved in it, or not completely. */
  readonly recovered: Recovered | undefined;
  /** Set if the log ended in a torn write, which was cut off. */
  readonly repaired: Repaired | undefined;
}

/** Opens what is there, which no two processes can. Throws for what cannot be trusted, and for the directory of another member. */
export async function openDataDirectory(options: DirectoryOptions): Promise<DataDirectory> {
  const { fileSystem, path, logger, pause } = options;
  const names = (await fileSystem.list(path)) ?? [];
  const left = names.find((name) => name.startsWith("member."));
  if (left !== undefined && !names.includes("member")) {
    throw new Error(`${path} holds ${left} and no member: a restore or a recovery was cut short; run it again`);
  }
  await fileSystem.makeDirectory(`${path}/member`);
  const snapshots = await Snapshotter.open({ fileSystem, directory: `${path}/member/snap`, logger, pause });
  try {
    const segments = (await fileSystem.list(walOf(path))) ?? [];
    if (segments.some((name) => name.endsWith(".wal"))) {
      return { snapshots, log: await openLog(options, snapshots) };
    }
    if ((await snapshots.list()).length > 0) {
      throw new Error(
        `${path} holds snapshots but no log, which says what this member has promised since. Put the log back; if it is lost, ` +
          "remove this member from the cluster and add a new one, with a new id and an empty data directory",
      );
    }
    return { snapshots, log: undefined };
  } catch (error) {
    await snapshots.close();
    throw error;
  }
}

/** Makes the log of a new member. */
export async function createLog(options: DirectoryOptions, identity: Required<Metadata>): Promise<OpenedLog> {
  const { fileSystem, path, logger, segmentBytes, random } = options;
  const metadata = encodeMetadata(identity);
  const wal = await Wal.create({ fileSystem, directory: walOf(path), metadata, segmentBytes, logger, random });
  const { clusterId, incarnation } = identity;
  return { wal, clusterId, incarnation, recovered: undefined, repaired: undefined };
}

export const walOf = (path: string): string => `${path}/member/wal`;

async function openLog(options: DirectoryOptions, snapshots: Snapshotter): Promise<OpenedLog> {
  const { fileSystem, path, id, logger } = options;
  // Whose log it is comes first: what follows sets files aside.
  const { nodeId, clusterId, incarnation } = await readMetadata(fileSystem, walOf(path));
  if (nodeId !== id) {
    throw new UsageError(
      `${path} is the log of member ${nodeId}, not of ${id}: start with --id=${nodeId}, or with another --data-dir`,
    );
  }
  const confirmed = await validSnapshots(fileSystem, walOf(path));
  const newest = await snapshots.newest(confirmed);
  const { wal, recovered } = await openBehind(options, newest, confirmed.at(-1)?.index ?? 0);
  // A snapshot that the log has no record of stays: the leader was sending it. If no majority is left, it may be all that there is of some
  // writes.
  const { hardState, entries, repaired } = recovered;
  const from = newest === undefined ? "" : `snapshot at index ${newest.index}, `;
  logger?.info?.(`recovered ${from}${entries.length} entries, commit ${hardState?.commit ?? 0}`);
  // Entries without a hard state are what a crash left of the first save. Nobody was promised anything: the member begins again.
  const isEmpty = newest === undefined && hardState === undefined;
  return {
    wal,
    clusterId,
    incarnation,
    recovered: isEmpty ? undefined : { snapshot: newest, hardState, entries },
    repaired,
  };
}

/** Whose log it is. */
export async function readMetadata(fileSystem: FileSystem, directory: string): Promise<Required<Metadata>> {
  for await (const item of readRecords(fileSystem, directory)) {
    if (item.kind !== "record") break;
    if (item.record.type === RecordType.metadata) return decodeMetadata(item.record.data);
  }
  throw new Error(`${directory}: the log does not say whose it is: ${hint("wal verify")} tells what is wrong with it`);
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
    throw new Error(
      `the snapshot at index ${confirmed} is damaged or gone, and the log cannot do without it: ${error.message}. This member does not ` +
        "start, since it would not know what it has promised. Put the snapshot's file back; if it is lost, remove this member from the " +
        "cluster and add a new one, with a new id and an empty data directory",
      { cause: error },
    );
  }
}
