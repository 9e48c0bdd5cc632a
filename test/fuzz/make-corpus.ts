// Makes the corpora anew: `npx tsx test/fuzz/make-corpus.ts`. What it writes is the same in every run.
//
// The inputs are real: messages as raft makes them, segments as Wal writes them on a disk, files of the snapshotter,
// requests as clients send them. Small ones, so that a few changes meet what matters. corpus/README.md says what is
// what.

import { encodeDelete, encodePut } from "../../kvstore/command.ts";
import { encodeSnapshot } from "../../kvstore/map-snapshot.ts";
import { store } from "../../kvstore/stored.ts";
import * as pb from "../../raft/raftpb/index.ts";
import { encodeEnvelope } from "../../server/envelope.ts";
import { toConfChange } from "../../server/membership/conf-change-context.ts";
import { encodeOutcome, encodeRequest } from "../../server/membership/forwarded.ts";
import { encodeNote } from "../../server/membership/notes.ts";
import { encodeSnapshotHeader } from "../../server/snapshot-header.ts";
import { encodeMetadata } from "../../wal/index.ts";
import { encodeSnapshotRecord } from "../../wal/record.ts";
import { otherCodecs, raftpbCodecs } from "./codecs.ts";
import { writeCorpus } from "./corpus.ts";
import { httpFiles } from "./http-inputs.ts";
import { lieFiles } from "./lies.ts";
import { snapFiles, walFiles } from "./make-logs.ts";
import { joined } from "./mutate.ts";
import { doorFiles, frameFiles } from "./peer-inputs.ts";
import { frameOf, someMessages } from "./some-messages.ts";

type Files = Record<string, Uint8Array>;

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const confState = pb.makeConfState({ voters: [1, 2, 3], learners: [4] });
const joint = pb.makeConfState({ voters: [1, 2, 4], votersOutgoing: [1, 2, 3], learnersNext: [3], autoLeave: true });
const requestId = { member: 1, epoch: 77_000_000_001, counter: 12 };
const change = toConfChange(
  [
    { kind: "add", id: 4, peerUrl: "http://127.0.0.1:2680", learner: true },
    { kind: "remove", id: 2 },
  ],
  requestId,
);

/** An input of a codec: the byte that picks it, then its bytes. */
function codecInput(codecs: readonly { name: string }[], name: string, bytes: Uint8Array): Uint8Array {
  return joined(Uint8Array.of(codecs.findIndex((codec) => codec.name === name)), bytes);
}

function raftpbFiles(): Files {
  const files: Files = {};
  const add = (codec: string, what: string, bytes: Uint8Array): void => {
    files[`${codec}-${what}`] = codecInput(raftpbCodecs, codec, bytes);
  };
  for (const [name, m] of Object.entries(someMessages)) add("message", name, pb.encodeMessage(m));
  const entry = pb.makeEntry(pb.EntryType.EntryNormal, 3, 12, encodeEnvelope(requestId, encodePut("k", utf8("v"))));
  add("entry", "put", pb.encodeEntry(entry));
  add("entry", "empty", pb.encodeEntry(pb.makeEntry(undefined, 3, 13, undefined)));
  add("hard-state", "of-a-voter", pb.encodeHardState(pb.makeHardState(3, 2, 11)));
  add("conf-state", "of-four", pb.encodeConfState(confState));
  add("conf-state", "joint", pb.encodeConfState(joint));
  add("conf-state", "packed", Uint8Array.of(0x0a, 3, 1, 2, 3, 0x12, 1, 4));
  add("snapshot", "with-data", pb.encodeSnapshot(pb.makeSnapshot(500, 4, confState, utf8("state"))));
  add("snapshot", "joint", pb.encodeSnapshot(pb.makeSnapshot(501, 4, joint)));
  add("conf-change", "add", pb.encodeConfChange(pb.makeConfChange(0, 4, utf8("http://127.0.0.1:2680"))));
  add("conf-change-v2", "two-changes", pb.encodeConfChangeV2(change));
  add("conf-change-v2", "leave", pb.encodeConfChangeV2(pb.makeConfChangeV2([])));
  const { append, heartbeat, vote, proposal } = someMessages;
  add("frame", "append", frameOf(append));
  add("frame", "three", frameOf(heartbeat, vote, proposal));
  return files;
}

