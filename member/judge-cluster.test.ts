// Whose cluster a saved data directory belongs to: by its log, and by what the peers on the list say.

import { describe, expect, test } from "vitest";
import {
  ConfChangeType,
  type Entry,
  EntryType,
  encodeConfChange,
  makeConfChange,
  makeConfState,
  makeEntry,
  marshalConfChange,
} from "../raft/index.ts";
import type { MemberChange, Warning } from "../server/member.ts";
import { toConfChange } from "../server/membership/conf-change-context.ts";
import { encodeSnapshotHeader } from "../server/snapshot-header.ts";
import { FakeDisk } from "../sim/disk.ts";
import type { ClusterAnswer } from "../transport/index.ts";
import { makeLog, openDataDirectory, readMetadata } from "./data-directory.ts";
import type { Doubt } from "./doubt.ts";
import { clusterIdOf } from "./identity.ts";
import { judgeCluster } from "./judge-cluster.ts";
import { readLogMembers } from "./log-members.ts";

type Peer = { readonly id: number; readonly url: string };

const url = (id: number, host = "a"): string => `http://${host}${id}:2380`;
const list = (...ids: number[]): Peer[] => ids.map((id) => ({ id, url: url(id) }));
const where = { path: "/data", id: 1, segmentBytes: 32_768, random: () => 0 };

interface Log {
  readonly founders: readonly Peer[];
  /** Each an entry of term 2. */
  readonly changes?: readonly (readonly MemberChange[])[];
  /** Of these changes, so many are committed. */
  readonly committed?: number;
  /** A snapshot with all the founders in it, in place of the entries that make them. */
  readonly snapshot?: boolean;
}

async function directory({
  founders,
  changes = [],
  committed = changes.length,
  snapshot = false,
}: Log): Promise<FakeDisk> {
  const disk = new FakeDisk({ random: () => 0 });
  const options = { ...where, fileSystem: disk };
  const { snapshots } = await openDataDirectory(options);
  const { wal } = await makeLog(options, { nodeId: 1, clusterId: clusterIdOf(founders), incarnation: 3 }, undefined);
  const encoder = new TextEncoder();
  const first = founders.map(({ id, url }, i): Entry => {
    const cc = makeConfChange(ConfChangeType.ConfChangeAddNode, id, encoder.encode(url));
    return makeEntry(EntryType.EntryConfChange, 1, i + 1, encodeConfChange(cc));
  });
  const start = founders.length;
  if (snapshot) {
    const confState = makeConfState({ voters: founders.map(({ id }) => id) });
    const members = founders.map(({ id, url }) => ({ id, url, since: start, incarnation: 0 }));
    async function* chunks() {
      yield encodeSnapshotHeader({ members, removed: [] });
      yield new Uint8Array(1000);
    }
    await snapshots.save({ index: start, term: 1, confState }, chunks());
    await wal.saveSnapshot({ index: start, term: 1, confState });
  }
  const rest = changes.map((change, i): Entry => {
    const { type, data } = marshalConfChange(toConfChange(change, { member: 1, epoch: 1, counter: i }));
    return makeEntry(type, 2, start + i + 1, data);
  });
  const state = (commit: number) => ({ term: 2, vote: 1, commit });
  await wal.save(state(start), snapshot ? [] : first, true);
  if (rest.length > 0) await wal.save(state(start + committed), rest, true);
  await wal.close();
  await snapshots.close();
  return disk;
}

/** A start with these flags; `said` is what each peer answers, "same" or the id of its cluster. */
async function judge(
  disk: FakeDisk,
  peers: readonly Peer[],
  said: Record<string, number | "same"> = {},
  joins = false,
) {
  const head = await readMetadata(disk, "/data");
  if (head === undefined) throw new Error("there is no log");
  const before = disk.files();
  const asked: string[] = [];
  const ask = async (urls: readonly string[]): Promise<ClusterAnswer[]> => {
    asked.push(...urls);
    return urls.map((url): ClusterAnswer => {
      const answer = said[url];
      if (answer === undefined) return { kind: "no-answer", url, reason: "nothing listens" };
      return answer === "same" ? { kind: "same-cluster", url } : { kind: "another-cluster", url, clusterId: answer };
    });
  };
  const claim = {
    fileSystem: disk,
    path: "/data",
    head,
    peers,
    joins,
    clusterId: clusterIdOf(peers),
    ownUrl: url(1),
    ask,
  };
  const outcome = await judgeCluster(claim).catch((error: Error) => error);
  expect(disk.files()).toEqual(before);
  return { outcome, asked };
}

