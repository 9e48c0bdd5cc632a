// snapshot save: a backup, taken while the cluster runs.
//
// Any member can serve it, and it has every write that was acknowledged before. The answer ends with a SHA-256, and the file has a CRC-32C:
// neither a broken connection nor a full disk leaves a file that looks like a backup.

import { createHash } from "node:crypto";
import { nodeFileSystem } from "../disk/index.ts";
import { refuseExisting, writeSnapshotFile } from "../member/snapshot-file.ts";
import { type ConfState, makeConfState, makeSnapshot, type SnapshotMetadata } from "../raft/index.ts";
import type { MemberInfo } from "../server/member.ts";
import { encodeSnapshotHeader } from "../server/snapshot-header.ts";
import { fieldsOf, memberList, NotOfMember, numberOf, requireBytes } from "./answers.ts";
import { ask, type Endpoints } from "./endpoints.ts";
import type { Head } from "./http-exchange.ts";
import { Progress } from "./progress.ts";

const checksumBytes = 32;
/** Ten thousand members. */
const longestHeadBytes = 1024 * 1024;

/** The first line of the answer to GET /_snapshot. */
interface SnapshotHead {
  readonly index: number;
  readonly term: number;
  readonly members: readonly MemberInfo[];
}

export async function saveSnapshot({
  file,
  stale,
  ...to
}: Endpoints & { file: string; stale: boolean }): Promise<number> {
  await refuseExisting(nodeFileSystem, file);
  const path = `/_snapshot${stale ? "?consistency=stale" : ""}`;
  const answer = { status: 200, read: (head: Head) => saveAnswer(head, file) } as const;
  const { index, members } = await ask(to, { method: "GET", path, answer });
  process.stdout.write(
    `saved the state of index ${index}, of a cluster of ${members.length} ${members.length === 1 ? "member" : "members"}, to ${file}\n`,
  );
  return 0;
}

/** Writes the file while the answer comes. Throws errors of an Answer's reader and of the disk; then there is no file. */
async function saveAnswer(answer: Head, file: string): Promise<SnapshotHead> {
  requireBytes(answer);
  const chunks = verified(answer.stream());
  const progress = new Progress("receiving");
  try {
    const { rest, head } = await splitHead(chunks);
    const save = () =>
      writeSnapshotFile(nodeFileSystem, file, metadataOf(head), contents(head, progress.through(rest)));
    await progress.during(save);
    return head;
  } finally {
    await chunks.return(); // if the disk failed, the member need not send the rest
  }
}

const ids = (members: readonly MemberInfo[], role: MemberInfo["role"]): number[] =>
  members.filter((member) => member.role === role).map(({ id }) => id);

function metadataOf({ index, term, members }: SnapshotHead): SnapshotMetadata {
  const confState: ConfState = makeConfState({ voters: ids(members, "voter"), learners: ids(members, "learner") });
  return makeSnapshot(index, term, confState).metadata;
}

async function* contents(
  { index, members }: SnapshotHead,
  state: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  const known = members.map(({ id, peerUrl }) => ({ id, url: peerUrl, since: index, incarnation: 0 }));
  yield encodeSnapshotHeader({ members: known, removed: [] });
  yield* state;
}

/** Yields all but the checksum at the end, and checks it. Throws NotOfMember if it does not match. */
async function* verified(body: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, void> {
  const hash = createHash("sha256");
  let held: Buffer = Buffer.alloc(0);
  for await (const chunk of body) {
    const bytes = Buffer.concat([held, chunk]);
    const end = Math.max(0, bytes.length - checksumBytes);
    const data = bytes.subarray(0, end);
    hash.update(data);
    held = bytes.subarray(end);
    if (data.length > 0) yield data;
  }
  if (!hash.digest().equals(held)) {
    throw new NotOfMember("its snapshot is not what a member sends: the checksum does not hold");
  }
}

async function splitHead(
  chunks: AsyncGenerator<Buffer>,
): Promise<{ head: SnapshotHead; rest: AsyncIterable<Uint8Array> }> {
  let bytes = Buffer.alloc(0);
  while (!bytes.includes(0x0a)) {
    const { done, value } = await chunks.next();
    if (done === true || bytes.length > longestHeadBytes) throw new NotOfMember("its snapshot has no first line");
    bytes = Buffer.concat([bytes, value]);
  }
  const end = bytes.indexOf(0x0a);
  return { head: parseHead(bytes.toString("utf8", 0, end)), rest: follow(bytes.subarray(end + 1), chunks) };
}

async function* follow(first: Uint8Array, rest: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  if (first.length > 0) yield first;
  yield* rest;
}

function parseHead(line: string): SnapshotHead {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    throw new NotOfMember("the first line of its snapshot is not JSON");
  }
  const { index, term, members } = fieldsOf("the first line of its snapshot", json);
  return { index: numberOf("index", index, 1), term: numberOf("term", term), members: memberList(members) };
}
