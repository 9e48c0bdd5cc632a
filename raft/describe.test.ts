// The text form: that of logs, scripts and pages, to the byte what Go prints.

import { describe, expect, test } from "vitest";
import { describeConfChange, describeEntry, describeMessage, describeReady, goQuote } from "./describe.ts";
import {
  EntryType,
  encodeConfChange,
  encodeConfChangeV2,
  MessageType,
  makeConfChange,
  makeConfChangeV2,
  makeConfState,
  makeEntry,
  makeHardState,
  makeMessage,
  makeSnapshot,
} from "./raftpb/index.ts";
import type { Ready } from "./ready.ts";
import { bytes, entriesFrom, text } from "./testing.ts";
import { localAppendThread, localApplyThread } from "./types.ts";

const { MsgApp, MsgAppResp, MsgSnap, MsgStorageAppend, MsgStorageApply } = MessageType;

describe("an entry", () => {
  test("prints its data quoted as Go does, or as the application prints it [TestDescribeEntry]", () => {
    const e = makeEntry(EntryType.EntryNormal, 1, 2, bytes("hello\u0000world"));
    expect(describeEntry(e)).toBe('1/2 EntryNormal "hello\\x00world"');
    expect(describeEntry(e, (data) => text(data).toUpperCase())).toBe("1/2 EntryNormal HELLO\u0000WORLD");
    expect(describeEntry(makeEntry(undefined, 1, 2, undefined))).toBe('1/2 EntryNormal ""');
  });

  test("of a configuration change prints the changes, and what is wrong if it cannot be read", () => {
    const v1 = encodeConfChange(makeConfChange(1, 3));
    const v2 = encodeConfChangeV2(
      makeConfChangeV2([
        { type: 0, nodeId: 4 },
        { type: 3, nodeId: 5 },
      ]),
    );
    expect(describeEntry(makeEntry(EntryType.EntryConfChange, 1, 2, v1))).toBe("1/2 EntryConfChange r3");
    expect(describeEntry(makeEntry(EntryType.EntryConfChangeV2, 1, 2, v2))).toBe("1/2 EntryConfChangeV2 v4 l5");
    expect(describeEntry(makeEntry(EntryType.EntryConfChangeV2, 1, 2, undefined))).toBe("1/2 EntryConfChangeV2");
    expect(describeEntry(makeEntry(EntryType.EntryConfChange, 1, 2, bytes("\u0007")))).toMatch(
      /^1\/2 EntryConfChange ./,
    );
  });
});

test.each<[what: string, data: Uint8Array, quoted: string]>([
  ["plain text", bytes("a b"), '"a b"'],
  ["escapes that have a name", bytes('\u0007\b\f\n\r\t\v"\\'), '"\\a\\b\\f\\n\\r\\t\\v\\"\\\\"'],
  ["other control characters", bytes("\u0000\u001b\u007f"), '"\\x00\\x1b\\x7f"'],
  ["letters beyond ASCII", bytes("Größe 日本 🙂"), '"Größe 日本 🙂"'],
  ["what does not print", bytes("\u00a0\u200b\u{e0001}"), '"\\u00a0\\u200b\\U000e0001"'],
  ["bytes that are not UTF-8", Uint8Array.of(0xff, 0x41, 0xc3, 0xe2, 0x82), '"\\xffA\\xc3\\xe2\\x82"'],
  ["nothing", new Uint8Array(0), '""'],
])("%s is quoted as %%q does", (_what, data, quoted) => {
  expect(goQuote(data)).toBe(quoted);
});

