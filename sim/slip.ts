// An operator's slip: a member is started with the --peers of another cluster, or with another --id, and ends again. If
// anything was ever saved, the start must be refused. If not, the log is made anew, and made anew again at the next,
// correct start.
//
// It calls the code of the real start: it reads the log's metadata, judges with the answers of the other cluster's
// peers, opens the directory.

import { type DirectoryOptions, makeLog, openDataDirectory, readMetadata } from "../member/data-directory.ts";
import { DirectoryError } from "../member/directory-error.ts";
import { judgeCluster } from "../member/judge-cluster.ts";
import type { Recovered } from "../server/interfaces.ts";
import type { ClusterAnswer } from "../transport/index.ts";

export interface Slip {
  /** The id of the flag, which may not be the member's. */
  readonly id: number;
  readonly clusterId: number;
  /** Members of the other cluster: more than one. */
  readonly peers: readonly { readonly id: number; readonly url: string }[];
}

export type SlipOutcome = "refused" | "made" | "made anew";

/** A planted bug: whether a recovered log counts as an empty one. */
export type TakesForNothing = (recovered: Recovered | undefined) => boolean;

/**
 * Resolves to the result of the start before it was ended. Throws errors of the disk, and an Error for an unnoticed
 * slip.
 */
export async function startBySlip(
  where: DirectoryOptions,
  slip: Slip,
  incarnation: number,
  takesForNothing: TakesForNothing | undefined,
): Promise<SlipOutcome> {
  const identity = { nodeId: slip.id, clusterId: slip.clusterId, incarnation };
  if (takesForNothing !== undefined) return remake(where, identity, takesForNothing);
  try {
    await judge(where, slip);
    const { snapshots, log, begun } = await openDataDirectory({ ...where, id: slip.id });
    const made = log ?? (await makeLog(where, identity, begun));
    await made.wal.close();
    await snapshots.close();
    // The start refuses it, since it was made for another cluster: a torn first save, or a snapshot without a record.
    if (log !== undefined) return log.recovered === undefined ? "refused" : unnoticed(where.path);
    return begun === undefined ? "made" : "made anew";
  } catch (error) {
    if (error instanceof DirectoryError && error.code.startsWith("OTHER_")) return "refused";
    throw error;
  }
}

function unnoticed(path: string): never {
  throw new Error(`${path} was opened for another cluster than its own`);
}

async function judge({ fileSystem, path }: DirectoryOptions, { id, clusterId, peers }: Slip): Promise<void> {
  const head = await readMetadata(fileSystem, path);
  if (head === undefined || !head.isSaved || head.nodeId !== id) return;
  const ask = async (urls: readonly string[]): Promise<ClusterAnswer[]> =>
    urls.map((url) => ({ kind: "another-cluster", url, clusterId }));
  const ownUrl = peers.find((peer) => peer.id === id)?.url ?? "";
  await judgeCluster({ fileSystem, path, head, peers, joins: false, clusterId, ownUrl, ask });
}

async function remake(
  where: DirectoryOptions,
  identity: { nodeId: number; clusterId: number; incarnation: number },
  takesForNothing: TakesForNothing,
): Promise<SlipOutcome> {
  const head = await readMetadata(where.fileSystem, where.path);
  const { snapshots, log, begun } = await openDataDirectory(where);
  await log?.wal.close();
  const isMade = log === undefined || takesForNothing(log.recovered);
  if (isMade) await (await makeLog(where, identity, log === undefined ? begun : head)).wal.close();
  await snapshots.close();
  if (!isMade) return "refused";
  return head === undefined ? "made" : "made anew";
}
