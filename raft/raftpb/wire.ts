// The wire format under the messages: tags, varints, length-delimited fields, and what is refused in them.
//
// Promises: a decoder that reads through here throws DecodeError and nothing else on any bytes; no number that a double
// cannot hold exactly passes in either direction. Byte fields are views of the input, not copies.
//
// On protobufjs' minimal Writer and Reader: no reflection, so no eval and no file, and it runs in a browser. Groups,
// which proto2 once had, are skipped like any unknown field.

import protobuf from "protobufjs/minimal.js";

export type Writer = protobuf.Writer;

/** The bytes are not an encoding of the message asked for, or hold a number beyond 2^53 - 1. */
export class DecodeError extends Error {
  readonly code = "RAFTPB_DECODE";
  override readonly name = "DecodeError";
}

const tagLimit = 2 ** 32;

/** A Reader whose 64-bit numbers are exact or an error, and that hands out plain Uint8Array views. */
export class Reader extends protobuf.Reader {
  /** An unsigned varint as a number. Throws DecodeError beyond 2^53 - 1. */
  number(): number {
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte();
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) return low;
    }
    let value = low;
    for (let scale = 2 ** 28; scale <= 2 ** 63; scale *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (!Number.isSafeInteger(value)) throw new DecodeError(`number ${value} is beyond 2^53 - 1`);
        return value;
      }
    }
    throw new DecodeError("varint longer than 10 bytes");
  }

  byte(): number {
    if (this.pos >= this.len) throw new DecodeError("unexpected end of input");
    return this.buf[this.pos++] as number;
  }

  /** A length-delimited field as a view of the input. */
  slice(): Uint8Array {
    const end = this.end();
    const view = this.buf.subarray(this.pos, end) as Uint8Array;
    this.pos = end;
    return view;
  }

  /** Reads a length and returns the position where the field that it opens ends. */
  end(): number {
    const end = this.number() + this.pos;
    if (end > this.len) throw new DecodeError(`length runs ${end - this.len} bytes past the end of the input`);
    return end;
  }

  /** An enum value; throws DecodeError above `last`. */
  enumeration(last: number, what: string): number {
    const value = this.number();
    if (value > last) throw new DecodeError(`unknown ${what} ${value}`);
    return value;
  }
}

export type DecodeFields<T> = (reader: Reader, end: number, depth: number) => T;

export function decodeWith<T>(what: string, bytes: Uint8Array, fields: DecodeFields<T>): T {
  const reader = new Reader(bytes);
  try {
    return fields(reader, bytes.length, 0);
  } catch (cause) {
    // protobufjs' own complaints (a bad wire type, a group left open) are the input's fault as well.
    if (cause instanceof DecodeError) throw new DecodeError(`${what}: ${cause.message}`);
    throw new DecodeError(`${what}: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

export const wireVarint = 0;
export const wireBytes = 2;
export const tag = (field: number, wire: number): number => (field << 3) | wire;

/** Reads the next tag, or 0 at the end of the enclosing message. */
export function nextTag(reader: Reader, end: number): number {
  if (reader.pos < end) {
    const t = reader.number();
    if (t >>> 3 === 0 || t >= tagLimit) throw new DecodeError(`illegal tag ${t}`);
    return t;
  }
  if (reader.pos > end) throw new DecodeError("field runs past the end of its message");
  return 0;
}

export const encode = (write: (w: Writer) => void): Uint8Array => {
  const writer = new protobuf.Writer();
  write(writer);
  return writer.finish();
};

/** Writes an unsigned number; throws RangeError for one that the wire must not carry. */
function writeNumber(w: Writer, value: number): void {
  if (value >>> 0 === value) w.uint32(value);
  else if (Number.isSafeInteger(value) && value > 0) w.uint64(value);
  else throw new RangeError(`cannot encode ${value}: terms, indexes and ids are integers in [0, 2^53)`);
}

export function writeField(w: Writer, field: number, value: number): void {
  w.uint32(tag(field, wireVarint));
  writeNumber(w, value);
}

export function writeBytes(w: Writer, field: number, bytes: Uint8Array): void {
  w.uint32(tag(field, wireBytes)).bytes(bytes);
}

export function writeNested<T>(w: Writer, field: number, value: T, write: (w: Writer, v: T) => void): void {
  w.uint32(tag(field, wireBytes)).fork();
  write(w, value);
  w.ldelim();
}

/** Bytes of an unsigned varint. */
export function varintSize(value: number): number {
  let size = 1;
  for (let v = value; v >= 128; v = Math.floor(v / 128)) size++;
  return size;
}
