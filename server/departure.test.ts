import { expect, test } from "vitest";
import { Departure } from "./departure.ts";
import type { Rejection } from "./interfaces.ts";

const removed: Rejection = { kind: "removed", message: "member 1 was removed from the cluster" };
const lostData: Rejection = { kind: "lost-data", message: "member 1 has another data directory" };

class Story {
  now = 0;
  readonly told: Rejection[] = [];
  readonly departure = new Departure({
    electionMs: 100,
    now: () => this.now,
    onRejected: (rejection) => this.told.push(rejection),
  });

  /** Ticks every 10 ms until then. */
  passUntil(time: number, leads = false): void {
    for (; this.now < time; this.now += 10) this.departure.tick(leads);
  }
}

test("a member that was removed stays for three election timeouts, and goes once", () => {
  const story = new Story();
  story.departure.decide(removed);
  expect(story.departure.isDecided).toBe(true);
  story.passUntil(300);
  expect(story.told).toEqual([]);
  story.passUntil(1000);
  expect(story.told).toEqual([removed]);
});

test("it stays for as long as its peers send it anything", () => {
  const story = new Story();
  story.departure.decide(removed);
  for (let time = 200; time <= 2000; time += 200) {
    story.passUntil(time);
    story.departure.needed();
  }
  expect(story.told).toEqual([]);
  story.passUntil(2400);
  expect(story.told).toEqual([removed]);
});

test("it stays for as long as it leads", () => {
  const story = new Story();
  story.departure.decide(removed);
  story.passUntil(2000, true);
  expect(story.told).toEqual([]);
  story.passUntil(2400);
  expect(story.told).toEqual([removed]);
});

test("a member that has lost its data goes at once", () => {
  const story = new Story();
  story.departure.decide(lostData);
  expect(story.told).toEqual([lostData]);
  story.passUntil(1000);
  expect(story.told).toEqual([lostData]);
});

test("a member that has its place stays", () => {
  const story = new Story();
  story.passUntil(5000);
  expect(story.departure.isDecided).toBe(false);
  expect(story.told).toEqual([]);
});
