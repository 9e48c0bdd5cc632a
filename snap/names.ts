// Names of snapshot files: the term and the index of the last entry that the snapshot stands for, both as 16
// hexadecimal digits.
//
// Sorted by name, snapshots go from the oldest to the newest: all were made of committed entries, and of two committed
// entries the one with the higher index never has the lower term.
//
// Ports snapNames of snapshotter.go.

/**
 * Which snapshot: the index and the term of the last entry in it. Among snapshots of committed entries the pair is
 * unique.
 */
export interface SnapshotPosition {
  readonly index: number;
  readonly term: number;
}

const hex16 = (n: number): string => n.toString(16).padStart(16, "0");

export const snapshotName = ({ index, term }: SnapshotPosition): string => `${hex16(term)}-${hex16(index)}.snap`;

/** Undefined for a name that is not a snapshot's, or whose numbers exceed 2^53 - 1. */
export function parseSnapshotName(name: string): SnapshotPosition | undefined {
  const match = /^([0-9a-f]{16})-([0-9a-f]{16})\.snap$/.exec(name);
  if (match === null) return undefined;
  const term = Number.parseInt(match[1] as string, 16);
  const index = Number.parseInt(match[2] as string, 16);
  return Number.isSafeInteger(term) && Number.isSafeInteger(index) ? { index, term } : undefined;
}

export const samePosition = (a: SnapshotPosition, b: SnapshotPosition): boolean =>
  a.index === b.index && a.term === b.term;
