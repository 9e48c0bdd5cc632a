// wal dump: the records of a member's log, in order, for people or (--json) for programs.
//
// Reads only, and takes no lock: it works beside a running member, and on a damaged log up to the damage, which it then tells, with exit
// code 1. Records that were overwritten later are shown like all others: this is the file, not what the member made of it.
//
// --json prints one value a line. Data are in base64; `text` is what the table shows.
//   entry     {"index", "term", "type": "EntryNormal" | "EntryConfChange" | "EntryConfChangeV2", "data", "text", "request"?, "file", "offset"}
//             request {"member", "epoch", "counter"}: who asked for it, in entries that this server wrote for a client
//   metadata  {"type": "metadata", "data", "text", "file", "offset"}
//   crc       {"type": "crc", "crc", "text", "file", "offset"}
//   state     {"type": "state", "term", "vote", "commit", "text", "file", "offset"}
//   snapshot  {"type": "snapshot", "index", "term", "confState"?, "text", "file", "offset"}
//   another   {"type": number, "data", "text", "file", "offset"}
//
// --from and --to leave only the entries and snapshots of these indexes, --type only the records of these types: those of the column TYPE,
// or of entries alone, EntryNormal and so on.

import path from "node:path";
import { toggle } from "../command-line/flags.ts";
import { choices, integer, text, UsageError } from "../command-line/kinds.ts";
import { type FileSystem, nodeFileSystem } from "../disk/index.ts";
import { CommandError, decodeCommand } from "../kvstore/command.ts";
import {
  asV2,
  ConfChangeTransition,
  ConfChangeType,
  changesOf,
  confChangeOf,
  decodeEntry,
  decodeHardState,
  describeConfState,
  describeHardState,
  type Entry,
  EntryType,
  entryTypeName,
  goQuote,
  transitionName,
} from "../raft/index.ts";
import { decodeEnvelope, type RequestId } from "../server/envelope.ts";
import { contextOf } from "../server/membership/conf-change-context.ts";
import { decodeMetadata, decodeSnapshotRecord, endText, type LogItem, RecordType, readRecords } from "../wal/index.ts";
import { command } from "./command.ts";
import { print } from "./output.ts";
import { hint } from "./program.ts";

const typeNames: readonly string[] = [...Object.keys(RecordType), ...Object.keys(EntryType)];

interface DumpFlags {
  dataDir: string;
  from: number | undefined;
  to: number | undefined;
  type: ReadonlySet<string> | undefined;
  json: boolean;
}

export const walDump = command({
  name: "dump",
  describe: "show the records of a log, in order",
  about:
    "Shows the records of a member's log, in order: entries with the commands in them, terms, votes, commits. Changes nothing, and may run beside " +
    "the member. Exit code 1: the log is damaged, and is shown up to the damage.",
  flags: {
    "data-dir": { kind: text, describe: "the member's data directory", required: true },
    from: {
      kind: integer(0),
      describe: "first index to show; records without an index are left out then",
      defaultText: "no limit",
    },
    to: { kind: integer(0), describe: "last index to show", defaultText: "no limit" },
    type: { kind: choices(typeNames), describe: `types to show: ${typeNames.join(", ")}`, defaultText: "all" },
    json: toggle("one JSON value a line"),
  },
  check: ({ from, to }) => {
    if (from === undefined || to === undefined || from <= to) return;
    throw new UsageError(`--from=${from} is beyond --to=${to}: no record is in between`);
  },
  run: dump,
});

/** What the command reports about the end of the log. */
interface Verdict {
  note: string | undefined;
  exitCode: number;
}

async function dump(flags: DumpFlags): Promise<number> {
  const verdict: Verdict = { note: undefined, exitCode: 0 };
  await print(dumpPieces(flags, verdict, nodeFileSystem));
  if (verdict.note !== undefined) process.stderr.write(`readyloop: ${verdict.note}\n`);
  return verdict.exitCode;
}

const pieceSize = 64 * 1024;

