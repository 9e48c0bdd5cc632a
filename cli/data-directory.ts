// A member's data directory: the log and the snapshots, opened together.
//
//     <data-dir>/member/wal/   the log            <data-dir>/member/snap/   snapshots
//
// Promises: a member starts from the newest snapshot that its log confirms and whose checksum holds, and from the log behind it. If a snapshot is
// damaged it is set aside and the one before it is taken, as long as the log reaches back that far. It never starts empty where there
// was something: whoever forgets what it has promised can undo what the cluster has acknowledged.

import { createHash, randomInt } from "node:crypto";
import path from "node:path";
import type { Logger as PinoLogger } from "pino";
import type { SnapshotMetadata } from "../raft/index.ts";
import type { Recovered } from "../server/interfaces.ts";
import { Snapshotter } from "../snap/index.ts";
import {
  decodeMetadata,
  encodeMetadata,
  type Metadata,
  nodeFileSystem,
  RecordType,
  readRecords,
  validSnapshots,
  Wal,
  WalError,
} from "../wal/index.ts";
import { type PeerFlag, UsageError } from "./flags.ts";
import { textLogger } from "./logger.ts";

const fileSystem = nodeFileSystem;

export interface DataDirectory {
  readonly path: string;
  readonly snapshots: Snapshotter;
  /** Undefined if there is none yet: createLog makes it. */
  readonly log: OpenedLog | undefined;
}

export interface OpenedLog {
  readonly wal: Wal;
  readonly clusterId: number;
  /** Drawn when the log was made; 0 for a log of another program. */
  readonly incarnation: number;
  /** Undefined if nothing was ever saved in it. */
  readonly recovered: Recovered | undefined;
}

/** Opens what is there, which no two processes can. Throws for what cannot be trusted, and for the directory of another member. */
export async function openDataDirectory(directory: string, id: number, log: PinoLogger): Promise<DataDirectory> {
  const logger = textLogger(log);
  const names = (await fileSystem.list(directory)) ?? [];
  const left = names.find((name) => name.startsWith("member."));
  if (left !== undefined && !names.includes("member")) {
    throw new Error(`${directory} holds ${left} and no member: a restore or a recovery was cut short; run it again`);
  }
  await fileSystem.makeDirectory(path.join(directory, "member"));
  const snapshots = await Snapshotter.open({ fileSystem, directory: path.join(directory, "member", "snap"), logger });
  try {
    const walDirectory = walOf(directory);
    const segments = (await fileSystem.list(walDirectory)) ?? [];
    if (segments.some((name) => name.endsWith(".wal"))) {
      return { path: directory, snapshots, log: await openLog(walDirectory, id, snapshots, log) };
    }
    if ((await snapshots.list()).length > 0) {
      throw new Error(
        `${directory} holds snapshots but no log, which says what this member has promised since. Put the log back; if it is lost, ` +
          "remove this member from the cluster and add a new one, with a new id and an empty data directory",
      );
    }
    return { path: directory, snapshots, log: undefined };
  } catch (error) {
    await snapshots.close();
    throw error;
  }
}

/** Makes the log of a new member. */
export async function createLog(directory: string, id: number, clusterId: number, log: PinoLogger): Promise<OpenedLog> {
  const incarnation = randomInt(1, 2 ** 47);
  const metadata = encodeMetadata({ nodeId: id, clusterId, incarnation });
  const wal = await Wal.create({ fileSystem, directory: walOf(directory), metadata, logger: textLogger(log) });
  return { wal, clusterId, incarnation, recovered: undefined };
}

const walOf = (directory: string): string => path.join(directory, "member", "wal");

async function openLog(directory: string, id: number, snapshots: Snapshotter, log: PinoLogger): Promise<OpenedLog> {
  // Whose log it is comes first: what follows sets files aside.
  const { nodeId, clusterId, incarnation } = await readMetadata(directory);
  if (nodeId !== id) {
    throw new UsageError(
      `${directory} is the log of member ${nodeId}, not of ${id}: start with --id=${nodeId}, or with another --data-dir`,
    );
  }
  const confirmed = await validSnapshots(fileSystem, directory);
  const newest = await snapshots.newest(confirmed);
  const { wal, recovered } = await openAt(directory, newest, confirmed.at(-1)?.index ?? 0, log);
  await snapshots.discardUnconfirmed(confirmed);
  const { hardState, entries, repaired } = recovered;
  if (repaired !== undefined) {
    log.warn(
      repaired,
      "the log ended in a record that was not completely written: it was cut off, and a copy was kept",
    );
  }
  const from = newest === undefined ? "" : `snapshot at index ${newest.index}, `;
  log.info(`recovered ${from}${entries.length} entries, commit ${hardState?.commit ?? 0}`);
  const isEmpty = newest === undefined && hardState === undefined && entries.length === 0;
  return {
    wal,
    clusterId,
    incarnation,
    recovered: isEmpty ? undefined : { snapshot: newest, hardState, entries },
  };
}

async function readMetadata(directory: string): Promise<Required<Metadata>> {
  for await (const item of readRecords(fileSystem, directory)) {
    if (item.kind !== "record") break;
    if (item.record.type === RecordType.metadata) return decodeMetadata(item.record.data);
  }
  throw new Error(`${directory}: the log does not say whose it is: readyloop wal verify tells what is wrong with it`);
}

/** Opens the log behind this snapshot, or from its beginning, if it reaches back that far. */
async function openAt(directory: string, newest: SnapshotMetadata | undefined, confirmed: number, log: PinoLogger) {
  const startAt = { index: newest?.index ?? 0, term: newest?.term ?? 0 };
  try {
    const opened = await Wal.open({ fileSystem, directory, startAt, logger: textLogger(log) });
    if (confirmed > startAt.index) {
      const from = newest === undefined ? "the beginning of the log" : `the snapshot at index ${startAt.index}`;
      log.warn(`the snapshot at index ${confirmed} is damaged or gone: starting from ${from} instead`);
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

/** The id of a cluster that starts with these members: the same 52 bits on each of them. */
export function clusterIdOf(peers: readonly PeerFlag[]): number {
  const text = peers.map(({ id, url }) => `${id}=${url}`).join(",");
  return Number.parseInt(createHash("sha256").update(text).digest("hex").slice(0, 13), 16);
}