const add = (id: number, learner = false): MemberChange => ({ kind: "add", id, peerUrl: url(id), learner });
const fine = { outcome: undefined, asked: [] };

describe("readLogMembers", () => {
  test("applies the committed changes after the newest snapshot, and keeps the uncommitted ones apart", async () => {
    for (const snapshot of [false, true]) {
      const disk = await directory({
        founders: list(1, 2, 3),
        changes: [
          [add(4, true)],
          [{ kind: "remove", id: 3 }],
          [{ kind: "update", id: 2, peerUrl: url(2, "b") }],
          [add(5)],
        ],
        committed: 3,
        snapshot,
      });
      expect(await readLogMembers(disk, "/data", 1)).toEqual({
        members: [
          { id: 1, url: url(1), votes: true },
          { id: 2, url: url(2, "b"), votes: true },
          { id: 4, url: url(4), votes: false },
        ],
        removed: [3],
        pending: [{ id: 5, url: url(5) }],
      });
    }
  });
});

describe("judgeCluster accepts, without asking a peer, a list", () => {
  test("of the founding members, whatever changes came after", async () => {
    const disk = await directory({
      founders: list(1, 2, 3),
      changes: [[{ kind: "update", id: 2, peerUrl: url(2, "b") }], [{ kind: "remove", id: 3 }]],
    });
    expect(await judge(disk, list(1, 2, 3))).toEqual(fine);
  });

  test("of the members in the log, of some of them, or of removed ones", async () => {
    const disk = await directory({
      founders: list(1, 2, 3),
      changes: [[add(4)], [{ kind: "remove", id: 3 }]],
      snapshot: true,
    });
    expect(await judge(disk, list(1, 2, 4))).toEqual(fine);
    expect(await judge(disk, list(1, 4))).toEqual(fine);
    expect(await judge(disk, list(1, 2, 3, 4))).toEqual(fine);
  });

  test("with --join, of addresses that the log has, whatever ids the list gives them", async () => {
    const disk = await directory({ founders: list(1, 2, 3) });
    expect(
      await judge(
        disk,
        [
          { id: 1, url: url(3) },
          { id: 2, url: url(2) },
        ],
        {},
        true,
      ),
    ).toEqual(fine);
  });

  test("of a member whose addition is not known to be committed", async () => {
    const disk = await directory({ founders: list(1), changes: [[add(2)]], committed: 0 });
    expect(await judge(disk, list(1, 2))).toEqual(fine);
  });
});

