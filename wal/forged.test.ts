// A client that knows the format, and can guess where in the file its value will lie, writes bytes that look like a
// record of the log's own. The log must ignore them, even where a power cut has torn the beginning of the record that
// holds them. The tests forge the records without the code that writes and reads them.

import fs from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { slowCrc32c } from "../disk/testing.ts";
import { FakeDisk, type Fate, sectorBytes } from "../sim/disk.ts";
import { Random } from "../sim/random.ts";
import { Wal, type WalError } from "./index.ts";
import { entries, entry, hardState, saltOf } from "./testing.ts";

const directory = "/wal";
const metadata = Uint8Array.of(0x08, 1, 0x10, 2);
const segmentBytes = 8192;
const file = `${directory}/0000000000000000-0000000000000000.wal`;

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return [...bytes, rest];
}

/** A whole record, right in all that its own checksum covers if this is the salt of the segment. */
function forged(offset: number, durable: number, salt: number): Uint8Array {
  const chain = [0x81, 0x82, 0x83, 0x84, 1];
  const body = [0x08, 2, 0x10, ...chain, 0x1a, 4, 0x10, 1, 0x18, 9, 0x70, ...varint(durable + salt), 0x7d];
  const size = body.length + 4;
  const padding = (8 - (size % 8)) % 8;
  const covered = Uint8Array.of(size, 0, 0, 0, 0, 0, 0, padding === 0 ? 0 : 0x80 | padding, ...body);
  const checksum = slowCrc32c(covered, (offset ^ salt) >>> 0);
  return Uint8Array.of(...covered, ...[0, 8, 16, 24].map((shift) => checksum >>> shift), ...new Uint8Array(padding));
}

/** Where the used part of a segment ends. */
const endOf = (bytes: Uint8Array): number => 8 * Math.ceil((bytes.findLastIndex((byte) => byte !== 0) + 1) / 8);

/** A log with entries 1 to 3, all durable. */
async function begun(): Promise<FakeDisk> {
  const disk = new FakeDisk({ random: () => 0 });
  const wal = await Wal.create({ fileSystem: disk, directory, metadata, segmentBytes });
  for (let i = 1; i <= 3; i++) await wal.save(hardState(1, 1, i - 1), [entry(i)], true);
  return disk.killed();
}

/**
 * An entry that is not durable, with a record forged for its place; then a power cut that takes the sector where the
 * real record begins. Returns the outcome of the next start, and where that record began.
 */
async function attacked(begun: FakeDisk, forge: (offset: number, salt: number) => Uint8Array) {
  const before = begun.files().get(file) as Uint8Array;
  const end = endOf(before);
  const valueAt = end + 28; // if the chain takes five bytes, as it mostly does
  const sector = Math.floor(end / sectorBytes);
  const at = (sector + 1) * sectorBytes;
  let disk = begun;
  for (let fill = 0x61; ; fill++) {
    disk = begun.fork();
    const { wal } = await Wal.open({ fileSystem: disk, directory, segmentBytes });
    const value = Buffer.alloc(1500, fill);
    value.set(forge(at, saltOf(before)), at - valueAt);
    await wal.save(undefined, [{ ...entry(4), data: value }], false);
    const foundAt = Buffer.from(disk.files().get(file) as Uint8Array).indexOf(value);
    if (foundAt === valueAt) break; // the guess was right
    expect(foundAt).toBe(valueAt - 1);
  }
  const fates: Fate[] = ["lost", "zeros", "garbage"];
  const outcomes = fates.map(async (fate) => {
    const survivor = disk.survivor((change, s) => (change.kind === "write" && s === sector ? fate : "kept"));
    const opened = Wal.open({ fileSystem: survivor, directory, segmentBytes });
    return opened.then(
      ({ recovered }) => recovered,
      (error: WalError) => error,
    );
  });
  return { end, at, outcomes: await Promise.all(outcomes) };
}

describe("a record that a client has forged in a value, behind a torn sector", () => {
  const isCut = ({ end, outcomes }: Awaited<ReturnType<typeof attacked>>): void => {
    for (const outcome of outcomes)
      expect(outcome).toMatchObject({ entries: entries(1, 4), repaired: { offset: end } });
  };

  test("does not make Wal.open refuse the log: the tail is cut", async () => {
    isCut(await attacked(await begun(), (offset) => forged(offset, offset, 0)));
  });

  test("does not make Wal.open refuse the log, whatever salt it guesses", async () => {
    const guesses = [1, -1, 2 ** 32, -(2 ** 32), 2 ** 40].map((delta) => (salt: number) => salt + delta);
    for (const guess of [...guesses, () => 2 ** 48, () => 2 ** 48 + 123_456_789]) {
      isCut(await attacked(await begun(), (offset, salt) => forged(offset, offset, guess(salt))));
    }
  });

  test("does not make Wal.open refuse the log with the right salt, if it states bytes behind itself durable", async () => {
    isCut(await attacked(await begun(), (offset, salt) => forged(offset, offset + 8, salt)));
  });

  test("would make Wal.open refuse the log with the right salt: the rest of the forgery is right", async () => {
    const { end, at, outcomes } = await attacked(await begun(), (offset, salt) => forged(offset, offset, salt));
    const message = expect.stringContaining(`everything below offset ${at} was durable`);
    for (const outcome of outcomes) expect(outcome).toMatchObject({ code: "DAMAGED", offset: end, message });
  });
});

