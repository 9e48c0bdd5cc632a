// What recover takes from one member's directory. That the new cluster works, and the old one is kept out: new-cluster.test.ts.

import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { nodeFileSystem } from "../disk/index.ts";
import { encodeDelete, encodePut } from "../kvstore/command.ts";
import { KvMap } from "../kvstore/map.ts";
import { openDataDirectory } from "../member/data-directory.ts";
import { type Entry, makeConfState, marshalConfChange } from "../raft/index.ts";
import { encodeEnvelope } from "../server/envelope.ts";
import { toConfChange } from "../server/membership/conf-change-context.ts";
import { encodeSnapshotHeader, splitSnapshot } from "../server/snapshot-header.ts";
import { Snapshotter } from "../snap/index.ts";
import { encodeMetadata, Wal } from "../wal/index.ts";
import { inProcess, onTerminal } from "./testing.ts";

const fileSystem = nodeFileSystem;
const made: string[] = [];
let dataDir: string;
beforeEach(() => {
  dataDir = fs.mkdtempSync(path.join(os.tmpdir(), "readyloop-recover-"));
  made.push(dataDir);
});
afterAll(() => {
  for (const one of made) fs.rmSync(one, { recursive: true });
});

const request = { member: 2, epoch: 7, counter: 1 };
const put = (key: string, value: string): Uint8Array => encodeEnvelope(request, encodePut(key, Buffer.from(value)));
const entry = (index: number, data: Uint8Array | undefined): Entry => ({ type: 0, term: 3, index, data });
const confState = makeConfState({ voters: [1, 2, 3] });

/** Member 2 of three: a snapshot of index 5 if asked for, the log up to 9, of which it knew 7 to be committed. */
async function makeMember(withSnapshot: boolean): Promise<void> {
  const metadata = encodeMetadata({ nodeId: 2, clusterId: 77, incarnation: 88 });
  const wal = await Wal.create({ fileSystem, directory: path.join(dataDir, "member", "wal"), metadata });
  await wal.save(
    { term: 3, vote: 1, commit: 5 },
    [1, 2, 3, 4].map((i) => entry(i, put(`k${i}`, "old"))),
    true,
  );
  await wal.save(undefined, [entry(5, undefined)], true);
  const snapshots = await Snapshotter.open({ fileSystem, directory: path.join(dataDir, "member", "snap") });
  if (withSnapshot) {
    const map = new KvMap();
    map.apply([encodePut("k1", Buffer.from("of the snapshot"))]);
    const header = encodeSnapshotHeader({ members: [], removed: [9] });
    const chunks = async function* () {
      yield header;
      yield* map.snapshot();
    };
    await snapshots.save({ index: 5, term: 3, confState }, chunks());
    await wal.saveSnapshot({ index: 5, term: 3, confState });
  }
  const change = toConfChange([{ kind: "remove", id: 1 }], request);
  const rest = [
    entry(6, put("k6", "committed")),
    { term: 3, index: 7, ...marshalConfChange(change) },
    entry(8, put("k8", "perhaps acknowledged")),
    entry(9, encodeEnvelope(request, encodeDelete("k2"))),
  ];
  await wal.save({ term: 4, vote: 2, commit: 7 }, rest, true);
  await wal.close();
  await snapshots.close();
}

const yes = "--yes-i-know-that-acknowledged-writes-may-be-lost";
const recover = (...args: string[]) =>
  inProcess("recover", `--data-dir=${dataDir}`, "--id=2", "--peer-url=http://127.0.0.1:2480", ...args);

/** What a start would find. */
async function opened() {
  const { log, snapshots } = await openDataDirectory({ fileSystem: nodeFileSystem, path: dataDir, id: 2 });
  const snapshot = log?.recovered?.snapshot;
  const map = new KvMap();
  if (snapshot !== undefined) await map.restore((await splitSnapshot(snapshots.read(snapshot))).rest);
  await log?.wal.close();
  await snapshots.close();
  return { ...log, get: (key: string) => Buffer.from(map.get(key) ?? []).toString(), size: map.size };
}

