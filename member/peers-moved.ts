// --peers-moved: the checks before a member takes the addresses in --peers instead of those in its log.

import type { PeerFlag } from "../cli/flags.ts";
import { UsageError } from "../command-line/kinds.ts";
import type { FileSystem } from "../disk/index.ts";
import { readLogMembers } from "./log-members.ts";

export interface MovedFlags {
  readonly id: number;
  readonly peers: readonly PeerFlag[];
  readonly join: boolean;
}

/** Checks the flags alone. Throws UsageError. */
export function checkMovedFlags({ id, peers, join }: MovedFlags): void {
  if (join) {
    throw new UsageError(
      "--peers-moved is for a member that has been in its cluster, and --join for one that is new: give one of them",
    );
  }
  if (!peers.some((peer) => peer.id === id)) {
    const ids = peers.map((peer) => peer.id).join(", ");
    throw new UsageError(`--peers-moved needs the new address of member ${id} itself in --peers, which names ${ids}`);
  }
}

/** `isSaved`: whether the data directory holds a member. Throws UsageError; changes nothing. */
export async function checkMoved(
  fileSystem: FileSystem,
  dataDir: string,
  { id, peers }: MovedFlags,
  isSaved: boolean,
): Promise<void> {
  if (!isSaved) {
    throw new UsageError(
      `--peers-moved: ${dataDir} holds no member that could have moved: start without it, or with the right --data-dir`,
    );
  }
  // If the log cannot be read, opening it says why.
  const known = await readLogMembers(fileSystem, dataDir, id);
  if (known === undefined) return;
  const ids = new Set([...known.members, ...known.pending].map((member) => member.id));
  const stranger = peers.find((peer) => !ids.has(peer.id));
  if (stranger === undefined) return;
  const what = known.removed.includes(stranger.id) ? "was removed from this cluster" : "is not in the log";
  const list = known.members.map((member) => member.id).join(", ");
  throw new UsageError(
    `--peers-moved: member ${stranger.id} in --peers ${what}; ${dataDir} has the members ${list}: write --peers as id=url, and leave out ` +
      "members that are not in its log; it learns their addresses from the others",
  );
}
