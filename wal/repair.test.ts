// Torn tails and damage in real files. test/durability/damage.test.ts tells every single bit and length apart.

import fs from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { nodeFileSystem } from "../disk/index.ts";
import { removeTemporary, slowCrc32c, temporary, unsynced, watched } from "../disk/testing.ts";
import { type Recovered, Wal, WalError } from "./index.ts";
import { RecordType, writeFrame } from "./record.ts";
import {
  continuedByEtcd,
  copyOf,
  entries,
  entry,
  hardState,
  lastOf,
  readAsEtcd,
  saltOf,
  segmentsOf,
} from "./testing.ts";

afterAll(removeTemporary);

const metadata = Uint8Array.of(0x08, 1, 0x10, 2);

/** Writes a log and leaves it as a crash would: not closed. */
async function crashed(work: (wal: Wal) => Promise<void>, segmentBytes = 8192): Promise<string> {
  const directory = path.join(temporary(), "wal");
  const wal = await Wal.create({ fileSystem: nodeFileSystem, directory, metadata, segmentBytes });
  await work(wal);
  const left = copyOf(directory);
  await wal.close();
  return left;
}

async function reopened(directory: string, fileSystem = unsynced): Promise<Recovered> {
  const { wal, recovered } = await Wal.open({ fileSystem, directory, segmentBytes: 8192 });
  await wal.close();
  return recovered;
}

const outcomeOf = (directory: string): Promise<Recovered | WalError> =>
  reopened(directory).catch((error: unknown) => {
    if (error instanceof WalError) return error;
    throw error;
  });

/** A log of which one file, the last unless named, can be spoilt, opened and mended again and again. */
function spoiling(original: string) {
  const directory = copyOf(original);
  const pristine = new Map(
    fs.readdirSync(directory).map((name) => [name, fs.readFileSync(path.join(directory, name))]),
  );
  const last = path.basename(lastOf(directory));
  return {
    async outcome(spoil: (bytes: Buffer) => Buffer, name = last): Promise<Recovered | WalError> {
      const bytes = Buffer.from(pristine.get(name) as Buffer);
      fs.writeFileSync(path.join(directory, name), spoil(bytes));
      const outcome = await outcomeOf(directory);
      for (const present of fs.readdirSync(directory)) {
        if (!pristine.has(present)) fs.unlinkSync(path.join(directory, present));
      }
      // A refused log was left as it was.
      const spoilt = outcome instanceof WalError ? [name] : pristine.keys();
      for (const file of spoilt) fs.writeFileSync(path.join(directory, file), pristine.get(file) as Buffer);
      return outcome;
    },
  };
}

/** What a write leaves whose end is lost. */
function zeroFrom(file: string, offset: number): void {
  fs.writeFileSync(file, fs.readFileSync(file).fill(0, offset));
}

function withWord(bytes: Buffer, word: bigint, offset: number): Buffer {
  bytes.writeBigUInt64LE(word, offset);
  return bytes;
}

/** Entries 1 to 3, synced one by one, then entry 4, written and not synced. */
const withUnsyncedTail = (): Promise<string> =>
  crashed(async (wal) => {
    for (let i = 1; i <= 3; i++) await wal.save(hardState(1, 1, i - 1), [entry(i)], true);
    await wal.save(undefined, [entry(4)], false);
  });

