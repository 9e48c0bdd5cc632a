// What the server itself puts at the head of a snapshot's data, before the state machine's: the members.
//
//     | version: u8 = 1 | size: u32, little-endian | JSON: {"members": [{"id", "url", "since", "incarnation"}, ...], "removed": [id, ...]} |
//
// raft's ConfState, in the snapshot's metadata, says who votes; addresses, incarnations and spent ids are this server's affair.
//
// Both parts have a version. A snapshot that this release cannot read must never get into the log: a member that has recorded one starts from
// it, and from nothing else, and would fail at each start. So a received one is looked at before it is written down (checkSnapshot).

import { parseJson } from "./membership/conf-change-context.ts";
import type { KnownMember, MembersState } from "./membership/members.ts";

const version = 1;
const fixedBytes = 5;
/** Some hundred thousand removed members. */
const maxBytes = 4 * 1024 * 1024;
/** What a state machine sees of a snapshot that it is to judge. */
const stateHeadBytes = 64;

export function encodeSnapshotHeader(state: MembersState): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(state));
  const bytes = new Uint8Array(fixedBytes + json.length);
  bytes[0] = version;
  new DataView(bytes.buffer).setUint32(1, json.length, true);
  bytes.set(json, fixedBytes);
  return bytes;
}

/**
 * Reads the header off the front of a snapshot's data. `header` is its bytes; `rest` is what follows and must be iterated to its end or
 * returned. Throws an Error for data that does not begin with a header.
 */
export async function splitSnapshot(
  chunks: AsyncIterable<Uint8Array>,
): Promise<{ state: MembersState; header: Uint8Array; rest: AsyncIterable<Uint8Array> }> {
  const source = chunks[Symbol.asyncIterator]();
  try {
    let bytes = new Uint8Array(0);
    const fill = async (size: number): Promise<void> => {
      while (bytes.length < size) {
        const { done, value } = await source.next();
        if (done === true) throw new Error("the snapshot ends in the middle of its member list");
        bytes = joined(bytes, value);
      }
    };
    await fill(fixedBytes);
    if (bytes[0] !== version) {
      throw new Error(
        `the snapshot's data has version ${bytes[0]}, and only ${version} is known here: run one release on all members`,
      );
    }
    const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1, true);
    if (size > maxBytes) throw new Error(`the snapshot's member list claims ${size} bytes`);
    await fill(fixedBytes + size);
    const state = toState(parseJson(bytes.subarray(fixedBytes, fixedBytes + size)));
    if (state === undefined) throw new Error("the snapshot's member list cannot be read");
    const header = bytes.subarray(0, fixedBytes + size);
    return { state, header, rest: follow(bytes.subarray(header.length), source) };
  } catch (error) {
    await source.return?.();
    throw error;
  }
}

/**
 * The same data, in pieces of any size, once it is known to begin with a header and behind it with a state that `check` does not throw for.
 * `check` is given the first 64 bytes of the state, or all if there are fewer. Throws what it throws, or an Error as splitSnapshot does.
 */
export async function* checkSnapshot(
  chunks: AsyncIterable<Uint8Array>,
  check: (head: Uint8Array) => void,
): AsyncGenerator<Uint8Array, void, void> {
  const { header, rest } = await splitSnapshot(chunks);
  let bytes: Uint8Array = header;
  let isChecked = false;
  const checkState = (): void => {
    check(bytes.subarray(header.length, header.length + stateHeadBytes));
    isChecked = true;
  };
  for await (const chunk of rest) {
    bytes = isChecked ? chunk : joined(bytes, chunk);
    if (!isChecked && bytes.length < header.length + stateHeadBytes) continue;
    if (!isChecked) checkState();
    yield bytes;
  }
  if (isChecked) return;
  checkState();
  yield bytes;
}

async function* follow(first: Uint8Array, source: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    if (first.length > 0) yield first;
    for (;;) {
      const { done, value } = await source.next();
      if (done === true) return;
      yield value;
    }
  } finally {
    await source.return?.();
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

function toState(value: unknown): MembersState | undefined {
  if (typeof value !== "object" || value === null || !("members" in value) || !("removed" in value)) return undefined;
  const { members, removed } = value;
  if (!Array.isArray(members) || !Array.isArray(removed)) return undefined;
  return members.every(isMember) && removed.every(isId) ? { members, removed } : undefined;
}

const isId = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

function isMember(value: unknown): value is KnownMember {
  if (typeof value !== "object" || value === null) return false;
  const { id, url, since, incarnation } = value as Partial<KnownMember>;
  return isId(id) && typeof url === "string" && isCount(since) && isCount(incarnation);
}
