// What travels on a connection for a snapshot: one snapshot from the dialler to the peer, and one answer back.
//
//     dialler                                                        peer
//     binary   the MsgSnap, encoded as on the other stream, without data, and sealed (checksum.ts)
//     binary   data, 1 byte to maxSnapshotFrameBytes a frame
//     ...
//     text     "end <bytes of data> <CRC-32 of the data, 8 hex digits>"
//                                           text   "taken", or "refused <why>"
//
// The answer may come before the end: a peer that needs no more of the data has taken it, one that cannot take it need not be sent the rest.
// Both sides ping. A transfer has no time limit, since a state machine may have any size; a side that hears nothing for idleTimeoutMs ends
// it. TCP's own checksum is 16 bits wide; over many gigabytes that is too weak.

import { crc32 } from "node:zlib";

/** Small, so that a slow line carries one frame well within idleTimeoutMs, and a pause ends soon. */
export const maxSnapshotFrameBytes = 128 * 1024;

/** What data adds up to. */
export class Sum {
  size = 0;
  private crc = 0;

  add(data: Uint8Array): void {
    this.size += data.length;
    this.crc = crc32(data, this.crc);
  }

  /** The end frame. */
  toString(): string {
    return `end ${this.size} ${this.crc.toString(16).padStart(8, "0")}`;
  }
}

export const taken = "taken";
export const refused = (why: string): string => `refused ${why}`;

/** The answer: true if taken, else why not; undefined if it is none. */
export function readAnswer(text: string): true | string | undefined {
  if (text === taken) return true;
  return text.startsWith("refused ") ? text.slice("refused ".length) : undefined;
}