describe("the salt of a segment", () => {
  test("differs between segments and between logs, and has 49 bits", async () => {
    const salts: number[] = [];
    for (let log = 0; log < 3; log++) {
      const disk = new FakeDisk({ random: () => 0 });
      const wal = await Wal.create({ fileSystem: disk, directory, metadata, segmentBytes: 400 });
      for (let i = 1; i <= 20; i++) await wal.save(hardState(1, 1, i - 1), [entry(i)], true);
      salts.push(...[...disk.files().values()].map(saltOf));
      await wal.close();
    }
    expect(salts.length).toBeGreaterThan(12);
    expect(new Set(salts).size).toBe(salts.length);
    for (const salt of salts) expect(Math.floor(salt / 2 ** 48)).toBe(1);
  });

  test("comes from `random` if that is given: then the same calls give the same bytes", async () => {
    const filesOf = async (random: ((n: number) => number) | undefined): Promise<Map<string, Uint8Array>> => {
      const disk = new FakeDisk({ random: () => 0 });
      const wal = await Wal.create({ fileSystem: disk, directory, metadata, segmentBytes: 400, random });
      for (let i = 1; i <= 5; i++) await wal.save(hardState(1, 1, i - 1), [entry(i)], true);
      await wal.close();
      const { wal: again } = await Wal.open({ fileSystem: disk, directory, segmentBytes: 400, random });
      for (let i = 6; i <= 10; i++) await again.save(hardState(1, 1, i - 1), [entry(i)], true);
      await again.close();
      return disk.files();
    };
    const seeded = () => {
      const random = new Random(5);
      return (n: number): number => random.below(n);
    };
    expect(await filesOf(seeded())).toEqual(await filesOf(seeded()));
    expect(await filesOf(undefined)).not.toEqual(await filesOf(undefined));
  });
});

describe("a log that an earlier build wrote, without salts", () => {
  /** Two segments with entries 1 to 22, the last two not synced, as a crash leaves it. */
  const kept = path.join(import.meta.dirname, "unsalted");
  const names = fs.readdirSync(kept).sort();
  const disk = (): FakeDisk => {
    const copy = new FakeDisk({ random: () => 0 });
    for (const name of names) copy.put(`${directory}/${name}`, fs.readFileSync(path.join(kept, name)));
    return copy;
  };
  const open = async (on: FakeDisk) => Wal.open({ fileSystem: on, directory, segmentBytes: 2048 });

  test("has no salt", () => {
    expect(names).toHaveLength(2);
    for (const name of names) expect(saltOf(fs.readFileSync(path.join(kept, name)))).toBe(0);
  });

  test("reads as before, goes on without a salt, and gets one with the next segment", async () => {
    const on = disk();
    const { wal, recovered } = await open(on);
    expect(recovered).toEqual({
      metadata,
      hardState: hardState(1, 1, 19),
      entries: entries(1, 23),
      repaired: undefined,
    });
    await wal.save(hardState(2, 2, 19), [entry(23, 2)], true);
    await wal.close();
    const closed = on.files();
    expect([...closed.keys()].map((name) => path.posix.basename(name))).toEqual(names);
    for (const bytes of closed.values()) expect(saltOf(bytes)).toBe(0);

    const { wal: again, recovered: then } = await open(on);
    expect(then.entries).toEqual([...entries(1, 23), entry(23, 2)]);
    await again.save(hardState(2, 2, 23), entries(24, 44, 2), true);
    await again.save(hardState(2, 2, 43), entries(44, 46, 2), true);
    await again.close();
    const salts = [...on.files().values()].map((bytes) => saltOf(bytes) > 0);
    expect(salts).toEqual([false, false, true]);
    const { recovered: last } = await open(on);
    expect(last.entries).toEqual([...entries(1, 23), ...entries(23, 46, 2)]);
  });

  test("is cut where its tail is torn, and refused where it is damaged", async () => {
    const name = `${directory}/${names[1]}`;
    const bytes = disk().files().get(name) as Uint8Array;
    const end = endOf(bytes);
    const spoilt = async (at: number) => {
      const on = disk();
      const changed = bytes.slice();
      changed[at]! ^= 1;
      on.put(name, changed);
      return (await open(on).catch((error: WalError) => ({ recovered: error }))).recovered;
    };
    expect(await spoilt(end - 8)).toMatchObject({ entries: entries(1, 22), repaired: expect.anything() });
    expect(await spoilt(100)).toMatchObject({ code: "DAMAGED", offset: 88 });
  });
});
