// Whatever is changed, and in whatever order: the rules of a configuration hold, joint and simple changes end in the
// same place, and a configuration survives the way through its ConfState.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type ConfChangeSingle,
  ConfChangeType,
  type ConfState,
  confChangesFromString,
  confStatesEquivalent,
  makeConfState,
} from "../raftpb/index.ts";
import { ProgressTracker } from "../tracker/tracker.ts";
import { Changer, ConfChangeError, type Configuration } from "./confchange.ts";
import { restore } from "./restore.ts";

const empty = (): Changer => new Changer(new ProgressTracker(8, 0), 10);
const on = ({ config, progress }: Configuration): Changer =>
  new Changer(new ProgressTracker(8, 0, config, progress), 10);
const stateOf = (c: Configuration): ConfState => on(c).tracker.confState();

function must(result: Configuration | ConfChangeError): Configuration {
  if (result instanceof ConfChangeError) throw result;
  return result;
}

/** All that can be told of a configuration and of each node's progress, but for what autoLeave says. */
const shown = ({ config, progress }: Configuration) => [
  { ...stateOf({ config, progress }), autoLeave: false },
  [...progress.keys()].sort((a, b) => a - b).map((id) => [id, String(progress.get(id)), progress.get(id)?.isLearner]),
];

const change: fc.Arbitrary<ConfChangeSingle> = fc.record({
  type: fc.constantFrom(...Object.values(ConfChangeType)),
  // Node 1 is left alone, so that there is always a voter.
  nodeId: fc.integer({ min: 2, max: 9 }),
});
const changes = fc.array(change, { minLength: 1, maxLength: 9 });
const start = fc
  .array(fc.integer({ min: 1, max: 5 }), { maxLength: 5 })
  .map((ids) =>
    confChangesFromString(["v1", ...ids.map((id) => `v${id}`)].join(" ")).reduce<Configuration>(
      (c, cc) => must(on(c).simple([cc])),
      { config: empty().tracker.config, progress: new Map() },
    ),
  );

type Step = { simple: ConfChangeSingle } | { joint: ConfChangeSingle[]; autoLeave: boolean } | { leave: true };
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ simple: change }),
    fc.record({ joint: changes, autoLeave: fc.boolean() }),
    fc.record({ leave: fc.constant(true as const) }),
  ),
  { maxLength: 12 },
);

function attempt(c: Configuration, step: Step): Configuration | ConfChangeError {
  if ("simple" in step) return on(c).simple([step.simple]);
  return "joint" in step ? on(c).enterJoint(step.autoLeave, step.joint) : on(c).leaveJoint();
}

/** The rules, told apart from how the code checks them. */
function expectLegal(before: Configuration, after: Configuration): void {
  const { voters, learners, votersOutgoing, learnersNext, autoLeave } = stateOf(after);
  expect(voters.length).toBeGreaterThan(0);
  const votes = new Set([...voters, ...votersOutgoing]);
  expect([...after.progress.keys()].sort()).toEqual([...new Set([...votes, ...learners])].sort());
  for (const id of learners) expect(votes.has(id)).toBe(false);
  for (const id of learnersNext) expect([votersOutgoing.includes(id), voters.includes(id)]).toEqual([true, false]);
  for (const [id, pr] of after.progress) expect(pr.isLearner).toBe(learners.includes(id));
  if (votersOutgoing.length === 0) expect([learnersNext, autoLeave]).toEqual([[], false]);

  // From one configuration to the next, any two majorities that can decide have a node in common.
  const was = stateOf(before);
  if (votersOutgoing.length === 0 && was.votersOutgoing.length === 0) {
    const moved = [...voters, ...was.voters].filter((id) => voters.includes(id) !== was.voters.includes(id));
    expect(moved.length).toBeLessThanOrEqual(1);
  } else if (votersOutgoing.length > 0 && was.votersOutgoing.length === 0) {
    expect(votersOutgoing).toEqual(was.voters);
  } else if (votersOutgoing.length === 0) {
    expect(voters).toEqual(was.voters);
  }
}

describe("after any sequence of changes,", () => {
  test("every configuration on the way is legal, and one that is refused leaves the old one as it was", () => {
    fc.assert(
      fc.property(start, steps, (first, all) => {
        let current = first;
        for (const step of all) {
          const before = shown(current);
          const result = attempt(current, step);
          expect(shown(current)).toEqual(before);
          if (result instanceof ConfChangeError) continue;
          expectLegal(current, result);
          current = result;
        }
      }),
      { numRuns: 500 },
    );
  });

  test("doing it joint ends where doing it one by one does, left automatically or not [confchange.TestConfChangeQuick]", () => {
    fc.assert(
      fc.property(start, changes, (first, all) => {
        const oneByOne = all.reduce<Configuration>((c, cc) => must(on(c).simple([cc])), first);
        const joint = [false, true].map((autoLeave) => must(on(first).enterJoint(autoLeave, all)));
        expect(shown(joint[0] as Configuration)).toEqual(shown(joint[1] as Configuration));
        for (const c of joint) expect(shown(must(on(c).leaveJoint()))).toEqual(shown(oneByOne));
      }),
      { numRuns: 500 },
    );
  });

  test("entering a joint configuration and leaving it are inverse, where nothing is changed", () => {
    fc.assert(
      fc.property(start, changes, fc.boolean(), (first, all, autoLeave) => {
        const settled = must(on(must(on(first).enterJoint(false, all))).leaveJoint());
        const entered = must(on(settled).enterJoint(autoLeave, []));
        expect(stateOf(entered)).toEqual({ ...stateOf(settled), votersOutgoing: stateOf(settled).voters, autoLeave });
        expect(shown(must(on(entered).leaveJoint()))).toEqual(shown(settled));
      }),
      { numRuns: 300 },
    );
  });

  test("the configuration is restored from its ConfState, joint or not [confchange.TestRestore]", () => {
    fc.assert(
      fc.property(start, changes, fc.boolean(), (first, all, autoLeave) => {
        const joint = must(on(first).enterJoint(autoLeave, all));
        for (const c of [first, joint, must(on(joint).leaveJoint())]) {
          const cs = stateOf(c);
          expect(stateOf(must(restore(empty(), cs)))).toEqual(cs);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("restoring", () => {
  test.each<[Partial<ConfState>]>([
    [{}],
    [{ voters: [1, 2, 3] }],
    [{ voters: [3, 1, 2], learners: [6, 4, 5] }],
    [{ voters: [1, 2, 3], learners: [5], votersOutgoing: [1, 2, 4, 6], learnersNext: [4] }],
    [{ voters: [1], votersOutgoing: [1], autoLeave: true }],
  ])("%j gives the same again [confchange.TestRestore]", (set) => {
    const cs = makeConfState(set);
    const restored = stateOf(must(restore(empty(), cs)));
    expect(confStatesEquivalent(restored, cs)).toBe(true);
    expect(restored.voters).toEqual([...cs.voters].sort((a, b) => a - b));
  });

  test("what is no configuration is refused", () => {
    expect(restore(empty(), makeConfState({ learners: [1] }))).toBeInstanceOf(ConfChangeError);
  });
});