test("a newer snapshot that the log does not know of is named and kept: it can be all that is left of some writes", async () => {
  await makeMember(true);
  const directory = path.join(dataDir, "member", "snap");
  const snapshots = await Snapshotter.open({ fileSystem: nodeFileSystem, directory });
  const map = new KvMap();
  map.apply([encodePut("k1", Buffer.from("newer"))]);
  const chunks = async function* () {
    yield encodeSnapshotHeader({ members: [], removed: [] });
    yield* map.snapshot();
  };
  await snapshots.save({ index: 20, term: 4, confState }, chunks());
  await snapshots.close();
  const name = "0000000000000004-0000000000000014.snap";
  const { code, stderr } = await recover(yes);
  expect([code, stderr]).toEqual([0, expect.stringContaining(path.join(directory, name))]);
  const kept = path.join(dataDir, "member.before-recovery", "snap", name);
  expect(await inProcess("snapshot", "status", kept)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/index +20/),
  });
});

test("all of the log is kept, also what was not known to be committed, and this member is the only one", async () => {
  await makeMember(false);
  const { code, stderr } = await recover(yes);
  expect(code).toBe(0);
  expect(stderr).toMatch(/It holds 5 keys; its log ends at index 9, term 3, and it knew of a commit\s+up to 7/);
  const found = await opened();
  expect(found.recovered).toMatchObject({
    snapshot: { index: 9, term: 3, confState: { voters: [2] } },
    hardState: { term: 3, vote: 0, commit: 9 },
    entries: [],
  });
  expect(["k1", "k2", "k3", "k6", "k8"].map(found.get)).toEqual([
    "old",
    "",
    "old",
    "committed",
    "perhaps acknowledged",
  ]);
  expect(found.size).toBe(5);
  expect(found.clusterId).not.toBe(77);
  expect(found.incarnation).not.toBe(88);
});

test("the state goes on from the newest snapshot", async () => {
  await makeMember(true);
  expect((await recover(yes)).code).toBe(0);
  const found = await opened();
  expect([found.get("k1"), found.get("k6"), found.get("k8"), found.size]).toEqual([
    "of the snapshot",
    "committed",
    "perhaps acknowledged",
    3,
  ]);
});

test("it goes on only when the member's id is typed, and else changes nothing", async () => {
  await makeMember(true);
  for (const typed of ["y\n", "\n", "1\n", ""]) {
    const { code, stderr } = await onTerminal(typed, recover);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/nothing was recovered; the member is as it was\n$/)]);
    expect(fs.readdirSync(dataDir)).toEqual(["member"]);
  }
  expect((await opened()).clusterId).toBe(77);
  expect((await onTerminal("2\n", recover)).code).toBe(0);
  expect((await opened()).clusterId).not.toBe(77);
});

test("what the member was is kept, each time", async () => {
  await makeMember(true);
  await recover(yes);
  await recover(yes);
  expect(fs.readdirSync(dataDir)).toEqual(["member", "member.before-recovery", "member.before-recovery.2"]);
  fs.rmSync(path.join(dataDir, "member"), { recursive: true });
  fs.renameSync(path.join(dataDir, "member.before-recovery"), path.join(dataDir, "member"));
  const found = await opened();
  expect(found).toMatchObject({ clusterId: 77, incarnation: 88 });
  expect(found.recovered?.entries.map(({ index }) => index)).toEqual([6, 7, 8, 9]);
});

test("a recovery that was cut short between its two renames is made again from the old member, the last one that was kept", async () => {
  await makeMember(true);
  const inDir = (name: string) => path.join(dataDir, name);
  for (let n = 2; n <= 10; n++) fs.mkdirSync(inDir(`member.before-recovery.${n}`));
  fs.renameSync(inDir("member"), inDir("member.before-recovery.11"));
  fs.mkdirSync(inDir("member.new/wal"), { recursive: true });
  expect((await onTerminal("", recover)).code).toBe(1);
  expect((await opened()).clusterId).toBe(77);
  expect((await recover(yes)).stdout).toMatch(/kept in .*member.before-recovery.11\./);
  expect((await opened()).clusterId).not.toBe(77);
});