/** The lines, many at a time: one write for each would take most of the time. */
async function* dumpPieces(
  flags: DumpFlags,
  verdict: Verdict,
  fileSystem: FileSystem,
): AsyncGenerator<string, void, void> {
  let piece = "";
  let file = "";
  for await (const item of readRecords(fileSystem, path.join(flags.dataDir, "member", "wal"))) {
    if (item.kind !== "record") {
      judge(item, verdict);
      break;
    }
    const shown = show(item);
    if (!isWanted(shown, flags)) continue;
    if (!flags.json && file !== item.file) {
      piece += `${file === "" ? "" : "\n"}${item.file}\n${row("OFFSET", "TYPE", "INDEX", "TERM", "ENTRY", "DATA")}\n`;
      file = item.file;
    }
    piece += `${lineOf(item, shown, flags.json)}\n`;
    if (piece.length < pieceSize) continue;
    yield piece;
    piece = "";
  }
  if (piece !== "") yield piece;
}

function isWanted({ type, index, entryType }: Shown, { from, to, type: types }: DumpFlags): boolean {
  const all = from === undefined && to === undefined;
  if (!all && (index === undefined || index < (from ?? 0) || index > (to ?? Infinity))) return false;
  return types === undefined || types.has(type) || types.has(`Entry${entryType}`);
}

function lineOf({ file, offset }: Extract<LogItem, { kind: "record" }>, shown: Shown, isJson: boolean): string {
  const { entry } = shown;
  const { text, request }: Description = entry === undefined ? shown : describeData(entry);
  if (!isJson) return row(String(offset), shown.type, shown.index, shown.term, shown.entryType, text);
  const json = entry === undefined ? shown.json : jsonOf(entry);
  return JSON.stringify({ ...json, text, request, file: path.basename(file), offset });
}

function judge(item: Exclude<LogItem, { kind: "record" }>, verdict: Verdict): void {
  const { file, offset, reason } = item;
  if (item.kind === "torn") {
    verdict.note =
      `${file}: ${item.size} bytes from offset ${offset} on are no sound record (${reason}). None of this was ever acknowledged: it is ` +
      "a write cut short, which the member cuts off at its next start, or a write in progress.";
    return;
  }
  verdict.note = `${file}: ${endText(item)}: ${reason}. Nothing after this can be relied on. For what to do next run: ${hint("wal verify")}`;
  verdict.exitCode = 1;
}

function row(
  offset: string,
  type: string,
  index: number | string = "",
  term: number | string = "",
  entryType = "",
  text = "",
): string {
  const cells = [offset.padStart(10), type.padEnd(8), String(index).padStart(9), String(term).padStart(5)];
  return `${cells.join("  ")}  ${entryType.padEnd(12)}  ${text}`.trimEnd();
}

interface Description {
  readonly text: string;
  readonly request?: RequestId | undefined;
}

/** A record as the table has it, and what --json says beside that. */
interface Shown extends Description {
  readonly type: string;
  readonly index?: number;
  readonly term?: number;
  readonly entryType?: string;
  readonly json: object;
  /** Of entries: to be described only if it is asked for, as this takes most of the time. Text and json are empty then. */
  readonly entry?: Entry;
}

const base64 = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? noBytes).toString("base64");
const noBytes = new Uint8Array(0);

function show({ record }: Extract<LogItem, { kind: "record" }>): Shown {
  const { type, data } = record;
  try {
    switch (type) {
      case RecordType.entry:
        return showEntry(decodeEntry(data));
      case RecordType.state: {
        const { term, vote, commit } = decodeHardState(data);
        const json = { type: "state", term, vote, commit };
        return { type: "state", text: describeHardState({ term, vote, commit }), json };
      }
      case RecordType.snapshot: {
        const { index, term, confState } = decodeSnapshotRecord(data);
        const text = confState === undefined ? "" : describeConfState(confState);
        return { type: "snapshot", index, term, text, json: { type: "snapshot", index, term, confState } };
      }
      case RecordType.metadata:
        return { type: "metadata", text: metadataText(data), json: { type: "metadata", data: base64(data) } };
      case RecordType.crc:
        return { type: "crc", text: hex8(record.crc), json: { type: "crc", crc: record.crc } };
      default:
        return { type: String(type), text: quoted(data), json: { type, data: base64(data) } };
    }
  } catch (error) {
    const name = Object.entries(RecordType).find(([, value]) => value === type)?.[0] ?? String(type);
    const text = `cannot be decoded (${(error as Error).message}): ${quoted(data)}`;
    return { type: name, text, json: { type: name, data: base64(data) } };
  }
}

