// Turns records into the bytes of one write: the chain goes on from record to record, the buffer is used again and again.
//
// A save is one call of writeAt, so all its frames are put together here first. The chain moves on as soon as a record is
// encoded, so after a failed write the encoder cannot be used again, and the log does not try to (wal.ts).
//
// Ports encoder.go. Leaves out its page writer: a batch goes to the page cache in one call, and our own checksum does not need
// torn writes to be recognisable by their sectors.

import { maxFrameSize, type RecordData, RecordType, writeFrame } from "./record.ts";

const BUFFER_SIZE = 1024 * 1024;

export class Encoder {
  #buffer = new Uint8Array(BUFFER_SIZE);
  #used = 0;
  #chain: number;
  /** Of the segment that the records are for. */
  salt: number;

  /** Continues the chain of the records before; 0 for the first segment. */
  constructor(chain: number, salt: number) {
    this.#chain = chain;
    this.salt = salt;
  }

  /** CRC-32C over the data of all records so far. */
  get chain(): number {
    return this.#chain;
  }

  /**
   * Adds a record to the batch. `start` is the offset of the batch in its file, a multiple of 8; `durable` the offset below
   * which everything in that file is known to be durable now.
   */
  append(type: RecordType, data: RecordData, start: number, durable: number): void {
    this.#reserve(maxFrameSize(data));
    const record = { type, data, durable, salt: this.salt };
    const frame = writeFrame(this.#buffer, this.#used, start + this.#used, this.#chain, record);
    this.#used += frame.size;
    this.#chain = frame.chain;
  }

  /** The batch so far, valid until the next append; the encoder starts a new one. */
  take(): Uint8Array {
    const batch = this.#buffer.subarray(0, this.#used);
    this.#used = 0;
    // A batch beyond the usual size got a buffer of its own: let it go.
    if (this.#buffer.length > BUFFER_SIZE) this.#buffer = new Uint8Array(BUFFER_SIZE);
    return batch;
  }

  #reserve(size: number): void {
    const needed = this.#used + size;
    if (needed <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(needed, 2 * this.#buffer.length));
    larger.set(this.#buffer.subarray(0, this.#used));
    this.#buffer = larger;
  }
}

/**
 * The first record of a segment carries the chain so far, and tells the salt; the others of its head follow it. The second states durable
 * what is so when the file gets its name: so many bytes of it.
 */
export function encodeHead(
  encoder: Encoder,
  metadata: Uint8Array,
  third: { type: RecordType; data: Uint8Array },
  allotted: number,
  salt: number,
): void {
  encoder.salt = salt;
  encoder.append(RecordType.crc, undefined, 0, 0);
  encoder.append(RecordType.metadata, metadata, 0, allotted);
  encoder.append(third.type, third.data, 0, 0);
}
