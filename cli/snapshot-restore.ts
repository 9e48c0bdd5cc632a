// snapshot restore: a new cluster from a backup. Run once for each member, with the same file and the same --peers, then start them all.
//
// The data come from the file; the members are those of --peers, each with a vote. The cluster id is computed from --peers and the file. So it
// is the same on all members, and differs from the old cluster's even at the same addresses: the handshake refuses an old member that still
// runs. To restore the same file again at the same addresses, while members of the first restoration may still run, give another --token: it
// is part of the id.

import path from "node:path";
import { UsageError } from "../command-line/kinds.ts";
import { nodeFileSystem } from "../disk/index.ts";
import { drawIncarnation, idOf } from "../member/identity.ts";
import {
  adoptMember,
  buildMember,
  keysText,
  type NewMember,
  startLine,
  unfinishedName,
} from "../member/new-directory.ts";
import { type Contents, checkSnapshotFile, mapOf } from "../member/snapshot-file.ts";
import type { PeerFlag } from "./flags.ts";

type NewLog = Pick<NewMember, "fileSystem" | "incarnation" | "segmentBytes" | "random">;

export interface RestoreFlags {
  readonly file: string;
  readonly dataDir: string;
  readonly id: number;
  readonly peers: readonly PeerFlag[];
  readonly token: string;
}

export function checkRestore({ id, peers }: RestoreFlags): void {
  if (peers.some((peer) => peer.id === id)) return;
  throw new UsageError(`--id=${id} is not in --peers, which names ${peers.map((peer) => peer.id).join(", ")}`);
}

export async function restoreSnapshot(flags: RestoreFlags): Promise<number> {
  const { dataDir, id, peers } = flags;
  const { clusterId, contents } = await restoreMember(flags, {
    fileSystem: nodeFileSystem,
    incarnation: drawIncarnation(),
  });
  process.stdout.write(
    `member ${id} of the new cluster ${clusterId}: ${keysText(contents.keys)}, as of index ${contents.metadata.index}\n` +
      `${peers.length > 1 ? "Restore every other member from the same file, with the same --peers; then start each, this" : "Start this"} one with\n` +
      `  ${startLine(id, dataDir, peers)}\n`,
  );
  return 0;
}

/** Makes the directory, complete and durable when the promise resolves. Throws an Error that says what is wrong; then there is no `member`. */
export async function restoreMember(
  { file, dataDir, id, peers, token }: RestoreFlags,
  { fileSystem, incarnation, segmentBytes, random }: NewLog,
): Promise<{ clusterId: number; contents: Contents }> {
  const directory = path.resolve(dataDir);
  const found = ((await fileSystem.list(directory)) ?? []).filter((name) => name !== unfinishedName);
  if (found.length > 0) {
    const what = found.includes("member") ? "holds a member already" : `is not empty (${found[0]})`;
    throw new Error(`${directory} ${what}: a restored member begins in a new directory. Choose another one`);
  }
  const contents = await checkSnapshotFile(fileSystem, file);
  const { metadata } = contents;
  const clusterId = restoredClusterId(contents, peers, token);
  await fileSystem.makeDirectory(directory);
  const log = { fileSystem, incarnation, segmentBytes, random };
  await buildMember(
    { ...log, dataDir: directory, id, clusterId, peers, position: metadata },
    mapOf(fileSystem, file, metadata),
  );
  await adoptMember(fileSystem, directory);
  return { clusterId, contents };
}

/** 52 bits, as those of a cluster that starts empty (clusterIdOf). */
function restoredClusterId({ metadata, bytes, checksum }: Contents, peers: readonly PeerFlag[], token: string): number {
  const { index, term } = metadata;
  const list = peers.map(({ id, url }) => ({ id, url }));
  const text = JSON.stringify({ restored: { index, term, bytes, checksum }, peers: list, token });
  return idOf(text);
}