const hex8 = (n: number): string => n.toString(16).padStart(8, "0");

function metadataText(data: Uint8Array): string {
  try {
    const { nodeId, clusterId, incarnation } = decodeMetadata(data);
    return `member ${nodeId} of cluster ${clusterId}${incarnation === 0 ? "" : `, incarnation ${incarnation}`}`;
  } catch {
    return quoted(data); // another program's: the log does not ask what its metadata say
  }
}

function showEntry(entry: Entry): Shown {
  const { index, term, type } = entry;
  const entryType = entryTypeName(type ?? 0).replace(/^Entry/, "");
  return { type: "entry", index, term, entryType, entry, text: "", json: noJson };
}

const noJson = {};

const jsonOf = ({ index, term, type, data }: Entry): object => ({
  index,
  term,
  type: entryTypeName(type ?? 0),
  data: base64(data),
});

function describeData(e: Entry): Description {
  const data = e.data ?? noBytes;
  try {
    const change = confChangeOf(e);
    if (change !== undefined) {
      const cc = asV2(change);
      const { id, urls } = contextOf(cc);
      return { text: describeChange(changesOf(cc), cc.transition ?? 0, urls), request: id };
    }
  } catch (error) {
    return { text: `cannot be decoded (${(error as Error).message}): ${quoted(data)}` };
  }
  if (data.length === 0) return { text: "empty" };
  const envelope = decodeEnvelope(data);
  if (envelope === undefined) return { text: quoted(data) };
  const { kind, id, body } = envelope;
  return { text: kind === "command" ? commandText(body) : `note ${quoted(body, 200)}`, request: id };
}

const changeWords: Readonly<Record<number, string>> = {
  [ConfChangeType.ConfChangeAddNode]: "voter",
  [ConfChangeType.ConfChangeAddLearnerNode]: "learner",
  [ConfChangeType.ConfChangeRemoveNode]: "remove",
  [ConfChangeType.ConfChangeUpdateNode]: "update",
};

function describeChange(changes: ReturnType<typeof changesOf>, transition: number, urls: ReadonlyMap<number, string>) {
  if (changes.length === 0) return "leave the joint configuration";
  const words = changes.map(({ type, nodeId }) => {
    const url = urls.get(nodeId);
    const where = url === undefined ? "" : ` at ${goQuote(Buffer.from(url)).slice(1, -1)}`;
    return `${changeWords[type] ?? `change of type ${type}`} ${nodeId}${where}`;
  });
  const auto = transition === ConfChangeTransition.ConfChangeTransitionAuto;
  return words.join(", ") + (auto ? "" : ` (${transitionName(transition).replace(/^ConfChangeTransition/, "")})`);
}

function commandText(command: Uint8Array): string {
  try {
    const { kind, key, ...rest } = decodeCommand(command);
    const name = quoted(Buffer.from(key));
    return "value" in rest ? `${kind} ${name} ${quoted(rest.value)}` : `${kind} ${name}`;
  } catch (error) {
    if (error instanceof CommandError) return quoted(command);
    throw error;
  }
}

/** Bytes as text with control characters escaped; of more than `most` bytes only the first. */
function quoted(bytes: Uint8Array, most = 48): string {
  if (bytes.length <= most) return quote(bytes);
  let end = most;
  while (end > most - 3 && (bytes[end]! & 0xc0) === 0x80) end--; // not within a character of UTF-8
  return `${quote(bytes.subarray(0, end))}... (${bytes.length} bytes)`;
}

const plain = /^[ !#-[\]-~]*$/;

/** goQuote looks at one character after the other, which for a large log takes most of the time. Most text needs no look. */
function quote(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  return plain.test(text) ? `"${text}"` : goQuote(bytes);
}
