// Opening a member's data directory: what counts as its past, and what does not.

import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeConfState, makeEntry } from "../raft/index.ts";
import { nodeFileSystem } from "../wal/index.ts";
import { makeLog, openDataDirectory } from "./data-directory.ts";

let dataDir: string;
beforeEach(async () => {
  dataDir = await fs.mkdtemp(path.join(os.tmpdir(), "readyloop-directory-"));
});
afterEach(() => fs.rm(dataDir, { recursive: true }));

const identity = { nodeId: 1, clusterId: 7, incarnation: 11 };
const where = () => ({ fileSystem: nodeFileSystem, path: dataDir, id: 1 });

test("entries without a hard state, which a torn first save leaves, are no past: the member begins again and writes over them", async () => {
  const first = await openDataDirectory(where());
  const { wal } = await makeLog(where(), identity, undefined);
  await wal.save(undefined, [makeEntry(0, 1, 1, undefined), makeEntry(0, 1, 2, undefined)], true);
  await wal.close();
  await first.snapshots.close();

  const { log, snapshots } = await openDataDirectory(where());
  expect(log).toMatchObject({ clusterId: 7, incarnation: 11, recovered: undefined });
  await log?.wal.save({ term: 1, vote: 0, commit: 1 }, [makeEntry(0, 1, 1, Uint8Array.of(9))], true);
  await log?.wal.close();
  await snapshots.close();

  const again = await openDataDirectory(where());
  expect(again.log?.recovered).toMatchObject({
    hardState: { commit: 1 },
    entries: [{ index: 1, data: Uint8Array.of(9) }],
  });
  await again.log?.wal.close();
  await again.snapshots.close();
});

test("a snapshot that the log has no record of is not started from, and stays", async () => {
  const { snapshots } = await openDataDirectory(where());
  const { wal } = await makeLog(where(), identity, undefined);
  await wal.save({ term: 1, vote: 0, commit: 1 }, [makeEntry(0, 1, 1, undefined)], true);
  async function* chunks() {
    yield Uint8Array.of(1, 2, 3);
  }
  await snapshots.save({ index: 9, term: 1, confState: makeConfState({ voters: [1] }) }, chunks());
  await wal.close();
  await snapshots.close();

  const again = await openDataDirectory(where());
  expect(again.log?.recovered).toMatchObject({ snapshot: undefined, entries: [{ index: 1 }] });
  expect(await again.snapshots.list()).toEqual([{ index: 9, term: 1 }]);
  await again.log?.wal.close();
  await again.snapshots.close();
});