describe("a torn tail", () => {
  let log: string;
  let records: ReturnType<typeof readAsEtcd>;
  let last: number;
  let end: number;
  beforeAll(async () => {
    log = await withUnsyncedTail();
    records = readAsEtcd(segmentsOf(log));
    last = records.at(-1)?.offset as number;
    end = last + 8 + Number(fs.readFileSync(lastOf(log)).readBigUInt64LE(last) & 0xff_ffffn);
  });

  test("is cut wherever the last frame breaks off, and the rest stays", async () => {
    const { outcome } = spoiling(log);
    for (let cut = last; cut < end; cut++) {
      const zeroed = await outcome((bytes) => bytes.fill(0, cut));
      const garbled = await outcome((bytes) => bytes.fill(0xa7, cut, end));
      for (const recovered of [zeroed, garbled]) {
        expect(recovered).toMatchObject({ hardState: hardState(1, 1, 2) });
        const got = (recovered as Recovered).entries;
        // The last byte of the checksum may happen to be the same as before.
        if (got.length === 4) expect(cut).toBeGreaterThanOrEqual(end - 4);
        else expect(got).toEqual(entries(1, 4));
      }
      if (cut > last && cut < end - 4) expect((zeroed as Recovered).repaired?.offset).toBe(last);
    }
  });

  test("leaves the file as long as it was: one that is shorter than its head states has lost more, and is refused", async () => {
    const { outcome } = spoiling(log);
    const file = lastOf(log);
    for (const size of [end + 8, end, end - 5, last, records[4]?.offset as number]) {
      const refused = await outcome((bytes) => bytes.subarray(0, size));
      expect(refused).toMatchObject({ code: "DAMAGED", file: expect.stringContaining(path.basename(file)) });
      expect((refused as WalError).message).toMatch(`ends at offset ${size}, and had 8192 bytes`);
    }
    const directory = copyOf(log);
    zeroFrom(lastOf(directory), end - 5);
    expect((await reopened(directory)).repaired).toBeDefined();
    expect(fs.statSync(lastOf(directory)).size).toBe(8192);
    expect((await reopened(directory)).repaired).toBeUndefined();
  });

  test("is copied aside first, in a file of mode 0600; a later copy does not replace it", async () => {
    const directory = copyOf(log);
    const file = lastOf(directory);
    const bytes = fs.readFileSync(file);
    bytes[last + 20]! ^= 1;
    fs.writeFileSync(file, bytes);
    const { repaired } = await reopened(directory);
    expect(repaired).toEqual({ file, offset: last, backup: `${file}.broken`, reason: expect.any(String) });
    expect(fs.statSync(`${file}.broken`).mode & 0o777).toBe(0o600);
    const copy = fs.readFileSync(`${file}.broken`);
    expect(Buffer.compare(copy, bytes.subarray(0, copy.length))).toBe(0);
    expect(copy.length).toBeGreaterThanOrEqual(end);

    const again = fs.readFileSync(file);
    again[again.length - 1] = 1;
    fs.writeFileSync(file, again);
    expect((await reopened(directory)).repaired?.backup).toBe(`${file}.broken.2`);
    expect(fs.readFileSync(`${file}.broken`)).toEqual(copy);
  });

  test("is followed by new records that both readers read, ours and one of etcd's rules", async () => {
    const directory = copyOf(log);
    zeroFrom(lastOf(directory), end - 5);
    const { wal, recovered } = await Wal.open({ fileSystem: nodeFileSystem, directory, segmentBytes: 8192 });
    expect(recovered.repaired?.offset).toBe(last);
    await wal.save(hardState(2, 1, 2), entries(4, 20, 2), true);
    await wal.close();
    expect((await reopened(directory)).entries).toEqual([...entries(1, 4), ...entries(4, 20, 2)]);
    expect(readAsEtcd(segmentsOf(directory)).filter(({ type }) => type === 2)).toHaveLength(19);
  });

  test("leaves only zeros, which cannot join later records", async () => {
    const { outcome } = spoiling(log);
    const recovered = await outcome((bytes) => {
      return bytes.fill(0, last, last + 8); // the length word is lost, the record is not
    });
    expect(recovered).toMatchObject({ entries: entries(1, 4), repaired: { offset: last } });
    const directory = copyOf(log);
    const bytes = fs.readFileSync(lastOf(directory));
    bytes.fill(0x5a, last, 8192);
    fs.writeFileSync(lastOf(directory), bytes);
    const { wal } = await Wal.open({ fileSystem: nodeFileSystem, directory, segmentBytes: 8192 });
    expect(
      fs
        .readFileSync(lastOf(directory))
        .subarray(last)
        .every((byte) => byte === 0),
    ).toBe(true);
    await wal.close();
  });

  test("may have sound records behind the hole: none of them was acknowledged", async () => {
    const unacknowledged = await crashed(async (wal) => {
      await wal.save(hardState(1, 1, 0), [entry(1)], true);
      for (let i = 2; i <= 6; i++) await wal.save(undefined, [entry(i)], false);
    });
    const at = readAsEtcd(segmentsOf(unacknowledged)).filter(({ type }) => type === 2);
    const second = at[1]?.offset as number;
    const { outcome } = spoiling(unacknowledged);
    for (const [from, to] of [
      [second, second + 8],
      [second + 8, second + 40],
      [second, at[3]?.offset as number],
    ] as const) {
      const recovered = await outcome((bytes) => bytes.fill(0, from, to));
      expect(recovered).toMatchObject({ entries: entries(1, 2), repaired: { offset: second } });
    }
  });

  test("is found again when the repair itself is interrupted, at any of its calls", async () => {
    for (let failing = 1; ; failing++) {
      const directory = copyOf(log);
      zeroFrom(lastOf(directory), end - 5);
      let calls = 0;
      const broken = watched((call) => {
        if (++calls === failing) throw new Error(`EIO: ${call}`);
      });
      const first = await Wal.open({ fileSystem: broken, directory, segmentBytes: 8192 }).catch((e: Error) => e);
      if (!(first instanceof Error)) {
        calls = Number.NEGATIVE_INFINITY;
        await first.wal.close();
        expect(failing).toBeGreaterThan(12);
        break;
      }
      const recovered = await reopened(directory);
      expect(recovered.entries).toEqual(entries(1, 4));
      expect(fs.readdirSync(directory).filter((name) => name.endsWith(".tmp"))).toEqual([]);
      expect(fs.readdirSync(directory).some((name) => name.endsWith(".broken"))).toBe(true);
    }
  });
});

