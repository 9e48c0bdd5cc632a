// The real map, with a fingerprint of how it came to be.
//
// The fingerprint is a chain over all commands that were applied, so that two members which have applied the same
// commands in the same order, and no others, have the same one. It travels in the snapshots, in front of the map's own
// data. Equal fingerprints must go with equal data: each snapshot that is read to its end tells both to `compare`.

import { KvMap } from "../kvstore/map.ts";
import type { StateMachine } from "../server/interfaces.ts";

/** The fingerprint of a map to which this command was applied next. */
export function chained(chain: number, bytes: Uint8Array): number {
  let hash = chain ^ 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return (Math.imul(hash ^ (hash >>> 15), 0x735a2d97) ^ bytes.length) >>> 0;
}

const prefixSize = 4;

export class WatchedMap implements StateMachine {
  readonly map = new KvMap();
  chain = 0;
  readonly #compare: (chain: number, data: number) => void;

  constructor(compare: (chain: number, data: number) => void) {
    this.#compare = compare;
  }

  apply(commands: readonly Uint8Array[]): readonly unknown[] {
    for (const command of commands) this.chain = chained(this.chain, command);
    return this.map.apply(commands);
  }

  snapshot(): AsyncIterable<Uint8Array> {
    return this.#chunks(this.chain, this.map.snapshot());
  }

  async *#chunks(chain: number, state: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const prefix = new Uint8Array(prefixSize);
    new DataView(prefix.buffer).setUint32(0, chain);
    yield prefix;
    let data = 0;
    for await (const chunk of state) {
      data = chained(data, chunk);
      yield chunk;
    }
    this.#compare(chain, data);
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const prefix = new Uint8Array(prefixSize);
    await this.map.restore(withoutPrefix(chunks, prefix));
    this.chain = new DataView(prefix.buffer).getUint32(0);
  }

  describe(command: Uint8Array): string {
    return this.map.describe(command);
  }

  /** The fingerprint of the data as it is now. */
  async data(): Promise<number> {
    let data = 0;
    for await (const chunk of this.map.snapshot()) data = chained(data, chunk);
    return data;
  }
}

async function* withoutPrefix(chunks: AsyncIterable<Uint8Array>, prefix: Uint8Array): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const chunk of chunks) {
    const part = chunk.subarray(0, prefixSize - size);
    prefix.set(part, size);
    size += part.length;
    if (part.length < chunk.length) yield chunk.subarray(part.length);
  }
}
