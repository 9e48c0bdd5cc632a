// A quiet run is a failed run.

import { expect, test } from "vitest";
import { processDeck } from "./nemesis.ts";
import { missing, rollingRestarts, Tally } from "./report.ts";
import { shapes } from "./shapes.ts";

const full = { seed: 1, minutes: 2 };
const links = [
  { resets: 0, damaged: 1 },
  { resets: 1, damaged: 0 },
];

/** As many of everything as a full run needs. */
function busy(): Tally {
  const tally = new Tally();
  tally.add("kills", 100);
  tally.add("pauses", 10);
  for (const fault of processDeck) tally.add(fault);
  for (const shape of shapes) tally.add(`network: ${shape}`);
  for (const kind of ["add", "promote", "demote", "remove", "joint replacement"]) tally.add(`membership: ${kind}`);
  for (const what of ["removed member ended by itself", "leadership transferred", "members wiped"]) tally.add(what);
  tally.add("snapshot sent to a member that was behind");
  return tally;
}

test("a run in which everything has happened lacks nothing", () => {
  expect(missing(full, busy(), 10_000, links)).toEqual([]);
  expect(missing({ seed: 1, kills: 10 }, busy(), 10_000, links)).toEqual([]);
});

test("a run in which next to nothing was acknowledged fails, whatever has struck", () => {
  expect(missing(full, busy(), 10, links)).toEqual([
    expect.stringMatching(/acknowledged operations should be at least 1000/),
  ]);
  expect(missing({ seed: 1, kills: 10 }, busy(), 10, links)).toHaveLength(1);
});

test("a full run fails for each shape and each fault that never struck", () => {
  const quiet = missing(full, new Tally(), 10_000, [{ resets: 0, damaged: 0 }]).join("\n");
  for (const fault of processDeck) expect(quiet).toContain(fault);
  expect(quiet).toContain(`kinds of network shapes should be at least ${shapes.length}`);
  const others = [
    "snapshots sent",
    "connections reset",
    "bits turned over",
    "removed members that ended by themselves",
  ];
  for (const what of [...others, "leadership transferred", "members wiped"]) expect(quiet).toContain(what);
});

test("a run by kills fails if there were too few, or no pause", () => {
  const tally = new Tally();
  tally.add("kills", 9);
  const quiet = missing({ seed: 1, kills: 10 }, tally, 10_000, links);
  expect(quiet).toContain("too quiet a run: kills should be at least 10 and is 9");
  expect(quiet).toContain("too quiet a run: pauses should be at least 1 and is 0");
});

test("two minutes end in three rolling restarts, twenty kills in one, and a short round in none", () => {
  expect(rollingRestarts(full)).toBe(3);
  expect(rollingRestarts({ seed: 1, kills: 20 })).toBe(1);
  expect(rollingRestarts({ seed: 1, kills: 10 })).toBe(0);
});
