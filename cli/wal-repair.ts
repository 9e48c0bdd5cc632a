// wal repair: cuts off a torn tail, by hand and after a question; a start would do the same without one.
//
// A torn tail is the end of a write that a power cut caught before its fsync. It was never acknowledged, so nothing is lost with it. See
// wal/index.ts for what opening the log then does; a copy of the file stays beside it, under the name that the command prints.
//
// Promises: it refuses any other damage. Bytes that were known to be durable and do not verify are promises that this member has made and
// cannot keep, and no tool can restore them: the member has to be replaced. The command changes nothing unless it says so, and nothing
// while a member has the log open.
//
// Exit code 0: the log ends cleanly now, or did before. 1: it was left as it is.

import path from "node:path";
import { toggle } from "../command-line/flags.ts";
import { text } from "../command-line/kinds.ts";
import { nodeFileSystem } from "../disk/index.ts";
import { type LogItem, readRecords, refusal, validSnapshots, Wal } from "../wal/index.ts";
import { command } from "./command.ts";
import { confirm } from "./confirm.ts";

const fileSystem = nodeFileSystem;

export const walRepair = command({
  name: "repair",
  describe: "cut off an end that was never completely written; keeps a copy",
  about:
    "Cuts off the end of a log where a power cut has left a write half done, as the member's next start would do by itself; asks first, and keeps a " +
    "copy of the file. Nothing that was acknowledged is lost. A log that is damaged in any other way is left as it is: that member has to be " +
    "replaced. Exit code 0: the log ends cleanly; 1: it was left as it is, and why.",
  flags: {
    "data-dir": { kind: text, describe: "the member's data directory", required: true },
    yes: { ...toggle("do not ask"), environment: false },
  },
  run: ({ dataDir, yes }) => repair(path.join(dataDir, "member", "wal"), yes),
});

async function repair(directory: string, yes: boolean): Promise<number> {
  const end = await endOf(directory);
  if (end === undefined) {
    process.stdout.write(`${directory}: the log ends cleanly: there is nothing to repair\n`);
    return 0;
  }
  const { file, offset, reason } = end;
  if (end.kind === "damaged") {
    process.stderr.write(`readyloop: this cannot be repaired, and nothing was changed. ${refusal(end).message}\n`);
    return 1;
  }
  process.stdout.write(
    `${file}: ${end.size} bytes from offset ${offset} on are no sound record (${reason}). They were never known to be durable, so no ` +
      "write in them was acknowledged.\n",
  );
  if (!yes && !(await confirm("Cut them off, and keep a copy of the file? (y/N) ", ["y", "yes"], "--yes"))) {
    process.stderr.write("readyloop: nothing was changed\n");
    return 1;
  }
  return cut(directory);
}

/** Undefined for a clean end. Rejects with LOCKED if a member has the log open: its last bytes may be a write half done. */
async function endOf(directory: string): Promise<Exclude<LogItem, { kind: "record" }> | undefined> {
  if ((await fileSystem.list(directory)) === undefined) {
    throw new Error(`${directory}: there is no log: is --data-dir the one that the member was started with?`);
  }
  const lock = await fileSystem.lock(directory);
  try {
    for await (const item of readRecords(fileSystem, directory)) if (item.kind !== "record") return item;
    return undefined;
  } finally {
    await lock.release();
  }
}

/** Opens the log as a start would, which does the work, and closes it again. */
async function cut(directory: string): Promise<number> {
  const startAt = (await validSnapshots(fileSystem, directory)).at(-1);
  const { wal, recovered } = await Wal.open({ fileSystem, directory, startAt });
  await wal.close();
  const { repaired } = recovered;
  if (repaired === undefined) throw new Error(`${directory}: the log has changed meanwhile: run wal verify`);
  const { file, offset, backup } = repaired;
  process.stdout.write(`${file}: ends at offset ${offset} now; a copy of the file as it was is ${backup}\n`);
  return 0;
}
