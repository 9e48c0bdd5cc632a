// What the server itself puts at the head of a snapshot's data, before the state machine's: the members.
//
//     | version: u8 = 1 | size: u32, little-endian | JSON: {"members": [{"id", "url", "since", "incarnation"}, ...], "removed": [id, ...]} |
//
// raft's ConfState, in the snapshot's metadata, says who votes; addresses, incarnations and spent ids are this server's affair.

import { parseJson } from "./changes.ts";
import type { KnownMember, MembersState } from "./members.ts";

const version = 1;
const fixedBytes = 5;
/** Some hundred thousand removed members. */
const maxBytes = 4 * 1024 * 1024;

export function encodeSnapshotHeader(state: MembersState): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(state));
  const bytes = new Uint8Array(fixedBytes + json.length);
  bytes[0] = version;
  new DataView(bytes.buffer).setUint32(1, json.length, true);
  bytes.set(json, fixedBytes);
  return bytes;
}

/**
 * Reads the header off the front of a snapshot's data. `rest` is what follows and must be iterated to its end or returned. Throws an Error
 * for data that does not begin with a header.
 */
export async function splitSnapshot(
  chunks: AsyncIterable<Uint8Array>,
): Promise<{ state: MembersState; rest: AsyncIterable<Uint8Array> }> {
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
    if (bytes[0] !== version) throw new Error(`the snapshot's data has version ${bytes[0]}, not ${version}`);
    const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1, true);
    if (size > maxBytes) throw new Error(`the snapshot's member list claims ${size} bytes`);
    await fill(fixedBytes + size);
    const state = toState(parseJson(bytes.subarray(fixedBytes, fixedBytes + size)));
    if (state === undefined) throw new Error("the snapshot's member list cannot be read");
    return { state, rest: follow(bytes.subarray(fixedBytes + size), source) };
  } catch (error) {
    await source.return?.();
    throw error;
  }
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
