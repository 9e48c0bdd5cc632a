// Checksums over what peers tell each other: a bit that turns over on the way must not become a vote, a value or an incarnation.
//
// TCP has a checksum of 16 bits, and devices on the way take it off and put a new one on. A raft message with a changed byte is nearly always
// another valid raft message. So every frame of messages ends in its CRC-32, and what goes by HTTP has it in a header: the handshake's
// over its own headers, a body's over the body. A header is checked where it is given. Every member gives it; a person with curl need not.
//
// This finds accidents. It does not stop an attacker: that takes TLS.

import { crc32 } from "node:zlib";
import { DecodeError } from "../raft/raftpb/index.ts";

/** What seal adds. */
export const sealBytes = 4;

/** The bytes, and behind them their CRC-32, little-endian. */
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

/** As a header has it: 8 hex digits. */
export const checksumOf = (data: Uint8Array | string): string => crc32(data).toString(16).padStart(8, "0");

/** Whether a header's checksum, if there is one, is that of the data. */
export const fits = (header: string | string[] | undefined, data: Uint8Array | string): boolean =>
  header === undefined || header === checksumOf(data);
