// Encoding and decoding of the messages of raft.proto.
//
// Promises: decode(encode(x)) equals x; a decoder throws DecodeError and nothing else on any bytes; no number that
// a double cannot hold exactly passes in either direction; unknown fields are skipped, as proto2 asks.
//
// Written by hand on protobufjs' minimal Writer and Reader rather than through its reflection: the decoders build the
// plain objects of types.ts directly, one hidden class each, and nothing here needs eval or a file, so that it runs in
// a browser. Numbers are written even when zero (as etcd 3.5 does, and its readers expect on disk); what types.ts calls
// optional is left out when undefined. The two local-thread ids are negative and are refused: they never leave the
// process.
//
// Decoded byte fields are views of the input, not copies: a caller that reuses its buffer copies first.

import {
  type ConfChange,
  type ConfChangeSingle,
  type ConfChangeTransition,
  type ConfChangeType,
  type ConfChangeV2,
  type ConfState,
  type Entry,
  type EntryType,
  emptyEntries,
  type HardState,
  type Message,
  type MessageType,
  makeConfState,
  makeEntry,
  makeHardState,
  makeMessage,
  makeSnapshot,
  type Snapshot,
  type SnapshotMetadata,
} from "./types.ts";
import {
  DecodeError,
  decodeWith,
  encode,
  nextTag,
  type Reader,
  tag,
  varintSize,
  type Writer,
  wireBytes,
  wireVarint,
  writeBytes,
  writeField,
  writeNested,
} from "./wire.ts";

/** Messages nest only through `responses`, one level deep; the limit keeps hostile input off the stack. */
const maxDepth = 8;

// Entry

export function writeEntry(w: Writer, e: Entry): void {
  if (e.type !== undefined) writeField(w, 1, e.type);
  writeField(w, 2, e.term);
  writeField(w, 3, e.index);
  if (e.data !== undefined) writeBytes(w, 4, e.data);
}

export const encodeEntry = (e: Entry): Uint8Array => encode((w) => writeEntry(w, e));
export const decodeEntry = (bytes: Uint8Array): Entry => decodeWith("Entry", bytes, readEntry);

function readEntry(r: Reader, end: number): Entry {
  let type: EntryType | undefined;
  let term = 0;
  let index = 0;
  let data: Uint8Array | undefined;
  for (let t = nextTag(r, end); t !== 0; t = nextTag(r, end)) {
    if (t === tag(1, wireVarint)) type = r.enumeration(2, "entry type") as EntryType;
    else if (t === tag(2, wireVarint)) term = r.number();
    else if (t === tag(3, wireVarint)) index = r.number();
    else if (t === tag(4, wireBytes)) data = r.slice();
    else r.skipType(t & 7);
  }
  return makeEntry(type, term, index, data);
}

// HardState

function writeHardState(w: Writer, hs: HardState): void {
  writeField(w, 1, hs.term);
  writeField(w, 2, hs.vote);
  writeField(w, 3, hs.commit);
}

export const encodeHardState = (hs: HardState): Uint8Array => encode((w) => writeHardState(w, hs));
export const decodeHardState = (bytes: Uint8Array): HardState => decodeWith("HardState", bytes, readHardState);

function readHardState(r: Reader, end: number): HardState {
  let term = 0;
  let vote = 0;
  let commit = 0;
  for (let t = nextTag(r, end); t !== 0; t = nextTag(r, end)) {
    if (t === tag(1, wireVarint)) term = r.number();
    else if (t === tag(2, wireVarint)) vote = r.number();
    else if (t === tag(3, wireVarint)) commit = r.number();
    else r.skipType(t & 7);
  }
  return makeHardState(term, vote, commit);
}

// ConfState and snapshots

export function writeConfState(w: Writer, cs: ConfState): void {
  for (const id of cs.voters) writeField(w, 1, id);
  for (const id of cs.learners) writeField(w, 2, id);
  for (const id of cs.votersOutgoing) writeField(w, 3, id);
  for (const id of cs.learnersNext) writeField(w, 4, id);
  w.uint32(tag(5, wireVarint)).bool(cs.autoLeave);
}

export const encodeConfState = (cs: ConfState): Uint8Array => encode((w) => writeConfState(w, cs));
export const decodeConfState = (bytes: Uint8Array): ConfState => decodeWith("ConfState", bytes, readConfState);

