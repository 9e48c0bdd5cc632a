import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { nodeFileSystem } from "../disk/index.ts";
import { encodeDelete, encodePut } from "../kvstore/command.ts";
import {
  ConfChangeTransition,
  ConfChangeType,
  type Entry,
  EntryType,
  makeConfChangeV2,
  makeConfState,
  marshalConfChange,
} from "../raft/index.ts";
import { encodeEnvelope } from "../server/envelope.ts";
import { toConfChange } from "../server/membership/conf-change-context.ts";
import { encodeNote } from "../server/membership/notes.ts";
import { encodeMetadata, Wal } from "../wal/index.ts";
import { inProcess } from "./testing.ts";

const made: string[] = [];
const temporary = (): string => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "readyloop-dump-"));
  made.push(directory);
  return directory;
};
afterAll(() => {
  for (const directory of made) fs.rmSync(directory, { recursive: true });
});

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const request = { member: 2, epoch: 77, counter: 5 };

async function makeLog(dataDir: string, segmentBytes?: number): Promise<Wal> {
  const directory = path.join(dataDir, "member", "wal");
  fs.mkdirSync(path.dirname(directory), { recursive: true });
  const metadata = encodeMetadata({ nodeId: 1, clusterId: 34, incarnation: 56 });
  return Wal.create({ fileSystem: nodeFileSystem, directory, metadata, segmentBytes });
}

const normal = (index: number, data: Uint8Array | undefined): Entry => ({ type: 0, term: 2, index, data });

const joint = makeConfChangeV2(
  [
    { type: ConfChangeType.ConfChangeAddLearnerNode, nodeId: 4 },
    { type: ConfChangeType.ConfChangeRemoveNode, nodeId: 3 },
  ],
  ConfChangeTransition.ConfChangeTransitionJointExplicit,
  undefined,
);
const added = toConfChange([{ kind: "add", id: 5, peerUrl: "http://e:2380", learner: false }], request);

const entries: readonly Entry[] = [
  normal(1, undefined),
  normal(2, encodeEnvelope(request, encodePut("greeting\u001b[31m", bytes("hello, wörld")))),
  normal(3, encodeEnvelope(request, encodeDelete("greeting"))),
  normal(4, encodeEnvelope(request, encodePut("big", new Uint8Array(5000).fill(0x78)))),
  normal(5, encodeEnvelope(request, encodeNote({ started: { id: 4, incarnation: 99 } }), "note")),
  normal(6, Uint8Array.of(0xff, 0x00, 0x41)),
  { term: 2, index: 7, ...marshalConfChange(added) },
  { term: 2, index: 8, ...marshalConfChange(joint) },
  { term: 2, index: 9, ...marshalConfChange(undefined) },
  { type: EntryType.EntryConfChange, term: 2, index: 10, data: Uint8Array.of(0x08) },
];

async function dump(...args: string[]) {
  const result = await inProcess("wal", "dump", ...args);
  return { ...result, lines: result.stdout.trimEnd().split("\n") };
}

