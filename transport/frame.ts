// One WebSocket frame: many raft messages, as the protobuf message Frame { repeated Message messages = 1; }, sealed
// (checksum.ts).
//
// Many messages a frame make a WebSocket fast: the price of a frame (two system calls, a turn of the event loop) is
// twenty times that of a message. A writer collects the messages that one turn sends to one peer; a reader takes them
// apart.
//
// Promise: decodeFrame throws DecodeError and nothing else, and builds no more than maxFrameItems objects whatever the
// bytes. The codec of raftpb sets no such bound, and an empty entry is two bytes on the wire but fifty in memory: 64
// MiB of them would take gigabytes. So decodeFrame first counts a frame that is long enough to hold so many; nearly all
// are short.

import protobuf from "protobufjs/minimal.js";
import { DecodeError, decodeMessage, type Message, Reader } from "../raft/raftpb/index.ts";

/**
 * Messages and entries that one frame may hold. Raft's message limit of 1 MiB cannot reach it with entries of 6 bytes.
 */
export const maxFrameItems = 2 ** 18;

/** The most that a frame adds to a message: a tag and a length below 2^35. */
export const framingBytes = 6;

const messageTag = (1 << 3) | 2;
const wireBytes = 2;
const smallestItemBytes = 2;
const entriesField = 7;
const snapshotField = 9;
const responsesField = 14;

/** How much of maxFrameItems a message uses. */
export const itemsOf = (m: Message): number => 1 + m.entries.length;

/** Collects encoded messages into a frame. */
export class FrameWriter {
  messages = 0;
  items = 0;
  #writer = new protobuf.Writer();

  /** Bytes of the frame so far. */
  get size(): number {
    return this.#writer.len;
  }

  /** Adds a message given as its encoding and its number of items. */
  add(encoded: Uint8Array, items: number): void {
    this.#writer.uint32(messageTag).bytes(encoded);
    this.messages++;
    this.items += items;
  }

  /** Returns the frame and starts the next. */
  take(): Uint8Array {
    const frame = this.#writer.finish();
    this.#writer = new protobuf.Writer();
    this.messages = 0;
    this.items = 0;
    return frame;
  }
}

/**
 * The messages of a frame without its seal, at least one. Their byte fields are views of `bytes`. Throws DecodeError.
 */
export function decodeFrame(bytes: Uint8Array): Message[] {
  const counted = bytes.length > maxFrameItems * smallestItemBytes;
  const reader = new Reader(bytes);
  const messages: Message[] = [];
  let items = 0;
  while (reader.pos < reader.len) {
    const tag = reader.number();
    if (tag !== messageTag) throw new DecodeError(`a frame holds messages only, not a field with tag ${tag}`);
    const encoded = reader.slice();
    if (counted) {
      items += countItems(encoded);
      if (items > maxFrameItems) throw new DecodeError(`more than ${maxFrameItems} messages and entries in one frame`);
    }
    messages.push(decodeMessage(encoded));
  }
  if (messages.length === 0) throw new DecodeError("a frame without messages");
  return messages;
}

/** Counts a message and its entries without building them; refuses fields that no message of this stream has. */
function countItems(encoded: Uint8Array): number {
  const reader = new Reader(encoded);
  let items = 1;
  while (reader.pos < reader.len) {
    const tag = reader.number();
    const field = Math.floor(tag / 8);
    if (field === snapshotField || field === responsesField)
      throw new DecodeError("a snapshot or responses in a frame");
    if (tag % 8 === wireBytes) reader.slice();
    else skip(reader, tag % 8);
    if (field === entriesField) items++;
  }
  return items;
}

function skip(reader: Reader, wireType: number): void {
  try {
    reader.skipType(wireType);
  } catch (cause) {
    throw new DecodeError(cause instanceof Error ? cause.message : String(cause));
  }
}