function codecsFiles(): Files {
  const files: Files = {};
  const add = (codec: string, what: string, bytes: Uint8Array): void => {
    files[`${codec}-${what}`] = codecInput(otherCodecs, codec, bytes);
  };
  add("command", "put", encodePut("greeting", utf8("hello, world")));
  add("command", "put-nothing", encodePut("ключ", new Uint8Array(0)));
  add("command", "delete", encodeDelete("\ufeffgreeting"));
  add("envelope", "put", encodeEnvelope(requestId, encodePut("greeting", utf8("hello"))));
  add("envelope", "note", encodeEnvelope(requestId, encodeNote({ started: { id: 4, incarnation: 99 } }), "note"));
  add("note", "started", encodeNote({ started: { id: 4, incarnation: 2_871_350_916_042 } }));
  add("request", "add", encodeRequest({ change: [{ kind: "add", id: 4, peerUrl: "http://h:1", learner: true }] }));
  add(
    "request",
    "two",
    encodeRequest({ change: ["promote", "remove"].map((kind, i) => ({ kind, id: 4 + i }) as never) }),
  );
  add("request", "transfer", encodeRequest({ transfer: 2 }));
  add("outcome", "applied", encodeOutcome({ kind: "applied" }));
  const conflict = {
    kind: "conflict",
    code: "ID_SPENT",
    message: "member 4 was removed",
    next: "choose another id",
  } as const;
  add("outcome", "conflict", encodeOutcome(conflict));
  add("outcome", "refused", encodeOutcome({ kind: "refused", code: "NO_LEADER", message: "none" }));
  add("metadata", "ours", encodeMetadata({ nodeId: 1, clusterId: 4_194_304_000_001, incarnation: 99_000_000_007 }));
  add("metadata", "etcd", encodeMetadata({ nodeId: 1, clusterId: 7 }));
  add("snapshot-mark", "first", encodeSnapshotRecord({ index: 0, term: 0, confState: undefined }));
  add("snapshot-mark", "later", encodeSnapshotRecord({ index: 500, term: 4, confState }));
  return files;
}

const entriesOf = (pairs: Readonly<Record<string, string>>) =>
  new Map(Object.entries(pairs).map(([key, value]) => [key, store(utf8(value))]));

function mapFiles(): Files {
  const whole = (pairs: Readonly<Record<string, string>>): Uint8Array => joined(...encodeSnapshot([entriesOf(pairs)]));
  const some = { greeting: "hello, world", empty: "", ключ: "значение", long: "x".repeat(300), "a/b": "c" };
  return {
    "no-keys": joined(Uint8Array.of(0), whole({})),
    "five-keys": joined(Uint8Array.of(0), whole(some)),
    "five-keys-in-chunks-of-one": joined(Uint8Array.of(1), whole(some)),
    "two-keys-in-chunks-of-seven": joined(Uint8Array.of(7), whole({ a: "1", b: "2" })),
  };
}

function headerFiles(): Files {
  const state = {
    members: [
      { id: 1, url: "http://127.0.0.1:2380", since: 1, incarnation: 77_000_000_003 },
      { id: 2, url: "", since: 0, incarnation: 0 },
    ],
    removed: [3, 9],
  };
  const header = encodeSnapshotHeader(state);
  const behind = joined(...encodeSnapshot([entriesOf({ a: "1" })]));
  return {
    alone: joined(Uint8Array.of(0), encodeSnapshotHeader({ members: [], removed: [] })),
    "with-a-map": joined(Uint8Array.of(0), header, behind),
    "with-a-map-in-chunks-of-three": joined(Uint8Array.of(3), header, behind),
  };
}

writeCorpus("raftpb", raftpbFiles());
writeCorpus("codecs", codecsFiles());
writeCorpus("map", mapFiles());
writeCorpus("header", headerFiles());
writeCorpus("wal", await walFiles());
writeCorpus("snap", await snapFiles());
writeCorpus("lies", lieFiles());
writeCorpus("door", doorFiles());
writeCorpus("frames", frameFiles());
writeCorpus("http", httpFiles());
