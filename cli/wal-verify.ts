// wal verify: is a member's log sound, and could the member start from it?
//
// Two passes. The first reads every record of every segment and checks checksums and chain. The second does what a start does: it takes the
// newest snapshot that the log confirms and whose file is sound, and puts the entries behind it together. So a gap, a lost end or a missing
// snapshot is found as well as a flipped bit. Snapshot files are read to their end.
//
// Reads only, and takes no lock. Beside a running member the end may look torn, as a write is going on, and a file may vanish that the
// member has just released: run it again then.
//
// Exit code 0: sound; a torn tail is, as a start cuts it off and loses nothing that was acknowledged. 1: not; standard error tells where, and
// what to do next.

import path from "node:path";
import { decodeEntry, decodeHardState } from "../raft/index.ts";
import { SnapError } from "../snap/index.ts";
import { parseSnapshotName, type SnapshotPosition, samePosition, snapshotName } from "../snap/names.ts";
import { readSnapshot } from "../snap/read.ts";
import {
  decodeSnapshotRecord,
  type FileSystem,
  type LogItem,
  nodeFileSystem,
  RecordType,
  readRecords,
  replaceThisMember,
  verifyFrom,
  WalError,
} from "../wal/index.ts";
import { fromEnvironment, type Parser, type Run } from "./flags.ts";

const options = {
  "data-dir": { describe: "the member's data directory", type: "string", requiresArg: true, demandOption: true },
} as const;

export function walVerify(parser: Parser, run: Run): Parser {
  return parser.command(
    "verify",
    "check a log, and the snapshots that it confirms; exit code 1 if they are damaged",
    (y) => y.options(options).config(fromEnvironment(options)),
    run(({ dataDir }) => verify(path.join(dataDir, "member"), nodeFileSystem)),
  );
}

/** What is to be told: the report on standard output, what is wrong on standard error. */
interface Findings {
  readonly report: (readonly [what: string, text: string])[];
  readonly problems: string[];
}

async function verify(member: string, fileSystem: FileSystem): Promise<number> {
  const directory = path.join(member, "wal");
  const survey = await surveyOf(fileSystem, directory);
  const { segments, records, lowest, last, commit, end } = survey;
  const report: Findings["report"] = [
    ["log", directory],
    ["segments", String(segments)],
    ["records", String(records)],
    ["entries", last === undefined ? "none" : `${lowest} to ${last.index}, last term ${last.term}`],
    ["commit", String(commit)],
  ];
  const problems: string[] = [];
  const start = await verifySnapshots(fileSystem, path.join(member, "snap"), survey, { report, problems });
  if (end?.kind === "damaged") {
    const { file, offset, reason } = end;
    report.push(["end", `damaged at offset ${offset} of ${path.basename(file)}`]);
    problems.push(`${file}: damaged at offset ${offset}: ${reason}. Nothing after this was read. ${replaceThisMember}`);
  } else {
    report.push(["end", end === undefined ? "clean" : tornText(end)]);
    report.push(["start", start.index === 0 ? "from the first entry" : `from the snapshot of index ${start.index}`]);
    const problem = await verifyStart(fileSystem, directory, start);
    if (problem !== undefined) problems.push(problem);
  }
  report.push(["result", problems.length === 0 ? "sound" : "damaged"]);
  process.stdout.write(report.map(([what, text]) => `${what.padEnd(8)}  ${text}\n`).join(""));
  for (const problem of problems) process.stderr.write(`readyloop: ${problem}\n`);
  return problems.length === 0 ? 0 : 1;
}

const tornText = ({ file, offset, size, reason }: Extract<LogItem, { kind: "torn" }>): string =>
  `torn tail of ${size} bytes from offset ${offset} of ${path.basename(file)} on (${reason}); never acknowledged, and cut off at the next start`;

/** What the first pass finds. */
interface Survey {
  segments: number;
  records: number;
  /** Lowest index of an entry. */
  lowest: number;
  last: { readonly index: number; readonly term: number } | undefined;
  commit: number;
  readonly snapshots: SnapshotPosition[];
  /** What stands where a clean log ends. */
  end: Exclude<LogItem, { kind: "record" }> | undefined;
}

async function surveyOf(fileSystem: FileSystem, directory: string): Promise<Survey> {
  const survey: Survey = {
    segments: 0,
    records: 0,
    lowest: Number.POSITIVE_INFINITY,
    last: undefined,
    commit: 0,
    snapshots: [],
    end: undefined,
  };
  let file = "";
  for await (const item of readRecords(fileSystem, directory)) {
    if (item.file !== file) survey.segments++;
    file = item.file;
    if (item.kind === "record") {
      survey.records++;
      const problem = take(item.record, survey);
      if (problem !== undefined) survey.end = { kind: "damaged", file, offset: item.offset, reason: problem };
    } else survey.end = item;
    if (survey.end !== undefined) break;
  }
  return survey;
}

/** Counts a record in; or says why its contents cannot be read, although its checksum holds. */
function take({ type, data }: Extract<LogItem, { kind: "record" }>["record"], survey: Survey): string | undefined {
  try {
    if (type === RecordType.entry) {
      const { index, term } = decodeEntry(data);
      survey.lowest = Math.min(survey.lowest, index);
      survey.last = { index, term };
    } else if (type === RecordType.state) survey.commit = decodeHardState(data).commit;
    else if (type === RecordType.snapshot) survey.snapshots.push(decodeSnapshotRecord(data));
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Reads the files of the snapshots that the log confirms, and returns the newest sound one: where a start would go on from. */
async function verifySnapshots(
  fileSystem: FileSystem,
  directory: string,
  { snapshots, commit }: Survey,
  { report, problems }: Findings,
): Promise<SnapshotPosition> {
  let start: SnapshotPosition = { index: 0, term: 0 };
  const names = (await fileSystem.list(directory)) ?? [];
  for (const position of names.map(parseSnapshotName).filter((parsed) => parsed !== undefined)) {
    const what = `index ${position.index}, term ${position.term}`;
    if (position.index > commit || !snapshots.some((recorded) => samePosition(recorded, position))) {
      report.push(["snapshot", `${what}: the log does not confirm it, so it is not used`]);
      continue;
    }
    try {
      await readThrough(fileSystem, `${directory}/${snapshotName(position)}`, position);
      start = position; // names are in ascending order
      report.push(["snapshot", `${what}: sound`]);
    } catch (error) {
      if (!(error instanceof SnapError)) throw error;
      report.push(["snapshot", `${what}: damaged`]);
      problems.push(error.message);
    }
  }
  return start;
}

async function readThrough(fileSystem: FileSystem, file: string, position: SnapshotPosition): Promise<void> {
  const open = await fileSystem.open(file, "read");
  try {
    for await (const _ of readSnapshot(open, position));
  } finally {
    await open.close();
  }
}

/** Why the log could not be opened at this snapshot. */
async function verifyStart(
  fileSystem: FileSystem,
  directory: string,
  start: SnapshotPosition,
): Promise<string | undefined> {
  try {
    await verifyFrom(fileSystem, directory, start);
    return undefined;
  } catch (error) {
    if (!(error instanceof WalError)) throw error;
    if (error.code !== "NOT_FOUND") return error.message;
    return (
      `${directory}: does not reach back to its beginning, and there is no sound file of any snapshot that it confirms. If such a file was ` +
      `moved or renamed, put it back. ${replaceThisMember}`
    );
  }
}
