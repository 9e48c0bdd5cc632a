// Checksums over what peers send each other: a bit that flips on the way must not become a vote, a value or an
// incarnation.
//
// TCP has a checksum of 16 bits, and devices on the way replace it. A raft message with a changed byte is nearly always
// another valid raft message. So every frame of messages ends in its CRC-32, and plain HTTP has it in a header: the
// handshake's over its own headers, a body's over the body. A header is checked where it is present. Every member sends
// it; an operator with curl need not.
//
// This finds accidents, not attackers: against those only TLS helps.

import { crc32 } from "node:zlib";
import { DecodeError } from "../raft/raftpb/index.ts";

/** The bytes that seal adds. */
export const sealBytes = 4;

/** The bytes, followed by their CRC-32, little-endian. */
export function seal(bytes: Uint8Array): Uint8Array {
  const sealed = new Uint8Array(bytes.length + sealBytes);
  sealed.set(bytes);
  new DataView(sealed.buffer).setUint32(bytes.length, crc32(bytes), true);
  return sealed;
}

/** A view of what was sealed. Throws DecodeError. */
export function unseal(sealed: Uint8Array): Uint8Array {
  const size = sealed.length - sealBytes;
  if (size < 0) throw new DecodeError(`${sealed.length} bytes, where the checksum alone has ${sealBytes}`);
  const bytes = sealed.subarray(0, size);
  const given = new DataView(sealed.buffer, sealed.byteOffset, sealed.length).getUint32(size, true);
  if (given !== crc32(bytes)) throw new DecodeError("its checksum does not fit: it was changed on the way");
  return bytes;
}

/** The form of a checksum in a header: 8 hex digits. */
export const checksumOf = (data: Uint8Array | string): string => crc32(data).toString(16).padStart(8, "0");

/** Whether a header's checksum, if there is one, is that of the data. */
export const fits = (header: string | string[] | undefined, data: Uint8Array | string): boolean =>
  header === undefined || header === checksumOf(data);
