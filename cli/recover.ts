// recover: the majority is lost for ever. One member's directory becomes a new cluster of one; other members are then added to it, fresh.
//
// What it keeps: the newest snapshot and every entry behind it, also those that this member does not know to be committed. One of them may have
// been acknowledged by a leader that is gone, since a follower hears of a commit only afterwards, and to drop it would lose that write for
// certain. One that nobody acknowledged does no harm: whoever asked for it was told that its outcome is unknown. It is what the
// member itself would commit if it were elected.
//
// What may be lost: writes that were acknowledged by a majority which this member was not part of. So of all directories that are left the
// right one is that with the highest last term, and of these the one with the highest last index (readyloop wal verify shows both).
//
// The rest is as in snapshot restore: a new cluster id, so that no old member can ever talk to the new cluster, and a new incarnation.
// `member` is kept beside the new one as member.before-recovery, as it was (but that a start's own repairs were made: a torn end cut
// off, with a copy kept).

import path from "node:path";
import { KvMap } from "../kvstore/index.ts";
import { type Entry, EntryType } from "../raft/index.ts";
import { decodeEnvelope } from "../server/envelope.ts";
import { splitSnapshot } from "../server/snapshot-header.ts";
import { nodeFileSystem } from "../wal/index.ts";
import { drawClusterId } from "./cluster-id.ts";
import { confirm } from "./confirm.ts";
import { type DataDirectory, openDataDirectory } from "./data-directory.ts";
import { fromEnvironment, integer, originOf, type Parser, type Run } from "./flags.ts";
import { makeLogger, textLogger } from "./logger.ts";
import { adoptMember, buildMember, startLine } from "./new-cluster.ts";

const yesFlag = "yes-i-know-that-acknowledged-writes-may-be-lost";

const options = {
  "data-dir": { describe: "the member's data directory", type: "string", requiresArg: true, demandOption: true },
  id: { describe: "the member's id", demandOption: true, coerce: integer("id", 1, Number.MAX_SAFE_INTEGER) },
  "peer-url": {
    describe: "where others will reach it: http://host:port",
    type: "string",
    demandOption: true,
    coerce: originOf,
  },
  [yesFlag]: { describe: "do not ask", type: "boolean", default: false },
} as const;

interface RecoverFlags {
  readonly dataDir: string;
  readonly id: number;
  readonly peerUrl: string;
  readonly yesIKnowThatAcknowledgedWritesMayBeLost: boolean;
}

export function recover(parser: Parser, run: Run): Parser {
  return parser.command(
    "recover",
    "make one member's directory a new cluster, when the majority is lost for ever",
    (y) => y.options(options).config(fromEnvironment({ "data-dir": undefined, id: undefined, "peer-url": undefined })),
    run(recoverMember),
  );
}

/** What the new cluster begins with. */
interface State {
  readonly map: KvMap;
  readonly index: number;
  readonly term: number;
  readonly commit: number;
}

async function recoverMember(flags: RecoverFlags): Promise<number> {
  const { id, peerUrl } = flags;
  const dataDir = path.resolve(flags.dataDir);
  await refuseWithoutLog(dataDir);
  // Opened as for a start, so that nobody else can, and what a start would refuse is refused.
  const directory = await openDataDirectory({
    fileSystem: nodeFileSystem,
    path: dataDir,
    id,
    logger: textLogger(makeLogger("warn", "auto")),
  });
  const peers = [{ id, url: peerUrl }];
  const clusterId = drawClusterId();
  let state: State;
  try {
    state = await stateOf(dataDir, directory);
    process.stderr.write(warning(id, state));
    const sure = flags.yesIKnowThatAcknowledgedWritesMayBeLost;
    if (!sure && !(await confirm(`Type the member's id (${id}) to go on: `, [String(id)], `--${yesFlag}`))) {
      process.stderr.write("readyloop: nothing was changed\n");
      return 1;
    }
    await buildMember({ dataDir, id, clusterId, peers, position: state }, state.map.snapshot());
  } finally {
    await directory.log?.wal.close();
    await directory.snapshots.close();
  }
  const kept = await freeName(dataDir);
  await nodeFileSystem.rename(path.join(dataDir, "member"), path.join(dataDir, kept));
  await adoptMember(dataDir);
  process.stdout.write(
    `member ${id} is the new cluster ${clusterId}: ${state.map.size} keys, as of index ${state.index}\n` +
      `What it was is kept in ${path.join(dataDir, kept)}. Start it with\n` +
      `  ${startLine(id, flags.dataDir, peers)}\n` +
      "and add the others with readyloop members add --learner, each with an empty data directory. Never start an old one with its old data.\n",
  );
  return 0;
}

async function refuseWithoutLog(dataDir: string): Promise<void> {
  const names = (await nodeFileSystem.list(path.join(dataDir, "member", "wal"))) ?? [];
  if (names.some((name) => name.endsWith(".wal"))) return;
  const kept = ((await nodeFileSystem.list(dataDir)) ?? []).findLast((name) => name.startsWith(keptName));
  const hint =
    kept === undefined
      ? "is --data-dir the one that the member was started with?"
      : `a recovery was cut short at its last step: rename ${kept} to member, and run this again`;
  throw new Error(`${dataDir} holds no member's log: ${hint}`);
}

async function stateOf(dataDir: string, { snapshots, log }: DataDirectory): Promise<State> {
  const recovered = log?.recovered;
  const last = recovered?.entries.at(-1) ?? recovered?.snapshot;
  if (recovered === undefined || last === undefined) {
    throw new Error(`${dataDir}: this member has never taken part in anything: there is nothing to recover`);
  }
  const { snapshot, entries, hardState } = recovered;
  const map = new KvMap();
  if (snapshot !== undefined) await map.restore((await splitSnapshot(snapshots.read(snapshot))).rest);
  for (const entry of entries) applyTo(map, entry);
  return { map, index: last.index, term: last.term, commit: hardState?.commit ?? 0 };
}

/** Commands alone: who the members are is not taken from the log. */
function applyTo(map: KvMap, { type, data }: Entry): void {
  if ((type ?? EntryType.EntryNormal) !== EntryType.EntryNormal || data === undefined) return;
  const envelope = decodeEnvelope(data);
  if (envelope?.kind === "command") map.apply([envelope.body]);
}

const warning = (id: number, { index, term, commit, map }: State): string =>
  `
  THIS CAN LOSE WRITES THAT WERE ACKNOWLEDGED.

  Member ${id} becomes a new cluster of its own. It holds ${map.size} keys; its log ends at index ${index}, term ${term}, and it knew of a commit
  up to ${commit}. Whatever the others have acknowledged without it is lost.

  - Only go on if a majority of the members can never come back. If one can, start it instead: then nothing is lost.
  - Of the directories that are left, take the one with the highest last term, then the highest last index: readyloop wal verify.
  - See that no old member runs, or ever starts again, with its old data.

`;

const keptName = "member.before-recovery";

async function freeName(dataDir: string): Promise<string> {
  const taken = new Set(await nodeFileSystem.list(dataDir));
  let free = keptName;
  for (let n = 2; taken.has(free); n++) free = `${keptName}.${n}`;
  return free;
}
