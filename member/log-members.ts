// The members of a cluster, as one member's log has them: its newest snapshot, and the committed changes after it, applied by the server's
// own code. It changes nothing and takes no lock, so that a start can look before it opens anything.

import type { FileSystem } from "../disk/index.ts";
import {
  asV2,
  type ConfChangeV2,
  confChangeOf,
  DecodeError,
  decodeEntry,
  decodeHardState,
  type Entry,
  EntryType,
  MemoryStorage,
  type SnapshotMetadata,
} from "../raft/index.ts";
import { Applier } from "../server/applier.ts";
import { contextOf } from "../server/membership/conf-change-context.ts";
import { Members } from "../server/membership/members.ts";
import { splitSnapshot } from "../server/snapshot-header.ts";
import { startNode } from "../server/start-node.ts";
import { readSnapshot, snapshotName } from "../snap/index.ts";
import { decodeSnapshotRecord, RecordType, readRecords } from "../wal/index.ts";
import { walOf } from "./log-head.ts";

export interface LogMembers {
  readonly members: readonly { readonly id: number; readonly url: string; readonly votes: boolean }[];
  readonly removed: readonly number[];
  /** Members and addresses in changes that are not known to be committed; an address that a change does not give is empty. */
  readonly pending: readonly { readonly id: number; readonly url: string }[];
}

/** The records of a log that determine its members. */
interface Found {
  /** Committed, the newest first. */
  readonly snapshots: readonly SnapshotMetadata[];
  /** Entries that change the members, in ascending order of index. */
  readonly changes: readonly Entry[];
  readonly commit: number;
}

/** Undefined if the log cannot be read, because it is damaged for example: opening it reports why. */
export async function readLogMembers(
  fileSystem: FileSystem,
  dataDir: string,
  id: number,
): Promise<LogMembers | undefined> {
  try {
    const found = await readChanges(fileSystem, walOf(dataDir));
    const members = new Members();
    const snapshot = await restoreNewest(fileSystem, dataDir, found.snapshots, members);
    return apply(found, snapshot, id, members);
  } catch {
    return undefined;
  }
}

async function readChanges(fileSystem: FileSystem, directory: string): Promise<Found> {
  const snapshots: SnapshotMetadata[] = [];
  const changes: Entry[] = [];
  let commit = 0;
  for await (const item of readRecords(fileSystem, directory)) {
    if (item.kind !== "record") break;
    const { type, data } = item.record;
    if (type === RecordType.state) commit = decodeHardState(data).commit;
    if (type === RecordType.snapshot) {
      const { index, term, confState } = decodeSnapshotRecord(data);
      if (index > 0 && confState !== undefined) snapshots.push({ index, term, confState });
    }
    if (type !== RecordType.entry) continue;
    const e = decodeEntry(data);
    // An entry replaces the earlier one at its index, and all after that.
    while ((changes.at(-1)?.index ?? 0) >= e.index) changes.pop();
    // The record's bytes lie in a buffer that the next one overwrites.
    if ((e.type ?? EntryType.EntryNormal) !== EntryType.EntryNormal) changes.push({ ...e, data: e.data?.slice() });
  }
  return { snapshots: snapshots.filter(({ index }) => index <= commit).reverse(), changes, commit };
}

/** Puts the members in the newest snapshot whose file can be read into `members`; undefined if there is none. */
async function restoreNewest(
  fileSystem: FileSystem,
  dataDir: string,
  snapshots: readonly SnapshotMetadata[],
  members: Members,
): Promise<SnapshotMetadata | undefined> {
  const directory = `${dataDir}/member/snap`;
  const names = new Set((await fileSystem.list(directory)) ?? []);
  for (const snapshot of snapshots) {
    if (!names.has(snapshotName(snapshot))) continue;
    const file = await fileSystem.open(`${directory}/${snapshotName(snapshot)}`, "read");
    try {
      // The head is enough here. A start reads the whole file, and judges it by its checksum.
      const { state, rest } = await splitSnapshot(readSnapshot(file, snapshot));
      await rest[Symbol.asyncIterator]().return?.();
      members.restore(state);
      return snapshot;
    } finally {
      await file.close();
    }
  }
  return undefined;
}

function apply(found: Found, snapshot: SnapshotMetadata | undefined, id: number, members: Members): LogMembers {
  const { changes, commit } = found;
  const start = snapshot?.index ?? 0;
  const recovered = snapshot === undefined ? undefined : { snapshot, hardState: undefined, entries: [] };
  const how = { electionTicks: 10, founders: undefined, logger: {}, random: () => 0 };
  const node = startNode(new MemoryStorage(), { id, recovered, ...how });
  const ignored = () => undefined;
  const listener = { applied: ignored, changed: ignored, membersChanged: ignored };
  const applier = new Applier(node, noMachine, members, {}, listener);
  applier.apply(changes.filter(({ index }) => index > start && index <= commit));
  const { config } = node.raft.trk;
  return {
    members: members.list(config).map(({ id, peerUrl, role }) => ({ id, url: peerUrl, votes: role === "voter" })),
    removed: members.state().removed,
    pending: changes.filter(({ index }) => index > Math.max(start, commit)).flatMap(namedIn),
  };
}

function namedIn(e: Entry): { id: number; url: string }[] {
  let cc: ConfChangeV2;
  try {
    const any = confChangeOf(e);
    if (any === undefined) return [];
    cc = asV2(any);
  } catch (error) {
    if (error instanceof DecodeError) return [];
    throw error;
  }
  const { urls } = contextOf(cc);
  return cc.changes.map(({ nodeId }) => ({ id: nodeId ?? 0, url: urls.get(nodeId ?? 0) ?? "" }));
}

/** Only changes of the members are applied. */
const noMachine = {
  apply: () => [],
  snapshot: async function* () {},
  restore: () => Promise.resolve(),
  describe: () => "",
};
