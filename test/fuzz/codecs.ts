// The pure decoders as targets: raft's messages, the frames of the peer port, and the small formats of server/ and
// kvstore/.
//
// The first byte of an input picks the decoder, the rest is what it decodes. The oracle, for each of them:
//   - it throws its own class of error and nothing else, or returns a value;
//   - a value encodes, and decodes again to an equal value; where a format promises one encoding only, to the very same
//     bytes;
//   - every number in it is a safe integer, every view lies in the input, and there are no more objects than the input
//     has bytes;
//   - no buffer is allocated that is larger than the input (and a small constant).

import { isDeepStrictEqual } from "node:util";
import { CommandError, decodeCommand, encodeDelete, encodePut } from "../../kvstore/command.ts";
import * as pb from "../../raft/raftpb/index.ts";
import { decodeEnvelope, encodeEnvelope } from "../../server/envelope.ts";
import { decodeOutcome, decodeRequest, encodeOutcome, encodeRequest } from "../../server/membership/forwarded.ts";
import { decodeNote, encodeNote } from "../../server/membership/notes.ts";
import { decodeFrame, FrameWriter, itemsOf } from "../../transport/frame.ts";
import { decodeMetadata, decodeSnapshotRecord, encodeMetadata, WalError } from "../../wal/index.ts";
import { encodeSnapshotRecord } from "../../wal/record.ts";
import { AllocationWatch } from "./allocations.ts";
import { expect, type Session, type Target } from "./target.ts";

/** A decoder and its way back, their value untyped so that a table can hold them. */
export interface Codec {
  readonly name: string;
  /** Undefined stands for "not mine": a refusal without an error. */
  readonly decode: (bytes: Uint8Array) => unknown;
  readonly encode: (value: never) => Uint8Array;
  /** Whether this is an error that the decoder promises; any other is a fault. */
  readonly refuses: (error: unknown) => boolean;
  /** Equal values have one encoding, and the decoder takes no other. */
  readonly canonical?: true;
}

const isDecodeError = (error: unknown): boolean => error instanceof pb.DecodeError;

function encodeFrame(messages: readonly pb.Message[]): Uint8Array {
  const writer = new FrameWriter();
  for (const m of messages) writer.add(pb.encodeMessage(m), itemsOf(m));
  return writer.take();
}

export const raftpbCodecs: readonly Codec[] = [
  { name: "message", decode: pb.decodeMessage, encode: pb.encodeMessage, refuses: isDecodeError },
  { name: "entry", decode: pb.decodeEntry, encode: pb.encodeEntry, refuses: isDecodeError },
  { name: "hard-state", decode: pb.decodeHardState, encode: pb.encodeHardState, refuses: isDecodeError },
  { name: "conf-state", decode: pb.decodeConfState, encode: pb.encodeConfState, refuses: isDecodeError },
  { name: "snapshot", decode: pb.decodeSnapshot, encode: pb.encodeSnapshot, refuses: isDecodeError },
  { name: "conf-change", decode: pb.decodeConfChange, encode: pb.encodeConfChange, refuses: isDecodeError },
  { name: "conf-change-v2", decode: pb.decodeConfChangeV2, encode: pb.encodeConfChangeV2, refuses: isDecodeError },
  { name: "frame", decode: decodeFrame, encode: encodeFrame, refuses: isDecodeError },
];

/** Their decoders state an Error of no class of its own. */
const isPlainError = (error: unknown): boolean => error instanceof Error && error.constructor === Error;
const neverThrows = (): boolean => false;