export function readConfState(r: Reader, end: number): ConfState {
  const lists: [number[], number[], number[], number[]] = [[], [], [], []];
  let autoLeave = false;
  for (let t = nextTag(r, end); t !== 0; t = nextTag(r, end)) {
    const field = t >>> 3;
    const list = lists[field - 1];
    if (list !== undefined && (t & 7) === wireVarint) list.push(r.number());
    else if (list !== undefined && (t & 7) === wireBytes) {
      // The packed form is not what raft writes, but a proto2 reader accepts both.
      for (const stop = r.end(); r.pos < stop; ) list.push(r.number());
    } else if (t === tag(5, wireVarint)) autoLeave = r.number() !== 0;
    else r.skipType(t & 7);
  }
  const [voters, learners, votersOutgoing, learnersNext] = lists;
  return { voters, learners, votersOutgoing, learnersNext, autoLeave };
}

function writeSnapshotMetadata(w: Writer, m: SnapshotMetadata): void {
  writeNested(w, 1, m.confState, writeConfState);
  writeField(w, 2, m.index);
  writeField(w, 3, m.term);
}

function readSnapshotMetadata(r: Reader, end: number): SnapshotMetadata {
  let confState: ConfState | undefined;
  let index = 0;
  let term = 0;
  for (let t = nextTag(r, end); t !== 0; t = nextTag(r, end)) {
    if (t === tag(1, wireBytes)) confState = readConfState(r, r.end());
    else if (t === tag(2, wireVarint)) index = r.number();
    else if (t === tag(3, wireVarint)) term = r.number();
    else r.skipType(t & 7);
  }
  return { confState: confState ?? makeConfState(), index, term };
}

function writeSnapshot(w: Writer, s: Snapshot): void {
  if (s.data !== undefined) writeBytes(w, 1, s.data);
  writeNested(w, 2, s.metadata, writeSnapshotMetadata);
}

export const encodeSnapshot = (s: Snapshot): Uint8Array => encode((w) => writeSnapshot(w, s));
export const decodeSnapshot = (bytes: Uint8Array): Snapshot => decodeWith("Snapshot", bytes, readSnapshot);

function readSnapshot(r: Reader, end: number): Snapshot {
  let data: Uint8Array | undefined;
  let metadata: SnapshotMetadata | undefined;
  for (let t = nextTag(r, end); t !== 0; t = nextTag(r, end)) {
    if (t === tag(1, wireBytes)) data = r.slice();
    else if (t === tag(2, wireBytes)) metadata = readSnapshotMetadata(r, r.end());
    else r.skipType(t & 7);
  }
  return { data, metadata: metadata ?? makeSnapshot(0, 0).metadata };
}

// Message

function writeMessage(w: Writer, m: Message): void {
  writeField(w, 1, m.type);
  writeField(w, 2, m.to);
  writeField(w, 3, m.from);
  writeField(w, 4, m.term);
  writeField(w, 5, m.logTerm);
  writeField(w, 6, m.index);
  for (const e of m.entries) writeNested(w, 7, e, writeEntry);
  writeField(w, 8, m.commit);
  if (m.snapshot !== undefined) writeNested(w, 9, m.snapshot, writeSnapshot);
  w.uint32(tag(10, wireVarint)).bool(m.reject);
  writeField(w, 11, m.rejectHint);
  if (m.context !== undefined) writeBytes(w, 12, m.context);
  writeField(w, 13, m.vote);
  for (const response of m.responses) writeNested(w, 14, response, writeMessage);
}

export const encodeMessage = (m: Message): Uint8Array => encode((w) => writeMessage(w, m));
export const decodeMessage = (bytes: Uint8Array): Message => decodeWith("Message", bytes, readMessage);

function readMessage(r: Reader, end: number, depth: number): Message {
  if (depth > maxDepth) throw new DecodeError("messages nested too deeply");
  let type: MessageType = 0;
  let to = 0;
  let from = 0;
  let term = 0;
  let logTerm = 0;
  let index = 0;
  let entries: Entry[] | undefined;
  let commit = 0;
  let vote = 0;
  let snapshot: Snapshot | undefined;
  let reject = false;
  let rejectHint = 0;
  let context: Uint8Array | undefined;
  let responses: Message[] | undefined;
  for (let t = nextTag(r, end); t !== 0; t = nextTag(r, end)) {
    if (t === tag(1, wireVarint)) type = r.enumeration(23, "message type") as MessageType;
    else if (t === tag(2, wireVarint)) to = r.number();
    else if (t === tag(3, wireVarint)) from = r.number();
    else if (t === tag(4, wireVarint)) term = r.number();
    else if (t === tag(5, wireVarint)) logTerm = r.number();
    else if (t === tag(6, wireVarint)) index = r.number();
    else if (t === tag(7, wireBytes)) {
      entries ??= [];
      entries.push(readEntry(r, r.end()));
    } else if (t === tag(8, wireVarint)) commit = r.number();
    else if (t === tag(9, wireBytes)) snapshot = readSnapshot(r, r.end());
    else if (t === tag(10, wireVarint)) reject = r.number() !== 0;
    else if (t === tag(11, wireVarint)) rejectHint = r.number();
    else if (t === tag(12, wireBytes)) context = r.slice();
    else if (t === tag(13, wireVarint)) vote = r.number();
    else if (t === tag(14, wireBytes)) {
      responses ??= [];
      responses.push(readMessage(r, r.end(), depth + 1));
    } else r.skipType(t & 7);
  }
  return makeMessage(type, {
    to,
    from,
    term,
    logTerm,
    index,
    entries: entries ?? emptyEntries,
    commit,
    vote,
    snapshot,
    reject,
    rejectHint,
    context,
    ...(responses === undefined ? {} : { responses }),
  });
}

