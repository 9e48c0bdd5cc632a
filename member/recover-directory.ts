// What recover does to a data directory, in this order, each step durable before the next:
//
//     member.new is built              the old member is there, as it was
//     member -> member.before-recovery neither is there under its name; both are complete
//     member.new -> member             the new member is there
//
// A crash in between leaves one of these three. In the first and the last a start finds a whole member; in the second it says that a recovery
// was cut short. Whatever was left, running recover again is right: it puts the old member back first, and begins anew.
//
// The state is the newest snapshot and every entry after it (recover.ts says why). The directory is opened as a start opens it: recover
// refuses what a start refuses, and no other process can open the directory meanwhile. A flag overrules one refusal: a log that lost its
// end is sound as far as it goes, and may be all that is left.

import path from "node:path";
import type { PeerFlag } from "../cli/flags.ts";
import { hint } from "../cli/program.ts";
import type { FileSystem } from "../disk/index.ts";
import { KvMap } from "../kvstore/index.ts";
import { type Entry, isNormal, type Logger } from "../raft/index.ts";
import { decodeEnvelope } from "../server/envelope.ts";
import type { Recovered } from "../server/interfaces.ts";
import { splitSnapshot } from "../server/snapshot-header.ts";
import { Snapshotter, snapshotName } from "../snap/index.ts";
import { readRecords, validSnapshots, WalError } from "../wal/index.ts";
import { ReadAll } from "../wal/read-all.ts";
import { openDataDirectory } from "./data-directory.ts";
import { adoptMember, buildMember, unfinishedName } from "./new-directory.ts";

/** The flag behind acceptLostTail. */
export const acceptFlag = "accept-that-acknowledged-writes-are-lost";

export interface Recovery {
  readonly fileSystem: FileSystem;
  readonly dataDir: string;
  /** The member as the only one of the new cluster. */
  readonly peer: PeerFlag;
  readonly clusterId: number;
  readonly incarnation: number;
  /** Goes on where acknowledged entries are missing at the log's end. */
  readonly acceptLostTail: boolean;
  readonly logger: Logger;
  /** Called before anything is made. The repairs of a start are done by then: a torn tail is cut off, a copy kept. */
  readonly isSure: (state: State) => Promise<boolean>;
  /** Of both logs; as they have it, if not given. */
  readonly segmentBytes?: number | undefined;
  /** For the new log's salts; node:crypto's unless given. */
  readonly random?: ((n: number) => number) | undefined;
}

/** What the new cluster begins with. */
export interface State {
  readonly map: KvMap;
  readonly index: number;
  readonly term: number;
  /** Beyond the index if the end of the log was lost. */
  readonly commit: number;
  /** Paths of snapshots that reach further, and that the log does not know of: a leader was sending them. Perhaps they are whole. */
  readonly further: readonly string[];
}

/** The old member's log: read, and locked until it is closed. */
interface OldMember {
  readonly snapshots: Snapshotter;
  readonly recovered: Recovered | undefined;
  close(): Promise<void>;
}

/** Resolves to what there is now, and the name under which the old member is kept; undefined if the answer was no. */
export async function recoverDirectory(recovery: Recovery): Promise<{ state: State; kept: string } | undefined> {
  const { fileSystem, dataDir, peer, clusterId, incarnation, isSure, segmentBytes, random } = recovery;
  await putBack(recovery);
  const old = await openOld(recovery);
  let state: State;
  try {
    state = await stateOf(dataDir, old);
    if (!(await isSure(state))) return undefined;
    const log = { fileSystem, clusterId, incarnation, segmentBytes, random };
    await buildMember({ ...log, dataDir, id: peer.id, peers: [peer], position: state }, state.map.snapshot());
  } finally {
    await old.close();
  }
  const kept = keptAs(lastKept((await fileSystem.list(dataDir)) ?? []) + 1);
  await fileSystem.rename(path.join(dataDir, "member"), path.join(dataDir, kept));
  // Sync between the renames: a power cut may keep the second alone, and the new member would replace the old one.
  await fileSystem.syncDirectory(dataDir);
  await adoptMember(fileSystem, dataDir);
  return { state, kept };
}