describe("a log that has lost its end", () => {
  const accept = "--accept-that-acknowledged-writes-are-lost";
  /** A commit of 12, in a log that ends at 9, or that holds nothing else. */
  async function loseEnd(): Promise<void> {
    const { log, snapshots } = await openDataDirectory({ fileSystem, path: dataDir, id: 2 });
    await log?.wal.save({ term: 4, vote: 2, commit: 12 }, [], true);
    await log?.wal.close();
    await snapshots.close();
  }
  const wal = (): string => path.join(dataDir, "member", "wal");
  const bytesOf = (directory: string): string => {
    const hash = createHash("sha256");
    for (const name of fs.readdirSync(directory)) hash.update(name).update(fs.readFileSync(path.join(directory, name)));
    return hash.digest("hex");
  };

  test("is refused, with what to do instead, and stays as it is", async () => {
    await makeMember(true);
    await loseEnd();
    const before = bytesOf(wal());
    const { code, stderr } = await recover(yes);
    expect(code).toBe(1);
    expect(stderr).toMatch(/index 12 was committed, but the log ends at 9: its end has been lost/);
    expect(stderr).toMatch(
      /directory of another member.*readyloop wal verify.*--accept-that-acknowledged-writes-are-lost/,
    );
    expect(stderr).not.toMatch(/CAN LOSE/);
    expect(bytesOf(wal())).toBe(before);
    expect(fs.readdirSync(dataDir)).toEqual(["member"]);
  });

  test("is taken as far as it goes with the flag, after a warning of the loss", async () => {
    for (const withSnapshot of [false, true]) {
      await makeMember(withSnapshot);
      await loseEnd();
      const before = bytesOf(wal());
      const unsure = await onTerminal("y\n", () => recover(accept));
      expect([unsure.code, unsure.stderr]).toEqual([
        1,
        expect.stringMatching(
          /THIS LOSES WRITES THAT WERE ACKNOWLEDGED.* entries 10 to 12 were committed(.|\n)*nothing was recovered/,
        ),
      ]);
      expect((await recover(accept, yes)).code).toBe(0);
      const found = await opened();
      expect(found.recovered).toMatchObject({ snapshot: { index: 9, term: 3 }, hardState: { commit: 9 }, entries: [] });
      expect(["k6", "k8"].map(found.get)).toEqual(["committed", "perhaps acknowledged"]);
      expect(bytesOf(path.join(dataDir, "member.before-recovery", "wal"))).toBe(before);
      dataDir = fs.mkdtempSync(path.join(os.tmpdir(), "readyloop-recover-"));
      made.push(dataDir);
    }
  });

  test("is not taken while it is damaged as well, or open", async () => {
    await makeMember(true);
    await loseEnd();
    const lock = await fileSystem.lock(path.join(dataDir, "member", "snap"));
    const open = await recover(accept, yes);
    expect([open.code, open.stderr]).toEqual([1, expect.stringMatching(/has this directory open/)]);
    await lock.release();
    const file = path.join(wal(), fs.readdirSync(wal())[0] as string);
    const bytes = fs.readFileSync(file);
    bytes[bytes.indexOf("k3") + 2]! ^= 1;
    fs.writeFileSync(file, bytes);
    const damaged = await recover(accept, yes);
    expect([damaged.code, damaged.stderr]).toEqual([1, expect.stringMatching(/damaged at offset/)]);
    expect(fs.readdirSync(dataDir)).toEqual(["member"]);
  });
});

test("a member that never took part in anything has nothing to recover", async () => {
  const metadata = encodeMetadata({ nodeId: 2, clusterId: 77, incarnation: 88 });
  const directory = path.join(dataDir, "member", "wal");
  fs.mkdirSync(path.dirname(directory));
  await (await Wal.create({ fileSystem, directory, metadata })).close();
  const { code, stderr } = await recover(yes);
  expect([code, stderr]).toEqual([1, expect.stringMatching(/there is nothing to recover/)]);
});

test("a running member is left alone", async () => {
  await makeMember(true);
  const lock = await fileSystem.lock(path.join(dataDir, "member", "snap"));
  try {
    const { code, stderr } = await recover(yes);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/has this directory open. Stop it first/)]);
    expect(fs.readdirSync(dataDir)).toEqual(["member"]);
  } finally {
    await lock.release();
  }
});
