import { describe, expect, test } from "vitest";
import { JointConfig } from "../quorum/joint.ts";
import { MajorityConfig } from "../quorum/majority.ts";
import { type ConfChangeType, confChangesFromString } from "../raftpb/index.ts";
import { Inflights } from "../tracker/inflights.ts";
import { Progress } from "../tracker/progress.ts";
import { Config, ProgressTracker } from "../tracker/tracker.ts";
import { Changer, ConfChangeError, type Configuration, describe as describeChanges } from "./confchange.ts";

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

  test("prints changes", () => {
    expect(describeChanges(confChangesFromString("v1 l2 r3"))).toBe(
      "ConfChangeAddNode(1) ConfChangeAddLearnerNode(2) ConfChangeRemoveNode(3)",
    );
  });

  test("a change of an unknown type is refused", () => {
    expect(on(reach("v1")).simple([{ type: 9 as ConfChangeType, nodeId: 2 }])).toMatchObject({
      message: "unexpected conf type 9",
    });
  });

  test("what is left out of a change is an added voter, and node 0, which changes nothing", () => {
    const before = reach("v1");
    expect(stateOf(must(on(before).simple([{ type: undefined, nodeId: 2 }])))).toMatchObject({ voters: [1, 2] });
    expect(stateOf(must(on(before).simple([{ type: 0, nodeId: undefined }])))).toEqual(stateOf(before));
  });

  test("an error that is none of its own is not taken for a refusal", () => {
    const broken = on(reach("v1"));
    Object.defineProperty(broken.tracker, "config", {
      get() {
        throw new RangeError("not a refusal");
      },
    });
    expect(() => broken.simple([])).toThrow(RangeError);
  });
});

describe("a configuration that breaks a rule is refused before anything is changed:", () => {
  const follower = (isLearner: boolean) => new Progress(0, 1, new Inflights(8, 0), isLearner, true);
  const joint = new JointConfig(new MajorityConfig([1]), new MajorityConfig([1, 2]));
  const one = new JointConfig(new MajorityConfig([1]));

  test.each<[what: string, fields: Partial<Config>, learners: number[], reason: RegExp]>([
    ["a voter without progress", { voters: new JointConfig(new MajorityConfig([9])) }, [], /no progress for 9/],
    [
      "a staged learner that is no outgoing voter",
      { voters: joint, learnersNext: new Set([3]) },
      [],
      /3 is in LearnersNext, but not Voters\[1\]/,
    ],
    [
      "a staged learner that is one already",
      { voters: joint, learnersNext: new Set([2]) },
      [2],
      /2 is in LearnersNext, but is already marked as learner/,
    ],
    [
      "a learner that votes in the outgoing half",
      { voters: joint, learners: new Set([2]) },
      [2],
      /2 is in Learners and Voters\[1\]/,
    ],
    ["a learner that votes", { voters: one, learners: new Set([1]) }, [1], /1 is in Learners and Voters\[0\]/],
    [
      "a learner that is not marked as one",
      { voters: one, learners: new Set([3]) },
      [],
      /3 is in Learners, but is not marked as learner/,
    ],
    [
      "a staged learner outside of a joint configuration",
      { voters: one, learnersNext: new Set([3]) },
      [],
      /3 is in LearnersNext/,
    ],
    [
      "leaving automatically what is not joint",
      { voters: one, autoLeave: true },
      [],
      /AutoLeave must be false when not joint/,
    ],
  ])("%s", (_what, fields, learners, reason) => {
    const progress = new Map([1, 2, 3].map((id) => [id, follower(learners.includes(id))]));
    const result = on({ config: new Config(fields), progress }).simple([]);
    expect(result).toBeInstanceOf(ConfChangeError);
    expect((result as ConfChangeError).message).toMatch(reason);
  });
});
