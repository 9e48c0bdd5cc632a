// A bad frame in the last segment: is it a write that a crash cut short, or damage to what was already durable?
//
// The log answers that itself. Each record of ours states the offset below which everything was durable when it was written,
// and its own checksum vouches for it without any other record. So, with the first bad frame at X:
//  - a later, sound record that states an offset above X proves that the bytes at X had been durable: damage, refused;
//  - no such record: nothing that was acknowledged can lie behind X, so the log goes on from there, and a copy is kept.
// Sound records behind X that state less are ordinary: of what was never synced, a power cut keeps any part.
// A segment that etcd wrote says nothing of the kind; there etcd's own rule decides (a sector of zeros, or the end of the file).
//
// Ports repair.go and isTornEntry of decoder.go. Differs: etcd takes every bad frame with a sector of zeros for a torn write, and
// a zero length word for the end of the log, even where records follow that were acknowledged.

import type { File, FileSystem } from "../disk/file-system.ts";
import { copyTo } from "./copy.ts";
import type { BadFrame, Decoded, Decoder } from "./decoder.ts";
import { HEAD_RECORDS } from "./record.ts";
import { type Rest, searchRest } from "./search.ts";

/** How a segment ends. */
export interface Ending {
  /** Where the sound records end. */
  readonly offset: number;
  /** What stands there in place of zeros. */
  readonly bad: BadFrame | undefined;
  /** Why `bad` is damage; without it the end is clean, or a torn tail. */
  readonly damage: string | undefined;
  /** Whether that is no damage, but what another program has written here. */
  readonly isForeign: boolean;
  /** The offset after the last byte that is not zero. */
  readonly used: number;
  /** The file must not become shorter than this. */
  readonly allotted: number;
  /** The records state that everything below was durable, at the latest when the last of them was written. */
  readonly vouched: number;
}

/** Judges the end of a segment, where `decoder` has just come upon `step`. Anything wrong in one that is not the last is damage. */
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
  return decoder.count < HEAD_RECORDS ? { ...bad, reason: "the records end here" } : undefined;
}

/** A power cut takes no byte from a file that was durable at this size: only damage does, and takes records that were durable with it. */
function whyShortened({ allotted, window }: Decoder): string | undefined {
  if (window.size >= allotted) return undefined;
  return `the file ends at offset ${window.size}, and had ${allotted} bytes before it got its name`;
}

/** Why the bad frame is damage; undefined if it is a torn tail. `decoder` has read what precedes it, `rest` lies behind it. */
function whyDamaged(bad: BadFrame, decoder: Decoder, rest: Rest): string | undefined {
  if (decoder.count < HEAD_RECORDS) return `${bad.reason}; the head of a segment is durable before it gets its name`;
  if (bad.looks === "foreign") return bad.reason;
  if (rest.durable > bad.offset) {
    return `${bad.reason}; a later record states that everything below offset ${rest.durable} was durable`;
  }
  if (decoder.ours || rest.ours || bad.looks === "torn") return undefined;
  return `${bad.reason}; etcd wrote this segment, and the record does not look like one of its torn writes`;
}

/** What was cut from the end of the log. */
export interface Repaired {
  readonly file: string;
  /** The log ends here now. */
  readonly offset: number;
  /** Where the file as it was is kept. */
  readonly backup: string;
  readonly reason: string;
}

/** Copies the first `size` bytes of a segment aside, for people to look at. An earlier copy is never replaced. Returns where it is. */
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
