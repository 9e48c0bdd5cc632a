// The two decoders that read a snapshot's data as it comes, in chunks: the server's header, and the map behind it.
//
// Input: one byte that says how it is cut into chunks, then the data. The oracle: an error of the class that is
// promised, or a value that is written back to the very bytes it came from; and no buffer larger than twice the input,
// whatever sizes the input claims.

import { encodeSnapshot, KvSnapshotError, SnapshotDecoder } from "../../kvstore/map-snapshot.ts";
import { type Stored, store } from "../../kvstore/stored.ts";
import { encodeSnapshotHeader, splitSnapshot } from "../../server/snapshot-header.ts";
import { AllocationWatch } from "./allocations.ts";
import { joined } from "./mutate.ts";
import { expect, type Session, type Target } from "./target.ts";

/** What both may ask for beside the input. */
const smallBytes = 4096;

type Decode = (chunks: readonly Uint8Array[], data: Uint8Array, largest: () => number) => string | Promise<string>;

function* cut(data: Uint8Array, by: number): Generator<Uint8Array> {
  const size = by === 0 ? Math.max(1, data.length) : by;
  for (let at = 0; at < data.length; at += size) yield data.slice(at, at + size);
}

const session = (decode: Decode) => async (): Promise<Session> => {
  const allocations = new AllocationWatch();
  return {
    async run(input) {
      const data = input.slice(1);
      const chunks = [...cut(data, input[0] ?? 0)];
      allocations.take();
      let largest = 0;
      const outcome = await decode(chunks, data, () => {
        largest = allocations.take();
        return largest;
      });
      expect(largest <= 2 * data.length + smallBytes, `a buffer of ${largest} bytes for ${data.length} of input`);
      return outcome;
    },
    async close() {
      allocations.close();
    },
  };
};

function decodeMap(chunks: readonly Uint8Array[], data: Uint8Array, largest: () => number): string {
  const map = new Map<string, Stored>();
  const decoder = new SnapshotDecoder((_hash, key, value) => {
    expect(value.length <= data.length, `a value of ${value.length} bytes out of ${data.length}`);
    map.set(key, store(value));
  });
  try {
    for (const chunk of chunks) decoder.push(chunk);
    decoder.end();
  } catch (error) {
    if (!(error instanceof KvSnapshotError)) throw error;
    return "refused";
  } finally {
    largest();
  }
  const again = joined(...encodeSnapshot([map]));
  expect(Buffer.compare(again, data) === 0, "a state is taken that would be written otherwise");
  return "accepted";
}

async function decodeHeader(chunks: readonly Uint8Array[], data: Uint8Array, largest: () => number): Promise<string> {
  async function* source(): AsyncGenerator<Uint8Array> {
    yield* chunks;
  }
  let split: Awaited<ReturnType<typeof splitSnapshot>>;
  try {
    split = await splitSnapshot(source());
  } catch (error) {
    // It promises an Error of no class of its own: one of another class is a slip.
    if (!(error instanceof Error) || error.constructor !== Error) throw error;
    return "refused";
  } finally {
    largest();
  }
  const { state, rest } = split;
  const tail: Uint8Array[] = [];
  for await (const chunk of rest) tail.push(chunk);
  const behind = joined(...tail);
  expect(Buffer.compare(behind, data.subarray(data.length - behind.length)) === 0, "other data follows the header");
  for (const { id, since, incarnation } of state.members) {
    expect([id, since, incarnation].every(Number.isSafeInteger), "a number that is not exact");
  }
  expect(state.removed.every(Number.isSafeInteger), "a removed id that is not exact");
  const written = encodeSnapshotHeader(state);
  const again = await splitSnapshot(
    (async function* () {
      yield written;
    })(),
  );
  for await (const chunk of again.rest) expect(chunk.length === 0, "a header is followed by something");
  expect(JSON.stringify(again.state) === JSON.stringify(state), "what it decodes to encodes to something else");
  return "accepted";
}

export const mapTarget: Target = {
  name: "map",
  about: "the map's part of a snapshot, in chunks",
  lanes: 1,
  open: session(decodeMap),
};

export const headerTarget: Target = {
  name: "header",
  about: "the server's header of a snapshot's data, in chunks",
  lanes: 1,
  open: session(decodeHeader),
};
