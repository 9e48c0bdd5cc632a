import { describe, expect, test } from "vitest";
import { FakeDisk } from "./disk.ts";

const text = (s: string): Uint8Array => new TextEncoder().encode(s);
const shown = (disk: FakeDisk): Record<string, string> =>
  Object.fromEntries([...disk.files()].map(([path, bytes]) => [path, new TextDecoder().decode(bytes)]));
const lost = () => "lost" as const;
const kept = () => "kept" as const;

const newDisk = (): FakeDisk => new FakeDisk({ random: () => 0 });

async function withFile(disk = newDisk()) {
  await disk.makeDirectory("/d");
  const file = await disk.open("/d/f", "create");
  return { disk, file };
}

describe("a power cut", () => {
  test("leaves what was synced, contents and names each for themselves", async () => {
    const { disk, file } = await withFile();
    file.writeAt(text("synced"), 0);
    await file.datasync();
    expect(shown(disk.survivor(lost))).toEqual({});
    expect(await disk.survivor(lost).list("/d")).toEqual([]);
    await disk.syncDirectory("/d");
    file.writeAt(text(" not"), 6);
    expect(shown(disk.survivor(lost))).toEqual({ "/d/f": "synced" });
    expect(shown(disk.survivor(kept))).toEqual({ "/d/f": "synced not" });
    expect(shown(disk)).toEqual({ "/d/f": "synced not" });
  });

  test("keeps any subset of what was not synced, in the order in which it was made", async () => {
    const { disk, file } = await withFile();
    await disk.syncDirectory("/d");
    file.writeAt(text("aaaa"), 0);
    file.writeAt(text("bb"), 1);
    await file.truncate(3);
    expect(disk.unsynced.map(({ kind }) => kind)).toEqual(["write", "write", "truncate"]);
    const survivors = [0, 1, 2, 3, 4, 5, 6, 7].map((subset) => {
      const calls = disk.unsynced.filter((_, i) => (subset >> i) & 1).map(({ call }) => call);
      return shown(disk.survivor(({ call }) => (calls.includes(call) ? "kept" : "lost")))["/d/f"];
    });
    expect(survivors).toEqual(["", "aaaa", "\0bb", "abba", "\0\0\0", "aaa", "\0bb", "abb"]);
  });

  test("tears a write between sectors, and leaves zeros or noise in them", async () => {
    const { disk, file } = await withFile();
    await disk.syncDirectory("/d");
    file.writeAt(new Uint8Array(1200).fill(7), 100);
    const torn = (choose: (sector: number) => "kept" | "lost" | "zeros" | "garbage") => [
      ...(disk
        .survivor((_, sector) => choose(sector))
        .files()
        .get("/d/f") as Uint8Array),
    ];
    const second = torn((sector) => (sector === 1 ? "kept" : "lost"));
    expect(second).toHaveLength(1024);
    expect(second.every((byte, at) => byte === (at >= 512 ? 7 : 0))).toBe(true);
    const zeros = torn((sector) => (sector === 2 ? "zeros" : "kept"));
    expect(zeros).toHaveLength(1300);
    expect(zeros.every((byte, at) => byte === (at >= 100 && at < 1024 ? 7 : 0))).toBe(true);
    const garbage = torn((sector) => (sector === 0 ? "garbage" : "kept"));
    expect(new Set(garbage.slice(100, 512)).size).toBeGreaterThan(50);
    expect(garbage).toEqual(torn((sector) => (sector === 0 ? "garbage" : "kept")));
  });

  test("undoes names until their directory is synced; a rename is whole or not at all", async () => {
    const { disk, file } = await withFile();
    file.writeAt(text("x"), 0);
    await file.datasync();
    await disk.syncDirectory("/d");
    await disk.rename("/d/f", "/d/g");
    expect(shown(disk.survivor(lost))).toEqual({ "/d/f": "x" });
    expect(shown(disk.survivor(kept))).toEqual({ "/d/g": "x" });
    await disk.unlink("/d/g");
    expect(shown(disk.survivor(lost))).toEqual({ "/d/f": "x" });
    await disk.syncDirectory("/d");
    expect(shown(disk.survivor(lost))).toEqual({});
  });

  test("leaves a directory that was made, as that call syncs its name; a directory that was renamed not", async () => {
    const disk = newDisk();
    await disk.makeDirectory("/a/b");
    expect(await disk.survivor(lost).list("/a/b")).toEqual([]);
    await disk.rename("/a/b", "/a/c");
    expect(await disk.survivor(lost).list("/a")).toEqual(["b"]);
    expect(await disk.survivor(kept).list("/a")).toEqual(["c"]);
  });

  test("takes no directory that was made again, though who made it first was killed before its name was synced", async () => {
    const disk: FakeDisk = newDisk();
    const letGo = disk.hangWhen(({ kind, path, number }) => kind === "syncDirectory" && path === "/" && number > 1);
    void disk.makeDirectory("/a/b");
    await new Promise(setImmediate);
    const next = disk.killed();
    letGo();
    expect(next.survivor(kept).directories()).toEqual(["/a"]);
    expect(next.survivor(lost).directories()).toEqual([]);
    await next.makeDirectory("/a");
    expect(next.survivor(lost).directories()).toEqual(["/a"]);
  });

  test("drawn by random is the same for the same draws", async () => {
    const { disk, file } = await withFile();
    await disk.syncDirectory("/d");
    for (let i = 0; i < 10; i++) file.writeAt(new Uint8Array(2000).fill(i), i * 1500);
    const draws = (seed: number) => {
      let state = seed;
      return (n: number) => {
        state = (state * 75 + 74) % 65537;
        return state % n;
      };
    };
    const once = (seed: number) =>
      disk
        .killed({ random: draws(seed) })
        .powerCut()
        .files();
    expect(once(1)).toEqual(once(1));
    expect(once(1)).not.toEqual(once(2));
  });
});

