// How long a member takes to come back with a log of 100,000 entries: opening the log alone, and from the start of the
// process to its first linearizable answer.
//
//     npm run bench:recovery [-- --entries=100000 --dir=DIR]

import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { countFlag, readFlags } from "../command-line/script-flags.ts";
import { nodeFileSystem } from "../disk/index.ts";
import { encodePut } from "../kvstore/command.ts";
import { type Entry, EntryType, encodeConfChange, makeConfChange, makeEntry, makeHardState } from "../raft/index.ts";
import { encodeEnvelope } from "../server/envelope.ts";
import { encodeMetadata, Wal } from "../wal/index.ts";
import { dataDirectory, directoryFlag, measure } from "./measuring.ts";

const { entries: count, dir } = readFlags({
  name: "bench:recovery",
  does: "How long a member takes to come back.",
  flags: { entries: countFlag("entries", 100_000, "length of its log"), dir: directoryFlag() },
});
const dataDir = dataDirectory("bench:recovery", dir);
const directory = path.join(dataDir, "member", "wal");
const url = "http://localhost:1";

/** The log of a single member that has taken `count` writes of 128 bytes. */
async function writeLog(): Promise<void> {
  await nodeFileSystem.makeDirectory(path.dirname(directory));
  const metadata = encodeMetadata({ nodeId: 1, clusterId: 1 });
  const wal = await Wal.create({ fileSystem: nodeFileSystem, directory, metadata });
  const context = new TextEncoder().encode(url);
  const first = makeEntry(EntryType.EntryConfChange, 1, 1, encodeConfChange(makeConfChange(0, 1, context)));
  const value = new Uint8Array(128).fill(120);
  const entries: Entry[] = [first];
  for (let i = 2; i <= count; i++) {
    const id = { member: 1, epoch: 1, counter: i };
    entries.push(makeEntry(undefined, 2, i, encodeEnvelope(id, encodePut(`key-${i % 1000}`, value))));
  }
  await wal.save(makeHardState(2, 1, count), entries, true);
  await wal.close();
}

async function openLog(): Promise<number> {
  const start = performance.now();
  const { wal, recovered } = await Wal.open({ fileSystem: nodeFileSystem, directory });
  const ms = performance.now() - start;
  if (recovered.entries.length < count) throw new Error(`recovered ${recovered.entries.length} entries`);
  await wal.close();
  return ms;
}

async function startMember(): Promise<{ listening: number; answer: number }> {
  const start = performance.now();
  const args = [
    "--id=1",
    `--peers=${url}`,
    "--peer-port=0",
    "--client-port=0",
    `--data-dir=${dataDir}`,
    "--log-format=json",
  ];
  const child = spawn(
    process.execPath,
    ["--import", "tsx", path.join(import.meta.dirname, "../main.ts"), "start-server", ...args],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  let clientPort = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    clientPort = (JSON.parse(line) as { clientPort?: number }).clientPort ?? 0;
    if (clientPort !== 0) break;
  }
  child.stdout.resume();
  const listening = performance.now() - start;
  for (;;) {
    const response = await fetch(`http://127.0.0.1:${clientPort}/key-7`);
    await response.arrayBuffer();
    if (response.status === 200) break;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const answer = performance.now() - start;
  child.kill("SIGTERM");
  await once(child, "close");
  return { listening, answer };
}

const median = (ms: number[]): string =>
  `${Math.round(ms.sort((a, b) => a - b)[Math.floor(ms.length / 2)] as number)} ms`;

async function run(): Promise<void> {
  await writeLog();
  const opened: number[] = [];
  const listening: number[] = [];
  const answered: number[] = [];
  for (let run = 0; run < 5; run++) {
    opened.push(await openLog());
    const member = await startMember();
    listening.push(member.listening);
    answered.push(member.answer);
  }
  console.log(`${count} entries of 128 bytes, median of 5:`);
  console.log(`open the log                                   ${median(opened)}`);
  console.log(`start of the process to listening              ${median(listening)}`);
  console.log(`start of the process to a linearizable answer  ${median(answered)}`);
}

const again = [`--entries=${count}`, ...(dir === undefined ? [] : [`--dir=${dir}`])];
await measure("bench:recovery", again, () => run().finally(() => fs.rmSync(dataDir, { recursive: true, force: true })));
