// A short round with real processes, and the proof that the verdict on it means something.

import fs from "node:fs/promises";
import { expect, test } from "vitest";
import { parseHistory } from "../../sim/linearizability/history.ts";
import type { MapOperation } from "../../sim/linearizability/model.ts";
import { removeDirectory, runChaos } from "./chaos.ts";
import { judge } from "./checks.ts";

/** An acknowledged put whose value a later get found: without it nothing explains that get. */
function isSeen(put: MapOperation, operations: readonly MapOperation[]): boolean {
  if (put.op !== "put" || put.outcome !== "ok") return false;
  return operations.some(({ op, key, value }) => op === "get" && key === put.key && value === put.value);
}

/**
 * An acknowledged put that nothing overwrote, with a get that began after it: its loss would show as that get finding
 * something else.
 */
function isLast(put: MapOperation, operations: readonly MapOperation[]): boolean {
  const { return: done } = put;
  if (put.op !== "put" || put.outcome !== "ok" || done === undefined) return false;
  const others = operations.filter((o) => o !== put && o.key === put.key && o.outcome !== "fail");
  // One of unknown outcome may take effect at any time after its call.
  const end = ({ outcome, return: at }: MapOperation): number =>
    outcome === "ok" ? (at ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
  const after = others.filter((o) => end(o) > put.call);
  return after.some((o) => o.value === put.value && o.call > done) && after.every((o) => o.op === "get");
}

test("ten kills, pauses, network shapes and changes of the members under load lose nothing that was acknowledged", async () => {
  const result = await runChaos({ seed: 10, kills: 10 }, () => undefined);
  expect(result.violations, `see ${result.directory}`).toEqual([]);
  expect(result.tally.get("kills")).toBeGreaterThanOrEqual(10);
  expect(result.tally.get("pauses")).toBeGreaterThanOrEqual(1);

  const { directory, historyFile } = result;
  const operations = parseHistory(await fs.readFile(historyFile, "utf8"));
  expect(operations.filter(({ outcome }) => outcome === "ok")).toHaveLength(result.operations.ok);
  expect(judge(operations, directory).violation).toBeUndefined();

  // A write that is left out of the history, and one that the members have lost.
  const seen = operations.find((o) => isSeen(o, operations)) as MapOperation;
  const withoutIt = operations.filter((o) => o !== seen);
  expect(judge(withoutIt, directory).violation).toMatch(/not linearizable/);
  const last = operations.find((o) => isLast(o, operations)) as MapOperation;
  const lost = operations.map((o) => (o.op === "get" && o.value === last.value ? { ...o, value: undefined } : o));
  expect(judge(lost, directory).violation).toMatch(new RegExp(`key ${last.key}: nothing explains get`));
  await removeDirectory(directory);
}, 120_000);