describe("damage to a log", () => {
  test("in bytes that a later record states durable is refused, with file and offset, and the log stays unchanged", async () => {
    const log = await withUnsyncedTail();
    const first = readAsEtcd(segmentsOf(log))[3]?.offset as number;
    const directory = copyOf(log);
    const file = lastOf(directory);
    const bytes = fs.readFileSync(file);
    bytes[first + 20]! ^= 4;
    fs.writeFileSync(file, bytes);
    const error = await outcomeOf(directory);
    expect(error).toMatchObject({ code: "DAMAGED", file, offset: first });
    expect((error as WalError).message).toContain(file);
    expect((error as WalError).message).toMatch(new RegExp(`offset ${first}.*was durable.*replace this one`));
    expect(fs.readFileSync(file)).toEqual(bytes);
    expect(fs.readdirSync(directory)).toEqual([path.basename(file)]);
  });

  test("that zeroes durable records, or only their length word, does not pass for the end of the log", async () => {
    const log = await withUnsyncedTail();
    const offsets = readAsEtcd(segmentsOf(log)).map(({ offset }) => offset);
    const { outcome } = spoiling(log);
    for (const from of offsets.slice(0, 7)) {
      expect(await outcome((bytes) => bytes.fill(0, from, from + 8))).toMatchObject({ code: "DAMAGED", offset: from });
      const upTo = offsets[7] as number;
      expect(await outcome((bytes) => bytes.fill(0, from, upTo))).toMatchObject({ code: "DAMAGED", offset: from });
    }
  });

  test("of a length word never allocates beyond the file, whatever it states", async () => {
    const log = await withUnsyncedTail();
    const offsets = readAsEtcd(segmentsOf(log)).map(({ offset }) => offset);
    const { outcome } = spoiling(log);
    for (const word of [2n ** 56n - 8n, 2n ** 40n, 2n ** 32n - 8n, 0x87ffffffffffff01n, 2n ** 64n - 1n]) {
      const middle = offsets[4] as number;
      const spoilt = await outcome((bytes) => withWord(bytes, word, middle));
      expect(spoilt).toMatchObject({ code: "DAMAGED", offset: middle });
      const last = offsets.at(-1) as number;
      const torn = await outcome((bytes) => withWord(bytes, word, last));
      expect(torn).toMatchObject({ entries: entries(1, 4), repaired: { offset: last } });
    }
  });

  test("of a segment that is not the last is refused, whether cut short, emptied or missing", async () => {
    const log = await crashed(async (wal) => {
      for (let i = 1; i <= 20; i++) await wal.save(hardState(1, 1, i - 1), [entry(i)], true);
    }, 400);
    const [first, second, third] = segmentsOf(log).map((file) => path.basename(file)) as [string, string, string];
    const { outcome } = spoiling(log);
    expect(await outcome((bytes) => bytes.subarray(0, -3), first)).toMatchObject({ code: "DAMAGED" });
    expect(await outcome(() => Buffer.alloc(0), second)).toMatchObject({ code: "DAMAGED" });
    const whole = readAsEtcd([path.join(log, first)]).at(-1)?.offset as number;
    expect(await outcome((bytes) => bytes.subarray(0, whole), first)).toMatchObject({ code: "DAMAGED" });
    const directory = copyOf(log);
    fs.unlinkSync(path.join(directory, second));
    expect(await outcomeOf(directory)).toMatchObject({
      code: "NOT_CONTIGUOUS",
      message: expect.stringContaining(third),
    });
    fs.renameSync(path.join(directory, third), path.join(directory, "renamed.wal"));
    expect(await outcomeOf(directory)).toMatchObject({ code: "NOT_CONTIGUOUS", message: /renamed\.wal/ });
  });

  test("that loses the whole end of the log shows by the commit index", async () => {
    const log = await crashed(async (wal) => {
      await wal.save(hardState(1, 1, 0), entries(1, 4), true);
      await wal.save(hardState(1, 1, 9), [], true); // no raft would save this: it commits entries that are gone
    });
    const error = await outcomeOf(log);
    expect(error).toMatchObject({ code: "LOST_TAIL", message: /index 9 was committed.*ends at 3.*replace this one/s });
  });
});

