// etcd's own files, read by our reader: snapshots that etcd's snap package wrote. They lie beside the repository;
// without them the tests are skipped.

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { removeTemporary, temporary } from "../disk/testing.ts";
import { closeStores, collect, confState, filesIn, openStore } from "./testing.ts";

const conformance = fileURLToPath(new URL("../../shared/conformance/etcd-data", import.meta.url));
const original = path.join(conformance, "data/member/snap");

afterEach(closeStores);
afterAll(removeTemporary);

describe.skipIf(!fs.existsSync(original))("Snapshotter, over a directory that etcd wrote,", () => {
  const open = () => {
    const directory = path.join(temporary(), "snap");
    fs.cpSync(original, directory, { recursive: true });
    fs.chmodSync(directory, 0o700);
    for (const name of filesIn(directory)) fs.chmodSync(path.join(directory, name), 0o600);
    return openStore({ directory });
  };
  const recorded = () => {
    const lines = fs.readFileSync(path.join(conformance, "expected.jsonl"), "utf8").split("\n");
    return JSON.parse(lines[0] as string).validSnapshotEntries as { index: number; term: number }[];
  };

  test("lists and reads the snapshots as etcd does", async () => {
    const { store, warnings } = await open();
    expect([{ index: 0, term: 0 }, ...(await store.list())]).toEqual(
      recorded().map(({ index, term }) => ({ index, term })),
    );
    for (const position of await store.list()) {
      expect((await collect(store.read(position))).toString()).toBe(`{"at":${position.index}}`);
      expect(await store.verify(position)).toEqual({ ...position, confState });
    }
    expect(await store.newest(recorded())).toEqual({ index: 1500, term: 6, confState });
    expect(warnings).toEqual([]);
  });

  test("falls back to an older file where the newest is broken, as etcd does", async () => {
    const { store, directory } = await open();
    const newest = path.join(directory, filesIn(directory)[2] as string);
    const bytes = fs.readFileSync(newest);
    bytes[12] = (bytes[12] as number) ^ 1;
    fs.writeFileSync(newest, bytes);
    expect(await store.newest(recorded())).toEqual({ index: 1000, term: 4, confState });
    expect(filesIn(directory)[2]).toBe("0000000000000006-00000000000005dc.snap.broken");
  });
});
