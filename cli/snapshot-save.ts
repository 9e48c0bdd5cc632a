// snapshot save: a backup, taken while the cluster runs.
//
// Any member gives it; every write that was answered before is in it. What comes over the network has a SHA-256 at its end, and the file a
// CRC-32C: neither a broken connection nor a full disk leaves a file that looks like a backup.

import { createHash } from "node:crypto";
import { type ConfState, makeConfState, makeSnapshot, type SnapshotMetadata } from "../raft/index.ts";
import type { MemberInfo } from "../server/interfaces.ts";
import { encodeSnapshotHeader } from "../server/snapshot-header.ts";
import { nodeFileSystem } from "../wal/index.ts";
import { ask, type Endpoints } from "./endpoints.ts";
import { Progress } from "./progress.ts";
import { refuseExisting, writeSnapshotFile } from "./snapshot-file.ts";

const checksumBytes = 32;
/** Ten thousand members. */
const longestHeadBytes = 1024 * 1024;

/** The first line of the answer to GET /_snapshot. */
interface Head {
  readonly index: number;
  readonly term: number;
  readonly members: readonly MemberInfo[];
}

export async function saveSnapshot({
  file,
  endpoints,
  stale,
}: Endpoints & { file: string; stale: boolean }): Promise<number> {
  await refuseExisting(nodeFileSystem, file);
  const { body } = await ask(endpoints, "GET", `/_snapshot${stale ? "?consistency=stale" : ""}`);
  if (body === null) throw new Error("the member has answered with nothing: ask another one");
  const chunks = verified(body);
  let head: Head;
  try {
    const { rest, ...split } = await splitHead(chunks);
    head = split.head;
    await writeSnapshotFile(
      nodeFileSystem,
      file,
      metadataOf(head),
      contents(head, new Progress("receiving").through(rest)),
    );
  } finally {
    await chunks.return(); // if the disk failed, the member need not send the rest
  }
  const { index, members } = head;
  process.stdout.write(
    `saved the state of index ${index}, of a cluster of ${members.length} ${members.length === 1 ? "member" : "members"}, to ${file}\n`,
  );
  return 0;
}

const ids = (members: readonly MemberInfo[], role: MemberInfo["role"]): number[] =>
  members.filter((member) => member.role === role).map(({ id }) => id);

function metadataOf({ index, term, members }: Head): SnapshotMetadata {
  const confState: ConfState = makeConfState({ voters: ids(members, "voter"), learners: ids(members, "learner") });
  return makeSnapshot(index, term, confState).metadata;
}

async function* contents(
  { index, members }: Head,
  state: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  const known = members.map(({ id, peerUrl }) => ({ id, url: peerUrl, since: index, incarnation: 0 }));
  yield encodeSnapshotHeader({ members: known, removed: [] });
  yield* state;
}

/** All but the checksum at the end, which it checks. Throws an Error if it does not hold. */
async function* verified(body: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, void> {
  const hash = createHash("sha256");
  let held: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of body) {
      const bytes = Buffer.concat([held, chunk]);
      const end = Math.max(0, bytes.length - checksumBytes);
      const data = bytes.subarray(0, end);
      hash.update(data);
      held = bytes.subarray(end);
      if (data.length > 0) yield data;
    }
  } catch (error) {
    const cause = (error as Error).cause as Error | undefined;
    throw new Error(`the connection broke (${(cause ?? (error as Error)).message}); nothing was saved: try again`, {
      cause: error,
    });
  }
  if (!hash.digest().equals(held)) {
    throw new Error("what came is not what was sent: its checksum does not hold; nothing was saved: try again");
  }
}

async function splitHead(chunks: AsyncGenerator<Buffer>): Promise<{ head: Head; rest: AsyncIterable<Uint8Array> }> {
  let bytes = Buffer.alloc(0);
  while (!bytes.includes(0x0a)) {
    const { done, value } = await chunks.next();
    if (done === true || bytes.length > longestHeadBytes) throw noSnapshot();
    bytes = Buffer.concat([bytes, value]);
  }
  const end = bytes.indexOf(0x0a);
  return { head: parseHead(bytes.toString("utf8", 0, end)), rest: follow(bytes.subarray(end + 1), chunks) };
}

async function* follow(first: Uint8Array, rest: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  if (first.length > 0) yield first;
  yield* rest;
}

function parseHead(line: string): Head {
  try {
    const head = JSON.parse(line) as Partial<Head>;
    const { index, term, members } = head;
    if (Number.isSafeInteger(index) && Number.isSafeInteger(term) && Array.isArray(members)) return head as Head;
  } catch {
    // Not JSON: said below.
  }
  throw noSnapshot();
}

const noSnapshot = (): Error => new Error("what answers is not a member of this version: its snapshot cannot be read");