describe("a message", () => {
  test("prints what it carries, and ids in hexadecimal", () => {
    const full = { from: 10, to: 11, term: 3, logTerm: 2, index: 5, commit: 4, vote: 1 };
    expect(describeMessage(makeMessage(MsgApp, { ...full, entries: entriesFrom(6, 3) }))).toBe(
      'a->b MsgApp Term:3 Log:2/5 Commit:4 Vote:1 Entries:[3/6 EntryNormal ""]',
    );
    expect(describeMessage(makeMessage(MsgApp, { from: 1, entries: entriesFrom(6, 3, 3) }))).toBe(
      '1->None MsgApp Term:0 Log:0/0 Entries:[\n  3/6 EntryNormal ""\n  3/7 EntryNormal ""\n]',
    );
    expect(describeMessage(makeMessage(MsgAppResp, { from: 1, to: 2, reject: true, rejectHint: 7 }))).toBe(
      "1->2 MsgAppResp Term:0 Log:0/0 Rejected (Hint: 7)",
    );
  });

  test("prints its snapshot and, indented, its responses", () => {
    const snapshot = makeSnapshot(9, 2, makeConfState({ voters: [1, 12], learners: [3] }));
    expect(describeMessage(makeMessage(MsgSnap, { from: 1, to: 2, snapshot }))).toBe(
      "1->2 MsgSnap Term:0 Log:0/0\n  Snapshot: Index:9 Term:2 ConfState:Voters:[1 12] VotersOutgoing:[] Learners:[3] LearnersNext:[] AutoLeave:false",
    );
    const responses = [makeMessage(MsgAppResp, { from: 1, to: 1, index: 4 })];
    expect(describeMessage(makeMessage(MsgStorageAppend, { from: 1, to: localAppendThread, responses }))).toBe(
      "1->AppendThread MsgStorageAppend Term:0 Log:0/0 Responses:[\n  1->1 MsgAppResp Term:0 Log:0/4\n]",
    );
    expect(describeMessage(makeMessage(MsgStorageApply, { from: 1, to: localApplyThread }))).toMatch(
      /^1->ApplyThread /,
    );
  });
});

describe("a Ready", () => {
  const nothing: Ready = {
    softState: undefined,
    hardState: undefined,
    readStates: [],
    entries: [],
    snapshot: undefined,
    committedEntries: [],
    messages: [],
    mustSync: false,
  };

  test("prints only what it has", () => {
    expect(describeReady(nothing)).toBe("<empty Ready>");
    expect(describeReady({ ...nothing, hardState: makeHardState(0, 0, 0) })).toBe("<empty Ready>");
    expect(describeReady({ ...nothing, hardState: makeHardState(2, 0, 1) })).toBe(
      "Ready MustSync=false:\nHardState Term:2 Commit:1\n",
    );
  });

  test("prints all of it in order", () => {
    const rd: Ready = {
      softState: { lead: 1, raftState: "StateLeader" },
      hardState: makeHardState(2, 1, 1),
      readStates: [{ index: 1, requestCtx: bytes("ab") }],
      entries: entriesFrom(2, 2),
      snapshot: makeSnapshot(1, 1, makeConfState({ voters: [1] })),
      committedEntries: entriesFrom(1, 1),
      messages: [makeMessage(MsgAppResp, { from: 1, to: 2 })],
      mustSync: true,
    };
    expect(describeReady(rd)).toBe(
      [
        "Ready MustSync=true:",
        "Lead:1 State:StateLeader",
        "HardState Term:2 Vote:1 Commit:1",
        "ReadStates [{1 [97 98]}]",
        "Entries:",
        '2/2 EntryNormal ""',
        "Snapshot Index:1 Term:1 ConfState:Voters:[1] VotersOutgoing:[] Learners:[] LearnersNext:[] AutoLeave:false",
        "CommittedEntries:",
        '1/1 EntryNormal ""',
        "Messages:",
        "1->2 MsgAppResp Term:0 Log:0/0",
        "",
      ].join("\n"),
    );
  });
});

test("a configuration change prints its transition, changes and context", () => {
  expect(describeConfChange(makeConfChange(0, 2))).toBe(
    "transition:ConfChangeTransitionAuto changes:{type:ConfChangeAddNode node_id:2}",
  );
  expect(describeConfChange(makeConfChangeV2([], 2, bytes("x\n")))).toBe(
    'transition:ConfChangeTransitionJointExplicit context:"x\\n"',
  );
});
