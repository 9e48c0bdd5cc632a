// A state of the map as bytes, written and read in chunks. All numbers are big endian.
//
//     head       "KVMAP", version (2 bytes), 1
//     entry      1, size of the key (2 bytes), size of the value (4 bytes), then the key in UTF-8, then the value
//     end        2, how many entries there were (6 bytes)
//
// The entries come in the order of hashKey(key), a 32-bit number, and entries of one hash in the order of their keys as
// strings. So equal states have equal bytes, however they were reached, and hashKey is part of the format: to change it
// is a new version.
//
// Promises: the decoder gives out what the encoder took in, or throws KvSnapshotError and nothing else, whatever the
// bytes and however they are cut. It buffers no more than one entry, and no more than twice what it was given, whatever
// size a damaged entry claims. It cannot see a value with other bytes of the same size: the file around it has a
// checksum.
//
// Imports nothing of other rooms, so that it runs unchanged in a browser and in a simulator.
import { bytesOf, type Stored } from "./stored.ts";

/** The bytes are not a snapshot of a map, or not a whole one. */
export class KvSnapshotError extends Error {
  override readonly name = "KvSnapshotError";
  readonly code = "KV_SNAPSHOT";
}

const magic = [0x4b, 0x56, 0x4d, 0x41, 0x50];
const formatVersion = 1;
const entryTag = 1;
const endTag = 2;
// The head, and what an entry or the end begins with, have one size: so a reader always needs one of two things, a
// prefix or the rest.
const prefixSize = 7;
const chunkSize = 128 * 1024;
const maxEntriesInChunk = 4096;
const twoTo32 = 2 ** 32;

const encoder = new TextEncoder();
// As in the command codec: without ignoreBOM a leading U+FEFF would be dropped.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * A 32-bit hash of the key: FNV-1a over its UTF-16 units, and a last step of MurmurHash3 that spreads the differences
 * of the last characters over the upper bits, which choose the shard.
 */
