import { expect, test } from "vitest";
import type { Rejection, Remaining } from "../../transport/contract.ts";
import { Departure } from "./departure.ts";

const removed: Rejection = { kind: "removed", message: "member 4 was removed from the cluster" };
const lostData: Rejection = { kind: "lost-data", message: "member 4 has another data directory" };

const left = (asOf: number, ...ids: number[]): Remaining => ({
  asOf,
  members: ids.map((id) => ({ id, url: `http://127.0.0.1:${2000 + id}` })),
});

class Story {
  now = 0;
  readonly told: Rejection[] = [];
  readonly lines: string[] = [];
  readonly departure = new Departure({
    id: 4,
    electionMs: 100,
    now: () => this.now,
    logger: { info: (line) => this.lines.push(line) },
    onRejected: (rejection) => this.told.push(rejection),
  });

  /** Ticks every 10 ms until then. */
  passUntil(time: number): void {
    for (; this.now < time; this.now += 10) this.departure.tick();
  }
}

test("a member that was removed stays until every member has turned it away, and goes once", () => {
  const { departure, told } = new Story();
  departure.decide(removed, left(7, 1, 2, 3));
  expect(departure.isDecided).toBe(true);
  for (const id of [1, 2, 2, 1]) departure.turnedAwayBy(id, removed);
  expect(told).toEqual([]);
  departure.turnedAwayBy(3, removed);
  departure.turnedAwayBy(3, removed);
  expect(told).toEqual([removed]);
});

test("one that learned of it from a peer does not wait for itself", () => {
  const { departure, told } = new Story();
  departure.decide(removed, left(7, 1, 2, 4));
  departure.turnedAwayBy(1, removed);
  departure.turnedAwayBy(2, removed);
  expect(told).toEqual([removed]);
});

test("it waits for those who are left by now, not for those that it remembers", () => {
  const { departure, told } = new Story();
  departure.decide(removed, left(7, 1, 2, 3));
  const [newer, older, newest] = [left(20, 1, 5, 6), left(15, 1, 2, 6), left(30, 1, 6)];
  expect(departure.turnedAwayBy(1, { ...removed, remaining: newer })).toBe(newer);
  expect(departure.turnedAwayBy(6, { ...removed, remaining: older })).toBeUndefined();
  expect(told).toEqual([]);
  expect(departure.turnedAwayBy(6, { ...removed, remaining: newest })).toBe(newest);
  expect(told).toEqual([removed]);
});

test("only who knows of the removal counts", () => {
  const { departure, told } = new Story();
  departure.decide(removed, left(7, 1));
  departure.turnedAwayBy(1, lostData);
  departure.turnedAwayBy(1, { kind: "unknown", message: "member 4 is not known" });
  expect(told).toEqual([]);
  departure.turnedAwayBy(1, removed);
  expect(told).toEqual([removed]);
});

test("it says now and then whom it waits for", () => {
  const story = new Story();
  story.departure.decide(removed, left(7, 1, 2, 3));
  story.departure.turnedAwayBy(2, removed);
  story.passUntil(90);
  expect(story.lines).toEqual([]);
  story.passUntil(2500);
  expect(story.lines).toHaveLength(3);
  expect(story.lines[0]).toMatch(/^member 4 was removed from the cluster; it stays until .*: 1, 3\. /);
});

test("a member that has lost its data goes at once", () => {
  const story = new Story();
  story.departure.decide(lostData, left(7, 1, 2, 3));
  expect(story.told).toEqual([lostData]);
  story.departure.turnedAwayBy(1, lostData);
  story.passUntil(5000);
  expect(story.told).toEqual([lostData]);
  expect(story.lines).toEqual([]);
});

test("a member that has its place stays, and says nothing", () => {
  const story = new Story();
  story.passUntil(5000);
  expect(story.departure.isDecided).toBe(false);
  expect(story.told).toEqual([]);
  expect(story.lines).toEqual([]);
});