describe("a log", () => {
  let dataDir: string;
  let wal: Wal;
  beforeAll(async () => {
    dataDir = temporary();
    wal = await makeLog(dataDir);
    await wal.save({ term: 2, vote: 1, commit: 8 }, entries, true);
    await wal.saveSnapshot({ index: 8, term: 2, confState: makeConfState({ voters: [1, 2], learners: [4] }) });
  });
  afterAll(() => wal.close());

  test("is shown in order, one record a line, while its member runs", async () => {
    const { code, stderr, lines } = await dump(`--data-dir=${dataDir}`);
    expect([code, stderr]).toEqual([0, ""]);
    const [file, ...rest] = lines;
    expect(file).toBe(path.join(dataDir, "member/wal/0000000000000000-0000000000000000.wal"));
    const shown = rest.map((line) => line.trim().replace(/ {2,}/g, " | "));
    expect(shown.map((line) => line.replace(/^\d+ \| /, ""))).toEqual([
      "OFFSET | TYPE | INDEX | TERM | ENTRY | DATA",
      "crc | 00000000",
      "metadata | member 1 of cluster 34, incarnation 56",
      "snapshot | 0 | 0",
      "entry | 1 | 2 | Normal | empty",
      'entry | 2 | 2 | Normal | put "greeting\\x1b[31m" "hello, wörld"',
      'entry | 3 | 2 | Normal | delete "greeting"',
      `entry | 4 | 2 | Normal | put "big" "${"x".repeat(48)}"... (5000 bytes)`,
      'entry | 5 | 2 | Normal | note "{\\"started\\":{\\"id\\":4,\\"incarnation\\":99}}"',
      'entry | 6 | 2 | Normal | "\\xff\\x00A"',
      "entry | 7 | 2 | ConfChangeV2 | voter 5 at http://e:2380",
      "entry | 8 | 2 | ConfChangeV2 | learner 4, remove 3 (JointExplicit)",
      "entry | 9 | 2 | ConfChangeV2 | leave the joint configuration",
      expect.stringMatching(/^entry \| 10 \| 2 \| ConfChange \| cannot be decoded \(.*\): "\\b"$/),
      "state | Term:2 Vote:1 Commit:8",
      "snapshot | 8 | 2 | Voters:[1 2] VotersOutgoing:[] Learners:[4] LearnersNext:[] AutoLeave:false",
    ]);
  });

  test("is one JSON value a line with --json, with the bytes of each entry", async () => {
    const { code, lines } = await dump(`--data-dir=${dataDir}`, "--json");
    expect(code).toBe(0);
    const values = lines.map((line) => JSON.parse(line));
    const shown = values.filter(({ type }) => type.startsWith("Entry"));
    expect(shown.map(({ index, term, data }) => ({ index, term, data: Buffer.from(data, "base64") }))).toEqual(
      entries.map(({ index, term, data }) => ({ index, term, data: Buffer.from(data ?? []) })),
    );
    expect(shown.map(({ type }) => type).slice(5, 7)).toEqual(["EntryNormal", "EntryConfChangeV2"]);
    expect(shown.map((value) => value.request)).toEqual(
      entries.map(({ index }) => ([2, 3, 4, 5, 7].includes(index) ? request : undefined)),
    );
    expect(values.filter(({ type }) => !type.startsWith("Entry")).map(({ offset, text, ...rest }) => rest)).toEqual([
      { type: "crc", crc: 0, file: "0000000000000000-0000000000000000.wal" },
      expect.objectContaining({ type: "metadata" }),
      expect.objectContaining({ type: "snapshot", index: 0, term: 0 }),
      expect.objectContaining({ type: "state", term: 2, vote: 1, commit: 8 }),
      expect.objectContaining({
        type: "snapshot",
        index: 8,
        term: 2,
        confState: expect.objectContaining({ voters: [1, 2], learners: [4] }),
      }),
    ]);
  });

  test("is shown in part with --from and --to: entries and snapshots of these indexes", async () => {
    const indexes = async (...range: string[]) =>
      (await dump(`--data-dir=${dataDir}`, "--json", ...range)).lines.map((line) => JSON.parse(line).index);
    expect(await indexes("--from=8")).toEqual([8, 9, 10, 8]);
    expect(await indexes("--to=2")).toEqual([0, 1, 2]);
    expect(await indexes("--from=3", "--to=4")).toEqual([3, 4]);
    const { code, stderr } = await dump(`--data-dir=${dataDir}`, "--from=x");
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/--from must be an integer/) });
  });

  test("is shown in part with --type: records of these types, or entries of these", async () => {
    const shown = async (...flags: string[]) =>
      (await dump(`--data-dir=${dataDir}`, "--json", ...flags)).lines.map((line) => {
        const { type, index } = JSON.parse(line);
        return [type, index];
      });
    expect(await shown("--type=snapshot,state")).toEqual([
      ["snapshot", 0],
      ["state", undefined],
      ["snapshot", 8],
    ]);
    expect(await shown("--type=entry")).toHaveLength(entries.length);
    expect(await shown("--type=EntryConfChange,metadata")).toEqual([
      ["metadata", undefined],
      ["EntryConfChange", 10],
    ]);
    expect(await shown("--type=EntryConfChangeV2", "--from=8")).toEqual([
      ["EntryConfChangeV2", 8],
      ["EntryConfChangeV2", 9],
    ]);
    const { code, stderr } = await dump(`--data-dir=${dataDir}`, "--type=entries");
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringMatching(/--type takes metadata, entry, .*, and not "entries"/),
    });
  });
});

