import { describe, expect, test } from "vitest";
import { Inflights } from "./inflights.ts";
import { Progress, type ProgressStateType, progressMapString } from "./progress.ts";

const progress = (match: number, next: number): Progress => new Progress(match, next, new Inflights(2, 0), false, true);

describe("Progress", () => {
  test("becomeProbe probes behind match, or behind the pending snapshot [tracker.TestProgressBecomeProbe]", () => {
    const from = (state: ProgressStateType, pendingSnapshot: number) => {
      const pr = progress(1, 5);
      pr.state = state;
      pr.pendingSnapshot = pendingSnapshot;
      pr.becomeProbe();
      return [pr.state, pr.match, pr.next, pr.pendingSnapshot];
    };
    expect(from("StateReplicate", 0)).toEqual(["StateProbe", 1, 2, 0]);
    expect(from("StateSnapshot", 10)).toEqual(["StateProbe", 1, 11, 0]);
    expect(from("StateSnapshot", 0)).toEqual(["StateProbe", 1, 2, 0]); // it failed
  });

  test("becomeReplicate sends from match + 1 on [tracker.TestProgressBecomeReplicate]", () => {
    const pr = progress(1, 5);
    pr.becomeReplicate();
    expect([pr.state, pr.match, pr.next]).toEqual(["StateReplicate", 1, 2]);
  });

  test("becomeSnapshot sends nothing, and would go on behind the snapshot [tracker.TestProgressBecomeSnapshot]", () => {
    const pr = progress(1, 5);
    pr.becomeSnapshot(10);
    expect([pr.state, pr.match, pr.next, pr.pendingSnapshot, pr.isPaused()]).toEqual([
      "StateSnapshot",
      1,
      11,
      10,
      true,
    ]);
  });

  test.each<[ProgressStateType, paused: boolean, boolean]>([
    ["StateProbe", false, false],
    ["StateProbe", true, true],
    ["StateReplicate", false, false],
    ["StateReplicate", true, true],
    ["StateSnapshot", false, true],
    ["StateSnapshot", true, true],
  ])("isPaused in %s with msgAppFlowPaused %s is %s [tracker.TestProgressIsPaused]", (state, heldUp, paused) => {
    const pr = progress(1, 5);
    pr.state = state;
    pr.msgAppFlowPaused = heldUp;
    expect(pr.isPaused()).toBe(paused);
  });
});

describe("Progress takes an answer:", () => {
  test("maybeUpdate and maybeDecrTo end the pause for an answer that is not stale [tracker.TestProgressResume]", () => {
    const pr = progress(0, 2);
    pr.msgAppFlowPaused = true;
    expect([pr.maybeDecrTo(1, 1), pr.msgAppFlowPaused]).toEqual([true, false]);
    pr.msgAppFlowPaused = true;
    expect([pr.maybeUpdate(2), pr.msgAppFlowPaused]).toEqual([true, false]);
  });

  test("maybeUpdate never lowers match, and keeps next above it [tracker.TestProgressUpdate]", () => {
    const after = (n: number) => {
      const pr = progress(3, 5);
      return [pr.maybeUpdate(n), pr.match, pr.next];
    };
    expect([2, 3, 4, 5].map(after)).toEqual([
      [false, 3, 5],
      [false, 3, 5],
      [true, 4, 5],
      [true, 5, 6],
    ]);
  });

  test.each<[state: ProgressStateType, match: number, next: number, rejected: number, hint: number, boolean, number]>([
    ["StateReplicate", 5, 10, 5, 5, false, 10], // stale: it is matched already
    ["StateReplicate", 5, 10, 4, 4, false, 10],
    ["StateReplicate", 5, 10, 9, 9, true, 6],
    ["StateProbe", 0, 0, 0, 0, false, 0], // not the one probed
    ["StateProbe", 0, 10, 5, 5, false, 10],
    ["StateProbe", 0, 10, 9, 9, true, 9],
    ["StateProbe", 0, 2, 1, 1, true, 1],
    ["StateProbe", 0, 1, 0, 0, true, 1], // never below 1
    ["StateProbe", 0, 10, 9, 0, true, 1],
    ["StateProbe", 0, 10, 9, 2, true, 3],
    ["StateProbe", 4, 10, 9, 2, true, 5], // never below match + 1
  ])(
    "maybeDecrTo in %s with match %i and next %i, rejected %i, hint %i: returns %s, next %i [tracker.TestProgressMaybeDecr]",
    (state, match, next, rejected, hint, genuine, after) => {
      const pr = progress(match, next);
      pr.state = state;
      expect([pr.maybeDecrTo(rejected, hint), pr.match, pr.next]).toEqual([genuine, match, after]);
    },
  );
});

describe("Progress records what was sent:", () => {
  test("sentEntries pauses after one append while probing, and at a full window while replicating", () => {
    const probe = progress(0, 1);
    probe.sentEntries(0, 0);
    expect(probe.isPaused()).toBe(false);
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

  test("canBumpCommit is false for a commit index that is in flight, or beyond the entries that were sent", () => {
    const pr = progress(3, 6);
    pr.sentCommit = 3;
    expect([3, 4, 9].map((commit) => pr.canBumpCommit(commit))).toEqual([false, true, true]);
    pr.sentCommit = 5;
    expect(pr.canBumpCommit(9)).toBe(false);
  });
});

describe("the text of Progress", () => {
  test("toString names state, match, next, and what is unusual [tracker.TestProgressString]", () => {
    const pr = new Progress(1, 2, new Inflights(1, 0), true);
    pr.inflights.add(123, 1);
    pr.state = "StateSnapshot";
    pr.pendingSnapshot = 123;
    pr.msgAppFlowPaused = true;
    expect(String(pr)).toBe("StateSnapshot match=1 next=2 learner paused pendingSnap=123 inactive inflight=1[full]");
    expect(String(progress(1, 2))).toBe("StateProbe match=1 next=2");
  });

  test("progressMapString prints one progress a line, in ascending order of id", () => {
    const map = new Map([
      [10, progress(1, 2)],
      [9, progress(3, 4)],
    ]);
    expect(progressMapString(map)).toBe("9: StateProbe match=3 next=4\n10: StateProbe match=1 next=2\n");
  });
});