export function hashKey(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/**
 * A snapshot in chunks: each of 128 to 256 KiB, or less after 4096 entries, and at the end. A shard is read whole when
 * its turn comes; no shard may have a key of a lower hash than one before it. The work for a chunk is to write it and
 * to sort the shards that begin in it.
 */
export function* encodeSnapshot(shards: Iterable<ReadonlyMap<string, Stored>>): Generator<Uint8Array, undefined> {
  // Given away as soon as half of it is full, so that a prefix with the longest key always fits; values are cut.
  const buffer = new Uint8Array(2 * chunkSize);
  buffer.set(magic);
  buffer[5] = formatVersion >>> 8;
  buffer[6] = formatVersion;
  let size = prefixSize;
  let count = 0;
  for (const shard of shards) {
    if (shard.size === 0) continue;
    for (const { key, stored } of sortedEntries(shard)) {
      const value = bytesOf(stored);
      const keySize = encoder.encodeInto(key, buffer.subarray(size + prefixSize)).written;
      setPrefix(buffer, size, entryTag, keySize, value.length);
      size += prefixSize + keySize;
      count++;
      for (let offset = 0; ; ) {
        const part = value.subarray(offset, offset + buffer.length - size);
        buffer.set(part, size);
        size += part.length;
        offset += part.length;
        if (size >= chunkSize || count % maxEntriesInChunk === 0) {
          yield buffer.slice(0, size);
          size = 0;
        }
        if (offset === value.length) break;
      }
    }
  }
  setPrefix(buffer, size, endTag, Math.floor(count / twoTo32), count % twoTo32);
  yield buffer.slice(0, size + prefixSize);
}

function sortedEntries(shard: ReadonlyMap<string, Stored>): { key: string; stored: Stored }[] {
  const entries = Array.from(shard, ([key, stored]) => ({ hash: hashKey(key), key, stored }));
  return entries.sort((a, b) => a.hash - b.hash || (a.key < b.key ? -1 : 1));
}

function setPrefix(buffer: Uint8Array, offset: number, kind: number, two: number, four: number): void {
  buffer[offset] = kind;
  buffer[offset + 1] = two >>> 8;
  buffer[offset + 2] = two;
  buffer[offset + 3] = four >>> 24;
  buffer[offset + 4] = four >>> 16;
  buffer[offset + 5] = four >>> 8;
  buffer[offset + 6] = four;
}

/** Reads a snapshot: push() each chunk, then end(). Of no more use after either has thrown. */
export class SnapshotDecoder {
  readonly #take: (hash: number, key: string, value: Uint8Array) => void;
  #expected: "head" | "entry or end" | "nothing" = "head";
  /**
   * Of a head, entry or end that chunks cut: its first #keptSize bytes. Grows with what it holds, not with what is
   * announced.
   */
  #kept = new Uint8Array(1024);
  #keptSize = 0;
  /** Where in the snapshot the head, entry or end begins that comes next. */
  #offset = 0;
  #count = 0;
  #lastHash = -1;
  #lastKey = "";

  /**
   * `take` is called with each entry, in order, while push() runs; the value is a view that is good until it returns.
   */
  constructor(take: (hash: number, key: string, value: Uint8Array) => void) {
    this.#take = take;
  }

  /** A chunk of any size, which may be changed afterwards. Throws KvSnapshotError. */
  push(chunk: Uint8Array): void {
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#expected === "nothing") throw this.#error("bytes follow its end mark");
      if (this.#keptSize === 0) {
        const left = chunk.length - offset;
        const size = this.#sizeOfNext(chunk, offset, left);
        if (size <= left) {
          this.#readNext(chunk, offset, size);
          offset += size;
          continue;
        }
      }
      const missing = this.#sizeOfNext(this.#kept, 0, this.#keptSize) - this.#keptSize;
      const part = chunk.subarray(offset, offset + missing);
      this.#keep(part);
      offset += part.length;
      if (this.#sizeOfNext(this.#kept, 0, this.#keptSize) === this.#keptSize) {
        this.#readNext(this.#kept, 0, this.#keptSize);
        this.#keptSize = 0;
      }
    }
  }

  /** Throws KvSnapshotError if the snapshot was not whole. */
  end(): void {
    if (this.#expected === "nothing") return;
    throw this.#error(`it ends ${this.#keptSize} bytes later, before its end mark`);
  }

  /** As far as it can be known from `available` bytes: at first the size of the prefix. */
  #sizeOfNext(bytes: Uint8Array, offset: number, available: number): number {
    if (available < prefixSize || this.#expected !== "entry or end" || bytes[offset] !== entryTag) return prefixSize;
    return prefixSize + twoBytesAt(bytes, offset + 1) + fourBytesAt(bytes, offset + 3);
  }

  #keep(part: Uint8Array): void {
    const size = this.#keptSize + part.length;
    if (size > this.#kept.length) {
      const larger = new Uint8Array(Math.max(size, 2 * this.#kept.length));
      larger.set(this.#kept.subarray(0, this.#keptSize));
      this.#kept = larger;
    }
    this.#kept.set(part, this.#keptSize);
    this.#keptSize = size;
  }

  #readNext(bytes: Uint8Array, offset: number, size: number): void {
    if (this.#expected === "head") this.#readHead(bytes, offset);
    else if (bytes[offset] === entryTag) this.#readEntry(bytes, offset, offset + size);
    else if (bytes[offset] === endTag) this.#readEnd(bytes, offset);
    else throw this.#error(`${bytes[offset]} is neither ${entryTag} (entry) nor ${endTag} (end)`);
    this.#offset += size;
  }

  #readHead(bytes: Uint8Array, offset: number): void {
    if (magic.some((byte, i) => bytes[offset + i] !== byte))
      throw this.#error("it is not one: it must begin with KVMAP");
    const version = twoBytesAt(bytes, offset + magic.length);
    if (version !== formatVersion) {
      throw this.#error(`version ${version} is not known here, only ${formatVersion}: run one release on all members`);
    }
    this.#expected = "entry or end";
  }

  #readEntry(bytes: Uint8Array, offset: number, end: number): void {
    const keyOffset = offset + prefixSize;
    const keyEnd = keyOffset + twoBytesAt(bytes, offset + 1);
    const key = this.#decodeKey(bytes.subarray(keyOffset, keyEnd));
    const hash = hashKey(key);
    if (hash < this.#lastHash || (hash === this.#lastHash && key <= this.#lastKey)) {
      throw this.#error("the key is there twice, or not in its place");
    }
    this.#lastHash = hash;
    this.#lastKey = key;
    this.#count++;
    this.#take(hash, key, bytes.subarray(keyEnd, end));
  }

  #readEnd(bytes: Uint8Array, offset: number): void {
    const count = twoBytesAt(bytes, offset + 1) * twoTo32 + fourBytesAt(bytes, offset + 3);
    if (count !== this.#count) throw this.#error(`it should have ${count} entries, and has ${this.#count}`);
    this.#expected = "nothing";
  }

  #decodeKey(bytes: Uint8Array): string {
    try {
      return decoder.decode(bytes);
    } catch {
      throw this.#error("the key is not UTF-8");
    }
  }

  #error(what: string): KvSnapshotError {
    return new KvSnapshotError(`the snapshot of the map cannot be used, at offset ${this.#offset}: ${what}`);
  }
}

function twoBytesAt(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 8) | bytes[offset + 1]!;
}

function fourBytesAt(bytes: Uint8Array, offset: number): number {
  return twoBytesAt(bytes, offset) * 0x10000 + twoBytesAt(bytes, offset + 2);
}
