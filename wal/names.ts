// Names of segment files: which segments a directory holds, and which of them are needed to read from an index on.
//
// A name is the segment's sequence number and the index of the first entry that it may hold, both as 16 hexadecimal
// digits. Ports util.go. Differs: a name that ends in .wal and is not a segment's is refused rather than ignored with a
// warning, because it may be a renamed segment.

import type { FileSystem } from "../disk/file-system.ts";
import { replaceThisMember, WalError } from "./errors.ts";

export interface SegmentName {
  readonly name: string;
  readonly sequence: number;
  /** Index of the first entry that the segment may hold. */
  readonly firstIndex: number;
}

const hex16 = (n: number): string => n.toString(16).padStart(16, "0");

export const segmentName = (sequence: number, firstIndex: number): string =>
  `${hex16(sequence)}-${hex16(firstIndex)}.wal`;

/** Undefined for a name that is not a segment's, or whose numbers exceed 2^53 - 1. */
export function parseSegmentName(name: string): SegmentName | undefined {
  const match = /^([0-9a-f]{16})-([0-9a-f]{16})\.wal$/.exec(name);
  if (match === null) return undefined;
  const sequence = Number.parseInt(match[1] as string, 16);
  const firstIndex = Number.parseInt(match[2] as string, 16);
  if (!Number.isSafeInteger(sequence) || !Number.isSafeInteger(firstIndex)) return undefined;
  return { name, sequence, firstIndex };
}

export const isSegmentFile = (name: string): boolean => name.endsWith(".wal");

/**
 * All segments of a directory in ascending order. Throws WalError NOT_FOUND if there are none, NOT_CONTIGUOUS for a bad
 * name.
 */
export async function listSegments(fileSystem: FileSystem, directory: string): Promise<SegmentName[]> {
  const names = ((await fileSystem.list(directory)) ?? []).filter(isSegmentFile);
  if (names.length === 0) {
    throw new WalError("NOT_FOUND", `${directory}: holds no log. Create one, or check the path.`, { file: directory });
  }
  return names.map((name) => {
    const segment = parseSegmentName(name);
    if (segment !== undefined) return segment;
    const file = `${directory}/${name}`;
    throw new WalError("NOT_CONTIGUOUS", `${file}: not the name of a segment. Restore its name, or move it away.`, {
      file,
    });
  });
}

/**
 * Those of all segments that are needed to read on from `index`: from the last one that starts at or below it. Throws
 * WalError NOT_FOUND, NOT_CONTIGUOUS.
 */
export function segmentsFrom(all: readonly SegmentName[], index: number, directory: string): SegmentName[] {
  const first = all.findLastIndex((segment) => segment.firstIndex <= index);
  if (first < 0) {
    const text = `${directory}: no segment starts at or below index ${index}. Start at a snapshot of a higher index.`;
    throw new WalError("NOT_FOUND", text, { file: directory });
  }
  const segments = all.slice(first);
  for (const [i, { sequence, name }] of segments.entries()) {
    const expected = (segments[0] as SegmentName).sequence + i;
    if (sequence === expected) continue;
    const text = `${directory}: found ${name} where segment ${expected} should be. Put the missing file back. ${replaceThisMember}`;
    throw new WalError("NOT_CONTIGUOUS", text, { file: directory });
  }
  return segments;
}
