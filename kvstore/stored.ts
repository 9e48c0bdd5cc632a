// How the map keeps a value: a short one as a string with a character for each byte, a long one as bytes.
//
// An array of bytes is three objects and a piece of memory outside of the heap, whatever its length. With a million of
// them a garbage collection stops the process for a second and more, and heartbeats with it. A string of characters
// below 256 is one object without references to follow: pauses are some tens of milliseconds at most, memory is halved,
// and puts take half the time. Beyond a few KiB an array's overhead does not matter, and it is faster.
//
// Imports nothing, so that it runs unchanged in a browser and in a simulator.

const encoder = new TextEncoder();

export type Stored = string | Uint8Array;

/** Below what a call may have of arguments, in every engine. */
const maxStringSize = 4096;

/** A copy: the bytes may be changed, or go, afterwards. */
export function store(bytes: Uint8Array): Stored {
  if (bytes.length > maxStringSize) return new Uint8Array(bytes);
  return String.fromCharCode.apply(null, bytes as unknown as number[]);
}

/** The value, which the caller must not change. */
export function bytesOf(stored: Stored): Uint8Array {
  if (typeof stored !== "string") return stored;
  const bytes = new Uint8Array(stored.length);
  // One call does it if all are ASCII, as the bytes of a text mostly are: any other character takes two bytes, and then
  // they do not fit.
  const { read } = encoder.encodeInto(stored, bytes);
  if (read < bytes.length) for (let i = 0; i < bytes.length; i++) bytes[i] = stored.charCodeAt(i);
  return bytes;
}