describe("judgeCluster, where the list does not fit the log", () => {
  test("does not warn if one peer is of this cluster, although another is not", async () => {
    const disk = await directory({ founders: list(1, 2, 3) });
    const moved = [...list(1), { id: 2, url: url(2, "b") }, { id: 4, url: url(4) }];
    expect(await judge(disk, moved, { [url(2, "b")]: "same", [url(4)]: 99 })).toEqual({
      outcome: undefined,
      asked: [url(2, "b"), url(4)],
    });
  });

  test("refuses the directory if peers are of another cluster, naming directory, clusters, peers and the ways out", async () => {
    const founders = list(1, 2, 3);
    const disk = await directory({ founders, snapshot: true });
    const others = [1, 2, 3].map((id) => ({ id, url: url(id, "b") }));
    for (const joins of [false, true]) {
      const { outcome } = await judge(disk, others, { [url(2, "b")]: 99 }, joins);
      expect(outcome).toMatchObject({ name: "DirectoryError", code: "OTHER_CLUSTER" });
      const { message } = outcome as Error;
      expect(message).toContain(`/data is of cluster ${clusterIdOf(founders)}, `);
      expect(message).toContain(`${url(2, "b")} is of cluster 99.`);
      expect(message).toContain(`--peers=1=${url(1)},2=${url(2)},3=${url(3)}`);
      expect(message).toMatch(/another --data-dir/);
      expect(message).not.toContain("\n");
    }
  });

  test("warns once, with all that differs, if no peer answers", async () => {
    const disk = await directory({ founders: list(1, 2, 3) });
    const { outcome, asked } = await judge(disk, [...list(1), { id: 2, url: url(2, "b") }, { id: 5, url: url(5) }]);
    expect(asked).toEqual([url(2, "b"), url(5)]);
    expect((outcome as Doubt).message).toBe(
      `--peers does not fit the log in /data, and no peer on the list has said that it is of cluster ${clusterIdOf(list(1, 2, 3))}: member 2 ` +
        `is at ${url(2)} in the log, and at ${url(2, "b")} in --peers; the log has no member 5, and --peers has it at ${url(5)}. This member ` +
        "uses the members in its log",
    );
  });

  test("refuses ids that the log of a single voter has never had, without asking", async () => {
    const disk = await directory({ founders: list(1), changes: [[add(7, true)], [{ kind: "remove", id: 7 }]] });
    const { outcome, asked } = await judge(disk, list(1, 2, 3), { [url(2)]: "same" });
    expect(asked).toEqual([]);
    expect(outcome).toMatchObject({
      code: "OTHER_CLUSTER",
      message: expect.stringContaining(`2=${url(2)},3=${url(3)}`),
    });
    expect(await judge(disk, list(1, 7))).toEqual(fine);
  });

  test("never asks this member's own address", async () => {
    const disk = await directory({ founders: list(1, 2) });
    const { asked } = await judge(disk, [
      { id: 1, url: url(1, "b") },
      { id: 2, url: url(2, "b") },
    ]);
    expect(asked).toEqual([url(2, "b")]);
    expect(
      (
        await judge(
          disk,
          [
            { id: 4, url: url(1) },
            { id: 5, url: url(2, "b") },
          ],
          {},
          true,
        )
      ).asked,
    ).toEqual([url(2, "b")]);
  });

  test("warns about a log that names no member, as one that has only voted", async () => {
    const disk = await directory({ founders: [] });
    expect((await judge(disk, list(1, 2))).outcome).toMatchObject({
      message: expect.stringMatching(/the log has no member 1, and --peers has it at/),
    });
  });

  test("leaves a doubt if no peer answers, which later answers turn into a warning, take back, and settle", async () => {
    const disk = await directory({ founders: list(1, 2, 3) });
    const others = [1, 2, 3].map((id) => ({ id, url: url(id, "b") }));
    const said: Record<string, number | "same"> = {};
    const doubt = (await judge(disk, others, said)).outcome as Doubt;
    const refusal = (await judge(disk, others, { [url(2, "b")]: 99 })).outcome as Error;
    const lines: string[] = [];
    const log = { error: (text: string) => void lines.push(text) } as never;
    const look = async (hasLeader = false): Promise<readonly Warning[]> => {
      await doubt.look(() => hasLeader, log);
      return doubt.warnings();
    };
    expect([await look(), lines]).toEqual([[], []]);
    for (let i = 0; i < 2; i++) {
      said[url(2, "b")] = 99;
      expect(await look()).toEqual([{ code: "OTHER_CLUSTER", message: refusal.message }]);
      expect(await look(true)).toEqual([]);
      await look();
      delete said[url(2, "b")];
      expect(await look()).toEqual([]);
    }
    said[url(2, "b")] = 99;
    said[url(3, "b")] = 99;
    expect((await look())[0]?.message).toContain(`${url(3, "b")} is of cluster 99`);
    said[url(3, "b")] = "same";
    said[url(2, "b")] = 99;
    expect(await look()).toEqual([]);
    expect(lines).toEqual([refusal.message]);
  });
});
