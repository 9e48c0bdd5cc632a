// wal verify: is a member's log sound, and could the member start from it?
//
// First the snapshot files are read to their end. Then every record of every segment is read, and checksums and chain are checked; on the way
// the entries are put together as a start does it, behind the newest snapshot that the log confirms and whose file is sound. So a gap, a
// lost end or a missing snapshot is found as well as a flipped bit. Which snapshots the log confirms shows at its end only: if the newest sound
// file is not one of them, which a crash may have left, the log is read once more, behind another.
//
// Reads only, and takes no lock. Beside a running member the end may look torn, as a write is going on, and a file may vanish that the
// member has just released: run it again then.
//
// Exit code 0: sound; a torn tail is, as a start cuts it off and loses nothing that was acknowledged. 1: not; standard error tells where, and
// what to do next.

import path from "node:path";
import { text } from "../command-line/kinds.ts";
import { type FileSystem, nodeFileSystem } from "../disk/index.ts";
import { decodeEntry, decodeHardState } from "../raft/index.ts";
import { SnapError } from "../snap/index.ts";
import { parseSnapshotName, type SnapshotPosition, samePosition } from "../snap/names.ts";
import { readSnapshot } from "../snap/read.ts";
import {
  decodeSnapshotRecord,
  endText,
  type LogItem,
  RecordType,
  readRecords,
  refusal,
  replaceThisMember,
  WalError,
} from "../wal/index.ts";
import { listSegments, segmentsFrom } from "../wal/names.ts";
import { ReadAll } from "../wal/read-all.ts";
import { command } from "./command.ts";

export const walVerify = command({
  name: "verify",
  describe: "check a log, and the snapshots that it confirms; exit code 1 if they are damaged",
  about:
    "Reads all of a member's log and its snapshots: is every checksum right, and could the member start from them? Prints how far it " +
    "reaches. Changes nothing, and may run beside the member. Exit code 0: sound; 1: damaged, and how.",
  flags: { "data-dir": { kind: text, describe: "the member's data directory", required: true } },
  run: ({ dataDir }) => verify(path.join(dataDir, "member"), nodeFileSystem),
});

/** The report for standard output, and the problems for standard error. */
interface Findings {
  readonly report: (readonly [what: string, text: string])[];
  readonly problems: string[];
}