/** Undoes the first rename of a recovery that got no further; refuses where there is no log. */
async function putBack({ fileSystem, dataDir, logger }: Recovery): Promise<void> {
  const names = (await fileSystem.list(dataDir)) ?? [];
  const last = lastKept(names);
  if (!names.includes("member") && names.includes(unfinishedName) && last > 0) {
    logger.warning?.(`a recovery was cut short: ${keptAs(last)} is member again`);
    await fileSystem.rename(path.join(dataDir, keptAs(last)), path.join(dataDir, "member"));
    await fileSystem.syncDirectory(dataDir);
  }
  const segments = (await fileSystem.list(path.join(dataDir, "member", "wal"))) ?? [];
  if (segments.some((name) => name.endsWith(".wal"))) return;
  const hint = last === 0 ? "" : ` The member as it was before a recovery is in ${keptAs(last)}`;
  throw new Error(`${dataDir} holds no member's log: is --data-dir the one that the member was started with?${hint}`);
}

async function openOld(recovery: Recovery): Promise<OldMember> {
  const { fileSystem, dataDir, peer, logger, acceptLostTail, segmentBytes } = recovery;
  try {
    const { snapshots, log } = await openDataDirectory({
      fileSystem,
      path: dataDir,
      id: peer.id,
      logger,
      segmentBytes,
    });
    const close = async (): Promise<void> => {
      try {
        await log?.wal.close();
      } finally {
        await snapshots.close();
      }
    };
    return { snapshots, recovered: log?.recovered, close };
  } catch (error) {
    if (!(error instanceof WalError && error.code === "LOST_TAIL")) throw error;
    if (acceptLostTail) return openWithoutEnd(recovery);
    throw new Error(`${error.message} ${insteadOfLostTail}`, { cause: error });
  }
}

/** Reads what is left of a log that opening refused because its end is lost, and for no other reason. The log stays as it is. */
async function openWithoutEnd({ fileSystem, dataDir, logger }: Recovery): Promise<OldMember> {
  const directory = path.join(dataDir, "member", "wal");
  // A start takes this lock first.
  const snapshots = await Snapshotter.open({ fileSystem, directory: path.join(dataDir, "member", "snap"), logger });
  try {
    const snapshot = await snapshots.newest(await validSnapshots(fileSystem, directory));
    const all = new ReadAll(snapshot ?? { index: 0, term: 0 });
    for await (const item of readRecords(fileSystem, directory, snapshot?.index ?? 0)) {
      if (item.kind === "record") all.add(item.record, item.file, item.offset);
    }
    try {
      all.finish(directory);
    } catch (error) {
      if (!(error instanceof WalError && error.code === "LOST_TAIL")) throw error;
    }
    const { hardState, entries } = all;
    return { snapshots, recovered: { snapshot, hardState, entries }, close: () => snapshots.close() };
  } catch (error) {
    await snapshots.close();
    throw error;
  }
}

async function stateOf(dataDir: string, { snapshots, recovered }: OldMember): Promise<State> {
  const last = recovered?.entries.at(-1) ?? recovered?.snapshot;
  if (recovered === undefined || last === undefined) {
    throw new Error(`${dataDir} holds neither an entry nor a snapshot: there is nothing to recover`);
  }
  const { snapshot, entries, hardState } = recovered;
  const further = (await snapshots.list()).filter(({ index }) => index > last.index).map(snapshotName);
  const map = new KvMap();
  if (snapshot !== undefined) await map.restore((await splitSnapshot(snapshots.read(snapshot))).rest);
  for (const entry of entries) applyTo(map, entry);
  const { index, term } = last;
  const paths = further.map((name) => path.join(dataDir, "member", "snap", name));
  return { map, index, term, commit: hardState?.commit ?? 0, further: paths };
}

/** Commands alone: who the members are is not taken from the log. */
function applyTo(map: KvMap, entry: Entry): void {
  if (!isNormal(entry) || entry.data === undefined) return;
  const envelope = decodeEnvelope(entry.data);
  if (envelope?.kind === "command") map.apply([envelope.body]);
}

const insteadOfLostTail =
  `Or recover from the directory of another member, if one is left: ${hint("wal verify")} shows how far each reaches. If this one is all that is ` +
  `left, --${acceptFlag} goes on without the lost entries.`;

const keptName = "member.before-recovery";

const keptAs = (number: number): string => (number === 1 ? keptName : `${keptName}.${number}`);

/** The number of the last recovery that was made here; 0 if there is none. */
function lastKept(names: readonly string[]): number {
  const numberOf = (name: string): number =>
    name === keptName ? 1 : Number(/^member\.before-recovery\.(\d+)$/.exec(name)?.[1] ?? 0);
  return Math.max(0, ...names.map(numberOf));
}
