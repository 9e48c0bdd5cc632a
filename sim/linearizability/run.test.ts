// The command as a user runs it, in a process of its own.

import { execFile } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { formatOperation } from "./history.ts";
import type { MapOperation } from "./model.ts";
import { get, put } from "./testing.ts";

let directory: string;
beforeAll(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), "check-history-"));
});
afterAll(() => {
  fs.rmSync(directory, { recursive: true });
});

const command = path.join(import.meta.dirname, "run.ts");
const root = path.join(import.meta.dirname, "../..");

function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, ["--import", "tsx", command, ...args], { cwd: root }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

function write(name: string, text: string): string {
  const file = path.join(directory, name);
  fs.writeFileSync(file, text);
  return file;
}

const lines = (...operations: MapOperation[]): string => operations.map(formatOperation).join("");
const fine = [put("a", [1_000_000, 2_000_000]), get("a", [3_000_000, 4_500_000])];
const stale = get(undefined, [5_000_000, 6_000_000], { client: 2 });

test("a history with an order: exit code 0, and no picture", async () => {
  const picture = path.join(directory, "none.html");
  const { code, out } = await run(write("fine.jsonl", lines(...fine)), `--picture=${picture}`);
  expect(out).toMatch(/fine\.jsonl: 2 operations on 1 key: linearizable \([\d.]+ s, 0 choices taken back\)\n/);
  expect(out).toMatch(/\nOK: .*fine\.jsonl: 2 operations on 1 key are linearizable\n$/);
  expect(code).toBe(0);
  expect(fs.existsSync(picture)).toBe(false);
});

test("a history without one: exit code 1, the contradiction in words, and a picture of it", async () => {
  const picture = path.join(directory, "stale.html");
  const { code, out } = await run(write("stale.jsonl", lines(...fine, stale)), `--picture=${picture}`);
  expect(out).toContain("3 operations on 1 key: not linearizable");
  expect(out).toContain(
    'key "k": no order explains get → absent of client 2, called at 4.000 ms, returned at 5.000 ms; without that return there is one, of 2 operations',
  );
  expect(out).toContain(`picture: ${picture}`);
  expect(out).toMatch(
    /\nFAILED: .*stale\.jsonl: not linearizable; replay with: npm run check-history -- .*stale\.jsonl\n$/,
  );
  expect(code).toBe(1);
  expect(fs.readFileSync(picture, "utf8")).toContain("<svg");
});

test("a get of a value that no client wrote: found without a search, with the same words and a picture", async () => {
  const picture = path.join(directory, "made-up.html");
  const madeUp = get("never written", [5_000_000, 6_000_000], { client: 2 });
  const { code, out } = await run(write("made-up.jsonl", lines(...fine, madeUp)), `--picture=${picture}`);
  expect(out).toContain("3 operations on 1 key: not linearizable");
  expect(out).toContain(
    'key "k": no order explains get → "never written" of client 2, called at 4.000 ms, returned at 5.000 ms; without that return there is one, of 2 operations',
  );
  expect(code).toBe(1);
  expect(fs.readFileSync(picture, "utf8")).toContain("never written");
});

test("a search beyond its budget: exit code 2, and the key", async () => {
  const puts = ["a", "b", "c"].map((value) => put(value, [1, 9]));
  const gets = ["c", "b", "a"].map((value, n) => get(value, [2 + n, 9]));
  const file = write("hard.jsonl", lines(...puts, ...gets, get("a", [10, 11]), get("b", [12, 13])));
  const { code, out } = await run(file, "--max-backtracks=0");
  expect(out).toContain('undecided, try a larger --max-backtracks: keys "k"');
  expect(out).toMatch(
    /\nFAILED: .*hard\.jsonl: undecided .*; replay with: npm run check-history -- \S+ --max-backtracks=\d+\n$/,
  );
  expect(code).toBe(2);
});

test("porcupine's formats are told by their first line", async () => {
  const log = "INFO  jepsen.util - 0\t:invoke\t:read\tnil\nINFO  jepsen.util - 0\t:ok\t:read\t1\n";
  const { code, out } = await run(write("etcd.log", log));
  expect(out).toContain("no order explains read → 1 of client 0, called at line 1, returned at line 2");
  expect(code).toBe(1);
});

test("a file that is missing, empty or wrong, and arguments that make no sense: exit code 2, and why", async () => {
  const missing = await run(path.join(directory, "missing.jsonl"));
  expect([missing.code, missing.err]).toEqual([2, expect.stringMatching(/missing\.jsonl: there is no such file\n$/)]);
  const empty = await run(write("empty.jsonl", ""));
  expect([empty.code, empty.err]).toEqual([
    2,
    expect.stringMatching(/empty\.jsonl: there is no operation in it: nothing to check\n$/),
  ]);
  const wrong = await run(write("wrong.jsonl", `${lines(...fine)}{"client":\n`));
  expect([wrong.code, wrong.err]).toEqual([
    2,
    expect.stringMatching(/wrong\.jsonl: line 3: this is not JSON: \{"client":\n$/),
  ]);
  for (const args of [[], ["a", "b"], ["a", "--max-backtracks=ten"], ["a", "--colour"]]) {
    const { code, err } = await run(...args);
    expect([code, err]).toEqual([2, expect.stringContaining("npm run check-history")]);
  }
});