async function verify(member: string, fileSystem: FileSystem): Promise<number> {
  const directory = path.join(member, "wal");
  const files = await readSnapshots(fileSystem, path.join(member, "snap"));
  const newest = files.findLast(({ problem }) => problem === undefined)?.position ?? { index: 0, term: 0 };
  const trial = await tryStart(fileSystem, directory, newest);
  const survey = await surveyOf(fileSystem, directory, trial);
  const { segments, records, lowest, last, commit, end } = survey;
  const report: Findings["report"] = [
    ["log", directory],
    ["segments", String(segments)],
    ["records", String(records)],
    ["entries", last === undefined ? "none" : `${lowest} to ${last.index}, last term ${last.term}`],
    ["commit", String(commit)],
  ];
  const problems: string[] = [];
  const start = reportSnapshots(files, survey, { report, problems });
  if (end?.kind === "damaged") {
    report.push(["end", `${endText(end)} in ${path.basename(end.file)}`]);
    problems.push(`${refusal(end).message} Nothing after this was read.`);
  } else {
    report.push(["end", end === undefined ? "clean" : tornText(end)]);
    report.push(["start", start.index === 0 ? "from the first entry" : `from the snapshot of index ${start.index}`]);
    const used = samePosition(start, newest) ? trial : await readAgain(fileSystem, directory, start);
    const problem = used.finish();
    const { index, term } = used.last();
    const isWhole = problem === undefined || problem.code === "LOST_TAIL";
    if (isWhole) report.push(["reaches", index === 0 ? "nothing" : `index ${index}, term ${term}`]);
    if (problem !== undefined) problems.push(startProblem(directory, problem));
  }
  const isOnlyForeign = end?.kind === "damaged" && end.isForeign === true && problems.length === 1;
  const bad = isOnlyForeign ? "sound, and another program's" : "damaged";
  report.push(["result", problems.length === 0 ? "sound" : bad]);
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

async function surveyOf(fileSystem: FileSystem, directory: string, trial: Trial): Promise<Survey> {
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
      else trial.add(item);
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

/** A start that is tried while the log is read. */
interface Trial {
  add(item: Extract<LogItem, { kind: "record" }>): void;
  /** After the last record: why the log could not be opened like this. */
  finish(): WalError | undefined;
  /** How far the member would be then: of several members, the one with the highest term, then the highest index, has the most. */
  last(): SnapshotPosition;
}

/** For records that are read anyway; verifyFrom (wal/inspect.ts) reads them itself. */
async function tryStart(fileSystem: FileSystem, directory: string, start: SnapshotPosition): Promise<Trial> {
  const all = new ReadAll(start, "without data");
  let first = "";
  let problem: WalError | undefined;
  const segments = await listSegments(fileSystem, directory);
  let isNeeded = false;
  const attempt = (work: () => void): void => {
    if (problem !== undefined) return;
    try {
      work();
    } catch (error) {
      if (!(error instanceof WalError)) throw error;
      problem = error;
    }
  };
  attempt(() => {
    first = segmentsFrom(segments, start.index, directory)[0]?.name ?? "";
  });
  return {
    add: ({ record, file, offset }) => {
      isNeeded ||= path.basename(file) === first;
      if (isNeeded) attempt(() => all.add(record, file, offset));
    },
    finish: () => {
      attempt(() => all.finish(directory));
      return problem;
    },
    last: () => all.entries.at(-1) ?? start,
  };
}

async function readAgain(fileSystem: FileSystem, directory: string, start: SnapshotPosition): Promise<Trial> {
  const trial = await tryStart(fileSystem, directory, start);
  for await (const item of readRecords(fileSystem, directory)) if (item.kind === "record") trial.add(item);
  return trial;
}

interface SnapshotFile {
  readonly position: SnapshotPosition;
  /** Why it cannot be used. */
  readonly problem: string | undefined;
}

/** All files of snapshots, from the oldest to the newest, each read to its end. */
async function readSnapshots(fileSystem: FileSystem, directory: string): Promise<SnapshotFile[]> {
  const files: SnapshotFile[] = [];
  for (const name of (await fileSystem.list(directory)) ?? []) {
    const position = parseSnapshotName(name);
    if (position === undefined) continue;
    let problem: string | undefined;
    try {
      await readThrough(fileSystem, `${directory}/${name}`, position);
    } catch (error) {
      if (!(error instanceof SnapError)) throw error;
      problem = error.message;
    }
    files.push({ position, problem });
  }
  return files;
}

/** Returns the newest sound one that the log confirms: where a start would go on from. */
function reportSnapshots(
  files: readonly SnapshotFile[],
  { snapshots, commit }: Survey,
  { report, problems }: Findings,
): SnapshotPosition {
  let start: SnapshotPosition = { index: 0, term: 0 };
  for (const { position, problem } of files) {
    const what = `index ${position.index}, term ${position.term}`;
    if (position.index > commit || !snapshots.some((recorded) => samePosition(recorded, position))) {
      report.push(["snapshot", `${what}: the log does not confirm it, so it is not used`]);
    } else if (problem === undefined) {
      start = position;
      report.push(["snapshot", `${what}: sound`]);
    } else {
      report.push(["snapshot", `${what}: damaged`]);
      problems.push(problem);
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

function startProblem(directory: string, { code, message }: WalError): string {
  if (code !== "NOT_FOUND") return message;
  return (
    `${directory}: does not reach back to its beginning, and there is no sound file of any snapshot that it confirms. If such a file was ` +
    `moved or renamed, put it back. ${replaceThisMember}`
  );
}
