import { expect, test } from "vitest";
import { Random } from "./random.ts";
import { Process, World } from "./world.ts";

const world = (): World => new World(new Random(1));

test("Random gives the same numbers for the same seed, and others for another", () => {
  const draw = (seed: number): number[] =>
    Array.from(
      { length: 20 },
      (
        (r) => () =>
          r.bits()
      )(new Random(seed)),
    );
  expect(draw(7)).toEqual(draw(7));
  expect(draw(7)).not.toEqual(draw(8));
});

test("Random.fork does not depend on what was drawn before", () => {
  const a = new Random(7);
  const b = new Random(7);
  a.bits();
  expect(a.fork("x").bits()).toBe(b.fork("x").bits());
  expect(a.fork("x").bits()).not.toBe(b.fork("y").bits());
});

test("Random.below gives numbers below n, also beyond 32 bits", () => {
  const random = new Random(3);
  for (const n of [1, 2, 10, 2 ** 32, 2 ** 47]) {
    for (let i = 0; i < 200; i++) {
      const drawn = random.below(n);
      expect(Number.isSafeInteger(drawn) && drawn >= 0 && drawn < n).toBe(true);
    }
  }
});

test("World runs events in the order of their times, and those of one time in the order in which they were added", async () => {
  const w = world();
  const seen: string[] = [];
  w.after(2, () => seen.push("c"));
  w.after(1, () => seen.push("a"));
  w.after(1, () => seen.push("b"));
  await w.runUntil(10);
  expect(seen).toEqual(["a", "b", "c"]);
  expect(w.now).toBe(10);
});

test("World follows the promises of an event to their end before the next event", async () => {
  const w = world();
  const seen: string[] = [];
  w.after(1, () => {
    void (async () => {
      for (let i = 0; i < 100; i++) await Promise.resolve();
      seen.push("followed to the end");
    })();
  });
  w.after(1, () => seen.push("next event"));
  await w.runUntil(1);
  expect(seen).toEqual(["followed to the end", "next event"]);
});

test("World.fail ends the run with its error", async () => {
  const w = world();
  w.after(1, () => w.fail(new Error("broken")));
  w.after(2, () => expect.unreachable());
  await expect(w.runUntil(3)).rejects.toThrow("broken");
});

test("Process drops its events when it is dead, and keeps them in order while it is paused", async () => {
  const w = world();
  const dead = new Process(w, 1);
  const paused = new Process(w, 1);
  const seen: string[] = [];
  dead.after(2, () => seen.push("dead"));
  paused.after(2, () => seen.push(`first at ${w.now}`));
  paused.after(3, () => seen.push(`second at ${w.now}`));
  w.after(1, () => dead.kill());
  w.after(1, () => paused.pause(5));
  await w.runUntil(10);
  expect(seen).toEqual(["first at 6", "second at 6"]);
});

test("Process.clock ticks more often, and shows more time, if it runs fast", async () => {
  const w = world();
  const clock = new Process(w, 1.25).clock();
  let ticks = 0;
  const end = clock.every(100, () => ticks++);
  await w.runUntil(1001);
  expect(ticks).toBe(12);
  expect(clock.now()).toBeCloseTo(1251.25);
  end();
  await w.runUntil(2000);
  expect(ticks).toBe(12);
});
