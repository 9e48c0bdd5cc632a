import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Inflights } from "./inflights.ts";
import { Progress } from "./progress.ts";

describe("inflights", () => {
  test("are a list of which a prefix is freed, limited by count and softly by bytes", () => {
    const step = fc.oneof(fc.record({ add: fc.nat(50) }), fc.record({ free: fc.nat(5) }));
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.nat(120),
        fc.array(step, { maxLength: 80 }),
        (size, maxBytes, steps) => {
          const inflights = new Inflights(size, maxBytes);
          let list: { index: number; bytes: number }[] = [];
          let index = 0;
          const full = () =>
            list.length === size || (maxBytes > 0 && list.reduce((n, m) => n + m.bytes, 0) >= maxBytes);
          for (const s of steps) {
            if ("add" in s) {
              if (full()) {
                expect(() => inflights.add(index + 1, s.add)).toThrow(/Full/);
                continue;
              }
              index += 2;
              inflights.add(index, s.add);
              list.push({ index, bytes: s.add });
            } else {
              const to = (list[0]?.index ?? 0) + 2 * s.free - 1;
              inflights.freeLE(to);
              list = list.filter((m) => m.index > to);
            }
            expect([inflights.count(), inflights.full()]).toEqual([list.length, full()]);
          }
          inflights.reset();
          expect([inflights.count(), inflights.full()]).toEqual([0, false]);
        },
      ),
    );
  });

  test("a clone shares nothing", () => {
    const inflights = new Inflights(3, 0);
    inflights.add(1, 1);
    const copy = inflights.clone();
    inflights.freeLE(1);
    expect([inflights.count(), copy.count()]).toEqual([0, 1]);
  });
});

describe("progress", () => {
  const progress = (match: number, next: number): Progress =>
    new Progress(match, next, new Inflights(2, 0), false, true);

  test("after a snapshot that arrived, probes behind it; else behind what is matched", () => {
    const snapshot = progress(1, 5);
    snapshot.becomeSnapshot(10);
    expect([snapshot.next, snapshot.pendingSnapshot, snapshot.isPaused()]).toEqual([11, 10, true]);
    snapshot.becomeProbe();
    expect([snapshot.state, snapshot.next, snapshot.pendingSnapshot]).toEqual(["StateProbe", 11, 0]);
    const replicate = progress(1, 5);
    replicate.becomeReplicate();
    expect(replicate.next).toBe(2);
  });

  test("an acknowledgement never lowers match, and keeps next above it", () => {
    const pr = progress(3, 5);
    expect([pr.maybeUpdate(2), pr.match, pr.next]).toEqual([false, 3, 5]);
    expect([pr.maybeUpdate(3), pr.maybeUpdate(4), pr.match, pr.next]).toEqual([false, true, 4, 5]);
    expect([pr.maybeUpdate(9), pr.match, pr.next]).toEqual([true, 9, 10]);
  });

  test.each<
    [state: "probe" | "replicate", match: number, next: number, rejected: number, hint: number, boolean, number]
  >([
    ["replicate", 5, 10, 5, 5, false, 10], // stale: it is matched already
    ["replicate", 5, 10, 4, 4, false, 10],
    ["replicate", 5, 10, 9, 9, true, 6],
    ["probe", 0, 0, 0, 0, false, 0], // not the one probed
    ["probe", 0, 10, 5, 5, false, 10],
    ["probe", 0, 10, 9, 9, true, 9],
    ["probe", 0, 2, 1, 1, true, 1],
    ["probe", 0, 10, 9, 2, true, 3],
    ["probe", 4, 10, 9, 2, true, 5], // never below match + 1
  ])(
    "in %s with match %i and next %i, a rejection of %i with hint %i: genuine %s, next %i",
    (state, match, next, rejected, hint, genuine, after) => {
      const pr = progress(match, next);
      if (state === "replicate") pr.state = "StateReplicate";
      expect([pr.maybeDecrTo(rejected, hint), pr.next]).toEqual([genuine, after]);
    },
  );

  test("while probing one append goes out; while replicating a full window pauses", () => {
    const probe = progress(0, 1);
    probe.sentEntries(1, 10);
    expect(probe.isPaused()).toBe(true);
    const replicate = progress(0, 1);
    replicate.becomeReplicate();
    replicate.sentEntries(3, 10);
    expect([replicate.next, replicate.isPaused()]).toEqual([4, false]);
    replicate.sentEntries(1, 10);
    expect([replicate.next, replicate.isPaused(), replicate.inflights.full()]).toEqual([5, true, true]);
    replicate.becomeSnapshot(9);
    expect(() => replicate.sentEntries(1, 1)).toThrow(/unhandled state/);
  });

  test("prints what is worth knowing", () => {
    const pr = progress(1, 5);
    pr.becomeSnapshot(4);
    pr.isLearner = true;
    pr.recentActive = false;
    pr.inflights.add(5, 1);
    pr.inflights.add(6, 1);
    expect(String(pr)).toBe("StateSnapshot match=1 next=5 learner paused pendingSnap=4 inactive inflight=2[full]");
  });
});
