// The text form of Ready, Message, Entry, states and configuration changes: the one that logs, scripts and pages share.
//
// It is etcd's, byte for byte, which is why goQuote reproduces Go's %q. Ids in messages are hexadecimal, elsewhere
// decimal.
//
// Ports the Describe functions of util.go.

import {
  type AnyConfChange,
  asV2,
  type ConfState,
  changesOf,
  confChangeOf,
  confChangesToString,
  confChangeTypeName,
  DecodeError,
  type Entry,
  entryTypeName,
  type HardState,
  type Message,
  messageTypeName,
  type Snapshot,
  transitionName,
} from "./raftpb/index.ts";
import type { Ready } from "./ready.ts";
import {
  isEmptyHardState,
  isEmptySnap,
  localAppendThread,
  localApplyThread,
  none,
  type ReadState,
  type SoftState,
} from "./types.ts";

/** How an application prints the data of a normal entry. */
export type EntryFormatter = (data: Uint8Array) => string;

export function describeHardState(hs: HardState): string {
  return `Term:${hs.term}${hs.vote === 0 ? "" : ` Vote:${hs.vote}`} Commit:${hs.commit}`;
}

export function describeSoftState(ss: SoftState): string {
  return `Lead:${ss.lead} State:${ss.raftState}`;
}

const list = (values: Iterable<number>): string => `[${[...values].join(" ")}]`;

export function describeConfState(cs: ConfState): string {
  return (
    `Voters:${list(cs.voters)} VotersOutgoing:${list(cs.votersOutgoing)} Learners:${list(cs.learners)} ` +
    `LearnersNext:${list(cs.learnersNext)} AutoLeave:${cs.autoLeave}`
  );
}

export function describeSnapshot({ metadata }: Snapshot): string {
  return `Index:${metadata.index} Term:${metadata.term} ConfState:${describeConfState(metadata.confState)}`;
}

function describeReadStates(states: readonly ReadState[]): string {
  return `[${states.map((s) => `{${s.index} ${list(s.requestCtx)}}`).join(" ")}]`;
}

export function describeReady(rd: Ready, format?: EntryFormatter): string {
  let text = "";
  if (rd.softState !== undefined) text += `${describeSoftState(rd.softState)}\n`;
  if (rd.hardState !== undefined && !isEmptyHardState(rd.hardState)) {
    text += `HardState ${describeHardState(rd.hardState)}\n`;
  }
  if (rd.readStates.length > 0) text += `ReadStates ${describeReadStates(rd.readStates)}\n`;
  if (rd.entries.length > 0) text += `Entries:\n${describeEntries(rd.entries, format)}`;
  if (rd.snapshot !== undefined && !isEmptySnap(rd.snapshot)) text += `Snapshot ${describeSnapshot(rd.snapshot)}\n`;
  if (rd.committedEntries.length > 0) text += `CommittedEntries:\n${describeEntries(rd.committedEntries, format)}`;
  if (rd.messages.length > 0) {
    text += `Messages:\n${rd.messages.map((m) => `${describeMessage(m, format)}\n`).join("")}`;
  }
  return text === "" ? "<empty Ready>" : `Ready MustSync=${rd.mustSync}:\n${text}`;
}

export function describeMessage(m: Message, format?: EntryFormatter, indent = ""): string {
  let text = `${indent}${describeTarget(m.from)}->${describeTarget(m.to)} ${messageTypeName(m.type)} `;
  text += `Term:${m.term} Log:${m.logTerm}/${m.index}`;
  if (m.reject) text += ` Rejected (Hint: ${m.rejectHint})`;
  if (m.commit !== 0) text += ` Commit:${m.commit}`;
  if (m.vote !== 0) text += ` Vote:${m.vote}`;
  const [first] = m.entries;
  if (first !== undefined && m.entries.length === 1) {
    text += ` Entries:[${describeEntry(first, format)}]`;
  } else if (m.entries.length > 1) {
    text += ` Entries:[${m.entries.map((e) => `\n${indent}  ${describeEntry(e, format)}`).join("")}\n${indent}]`;
  }
  if (m.snapshot !== undefined && !isEmptySnap(m.snapshot)) {
    text += `\n${indent}  Snapshot: ${describeSnapshot(m.snapshot)}`;
  }
  if (m.responses.length > 0) {
    const responses = m.responses.map((response) => `\n${describeMessage(response, format, `${indent}  `)}`);
    text += ` Responses:[${responses.join("")}\n${indent}]`;
  }
  return text;
}

function describeTarget(id: number): string {
  if (id === none) return "None";
  if (id === localAppendThread) return "AppendThread";
  if (id === localApplyThread) return "ApplyThread";
  return id.toString(16);
}

const noBytes = new Uint8Array(0);

export function describeEntry(e: Entry, format: EntryFormatter = goQuote): string {
  const text = describeData(e, format);
  return `${e.term}/${e.index} ${entryTypeName(e.type ?? 0)}${text === "" ? "" : ` ${text}`}`;
}

function describeData(e: Entry, format: EntryFormatter): string {
  try {
    const cc = confChangeOf(e);
    return cc === undefined ? format(e.data ?? noBytes) : confChangesToString(asV2(cc).changes);
  } catch (error) {
    if (error instanceof DecodeError) return error.message;
    throw error;
  }
}

/** One entry a line. */
export function describeEntries(entries: readonly Entry[], format?: EntryFormatter): string {
  return entries.map((e) => `${describeEntry(e, format)}\n`).join("");
}

export function describeConfChange(change: AnyConfChange): string {
  const cc = asV2(change);
  let text = `transition:${transitionName(cc.transition ?? 0)}`;
  for (const { type, nodeId } of changesOf(cc)) {
    text += ` changes:{type:${confChangeTypeName(type)} node_id:${nodeId}}`;
  }
  if (cc.context !== undefined && cc.context.length > 0) text += ` context:${goQuote(cc.context)}`;
  return text;
}

const escapes: Readonly<Record<string, string>> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  '"': '\\"',
  "\\": "\\\\",
};
const printable = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes as Go's %q prints them: a quoted string, with what is not printable or not UTF-8 escaped. */
export function goQuote(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; ) {
    const byte = bytes[i] as number;
    const length = byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    const char = decodeChar(bytes.subarray(i, i + length));
    if (char === undefined) {
      text += `\\x${byte.toString(16).padStart(2, "0")}`;
      i++;
    } else {
      text += quoteChar(char);
      i += length;
    }
  }
  return `"${text}"`;
}

function decodeChar(bytes: Uint8Array): string | undefined {
  try {
    const char = strictUtf8.decode(bytes);
    return [...char].length === 1 ? char : undefined;
  } catch {
    return undefined; // not UTF-8: printed byte by byte
  }
}

function quoteChar(char: string): string {
  const named = escapes[char];
  if (named !== undefined) return named;
  if (printable.test(char)) return char;
  const code = char.codePointAt(0) as number;
  if (code < 0x80) return `\\x${code.toString(16).padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
}
