// etcd's own files, read by our reader: a directory that etcd's wal package wrote, with the findings of etcd's reader.
// It lies beside the repository; without it the tests are skipped.

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { nodeFileSystem } from "../disk/index.ts";
import { removeTemporary } from "../disk/testing.ts";
import { type Entry, entryTypeName } from "../raft/raftpb/index.ts";
import { readRecords, validSnapshots, Wal, type WalSnapshot } from "./index.ts";
import { copyOf, entry, hardState, lastOf, readAsEtcd, segmentsOf } from "./testing.ts";

const conformance = fileURLToPath(new URL("../../shared/conformance/etcd-data", import.meta.url));
const original = path.join(conformance, "data/member/wal");

afterAll(removeTemporary);

const base64 = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString("base64");
const entryAsJson = (e: Entry) => ({
  data: base64(e.data),
  index: e.index,
  term: e.term,
  type: entryTypeName(e.type ?? 0),
});
const snapshotAsJson = ({ index, term, confState }: WalSnapshot) =>
  confState === undefined
    ? { index, term }
    : {
        index,
        term,
        conf_state: { voters: confState.voters, learners: confState.learners, auto_leave: confState.autoLeave },
      };

describe.skipIf(!fs.existsSync(original))("a log that etcd wrote", () => {
  const open = (directory: string, index = 0, term = 0) =>
    Wal.open({ fileSystem: nodeFileSystem, directory, segmentBytes: 65536, startAt: { index, term } });
  const expected = () =>
    fs
      .readFileSync(path.join(conformance, "expected.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));

  test("reads as etcd reads it: snapshots, metadata, hard state and every entry", async () => {
    const { wal, recovered } = await open(copyOf(original));
    const [snapshots, , metadata, state, ...entries] = expected();
    expect((await validSnapshots(nodeFileSystem, original)).map(snapshotAsJson)).toEqual(
      snapshots.validSnapshotEntries,
    );
    expect(base64(recovered.metadata)).toBe(metadata.metadata);
    expect(recovered.hardState).toEqual(state.hardState);
    expect(recovered.entries.map(entryAsJson)).toEqual(entries);
    expect(recovered.repaired).toBeUndefined();
    await wal.close();
  });

  test("reads from a snapshot on", async () => {
    const { wal, recovered } = await open(copyOf(original), 1000, 4);
    const entries = expected().slice(4);
    expect(recovered.entries.map(entryAsJson)).toEqual(entries.filter(({ index }) => index > 1000));
    await wal.close();
  });

  test("can be inspected in place, and stays unchanged", async () => {
    const before = segmentsOf(original).map((file) => fs.readFileSync(file));
    let count = 0;
    for await (const item of readRecords(nodeFileSystem, original)) {
      if (item.kind !== "record") expect.unreachable(`${item.file}: ${item.reason}`);
      if (item.record.durable === undefined) count++;
    }
    expect(count).toBe(readAsEtcd(segmentsOf(original)).length);
    expect(segmentsOf(original).every((file, i) => fs.readFileSync(file).equals(before[i] as Buffer))).toBe(true);
  });

  test("goes on with our records, in a form that etcd reads", async () => {
    const directory = copyOf(original);
    const { wal, recovered } = await open(directory);
    const next = recovered.entries.length + 1;
    for (let i = 0; i < 300; i++) await wal.save(hardState(7, 1, 1500), [entry(next + i, 7, "x".repeat(400))], false);
    await wal.close();
    expect(segmentsOf(directory).length).toBeGreaterThan(segmentsOf(original).length);
    expect(() => readAsEtcd(segmentsOf(directory))).not.toThrow();
    const again = await open(directory);
    expect(again.recovered.entries.slice(0, -300).map(entryAsJson)).toEqual(recovered.entries.map(entryAsJson));
    expect(again.recovered.entries).toHaveLength(recovered.entries.length + 300);
    await again.wal.close();
  });

  test("is repaired by etcd's rule where its end is torn, and refused where it is damaged", async () => {
    const records = readAsEtcd([lastOf(original)]);
    const last = records.at(-1)?.offset as number;
    const spoil = async (change: (bytes: Buffer) => Buffer) => {
      const directory = copyOf(original);
      fs.writeFileSync(lastOf(directory), change(fs.readFileSync(lastOf(directory))));
      const outcome = await open(directory).catch((error: unknown) => error);
      if (!(outcome instanceof Error)) await (outcome as { wal: Wal }).wal.close();
      return outcome;
    };
    expect(await spoil((bytes) => bytes.subarray(0, last + 12))).toMatchObject({
      recovered: { repaired: { offset: last } },
    });
    const middle = records[10]?.offset as number;
    const flipped = await spoil((bytes) => {
      bytes[middle + 20] = (bytes[middle + 20] as number) ^ 1;
      return bytes;
    });
    expect(flipped).toMatchObject({ code: "DAMAGED", offset: middle });
  });
});
