import { expect, test } from "vitest";
import { minimize } from "./minimize.ts";
import { mutants } from "./mutants.ts";
import { makePlan } from "./plan.ts";
import { Random } from "./random.ts";
import { simulate } from "./simulation.ts";
import { summaryOf, Totals } from "./summary.ts";

const seeds = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);

test("simulate serves the clients and comes to rest without faults", async () => {
  const { error, counts, operations } = await simulate({ seed: 2, ticks: 200, only: [] });
  expect(error).toBeUndefined();
  expect(operations).toBeGreaterThan(20);
  expect(counts.get("came to rest")).toBe(1);
  expect(counts.get("history linearizable")).toBe(1);
});

test("simulate keeps every invariant over some seeds with their faults", async () => {
  const totals = new Totals();
  for (const seed of seeds(1, 8)) totals.add(summaryOf(await simulate({ seed, ticks: 300 })));
  expect(totals.failures).toEqual([]);
});

test("simulate gives the same run for the same seed, event for event, with and without a trace", async () => {
  for (const seed of [4, 11]) {
    const first: string[] = [];
    const second: string[] = [];
    const traced = await simulate({ seed, ticks: 200, trace: (line) => first.push(line) });
    const again = await simulate({ seed, ticks: 200, trace: (line) => second.push(line) });
    const silent = await simulate({ seed, ticks: 200 });
    expect(second).toEqual(first);
    expect(first.length).toBeGreaterThan(1000);
    expect(again.traceHash).toBe(traced.traceHash);
    expect(silent.traceHash).toBe(traced.traceHash);
  }
});

test("simulate gives another run for another seed", async () => {
  const [a, b] = [await simulate({ seed: 1, ticks: 50 }), await simulate({ seed: 2, ticks: 50 })];
  expect(a.traceHash).not.toBe(b.traceHash);
});

// The rare ones are for `npm run sim:mutants`.
const common = mutants.filter(({ isRare }) => !isRare);
test.each(common.map((mutant) => [mutant.name, mutant] as const))(
  "simulate finds the planted bug: %s",
  async (_name, { mutation }) => {
    for (const seed of seeds(1, 40)) {
      const { error } = await simulate({ seed, ticks: 400, mutation });
      if (error !== undefined) return;
    }
    expect.unreachable("no seed has found it");
  },
);

test("minimize makes a failing run smaller, and it still fails", async () => {
  const mutation = mutants[0]?.mutation;
  const smallest = await minimize({ seed: 1, ticks: 200, mutation });
  expect(smallest?.result.error).toBeDefined();
  expect(smallest?.job.only ?? []).toEqual([]);
  expect(smallest?.job.ticks).toBeLessThan(200);
});

test.each([
  ["partition", "message into a cut", []],
  ["crash", "torn log repaired", []],
  ["kill", "restart", []],
  ["orderly restart", "restart", []],
  ["pause", "event held up by a pause", []],
  ["slow disk", "sync longer than an election timeout", []],
  ["failing disk", "stopped by its disk", []],
  ["disk hang", "disk hang", []],
  ["damage", "damaged snapshot: it starts all the same", []],
  ["wipe", "member replaced", []],
  ["slip", "slip: made anew", []],
  ["client cut", "lost request", []],
  ["membership", "change applied", []],
  ["transfer", "transfer applied", []],
  ["loss", "lost message", []],
  ["duplication", "duplicate message", []],
  ["delay", "message that came a second late", []],
  ["broken streams", "snapshot cut", ["crash", "membership", "partition", "wipe"]],
  ["clock drift", "clock more than a tick off", []],
] as const)("%s strikes: there is a %s", async (fault, what, others) => {
  const options = { ticks: 150, only: [fault, ...others] };
  const has = (seed: number): boolean => makePlan(new Random(seed).fork("plan"), options).faults.includes(fault);
  for (const seed of seeds(1, 60).filter(has)) {
    const { error, counts } = await simulate({ seed, ...options });
    expect(error).toBeUndefined();
    if (counts.has(what)) return;
  }
  expect.unreachable("there was none");
});