export const otherCodecs: readonly Codec[] = [
  {
    name: "command",
    decode: decodeCommand,
    encode: (c: ReturnType<typeof decodeCommand>) =>
      c.kind === "put" ? encodePut(c.key, c.value) : encodeDelete(c.key),
    refuses: (error) => error instanceof CommandError,
    canonical: true,
  },
  {
    name: "envelope",
    decode: decodeEnvelope,
    encode: (e: NonNullable<ReturnType<typeof decodeEnvelope>>) => encodeEnvelope(e.id, e.body, e.kind),
    refuses: neverThrows,
    canonical: true,
  },
  { name: "note", decode: decodeNote, encode: encodeNote, refuses: neverThrows },
  { name: "request", decode: decodeRequest, encode: encodeRequest, refuses: isPlainError },
  { name: "outcome", decode: decodeOutcome, encode: encodeOutcome, refuses: neverThrows },
  {
    name: "metadata",
    decode: decodeMetadata,
    encode: encodeMetadata,
    refuses: (error) => error instanceof WalError && error.code === "BAD_METADATA",
  },
  {
    name: "snapshot-mark",
    decode: decodeSnapshotRecord,
    encode: encodeSnapshotRecord,
    // It promises an error of raftpb or of protobufjs, and its callers make a WalError of either.
    refuses: (error) => error instanceof Error,
  },
];

/** Room for what decoders ask for beside the input: arrays of numbers, the reader of protobufjs. */
const smallBytes = 1024;

class CodecSession implements Session {
  readonly #codecs: readonly Codec[];
  readonly #allocations = new AllocationWatch();

  constructor(codecs: readonly Codec[]) {
    this.#codecs = codecs;
  }

  run(input: Uint8Array): string {
    if (input.length === 0) return "empty";
    const codec = this.#codecs[(input[0] as number) % this.#codecs.length] as Codec;
    // A copy, so that a decoder that wrote into its input would be found.
    const bytes = input.slice(1);
    this.#allocations.take();
    let value: unknown;
    try {
      value = codec.decode(bytes);
    } catch (error) {
      if (!codec.refuses(error)) throw error;
      return `${codec.name} refused`;
    } finally {
      const largest = this.#allocations.take();
      expect(largest <= bytes.length + smallBytes, `a buffer of ${largest} bytes for ${bytes.length} of input`);
      expect(Buffer.compare(bytes, input.subarray(1)) === 0, "the decoder has changed its input");
    }
    if (value === undefined) return `${codec.name} refused`;
    checkValue(value, bytes);
    checkWayBack(codec, value, bytes);
    return "accepted";
  }

  async close(): Promise<void> {
    this.#allocations.close();
  }
}

function checkValue(value: unknown, input: Uint8Array): void {
  let objects = 0;
  const visit = (part: unknown): void => {
    if (typeof part === "number") {
      expect(Number.isSafeInteger(part) && part >= 0, `the number ${part} has come out`);
    } else if (part instanceof Uint8Array) {
      expect(part.length <= input.length, `${part.length} bytes out of ${input.length}`);
    } else if (typeof part === "object" && part !== null) {
      objects++;
      for (const inner of Object.values(part)) visit(inner);
    }
  };
  visit(value);
  // What nests stands for at least two bytes each, but for the fixed parts of the outermost.
  expect(objects <= input.length * 4 + 16, `${objects} objects out of ${input.length} bytes`);
}

function checkWayBack(codec: Codec, value: unknown, bytes: Uint8Array): void {
  const encoded = codec.encode(value as never);
  const again = codec.decode(encoded);
  expect(isDeepStrictEqual(plain(again), plain(value)), "what it decodes to encodes to something else");
  if (codec.canonical) expect(Buffer.compare(encoded, bytes) === 0, "a second encoding of the same value is taken");
}

/** With bytes as text, so that a view and a copy are equal, and without what is undefined, which JSON leaves out. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString("latin1")}`;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return Object.fromEntries(fields.map(([key, inner]) => [key, plain(inner)]));
}

export const raftpbTarget: Target = {
  name: "raftpb",
  about: "the codec of raft's messages, and frames of the peer port",
  lanes: 1,
  open: async () => new CodecSession(raftpbCodecs),
};

export const codecsTarget: Target = {
  name: "codecs",
  about: "commands, envelopes, notes, requests between members, metadata, marks of snapshots",
  lanes: 1,
  open: async () => new CodecSession(otherCodecs),
};
