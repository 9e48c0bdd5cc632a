// A data directory that this program has written once, kept as it was: whatever changes, it must open, and hold what it
// held.
//
// A change that these bytes do not survive is a new format version, with a directory of its own beside this one.

import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { nodeFileSystem } from "../../disk/index.ts";
import { KvMap } from "../../kvstore/map.ts";
import { openDataDirectory } from "../../member/data-directory.ts";
import { decodeEnvelope } from "../../server/envelope.ts";
import { splitSnapshot } from "../../server/snapshot-header.ts";

test("a directory of format 1 opens, and holds the keys, the members and the spent ids that it held", async () => {
  const kept = path.join(import.meta.dirname, "format-1");
  const directory = await fs.mkdtemp(path.join(os.tmpdir(), "readyloop-format-"));
  try {
    await fs.cp(kept, directory, { recursive: true });
    const { keys, members } = JSON.parse(await fs.readFile(path.join(kept, "expected.json"), "utf8"));
    const { snapshots, log } = await openDataDirectory({ fileSystem: nodeFileSystem, path: directory, id: 1 });
    if (log?.recovered?.snapshot === undefined) throw new Error("nothing was recovered");
    const { snapshot, entries } = log.recovered;
    const { state, rest } = await splitSnapshot(snapshots.read(snapshot));
    const map = new KvMap();
    await map.restore(rest);
    const written = entries.flatMap(({ data }) => decodeEnvelope(data ?? new Uint8Array(0)) ?? []);
    map.apply(written.filter(({ kind }) => kind === "command").map(({ body }) => body));
    expect(map.size).toBe(Object.keys(keys).length);
    for (const [key, value] of Object.entries(keys)) expect(new TextDecoder().decode(map.get(key))).toBe(value);
    expect(state.members.map(({ id, url }) => ({ id, peerUrl: url }))).toEqual(members);
    expect(state.removed).toEqual([2]);
    expect(log.incarnation).toBeGreaterThan(0);
    await log.wal.close();
    await snapshots.close();
  } finally {
    await fs.rm(directory, { recursive: true });
  }
});
