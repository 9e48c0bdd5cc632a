// The replicated map: the state machine that the log of commands drives.
//
// Promises: the same commands in the same order give the same map and the same results on every member, whatever buffers the
// commands arrive in. A command that cannot be decoded changes nothing and yields a CommandError as its result rather than a
// crash: it is committed, every member will meet it, and all would crash alike, again at each restart.
//
// The map owns its values. A command is a view of a larger buffer (a received frame, a block of the log), and keeping such a
// view would keep the whole buffer alive and change with it, so each value is copied once, into the form of stored.ts.
//
// A snapshot is read while commands are applied. The map is cut into shards, whose keys are those whose hash begins with the
// shard's number, and a snapshot is read shard by shard; before a key is written in a shard that is yet to be read, its value
// is kept for the reader. So neither taking a snapshot nor any command takes time that grows with the map. (To copy a shard
// at the first write to it would do as well, but a batch of a thousand commands meets nearly as many shards, and would copy a
// good part of the map.) What grows with a shard is the time to sort it for a snapshot: a shard far larger than the others
// comes about only if a client chooses keys for their hashes. A shard is made with its first key: most of a small map's never are.

import { CommandError, decodeCommand } from "./command.ts";
import { encodeSnapshot, hashKey, SnapshotDecoder } from "./map-snapshot.ts";
import { bytesOf, type Stored, store } from "./stored.ts";

/** What a command came to: undefined once it is done, an error if it could not be decoded. */
export type CommandResult = undefined | CommandError;

type Shard = Map<string, Stored>;
/** By number; undefined where there was never a key. */
type Shards = (Shard | undefined)[];

const SHARD_BITS = 12;
const shardOf = (hash: number): number => hash >>> (32 - SHARD_BITS);
const makeShards = (): Shards => new Array<Shard | undefined>(2 ** SHARD_BITS).fill(undefined);

function put(shards: Shards, hash: number, key: string, value: Stored): void {
  const number = shardOf(hash);
  const shard = shards[number];
  if (shard === undefined) shards[number] = new Map([[key, value]]);
  else shard.set(key, value);
}

/** The state as it was at one moment, for a reader that goes through the shards in order while commands are applied. */
class PastState {
  readonly #shards: Readonly<Shards>;
  /** By number of the shard: the keys written since, with the values that they had. */
  readonly #overwritten = new Map<number, Map<string, Stored | undefined>>();
  /** How many shards have been read. */
  #read = 0;

  constructor(shards: Readonly<Shards>) {
    this.#shards = shards;
  }

  /** The key is about to be put or deleted. */
  beforeWrite(number: number, key: string): void {
    if (number < this.#read) return;
    const values = this.#overwritten.get(number) ?? new Map<string, Stored | undefined>();
    if (values.has(key)) return;
    values.set(key, this.#shards[number]?.get(key));
    this.#overwritten.set(number, values);
  }

  /** Each is to be read before the next command is applied. */
  *shards(): Generator<ReadonlyMap<string, Stored>, undefined> {
    while (this.#read < this.#shards.length) {
      const number = this.#read++;
      const values = this.#overwritten.get(number);
      this.#overwritten.delete(number);
      const shard = this.#shards[number];
      if (shard !== undefined) yield values === undefined ? shard : withValues(shard, values);
    }
  }
}

function withValues(shard: Shard, values: ReadonlyMap<string, Stored | undefined>): Shard {
  const result = new Map(shard);
  for (const [key, value] of values) {
    if (value === undefined) result.delete(key);
    else result.set(key, value);
  }
  return result;
}

/** A StateMachine of server/interfaces.ts. */
export class KvMap {
  #shards = makeShards();
  /**
   * The snapshots that are being read. Held weakly: an abandoned snapshot and its kept values can be
   * collected. No result depends on when.
   */
  readonly #readers = new Set<WeakRef<PastState>>();

  apply(commands: readonly Uint8Array[]): readonly CommandResult[] {
    return commands.map((command) => this.#applyOne(command));
  }

  /** The value, which the caller must not change; undefined if there is none. */
  get(key: string): Uint8Array | undefined {
    const stored = this.#shards[shardOf(hashKey(key))]?.get(key);
    return stored === undefined ? undefined : bytesOf(stored);
  }

  /**
   * The state as it is now, in chunks of 128 to 256 KiB that are the reader's own. To be read once. The work for a chunk is done when it is
   * asked for, and takes a millisecond or two; it never waits, so a reader that does not wait either between two chunks blocks
   * the event loop.
   *
   * Overwritten values are kept for it until it was read to its end or returned, also when it was never begun: such a one should be returned
   * too, or forgotten whole.
   */
  snapshot(): AsyncIterableIterator<Uint8Array, undefined> {
    const past = new PastState(this.#shards);
    const reader = new WeakRef(past);
    const readers = this.#readers;
    readers.add(reader);
    const chunks = encodeSnapshot(past.shards());
    // Not an async generator: one that was never started runs no finally when it is returned.
    return {
      [Symbol.asyncIterator]() {
        return this;
      },
      async next() {
        const result = chunks.next();
        if (result.done) readers.delete(reader);
        return result;
      },
      async return() {
        readers.delete(reader);
        return chunks.return(undefined);
      },
    };
  }

  /**
   * Replaces the state by that of a snapshot, in chunks of any size. Rejects with KvSnapshotError if it is none, or not whole, or with what
   * `chunks` throws; the state is then as before, as it is until the last chunk. A chunk is read in one go, some microseconds for each
   * KiB: others run between two chunks if `chunks` waits for a disk or a peer, and not if it has them at hand.
   */
  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const shards = makeShards();
    const decoder = new SnapshotDecoder((hash, key, value) => put(shards, hash, key, store(value)));
    for await (const chunk of chunks) decoder.push(chunk);
    decoder.end();
    this.#shards = shards;
  }

  /** The command in a few words, for logs: `put greeting (12 bytes)`. */
  describe(command: Uint8Array): string {
    try {
      const { kind, key, ...rest } = decodeCommand(command);
      return "value" in rest ? `${kind} ${key} (${rest.value.length} bytes)` : `${kind} ${key}`;
    } catch (error) {
      if (error instanceof CommandError) return error.message;
      throw error;
    }
  }

  /** Throws KvSnapshotError if `head` cannot begin a snapshot that restore accepts, as one of another version. */
  checkSnapshot(head: Uint8Array): void {
    new SnapshotDecoder(() => undefined).push(head);
  }

  /** How many keys have a value. */
  get size(): number {
    return this.#shards.reduce((sum, shard) => sum + (shard?.size ?? 0), 0);
  }

  #applyOne(bytes: Uint8Array): CommandResult {
    try {
      const command = decodeCommand(bytes);
      const { key } = command;
      const hash = hashKey(key);
      const number = shardOf(hash);
      if (this.#readers.size > 0) this.#beforeWrite(number, key);
      if (command.kind === "put") put(this.#shards, hash, key, store(command.value));
      else this.#shards[number]?.delete(key);
      return undefined;
    } catch (error) {
      if (error instanceof CommandError) return error;
      throw error;
    }
  }

  #beforeWrite(number: number, key: string): void {
    for (const reader of this.#readers) {
      const past = reader.deref();
      if (past === undefined) this.#readers.delete(reader);
      else past.beforeWrite(number, key);
    }
  }
}
