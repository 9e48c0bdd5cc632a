// What a disk does to files that lie on it: some bits of one of them turn.
//
// Only where a member can tell. Of a log that is any segment but the last: that a segment follows says that this one
// was durable. In the last one, what no later record confirms looks like a write that the power cut has torn, and is
// cut off; no log can know better. Of the snapshots it is the newest, which is the one that counts.

import { parseSnapshotName } from "../snap/names.ts";
import type { FakeDisk } from "./disk.ts";
import type { Random } from "./random.ts";

/** False if there is none that may be damaged. The disk has just come back from a power cut. */
export function damageLog(disk: FakeDisk, random: Random): boolean {
  const segments = filesOf(disk, ".wal").slice(0, -1);
  if (segments.length === 0) return false;
  turnBits(disk, random.pick(segments), random);
  return true;
}

/** Returns the index of the newest snapshot, which is damaged now, and of the one before, if there is one. */
export function damageSnapshot(
  disk: FakeDisk,
  random: Random,
): { readonly newest: number; readonly older: number | undefined } | undefined {
  const [older, newest] = [undefined, undefined, ...filesOf(disk, ".snap")].slice(-2);
  if (newest === undefined) return undefined;
  turnBits(disk, newest, random);
  return { newest: indexOf(newest), older: older === undefined ? undefined : indexOf(older) };
}

type FileOnDisk = readonly [path: string, bytes: Uint8Array];

/** In the order of their names, which is that of their age. */
const filesOf = (disk: FakeDisk, ending: string): FileOnDisk[] =>
  [...disk.files()].filter(([path]) => path.endsWith(ending));

const indexOf = ([path]: FileOnDisk): number => parseSnapshotName(path.slice(path.lastIndexOf("/") + 1))?.index ?? 0;

function turnBits(disk: FakeDisk, [path, bytes]: FileOnDisk, random: Random): void {
  const count = random.pick([1, 1, 2, 20]);
  for (let i = 0; i < count && bytes.length > 0; i++) {
    const offset = random.below(bytes.length);
    bytes[offset] = (bytes[offset] ?? 0) ^ (1 << random.below(8));
  }
  disk.put(path, bytes);
}