describe("a sync", () => {
  test("that fails leaves its writes in doubt: only writing them again and syncing that makes them survive", async () => {
    const { disk, file } = await withFile();
    await disk.syncDirectory("/d");
    file.writeAt(text("one"), 0);
    disk.failNext(({ kind }) => kind === "datasync", "EIO");
    await expect(file.datasync()).rejects.toMatchObject({ code: "EIO", call: "datasync", path: "/d/f" });
    await file.datasync();
    file.writeAt(text("two"), 3);
    await file.datasync();
    expect(shown(disk)).toEqual({ "/d/f": "onetwo" });
    expect(shown(disk.survivor(lost))).toEqual({ "/d/f": "\0\0\0two" });
    expect(disk.unsynced).toMatchObject([{ kind: "write", offset: 0, size: 3 }]);
    file.writeAt(text("onetwo"), 0);
    await file.datasync();
    expect(shown(disk.survivor(lost))).toEqual({ "/d/f": "onetwo" });
    expect(disk.unsynced).toEqual([]);
  });

  test("that hangs covers what was written before it, and only once it returns", async () => {
    const { disk, file } = await withFile();
    await disk.syncDirectory("/d");
    const letGo = disk.hangWhen(({ kind }) => kind === "datasync");
    file.writeAt(text("before"), 0);
    let done = false;
    const sync = file.datasync().then(() => {
      done = true;
    });
    file.writeAt(text("after"), 6);
    await new Promise(setImmediate);
    expect(done).toBe(false);
    expect(shown(disk.survivor(lost))).toEqual({ "/d/f": "" });
    letGo();
    await sync;
    expect(shown(disk.survivor(lost))).toEqual({ "/d/f": "before" });
  });

  test("takes the time that a simulator gives it", async () => {
    let tick = (): void => undefined;
    const { disk, file } = await withFile();
    await disk.syncDirectory("/d");
    const slow = disk.killed({ wait: () => new Promise<void>((resolve) => (tick = resolve)) });
    const opening = slow.open("/d/f", "write");
    tick();
    const again = await opening;
    again.writeAt(text("x"), 0);
    const sync = again.datasync();
    expect(slow.unsynced).toHaveLength(1);
    tick();
    await sync;
    expect(slow.unsynced).toEqual([]);
    expect(file.path).toBe("/d/f");
  });
});

describe("a failing call", () => {
  test("changes nothing, but that a short write writes half", async () => {
    const { disk, file } = await withFile();
    disk.failWhen(() => true, "ENOSPC");
    expect(() => file.writeAt(text("four"), 0)).toThrow("/d/f: no space left");
    await expect(disk.rename("/d/f", "/d/g")).rejects.toMatchObject({ code: "ENOSPC", call: "rename" });
    await expect(disk.unlink("/d/f")).rejects.toMatchObject({ code: "ENOSPC" });
    await expect(file.truncate(9)).rejects.toMatchObject({ code: "ENOSPC" });
    expect(shown(disk)).toEqual({ "/d/f": "" });
    disk.heal();
    disk.failNext(({ kind }) => kind === "write", "SHORT_WRITE");
    expect(() => file.writeAt(text("four"), 0)).toThrow("only half");
    expect(shown(disk)).toEqual({ "/d/f": "fo" });
    file.writeAt(text("four"), 0);
    expect(shown(disk)).toEqual({ "/d/f": "four" });
  });

  test("is one that the real disk fails too: names that are there or not, closed files, a lock that is held", async () => {
    const { disk, file } = await withFile();
    await expect(disk.open("/d/f", "create")).rejects.toMatchObject({ code: "EEXIST" });
    await expect(disk.open("/d/g", "write")).rejects.toMatchObject({ code: "ENOENT" });
    await expect(disk.syncDirectory("/e")).rejects.toMatchObject({ code: "ENOENT" });
    expect(await disk.list("/e")).toBeUndefined();
    await file.close();
    expect(disk.openFiles).toBe(0);
    expect(() => file.writeAt(text("x"), 0)).toThrow("closed");
    const lock = await disk.lock("/d");
    await expect(disk.lock("/d")).rejects.toMatchObject({ code: "LOCKED" });
    await lock.release();
    await disk.lock("/d");
    await disk.killed().lock("/d");
  });

  test("of a machine without power never comes back", async () => {
    const { disk, file } = await withFile();
    disk.powerCut(kept);
    let came = false;
    void file.datasync().finally(() => {
      came = true;
    });
    await new Promise(setImmediate);
    expect(came).toBe(false);
    expect(() => file.writeAt(text("x"), 0)).toThrow("the power is off");
  });
});
