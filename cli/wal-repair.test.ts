import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeEach, expect, test } from "vitest";
import { nodeFileSystem } from "../disk/index.ts";
import type { Entry } from "../raft/index.ts";
import { encodeMetadata, Wal } from "../wal/index.ts";
import { inProcess, onTerminal } from "./testing.ts";

const fileSystem = nodeFileSystem;
const made: string[] = [];
let dataDir: string;
let directory: string;
beforeEach(() => {
  dataDir = fs.mkdtempSync(path.join(os.tmpdir(), "readyloop-repair-"));
  made.push(dataDir);
  directory = path.join(dataDir, "member", "wal");
  fs.mkdirSync(path.dirname(directory));
});
afterAll(() => {
  for (const one of made) fs.rmSync(one, { recursive: true });
});

const entry = (index: number): Entry => ({ type: 0, term: 1, index, data: Buffer.from(`entry ${index}`) });
const repair = (...args: string[]) => inProcess("wal", "repair", `--data-dir=${dataDir}`, ...args);
const names = (): string[] => fs.readdirSync(directory);
const segment = (): string => path.join(directory, names().find((name) => name.endsWith(".wal")) as string);

/** Entries 1 to 3, durable and known to be, and 4, which a power cut tore. */
async function tornLog(): Promise<void> {
  const wal = await Wal.create({ fileSystem, directory, metadata: encodeMetadata({ nodeId: 1, clusterId: 2 }) });
  await wal.save({ term: 1, vote: 1, commit: 2 }, [entry(1), entry(2)], true);
  await wal.save(undefined, [entry(3)], true);
  await wal.save(undefined, [entry(4)], false);
  const bytes = fs.readFileSync(segment());
  await wal.close();
  bytes.fill(0, bytes.indexOf("entry 4"));
  fs.writeFileSync(segment(), bytes);
}

async function entries(): Promise<number[]> {
  const { wal, recovered } = await Wal.open({ fileSystem, directory });
  await wal.close();
  return recovered.entries.map(({ index }) => index);
}

test("a torn tail is shown, cut off after a yes, and kept as a copy", async () => {
  await tornLog();
  const before = fs.readFileSync(segment());
  const { code, stdout } = await onTerminal("y\n", repair);
  expect(code).toBe(0);
  expect(stdout).toMatch(/\.wal: \d+ bytes from offset \d+ on are no sound record/);
  expect(stdout).toMatch(/ends at offset \d+ now; a copy of the file as it was is .*\.broken\n$/);
  const copy = fs.readFileSync(`${segment()}.broken`);
  expect(before.subarray(0, copy.length).equals(copy)).toBe(true);
  expect(copy.includes("entry 3")).toBe(true);
  expect(await entries()).toEqual([1, 2, 3]);
  expect((await repair()).stdout).toMatch(/ends cleanly: there is nothing to repair/);
});

test("nothing is changed after any other answer, or none", async () => {
  await tornLog();
  const before = fs.readFileSync(segment());
  for (const answer of ["n\n", "\n", "maybe\n", ""]) {
    const { code, stderr } = await onTerminal(answer, repair);
    expect([code, stderr]).toEqual([1, expect.stringContaining("nothing was changed")]);
  }
  expect(fs.readFileSync(segment()).equals(before)).toBe(true);
  expect(names()).toHaveLength(1);
});

test("a script has to say --yes", async () => {
  await tornLog();
  const { code, stderr } = await repair();
  expect([code, stderr]).toEqual([2, expect.stringMatching(/no terminal to ask on: give --yes/)]);
  expect(names()).toHaveLength(1);
  expect((await repair("--yes")).code).toBe(0);
  expect(names()).toHaveLength(2);
  expect(await entries()).toEqual([1, 2, 3]);
});

test("damage to what was durable is refused, with the way out, whatever flag is given", async () => {
  await tornLog();
  const bytes = fs.readFileSync(segment());
  bytes[bytes.indexOf("entry 2")]! ^= 1;
  fs.writeFileSync(segment(), bytes);
  const { code, stderr } = await repair("--yes");
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /this cannot be repaired, and nothing was changed\. .*damaged at offset \d+: .*replace this one/,
  );
  expect(fs.readFileSync(segment()).equals(bytes)).toBe(true);
  expect(names()).toHaveLength(1);
});

test("the log of a running member is left alone", async () => {
  await tornLog();
  const lock = await fileSystem.lock(directory);
  try {
    const { code, stderr } = await repair("--yes");
    expect([code, stderr]).toEqual([1, expect.stringMatching(/has this directory open. Stop it first/)]);
    expect(names()).toHaveLength(1);
  } finally {
    await lock.release();
  }
});

test("a directory without a log is no place to repair", async () => {
  const { code, stderr } = await repair("--yes");
  expect([code, stderr]).toEqual([1, expect.stringMatching(/there is no log: is --data-dir/)]);
});
