// Checks the members' directories of start-cluster before it starts any member.
//
//     <data-dir>/1/, 2/, ...      a member's data directory each            <data-dir>/1.log, ...      what it logs
//
// Promises: each log is that of the member after whose id its directory is named, and all belong to the cluster that --size and
// --peer-port name. If not, one error names the directory and the ways out, and nothing is written. A founding member whose directory
// is gone, while others have theirs, is reported as missing: it has forgotten its promises and must not start.

import path from "node:path";
import type { FileSystem } from "../disk/index.ts";
import { readMetadata } from "../member/data-directory.ts";
import { clusterIdOf } from "../member/identity.ts";
import type { PeerFlag } from "./flags.ts";

export const portStep = 100;
export const maxSize = 9;
export const maxFirstPort = 65535 - maxSize * portStep;

export interface Addresses {
  readonly size: number;
  readonly peerPort: number;
}

export interface Directories {
  /** Ids to start, ascending: the founding members, and members added in an earlier run. */
  readonly ids: readonly number[];
  /** Founding members whose directory is gone. */
  readonly missing: readonly number[];
}

/** The members that a cluster starts with. */
export const foundersOf = ({ size, peerPort }: Addresses): PeerFlag[] =>
  Array.from({ length: size }, (_, i) => ({ id: i + 1, url: peerUrlOf(i + 1, peerPort) }));

export const peerUrlOf = (id: number, peerPort: number): string => `http://127.0.0.1:${peerPort + (id - 1) * portStep}`;

/** Throws if the directories do not fit the cluster. */
export async function checkDirectories(
  fileSystem: FileSystem,
  dataDir: string,
  addresses: Addresses,
): Promise<Directories> {
  const founders = foundersOf(addresses).map(({ id }) => id);
  const names = ((await fileSystem.list(dataDir)) ?? []).filter((name) => /^[1-9][0-9]{0,8}$/.test(name));
  const present = names.map(Number);
  const withLog: number[] = [];
  for (const id of present.sort((a, b) => a - b)) {
    if (await checkDirectory(fileSystem, path.join(dataDir, String(id)), id, addresses)) withLog.push(id);
  }
  const missing = withLog.length === 0 ? [] : founders.filter((id) => !present.includes(id));
  const added = withLog.filter((id) => !founders.includes(id));
  return { ids: [...founders.filter((id) => !missing.includes(id)), ...added], missing };
}

/** Whether the directory holds a log in which something was saved. */
async function checkDirectory(fileSystem: FileSystem, directory: string, id: number, addresses: Addresses) {
  const head = await readMetadata(fileSystem, directory);
  // A member that has saved nothing makes its log anew when it starts.
  if (head === undefined || !head.isSaved) return false;
  const { nodeId, clusterId } = head;
  const elsewhere = "give another --data-dir for a new cluster";
  if (nodeId !== id) {
    throw new Error(
      `${directory} holds the log of member ${nodeId}, not of member ${id}: nothing was started. Give each directory the number of its ` +
        `member, or ${elsewhere}`,
    );
  }
  if (clusterId === clusterIdOf(foundersOf(addresses))) return true;
  const made = madeWith(clusterId, addresses);
  const ways =
    made === undefined
      ? `was made by start-server, restored or recovered: start its members with start-server, or ${elsewhere}`
      : `was made with --size=${made.size} --peer-port=${made.peerPort}: start it with these, or ${elsewhere}`;
  throw new Error(
    `${directory} belongs to another cluster than that of --size=${addresses.size} --peer-port=${addresses.peerPort}: nothing was started. It ${ways}`,
  );
}

/** The flags of start-cluster that give this cluster id, for an error's text. */
function madeWith(clusterId: number, given: Addresses): Addresses | undefined {
  for (const addresses of candidates(given)) {
    if (clusterIdOf(foundersOf(addresses)) === clusterId) return addresses;
  }
  return undefined;
}

/** All pairs of flags, first those that differ from the given pair in one flag: trying all takes some seconds. */
function* candidates(given: Addresses): Generator<Addresses, void, void> {
  const sizes = Array.from({ length: maxSize }, (_, i) => i + 1);
  const ports = Array.from({ length: maxFirstPort }, (_, i) => i + 1);
  for (const size of sizes) yield { ...given, size };
  for (const peerPort of ports) yield { ...given, peerPort };
  for (const peerPort of ports) for (const size of sizes) yield { size, peerPort };
}
