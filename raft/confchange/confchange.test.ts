import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ConfChangeSingle, ConfChangeType, confChangesFromString, confStatesEquivalent } from "../raftpb/index.ts";
import { ProgressTracker } from "../tracker/tracker.ts";
import { Changer, ConfChangeError, type Configuration, describe as describeChanges } from "./confchange.ts";
import { restore } from "./restore.ts";

const empty = (): Changer => new Changer(new ProgressTracker(8, 0), 10);
const on = ({ config, progress }: Configuration): Changer =>
  new Changer(new ProgressTracker(8, 0, config, progress), 10);
const stateOf = (c: Configuration) => on(c).tracker.confState();

function must(result: Configuration | ConfChangeError): Configuration {
  if (result instanceof ConfChangeError) throw result;
  return result;
}

/** A configuration reached by changes one by one from nothing. */
function reach(text: string): Configuration {
  let current = empty();
  for (const cc of confChangesFromString(text)) current = on(must(current.simple([cc])));
  return { config: current.tracker.config, progress: current.tracker.progress };
}

const change: fc.Arbitrary<ConfChangeSingle> = fc.record({
  type: fc.constantFrom(...Object.values(ConfChangeType)),
  nodeId: fc.integer({ min: 1, max: 6 }),
});

describe("configuration changes", () => {
  test.each<[string, (c: Changer) => Configuration | ConfChangeError, RegExp]>([
    ["two voters at once", (c) => c.simple(confChangesFromString("v4 v5")), /more than one voter changed/],
    ["the last voter's removal", (c) => c.simple(confChangesFromString("r1 r2 r3")), /removed all voters/],
    ["leaving when not joint", (c) => c.leaveJoint(), /can't leave a non-joint config/],
    ["joint with no voter left", (c) => c.enterJoint(false, confChangesFromString("r1 r2 r3")), /removed all voters/],
    ["joint twice", (c) => on(must(c.enterJoint(false, []))).enterJoint(false, []), /already joint/],
    ["simple while joint", (c) => on(must(c.enterJoint(false, []))).simple([]), /in joint config/],
  ])("%s: refused, and nothing is changed", (_what, attempt, reason) => {
    const changer = on(reach("v1 v2 v3"));
    const before = changer.tracker.confState();
    const result = attempt(changer);
    expect(result).toBeInstanceOf(ConfChangeError);
    expect((result as ConfChangeError).message).toMatch(reason);
    expect(changer.tracker.confState()).toEqual(before);
  });

  test("an empty configuration cannot become joint", () => {
    expect(empty().enterJoint(false, confChangesFromString("v1"))).toMatchObject({ message: /zero-voter/ });
  });

  test("a voter that is demoted in a joint change becomes a learner when that is left, not before", () => {
    const joint = must(on(reach("v1 v2 v3")).enterJoint(true, confChangesFromString("l3")));
    expect(String(joint.config)).toBe("voters=(1 2)&&(1 2 3) learners_next=(3) autoleave");
    expect(joint.progress.get(3)?.isLearner).toBe(false);
    const left = must(on(joint).leaveJoint());
    expect(String(left.config)).toBe("voters=(1 2) learners=(3)");
    expect(left.progress.get(3)?.isLearner).toBe(true);
  });

  test("node id 0, which stands for a refused change, and an update do nothing", () => {
    const before = reach("v1 v2");
    for (const text of ["v0", "r0", "u2", "u9"]) {
      expect(stateOf(must(on(before).simple(confChangesFromString(text))))).toEqual(stateOf(before));
    }
  });

  test("any joint change ends where the same changes one by one do", () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 8 }), (changes) => {
        const start = reach("v1 v2 v3 v4");
        let oneByOne: Configuration | ConfChangeError = start;
        for (const cc of changes) {
          if (oneByOne instanceof ConfChangeError) return;
          oneByOne = on(oneByOne).simple([cc]);
        }
        if (oneByOne instanceof ConfChangeError) return;
        const joint = on(start).enterJoint(false, changes);
        const left = on(must(joint)).leaveJoint();
        expect(confStatesEquivalent(stateOf(must(left)), stateOf(oneByOne))).toBe(true);
        expect([...must(left).progress.keys()].sort()).toEqual([...oneByOne.progress.keys()].sort());
      }),
      { numRuns: 500 },
    );
  });

  test("any reachable configuration, joint ones too, is restored from its ConfState", () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 8 }), fc.boolean(), (changes, autoLeave) => {
        const joint = on(reach("v1 v2 v3 v4")).enterJoint(autoLeave, changes);
        if (joint instanceof ConfChangeError) return;
        for (const configuration of [joint, must(on(joint).leaveJoint())]) {
          const cs = stateOf(configuration);
          expect(confStatesEquivalent(stateOf(must(restore(empty(), cs))), cs)).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("prints changes", () => {
    expect(describeChanges(confChangesFromString("v1 l2 r3"))).toBe(
      "ConfChangeAddNode(1) ConfChangeAddLearnerNode(2) ConfChangeRemoveNode(3)",
    );
  });
});
