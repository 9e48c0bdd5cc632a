// The bytes of a snapshot file around its data, as index.ts draws them: the head before it, the tail behind it.
//
// Promises: a head always has the same size, so that it can be written last, when the checksum and the sizes are known;
// the offsets that decodeHead returns lie within the file, so that a damaged size never leads to a read past its end or
// to a buffer of its size.
//
// A number in a protobuf message is a varint, seven bits a byte, the top bit set on all bytes but the last. The
// shortest form is customary, but no reader requires it: groups of zeros at the end are padding. Readers of any
// language accept five bytes for a size, and they hold 35 bits.
//
// Reads what etcd writes, and what writeSnapshot writes: fields in the order of their numbers, none twice, none
// unknown; the data may be missing. Ports save and Read of snapshotter.go, and snappb/snap.proto.

import { crc32c, crc32cCombine } from "../disk/crc32c.ts";
import { decodeSnapshot, encodeSnapshot, Reader, type SnapshotMetadata } from "../raft/raftpb/index.ts";

const tagCrc = 0x08; // snappb.Snapshot field 1, varint
const tagSnapshot = 0x12; // snappb.Snapshot field 2, bytes
const tagData = 0x0a; // raftpb.Snapshot field 1, bytes
const tagMetadata = 0x12; // raftpb.Snapshot field 2, message
const padded = 5; // bytes of a padded varint
const wrapperBytes = 2 * (1 + padded); // the wrapper's two fields, without what the second one holds
const dataHeadBytes = 1 + padded;

/** Where the data starts in a file of ours. */
export const headBytes = wrapperBytes + dataHeadBytes;
/** The snapshot in its wrapper must be smaller. */
export const sizeLimit = 2 ** (7 * padded);
/** A head in any form fits in here. */
export const longestHeadBytes = 64;

/**
 * Where the parts of a file are; offsets from its start. The snapshot is [start, end), the data [dataStart, dataEnd).
 */
export interface Layout {
  /** What the checksum of [start, end) must be. */
  readonly crc: number;
  readonly start: number;
  readonly dataStart: number;
  readonly dataEnd: number;
  readonly end: number;
}

/** The bytes cannot be a snapshot file; the message is the reason alone. */
export class FormatError extends Error {
  override readonly name = "FormatError";
}

function writePadded(into: Uint8Array, at: number, tag: number, value: number): void {
  into[at] = tag;
  let rest = value;
  for (let i = 1; i <= padded; i++, rest = Math.floor(rest / 128))
    into[at + i] = (rest % 128) | (i < padded ? 0x80 : 0);
}

/** The headBytes before the data. `size` and `crc` are the data's; the whole must stay below sizeLimit. */
export function encodeHead(data: { readonly size: number; readonly crc: number }, tail: Uint8Array): Uint8Array {
  const head = new Uint8Array(headBytes);
  writePadded(head, wrapperBytes, tagData, data.size);
  const throughData = crc32cCombine(crc32c(head, 0, wrapperBytes), data.crc, data.size);
  writePadded(head, 0, tagCrc, crc32c(tail, throughData));
  writePadded(head, 1 + padded, tagSnapshot, dataHeadBytes + data.size + tail.length);
  return head;
}

/** What follows the data: the metadata field. */
export const encodeTail = (metadata: SnapshotMetadata): Uint8Array => encodeSnapshot({ data: undefined, metadata });

/** Takes the first longestHeadBytes of a file, or all of a shorter one. Throws FormatError. */
export function decodeHead(bytes: Uint8Array, fileSize: number): Layout {
  const reader = new Reader(bytes);
  expectTag(reader, tagCrc, "checksum");
  const crc = number(reader);
  if (crc >= 2 ** 32) throw new FormatError(`it has ${crc} for a checksum`);
  expectTag(reader, tagSnapshot, "snapshot");
  const size = number(reader);
  if (size === 0) throw new FormatError("it holds nothing");
  const start = reader.pos;
  const end = start + size;
  if (end !== fileSize) throw new FormatError(`it says that it ends at byte ${end}, and is ${fileSize} bytes long`);
  if (bytes[start] !== tagData) return { crc, start, dataStart: start, dataEnd: start, end };
  reader.pos++;
  const dataSize = number(reader);
  const dataEnd = reader.pos + dataSize;
  if (dataEnd > end) throw new FormatError(`its data would end at byte ${dataEnd}, and the file ends at ${end}`);
  return { crc, start, dataStart: reader.pos, dataEnd, end };
}

/** The metadata in [dataEnd, end) of a file. Throws FormatError. */
export function decodeTail(bytes: Uint8Array): SnapshotMetadata {
  if (bytes[0] !== tagMetadata) throw new FormatError("its data is not followed by metadata");
  let decoded: ReturnType<typeof decodeSnapshot>;
  try {
    decoded = decodeSnapshot(bytes);
  } catch (cause) {
    throw new FormatError(`its metadata cannot be decoded: ${(cause as Error).message}`);
  }
  if (decoded.data !== undefined) throw new FormatError("it has data behind its metadata");
  return decoded.metadata;
}

function expectTag(reader: Reader, tag: number, what: string): void {
  if (reader.pos >= reader.len) throw new FormatError("it ends before its data");
  if (reader.byte() !== tag) throw new FormatError(`at byte ${reader.pos - 1} its ${what} should begin, and does not`);
}

function number(reader: Reader): number {
  try {
    return reader.number();
  } catch (cause) {
    throw new FormatError(`a number before its data is cut off or too large: ${(cause as Error).message}`);
  }
}