describe("a log that Wal.open cannot understand", () => {
  const append = (log: string, type: number, data: Uint8Array): string => {
    const directory = copyOf(log);
    const records = readAsEtcd(segmentsOf(directory));
    const bytes = fs.readFileSync(lastOf(directory));
    const last = records.at(-1)?.offset as number;
    const end = last + 8 + 8 * Math.ceil(Number(bytes.readBigUInt64LE(last) & 0xff_ffffn) / 8);
    const chain = records.reduce((crc, record) => slowCrc32c(record.data, crc), 0);
    writeFrame(bytes, end, end, chain, { type: type as RecordType, data, durable: end, salt: saltOf(bytes) });
    fs.writeFileSync(lastOf(directory), bytes);
    return directory;
  };

  test("is refused by name: a newer format, other metadata, a gap, an id beyond 2^53", async () => {
    const log = await withUnsyncedTail();
    const huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    expect(await outcomeOf(append(log, 6, Uint8Array.of(1)))).toMatchObject({ code: "NEWER_FORMAT" });
    expect(await outcomeOf(append(log, 1, Uint8Array.of(8, 9)))).toMatchObject({ code: "METADATA_CONFLICT" });
    expect(await outcomeOf(append(log, 2, Uint8Array.of(0x10, 1, 0x18, 6)))).toMatchObject({ code: "ENTRY_GAP" });
    expect(await outcomeOf(append(log, 2, Uint8Array.of(0x10, 1, 0x18, ...huge)))).toMatchObject({
      code: "UNREADABLE",
    });
    expect(await outcomeOf(append(log, 3, Uint8Array.of(0x10, ...huge)))).toMatchObject({ code: "UNREADABLE" });
    const sound = await outcomeOf(append(log, 2, Uint8Array.of(0x10, 1, 0x18, 5)));
    expect(sound).toMatchObject({ repaired: undefined, entries: { length: 5 } });
  });

  test("is refused where no log exists", async () => {
    expect(await outcomeOf(path.join(temporary(), "none"))).toMatchObject({ code: "NOT_FOUND" });
    expect(await outcomeOf(temporary())).toMatchObject({ code: "NOT_FOUND" });
  });

  test("is FOREIGN where all that follows is another program's, and DAMAGED otherwise", async () => {
    const log = await withUnsyncedTail();
    const { bytes: pristine, start, end, chain } = continuedByEtcd(segmentsOf(log));
    const outcome = async (spoil: (bytes: Buffer) => Buffer): Promise<Recovered | WalError> => {
      const directory = copyOf(log);
      fs.writeFileSync(lastOf(directory), spoil(Buffer.from(pristine)));
      return outcomeOf(directory);
    };
    const foreign = { code: "FOREIGN", offset: start, message: /another program.*Go on with that program/ };
    expect(await outcome((bytes) => bytes)).toMatchObject(foreign);
    expect(await outcome((bytes) => bytes.subarray(0, end))).toMatchObject(foreign); // it cuts its files off
    const salt = saltOf(pristine);
    const damaged = { code: "DAMAGED", offset: start, message: /another program/ };
    expect(await outcome((bytes) => bytes.fill(1, end, end + 8))).toMatchObject(damaged);
    expect(await outcome((bytes) => bytes.fill(1, 8000))).toMatchObject(damaged);
    expect(await outcome((bytes) => bytes.fill(0xff, end - 1, end))).toMatchObject(damaged);
    const ours = { type: RecordType.state, data: Uint8Array.of(8, 1), durable: end, salt };
    const mixed = await outcome((bytes) => {
      writeFrame(bytes, end, end, chain, ours);
      return bytes;
    });
    expect(mixed).toMatchObject(damaged);
  });
});
