// Power cuts: each call that a store makes to the disk is once its last. Whatever the disk then holds, the next start
// finds the promised snapshots whole, and no other file that passes for one.

import fs from "node:fs";
import path from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { removeTemporary, temporary } from "../disk/testing.ts";
import type { SnapshotPosition, Snapshotter } from "./index.ts";
import { chunksOf, closeStores, collect, filesIn, metadataAt, noise, openStore, PowerCut } from "./testing.ts";
import { pieceBytes, syncBytes } from "./write.ts";

afterEach(closeStores);
afterAll(removeTemporary);

const old = noise(pieceBytes + 1, 1);
const young = noise(syncBytes + 3 * pieceBytes + 7, 2);
const at = (index: number): SnapshotPosition => ({ index, term: 1 });

/**
 * Cuts the power at each call of `act` in turn, each time over a fresh directory that `prepare` has filled, and passes
 * each state that the disk may be in, opened again, to `check`. Returns how many calls there were.
 */
async function atEachCall(
  prepare: (store: Snapshotter, directory: string) => Promise<void>,
  act: (store: Snapshotter) => Promise<unknown>,
  check: (store: Snapshotter, acted: boolean, what: string) => Promise<void>,
): Promise<number> {
  for (let fatal = 1; ; fatal++) {
    const directory = path.join(temporary(), "snap");
    const power = new PowerCut(directory);
    const { store } = await openStore({ directory, fileSystem: power.fileSystem });
    await prepare(store, directory);
    power.dieAt(fatal);
    const acted = await act(store).then(
      () => true,
      () => false,
    );
    expect(acted).toBe(!power.isOff);
    for (const wreck of power.wrecks()) {
      const again = await openStore({ directory: wreck.directory });
      const what = `${wreck.what} at call ${fatal}`;
      expect(
        filesIn(wreck.directory).filter((name) => name.endsWith(".tmp")),
        what,
      ).toEqual([]);
      await check(again.store, acted, what);
      await again.store.close();
      fs.rmSync(wreck.directory, { recursive: true });
    }
    if (acted) return fatal - 1;
  }
}

const dataOf = (store: Snapshotter, index: number): Promise<Buffer> => collect(store.read(at(index)));

describe("after a power cut at any call of the disk", () => {
  test("Snapshotter.save leaves the older snapshot, and the new one whole or not at all; whole, if save had resolved", async () => {
    const calls = await atEachCall(
      (store) => store.save(metadataAt(10), chunksOf(old)),
      (store) => store.save(metadataAt(20), chunksOf(young, pieceBytes)),
      async (store, saved, what) => {
        const found = await store.list();
        expect(found, what).toEqual(saved || found.length === 2 ? [at(10), at(20)] : [at(10)]);
        expect((await dataOf(store, 10)).equals(old), what).toBe(true);
        if (found.length === 2) expect((await dataOf(store, 20)).equals(young), what).toBe(true);
      },
    );
    // open; pieces, a sync among them; metadata and head; sync; rename, sync
    expect(calls).toBe(1 + 20 + 1 + 2 + 1 + 2);
  });

  test("Snapshotter.save over a snapshot of the same name leaves one of the two, and it is whole", async () => {
    const seen = new Set<string>();
    await atEachCall(
      (store) => store.save(metadataAt(10), chunksOf(old)),
      (store) => store.save(metadataAt(10), chunksOf(young.subarray(0, 1000))),
      async (store, saved, what) => {
        const data = await dataOf(store, 10);
        const which = data.equals(old) ? "old" : data.equals(young.subarray(0, 1000)) ? "new" : "neither";
        expect(which, what).toBe(saved ? "new" : which === "neither" ? "one of the two" : which);
        seen.add(which);
      },
    );
    expect([...seen].sort()).toEqual(["new", "old"]);
  });

  test("Snapshotter.release leaves the newer snapshots", async () => {
    await atEachCall(
      async (store) => {
        for (const index of [10, 20, 30]) await store.save(metadataAt(index), chunksOf(old));
      },
      (store) => store.release(30),
      async (store, released, what) => {
        const left = (await store.list()).map(({ index }) => index);
        expect(["10 20 30", "20 30", "30"], what).toContain(left.join(" "));
        if (released) expect(left, what).toEqual([30]);
        expect((await dataOf(store, 30)).equals(old), what).toBe(true);
      },
    );
  });

  test("Snapshotter.newest, setting a broken one aside, finds the same snapshot again", async () => {
    await atEachCall(
      async (store, directory) => {
        for (const index of [10, 20]) await store.save(metadataAt(index), chunksOf(old));
        fs.truncateSync(path.join(directory, filesIn(directory)[1] as string), 1000);
      },
      (store) => store.newest([at(10), at(20)]),
      async (store, _found, what) => {
        expect(await store.newest([at(10), at(20)]), what).toMatchObject(at(10));
      },
    );
  });

  test("Snapshotter.discardUnconfirmed leaves the confirmed snapshot", async () => {
    const directory = path.join(temporary(), "snap");
    const { store } = await openStore({ directory });
    for (const index of [10, 20, 30]) await store.save(metadataAt(index), chunksOf(old));
    await atEachCall(
      async (_store, fresh) => fs.cpSync(directory, fresh, { recursive: true }),
      (opened) => opened.discardUnconfirmed([at(20)]),
      async (opened, discarded, what) => {
        const left = await opened.list();
        expect(left, what).toContainEqual(at(20));
        if (discarded) expect(left, what).toEqual([at(20)]);
      },
    );
  });

  test("Snapshotter.open opens again and finds the same snapshots", async () => {
    for (let fatal = 1; ; fatal++) {
      const directory = path.join(temporary(), "member", "snap");
      fs.mkdirSync(directory, { recursive: true });
      const { store } = await openStore({ directory });
      await store.save(metadataAt(10), chunksOf(old));
      await store.close();
      fs.writeFileSync(path.join(directory, `${filesIn(directory)[0]}.1.tmp`), "half a snapshot");
      const power = new PowerCut(directory);
      power.dieAt(fatal);
      const opened = await openStore({ directory, fileSystem: power.fileSystem }).then(
        () => true,
        () => false,
      );
      await closeStores();
      const again = await openStore({ directory });
      expect(await again.store.newest([at(10)])).toMatchObject(at(10));
      expect(filesIn(directory)).toHaveLength(1);
      if (opened) break;
    }
  });
});