// Configuration changes

function writeConfChange(w: Writer, cc: ConfChange): void {
  if (cc.id !== undefined) writeField(w, 1, cc.id);
  if (cc.type !== undefined) writeField(w, 2, cc.type);
  if (cc.nodeId !== undefined) writeField(w, 3, cc.nodeId);
  if (cc.context !== undefined) writeBytes(w, 4, cc.context);
}

export const encodeConfChange = (cc: ConfChange): Uint8Array => encode((w) => writeConfChange(w, cc));
export const decodeConfChange = (bytes: Uint8Array): ConfChange => decodeWith("ConfChange", bytes, readConfChange);

function readConfChange(r: Reader, end: number): ConfChange {
  let id: number | undefined;
  let type: ConfChangeType | undefined;
  let nodeId: number | undefined;
  let context: Uint8Array | undefined;
  for (let t = nextTag(r, end); t !== 0; t = nextTag(r, end)) {
    if (t === tag(1, wireVarint)) id = r.number();
    else if (t === tag(2, wireVarint)) type = r.enumeration(3, "conf change type") as ConfChangeType;
    else if (t === tag(3, wireVarint)) nodeId = r.number();
    else if (t === tag(4, wireBytes)) context = r.slice();
    else r.skipType(t & 7);
  }
  return { kind: "v1", id, type, nodeId, context };
}

function writeConfChangeSingle(w: Writer, cc: ConfChangeSingle): void {
  if (cc.type !== undefined) writeField(w, 1, cc.type);
  if (cc.nodeId !== undefined) writeField(w, 2, cc.nodeId);
}

function readConfChangeSingle(r: Reader, end: number): ConfChangeSingle {
  let type: ConfChangeType | undefined;
  let nodeId: number | undefined;
  for (let t = nextTag(r, end); t !== 0; t = nextTag(r, end)) {
    if (t === tag(1, wireVarint)) type = r.enumeration(3, "conf change type") as ConfChangeType;
    else if (t === tag(2, wireVarint)) nodeId = r.number();
    else r.skipType(t & 7);
  }
  return { type, nodeId };
}

function writeConfChangeV2(w: Writer, cc: ConfChangeV2): void {
  if (cc.transition !== undefined) writeField(w, 1, cc.transition);
  for (const change of cc.changes) writeNested(w, 2, change, writeConfChangeSingle);
  if (cc.context !== undefined) writeBytes(w, 3, cc.context);
}

export const encodeConfChangeV2 = (cc: ConfChangeV2): Uint8Array => encode((w) => writeConfChangeV2(w, cc));
export const decodeConfChangeV2 = (bytes: Uint8Array): ConfChangeV2 =>
  decodeWith("ConfChangeV2", bytes, readConfChangeV2);

function readConfChangeV2(r: Reader, end: number): ConfChangeV2 {
  let transition: ConfChangeTransition | undefined;
  const changes: ConfChangeSingle[] = [];
  let context: Uint8Array | undefined;
  for (let t = nextTag(r, end); t !== 0; t = nextTag(r, end)) {
    if (t === tag(1, wireVarint)) transition = r.enumeration(2, "transition") as ConfChangeTransition;
    else if (t === tag(2, wireBytes)) changes.push(readConfChangeSingle(r, r.end()));
    else if (t === tag(3, wireBytes)) context = r.slice();
    else r.skipType(t & 7);
  }
  return { kind: "v2", transition, changes, context };
}

/** Encoded size of an entry in bytes: Go's proto.Size, which flow control and pagination count. */
export function entrySize(e: Entry): number {
  let size = 0;
  if (e.type !== undefined) size += 2;
  size += 1 + varintSize(e.term) + 1 + varintSize(e.index);
  if (e.data !== undefined) size += 1 + varintSize(e.data.length) + e.data.length;
  return size;
}
