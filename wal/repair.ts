// A bad frame in the last segment: is it a write that a crash cut short, or damage to durable bytes?
//
// The log answers that itself. Each record of ours states the offset below which all bytes were durable when it was
// written, and its own checksum proves it without any other record. So, with the first bad frame at X:
// - a later, sound record that states an offset above X proves that the bytes at X had been durable: damage, refused;
// - without such a record, no acknowledged bytes can lie behind X, so the log goes on from there, and a copy is kept.
//
// Sound records behind X that state less are ordinary: of bytes that were never synced, a power cut keeps any part. A
// segment that etcd wrote has no such statement; there etcd's own rule decides (a sector of zeros, or the end of the
// file).
//
// Ports repair.go and isTornEntry of decoder.go. Differs: etcd takes every bad frame with a sector of zeros for a torn
// write, and a zero length word for the end of the log, even where acknowledged records follow.

import type { File, FileSystem } from "../disk/file-system.ts";
import { copyTo } from "./copy.ts";
import type { BadFrame, Decoded, Decoder } from "./decoder.ts";
import { headRecords } from "./record.ts";
import { type Rest, searchRest } from "./search.ts";

/** How a segment ends. */
export interface Ending {
  /** Where the sound records end. */
  readonly offset: number;
  /** The bad frame there, if there is one in place of zeros. */
  readonly bad: BadFrame | undefined;
  /** Why `bad` is damage; without it the end is clean, or a torn tail. */
  readonly damage: string | undefined;
  /** Whether that is no damage, but the records of another program. */
  readonly isForeign: boolean;
  /** The offset after the last byte that is not zero. */
  readonly used: number;
  /** The file must not become shorter than this. */
  readonly allotted: number;
  /** The records state that everything below was durable, at the latest when the last of them was written. */
  readonly vouched: number;
}

/**
 * Judges the end of a segment, where `decoder` has just found `step`. Any fault in one that is not the last is damage.
 */
export async function judgeEnd(
  decoder: Decoder,
  step: Exclude<Decoded, { kind: "record" }>,
  isLast: boolean,
): Promise<Ending> {
  const { offset } = step;
  const rest = await searchRest(decoder.window, offset, decoder.salt);
  const bad = step.kind === "bad" ? step : badAfterEnd(decoder, offset, rest);
  const { allotted, vouched } = decoder;
  const isForeign = bad?.looks === "foreign" && (await decoder.isForeignToEnd());
  const damage = isForeign
    ? bad.reason
    : (whyShortened(decoder) ?? (bad && (isLast ? whyDamaged(bad, decoder, rest) : bad.reason)));
  return { offset, bad, damage, isForeign, used: rest.used, allotted, vouched };
}

function badAfterEnd(decoder: Decoder, offset: number, rest: Rest): BadFrame | undefined {
  const bad = { kind: "bad", offset, looks: "torn" } as const;
  if (rest.used > offset) return { ...bad, reason: "the records end here, but other bytes than zero follow" };
  return decoder.count < headRecords ? { ...bad, reason: "the records end here" } : undefined;
}

/** A power cut shortens no file below a durable size: only damage does, and takes durable records with it. */
function whyShortened({ allotted, window }: Decoder): string | undefined {
  if (window.size >= allotted) return undefined;
  return `the file ends at offset ${window.size}, and had ${allotted} bytes before it got its name`;
}

/**
 * Why the bad frame is damage; undefined if it is a torn tail. `decoder` has read the bytes before it, `rest` lies
 * behind it.
 */
function whyDamaged(bad: BadFrame, decoder: Decoder, rest: Rest): string | undefined {
  if (decoder.count < headRecords) return `${bad.reason}; the head of a segment is durable before it gets its name`;
  if (bad.looks === "foreign") return bad.reason;
  if (rest.durable > bad.offset) {
    return `${bad.reason}; a later record states that everything below offset ${rest.durable} was durable`;
  }
  if (decoder.ours || rest.ours || bad.looks === "torn") return undefined;
  return `${bad.reason}; etcd wrote this segment, and the record does not look like one of its torn writes`;
}

/** The end that was cut off the log. */
export interface Repaired {
  readonly file: string;
  /** The log ends here now. */
  readonly offset: number;
  /** The copy of the file as it was. */
  readonly backup: string;
  readonly reason: string;
}

/**
 * Copies the first `size` bytes of a segment aside, for people to look at. Never replaces an earlier copy. Returns its
 * path.
 */
export async function keepBroken(
  fileSystem: FileSystem,
  directory: string,
  name: string,
  file: File,
  size: number,
): Promise<string> {
  const taken = new Set(await fileSystem.list(directory));
  let free = `${name}.broken`;
  for (let n = 2; taken.has(free); n++) free = `${name}.broken.${n}`;
  const path = `${directory}/${free}`;
  await copyTo(fileSystem, directory, path, file, size, size);
  return path;
}
