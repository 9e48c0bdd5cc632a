// The directory of a member whose cluster begins with data: for snapshot restore and recover.
//
//     member.new/snap/<term>-<index>.snap    the members of the new cluster, then the map
//     member.new/wal/0000...wal              metadata: id, new cluster id, new incarnation; the snapshot's record; a hard state that commits it
//
// A member that has just received the leader's snapshot has exactly this; so it starts as any member does, and all members of the new cluster
// agree on term, index and configuration. Index and term are the old cluster's: they only have to be equal on all members, and they show
// where the data came from. No member has voted in that term, and the first election is in the next one.
//
// What is not kept, and why: incarnations, since every log is new (the leader notes them as the members appear); removed ids, since a member of
// the old cluster has the old cluster's id in its log, which keeps it out whatever its own id.
//
// Promises: `member` appears by one rename, when all in it is durable. A crash before leaves `member.new`, which the next try builds anew.
// All I/O goes through `fileSystem`, so that tests can cut the power at every call.

import path from "node:path";
import type { PeerFlag } from "../cli/flags.ts";
import { hint } from "../cli/program.ts";
import type { FileSystem } from "../disk/index.ts";
import { makeConfState } from "../raft/index.ts";
import { encodeSnapshotHeader } from "../server/snapshot-header.ts";
import { Snapshotter } from "../snap/index.ts";
import type { SnapshotPosition } from "../snap/names.ts";
import { encodeMetadata, Wal } from "../wal/index.ts";

export interface NewMember {
  readonly fileSystem: FileSystem;
  readonly dataDir: string;
  readonly id: number;
  readonly clusterId: number;
  /** Of the new log. */
  readonly incarnation: number;
  /** All members of the new cluster; each votes. */
  readonly peers: readonly PeerFlag[];
  /** That of the data. */
  readonly position: SnapshotPosition;
  /** Default: the log's. */
  readonly segmentBytes?: number | undefined;
  /** For the log's salts; node:crypto's unless given. */
  readonly random?: ((n: number) => number) | undefined;
}

/** A leftover of a try that was cut short does not count. */
export const unfinishedName = "member.new";

/** Builds `member.new`; `map` is the state of the map as a snapshot has it. */
export async function buildMember(
  { fileSystem, dataDir, id, clusterId, incarnation, peers, position, segmentBytes, random }: NewMember,
  map: AsyncIterable<Uint8Array>,
): Promise<void> {
  const unfinished = path.join(dataDir, unfinishedName);
  const directory = path.join(unfinished, "wal");
  const { index, term } = position;
  const confState = makeConfState({ voters: peers.map((peer) => peer.id) });
  const snapshots = await Snapshotter.open({ fileSystem, directory: path.join(unfinished, "snap") });
  try {
    // Left by a try that was cut short; we hold the lock, so that try is over.
    await snapshots.discardUnconfirmed([]);
    for (const name of (await fileSystem.list(directory)) ?? []) await fileSystem.unlink(path.join(directory, name));
    await snapshots.save({ index, term, confState }, withMembers(peers, index, map));
    const metadata = encodeMetadata({ nodeId: id, clusterId, incarnation });
    const wal = await Wal.create({ fileSystem, directory, metadata, segmentBytes, random });
    try {
      await wal.saveSnapshot({ index, term, confState });
      await wal.save({ term, vote: 0, commit: index }, [], true);
    } finally {
      await wal.close();
    }
  } finally {
    await snapshots.close();
  }
}

/** Gives `member.new` its name. */
export async function adoptMember(fileSystem: FileSystem, dataDir: string): Promise<void> {
  await fileSystem.rename(path.join(dataDir, unfinishedName), path.join(dataDir, "member"));
  await fileSystem.syncDirectory(dataDir);
}

async function* withMembers(
  peers: readonly PeerFlag[],
  since: number,
  map: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  const members = peers.map(({ id, url }) => ({ id, url, since, incarnation: 0 }));
  yield encodeSnapshotHeader({ members, removed: [] });
  yield* map;
}

/** The command that starts the member, for the user to type. */
export function startLine(id: number, dataDir: string, peers: readonly PeerFlag[]): string {
  const list = peers.map((peer) => `${peer.id}=${peer.url}`).join(",");
  const { port } = new URL((peers.find((peer) => peer.id === id) as PeerFlag).url);
  return `${hint("start-server")} --id=${id} --data-dir=${dataDir} --peer-port=${port || 80} --client-port=... --peers=${list}`;
}

export const keysText = (count: number): string => (count === 1 ? "1 key" : `${count} keys`);
