import { describe, expect, test } from "vitest";
import {
  asV2,
  changesOf,
  confChangeOf,
  confChangesFromString,
  confChangesToString,
  confStatesEquivalent,
  enterJoint,
  leaveJoint,
  marshalConfChange,
} from "./confchange.ts";
import {
  type ConfChangeSingle,
  ConfChangeTransition,
  ConfChangeType,
  type ConfState,
  EntryType,
  isConfChange,
  isNormal,
  makeConfChange,
  makeConfChangeV2,
  makeConfState,
  makeEntry,
} from "./types.ts";

const {
  ConfChangeTransitionAuto: auto,
  ConfChangeTransitionJointImplicit: implicit,
  ConfChangeTransitionJointExplicit: explicit,
} = ConfChangeTransition;
const changes = (notation: string): ConfChangeSingle[] => confChangesFromString(notation);

describe("a change", () => {
  test.each<[what: string, ConfChangeTransition | undefined, notation: string, context: boolean, leaves: boolean]>([
    ["empty", undefined, "", false, true],
    ["empty, automatic", auto, "", false, true],
    ["empty, with a context, which does not count", auto, "", true, true],
    ["of one node", auto, "v2", false, false],
    ["of several nodes", auto, "v2 r3", false, false],
    ["empty, joint on request", explicit, "", false, false],
    ["empty, joint on request and left automatically", implicit, "", false, false],
  ])(
    "%s, leaves a joint configuration only if it asks for nothing else [raftpb.TestLeaveJoint]",
    (_what, transition, notation, context, leaves) => {
      const cc = makeConfChangeV2(changes(notation), transition, context ? Uint8Array.of(1) : undefined);
      // A field that is added here must be thought of by leaveJoint.
      expect(Object.keys(cc)).toEqual(["kind", "transition", "changes", "context"]);
      expect(leaveJoint(cc)).toBe(leaves);
    },
  );

  test.each<[ConfChangeTransition | undefined, notation: string, joint: { autoLeave: boolean } | undefined]>([
    [undefined, "", undefined],
    [undefined, "v2", undefined],
    [auto, "v2", undefined],
    [auto, "v2 v3", { autoLeave: true }],
    [implicit, "v2", { autoLeave: true }],
    [explicit, "v2", { autoLeave: false }],
    [explicit, "v2 v3", { autoLeave: false }],
  ])("with transition %j and changes '%s' is joint: %j", (transition, notation, joint) => {
    expect(enterJoint(makeConfChangeV2(changes(notation), transition))).toEqual(joint);
  });

  test("of version 1 is one of version 2 with a single change", () => {
    const context = Uint8Array.of(7);
    expect(asV2(makeConfChange(ConfChangeType.ConfChangeRemoveNode, 3, context))).toEqual(
      makeConfChangeV2(changes("r3"), undefined, context),
    );
    expect(asV2({ kind: "v1", id: undefined, type: undefined, nodeId: undefined, context: undefined })).toEqual(
      makeConfChangeV2(changes("v0")),
    );
  });

  test("comes out of its entry as it went in; none at all is an entry without data, and leaves", () => {
    for (const cc of [makeConfChange(0, 2), makeConfChangeV2(changes("v2 l3"), explicit)]) {
      const { type, data } = marshalConfChange(cc);
      expect(confChangeOf(makeEntry(type, 1, 1, data))).toEqual(cc);
    }
    const none = marshalConfChange(undefined);
    expect(none).toEqual({ type: EntryType.EntryConfChangeV2, data: undefined });
    const read = confChangeOf(makeEntry(none.type, 1, 1, none.data));
    expect(read?.kind === "v2" && leaveJoint(read)).toBe(true);
    expect(confChangeOf(makeEntry(EntryType.EntryConfChange, 1, 1, undefined))).toMatchObject({ kind: "v1" });
    expect(confChangeOf(makeEntry(undefined, 1, 1, Uint8Array.of(1)))).toBeUndefined();
  });
});

describe("the short notation", () => {
  test("is read and written: voter, learner, remove, update", () => {
    expect(changes(" v1 l2 r3 u4 ")).toEqual([
      { type: 0, nodeId: 1 },
      { type: 3, nodeId: 2 },
      { type: 1, nodeId: 3 },
      { type: 2, nodeId: 4 },
    ]);
    expect(changes("")).toEqual([]);
    expect(confChangesToString(changes("v1 l2 r3 u4"))).toBe("v1 l2 r3 u4");
    expect(
      confChangesToString([
        { type: undefined, nodeId: undefined },
        { type: 9 as ConfChangeType, nodeId: 1 },
      ]),
    ).toBe("v0 unknown1");
  });

  test.each([
    ["v", /unknown token v/],
    ["x1", /unknown input: x1/],
    ["v1x", /parsing "1x": invalid syntax/],
    ["v9007199254740992", /value out of range/],
  ])("'%s' is refused", (notation, reason) => {
    expect(() => changes(notation)).toThrow(reason);
  });
});

test("confStatesEquivalent ignores the order of the lists, and compares autoLeave [raftpb.TestConfState_Equivalent]", () => {
  const full = { voters: [1, 2, 3], learners: [5, 4, 6], votersOutgoing: [9, 8, 7], learnersNext: [10, 20, 15] };
  const reordered = { voters: [2, 1, 3], learners: [4, 5, 6], votersOutgoing: [7, 9, 8], learnersNext: [20, 10, 15] };
  const same = (a: Partial<ConfState>, b: Partial<ConfState>) =>
    confStatesEquivalent(makeConfState(a), makeConfState(b));
  expect(same(full, reordered)).toBe(true);
  expect(same({ voters: [] }, {})).toBe(true);
  for (const key of ["voters", "learners", "votersOutgoing", "learnersNext"] as const) {
    expect(same(full, { ...full, [key]: full[key].slice(1) })).toBe(false);
    expect(same(full, { ...full, [key]: [...full[key].slice(1), 99] })).toBe(false);
  }
  expect(same({ autoLeave: true }, {})).toBe(false);
});

describe("what is undefined in etcd's bytes", () => {
  test("isNormal holds for an entry without a type and for EntryNormal, isConfChange for the other two", () => {
    const { EntryNormal, EntryConfChange, EntryConfChangeV2 } = EntryType;
    const types = [undefined, EntryNormal, EntryConfChange, EntryConfChangeV2];
    const entries = types.map((type) => makeEntry(type, 1, 1, undefined));
    expect(entries.map(isNormal)).toEqual([true, true, false, false]);
    expect(entries.map(isConfChange)).toEqual([false, false, true, true]);
    expect(entries.map((e) => confChangeOf(e) === undefined)).toEqual(entries.map(isNormal));
  });

  test("changesOf fills in a missing type, which is ConfChangeAddNode, and a missing id", () => {
    const { ConfChangeAddNode, ConfChangeRemoveNode } = ConfChangeType;
    const remove = { type: ConfChangeRemoveNode, nodeId: 3 };
    const nothing = { type: undefined, nodeId: undefined };
    const bare = { kind: "v1", id: undefined, context: undefined, ...nothing } as const;
    expect(changesOf(makeConfChange(ConfChangeRemoveNode, 3))).toEqual([remove]);
    expect(changesOf(bare)).toEqual([{ type: ConfChangeAddNode, nodeId: 0 }]);
    expect(changesOf(makeConfChangeV2([{ type: undefined, nodeId: 4 }, remove]))).toEqual([
      { type: ConfChangeAddNode, nodeId: 4 },
      remove,
    ]);
    expect(changesOf(makeConfChangeV2([]))).toEqual([]);
  });
});
