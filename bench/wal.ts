// What the log costs beside the disk itself: append and sync against a bare write and fdatasync of as many bytes,
// append without a sync, reading a long log back, closed and not, and bytes on disk.
//
//     npm run bench:wal [-- --entries=1000000 --rounds=200 --dir=DIR]
//
// Log and bare file take turns, round by round, in DIR (measuring.ts), both on space that is written ahead. Compare the
// columns of one row; the disk's own speed drifts.

import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { countFlag, readFlags } from "../command-line/script-flags.ts";
import { nodeFileSystem } from "../disk/index.ts";
import { type Entry, makeEntry, makeHardState } from "../raft/index.ts";
import { encodeMetadata, Wal } from "../wal/index.ts";
import { dataDirectory, directoryFlag, measure } from "./measuring.ts";

const { entries, rounds, dir } = readFlags({
  name: "bench:wal",
  does: "What the log costs beside the disk itself.",
  flags: {
    entries: countFlag("entries", 1_000_000, "entries of the log that is read back"),
    rounds: countFlag("rounds", 200, "turns that log and bare file take"),
    dir: directoryFlag(),
  },
});
const root = dataDirectory("bench:wal", dir);
const fdatasync = promisify(fs.fdatasync);
const metadata = encodeMetadata({ nodeId: 1, clusterId: 1 });
const median = (list: number[]): number => list.sort((a, b) => a - b)[list.length >> 1] as number;

const newLog = (name: string): Promise<Wal> =>
  Wal.create({ fileSystem: nodeFileSystem, directory: path.join(root, name), metadata });

function entriesFrom(index: number, count: number, data: Uint8Array): Entry[] {
  return Array.from({ length: count }, (_, i) => makeEntry(undefined, 1, index + i, data));
}

const bytesIn = (name: string): number => {
  const directory = path.join(root, name);
  return fs.readdirSync(directory).reduce((sum, file) => sum + fs.statSync(path.join(directory, file)).size, 0);
};

async function beside(batch: number, size: number): Promise<void> {
  const name = `sync-${batch}-${size}`;
  const wal = await newLog(name);
  const data = new Uint8Array(size).fill(120);
  const perEntry = size + 48; // about what a frame takes
  const file = fs.openSync(path.join(root, `${name}.bare`), "w");
  fs.writeSync(file, Buffer.alloc((rounds + 1) * batch * perEntry));
  fs.fsyncSync(file);
  const bytes = Buffer.alloc(batch * perEntry, 120);
  const log: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const entries = entriesFrom(1 + round * batch, batch, data);
    const began = performance.now();
    await wal.save(makeHardState(1, 1, round * batch), entries, true);
    const between = performance.now();
    fs.writeSync(file, bytes, 0, bytes.length, round * bytes.length);
    await fdatasync(file);
    log.push(between - began);
    bare.push(performance.now() - between);
  }
  fs.closeSync(file);
  await wal.close();
  const [ours, disk] = [median(log), median(bare)];
  const us = (ms: number): string => `${Math.round(ms * 1000)} us`;
  console.log(`| ${batch} x ${size} B | ${us(ours)} | ${us(disk)} | ${(ours / disk).toFixed(2)} |`);
}

async function withoutSync(size: number): Promise<void> {
  const wal = await newLog(`append-${size}`);
  const data = new Uint8Array(size).fill(120);
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const entries = entriesFrom(1 + round * 100, 100, data);
    const began = performance.now();
    await wal.save(undefined, entries, false);
    times.push((performance.now() - began) / 100);
  }
  await wal.close();
  console.log(`| ${size} B | ${(median(times) * 1000).toFixed(2)} us |`);
}

async function replay(count: number): Promise<void> {
  const wal = await newLog("replay");
  const data = new Uint8Array(128).fill(120);
  for (let i = 0; i < count; i += 1000)
    await wal.save(undefined, entriesFrom(1 + i, Math.min(1000, count - i), data), false);
  await wal.save(makeHardState(1, 1, count), [], true);
  // What a crash leaves now, durable as the log itself is: the time to write it out is not that of opening.
  copyDurably("replay", "crashed");
  await wal.close();
  const ms = await timeToOpen("replay", count);
  const perSecond = Math.round(count / (ms / 1000));
  console.log(`\n${count} entries of 128 bytes were read back in ${Math.round(ms)} ms: ${perSecond} a second.`);
  const crashed = await timeToOpen("crashed", count);
  console.log(`If the log was not closed, and its last segment is written anew: in ${Math.round(crashed)} ms.`);
  console.log(`On disk each takes ${(bytesIn("replay") / count).toFixed(1)} bytes.`);
}

function copyDurably(from: string, to: string): void {
  fs.cpSync(path.join(root, from), path.join(root, to), { recursive: true });
  for (const name of fs.readdirSync(path.join(root, to))) {
    const file = fs.openSync(path.join(root, to, name), "r+");
    fs.fsyncSync(file);
    fs.closeSync(file);
  }
}

async function timeToOpen(name: string, count: number): Promise<number> {
  const began = performance.now();
  const { wal, recovered } = await Wal.open({ fileSystem: nodeFileSystem, directory: path.join(root, name) });
  const ms = performance.now() - began;
  if (recovered.entries.length !== count) throw new Error(`read ${recovered.entries.length} of ${count} entries`);
  await wal.close();
  return ms;
}

async function run(): Promise<void> {
  console.log("| append and sync | log | bare write and fdatasync | ratio |\n|---|---|---|---|");
  for (const size of [128, 1024]) for (const batch of [1, 10, 100]) await beside(batch, size);
  console.log("\n| append without sync, 100 at a time | per entry |\n|---|---|");
  for (const size of [128, 1024]) await withoutSync(size);
  await replay(entries);
}

const again = [`--entries=${entries}`, `--rounds=${rounds}`, ...(dir === undefined ? [] : [`--dir=${dir}`])];
await measure("bench:wal", again, () => run().finally(() => fs.rmSync(root, { recursive: true })));