test("each segment is headed by its name", async () => {
  const dataDir = temporary();
  const wal = await makeLog(dataDir, 300);
  for (let i = 1; i <= 8; i++) await wal.save({ term: 2, vote: 1, commit: i }, [normal(i, bytes(`${i}`))], false);
  await wal.close();
  const { lines } = await dump(`--data-dir=${dataDir}`);
  const segments = fs.readdirSync(path.join(dataDir, "member/wal"));
  expect(segments.length).toBeGreaterThan(1);
  expect(lines.filter((line) => line.endsWith(".wal")).map((line) => path.basename(line))).toEqual(segments);
});

describe("a log that is not sound", () => {
  /** The last entry's record is spoilt; in a log that was closed, that is damage. */
  async function spoilt(closed: boolean): Promise<{ dataDir: string; file: string; before: Buffer }> {
    const dataDir = temporary();
    const wal = await makeLog(dataDir);
    await wal.save({ term: 2, vote: 1, commit: 1 }, entries.slice(0, 3), true);
    await wal.save(undefined, [normal(4, bytes("the last one"))], false);
    const directory = path.join(dataDir, "member/wal");
    const file = path.join(directory, fs.readdirSync(directory)[0] as string);
    const open = fs.readFileSync(file);
    await wal.close();
    const before = closed ? fs.readFileSync(file) : open;
    before[before.indexOf("the last one")]! ^= 1;
    fs.writeFileSync(file, before);
    return { dataDir, file, before };
  }

  test("is shown up to the damage, which standard error reports, with exit code 1", async () => {
    const { dataDir, file, before } = await spoilt(true);
    const { code, stderr, lines } = await dump(`--data-dir=${dataDir}`, "--from=2");
    expect(lines.slice(2).map((line) => line.trim().split(/ +/)[2])).toEqual(["2", "3"]);
    expect(stderr).toMatch(/^readyloop: .*\.wal: damaged at offset \d+: .*durable.*readyloop wal verify\n$/);
    expect(code).toBe(1);
    expect(fs.readFileSync(file).equals(before)).toBe(true);
  });

  test("because its end is torn is shown up to there; nothing was lost, and the exit code is 0", async () => {
    const { dataDir, file, before } = await spoilt(false);
    const { code, stderr, lines } = await dump(`--data-dir=${dataDir}`, "--from=2");
    expect(lines.slice(2).map((line) => line.trim().split(/ +/)[2])).toEqual(["2", "3"]);
    expect(stderr).toMatch(
      /\.wal: \d+ bytes from offset \d+ on are no sound record .*None of this was ever acknowledged/,
    );
    expect(code).toBe(0);
    expect(fs.readFileSync(file).equals(before)).toBe(true);
  });

  test("because it is not there is an error that says so", async () => {
    const { code, stderr } = await dump(`--data-dir=${temporary()}`);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/holds no log/) });
  });
});

test("a reader that takes only the beginning, as head does, ends it quietly", async () => {
  const dataDir = temporary();
  const wal = await makeLog(dataDir);
  const many = Array.from({ length: 20_000 }, (_, i) => normal(i + 1, bytes(`entry ${i + 1}`)));
  await wal.save({ term: 2, vote: 1, commit: 1 }, many, false);
  await wal.close();
  const script = `
    import { main } from ${JSON.stringify(new URL("./index.ts", import.meta.url).href)};
    process.exitCode = await main(["wal", "dump", "--data-dir", ${JSON.stringify(dataDir)}]);
  `;
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "pipe"],
    cwd: import.meta.dirname,
  });
  let stderr = "";
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  const [first] = await once(child.stdout, "data");
  expect(String(first)).toMatch(/^\/.*\.wal\n {4}OFFSET/);
  child.stdout.destroy();
  const [code, signal] = await once(child, "close");
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: "" });
});
