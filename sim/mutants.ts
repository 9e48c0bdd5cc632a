// Bugs, planted one at a time into the parts that a member is made of, to see whether the simulator finds them: a
// simulator that finds none proves nothing. Each is one that real systems have had. They sit in wrappers around the
// parts, or in methods that are exchanged on one object; the product has no switch for them.

import type { File, FileSystem } from "../disk/index.ts";
import { asV2, type ConfChangeV2, confChangeOf, type Entry, MessageType, type RawNode } from "../raft/index.ts";
import type { LogStore, StateMachine } from "../server/interfaces.ts";
import type { Server } from "../server/server.ts";
import type { Mutation } from "./mutation.ts";

export interface Mutant {
  readonly name: string;
  readonly mutation: Mutation;
  /** Some dozen seeds and more go by before it shows. */
  readonly isRare?: boolean;
}

const withSave = (log: LogStore, save: LogStore["save"]): LogStore => ({
  save,
  saveSnapshot: (snapshot) => log.saveSnapshot(snapshot),
  release: (index) => log.release(index),
  close: () => log.close(),
});

/** A log that says it is done before it is: its calls go on one after the other, behind the server's back. */
function early(log: LogStore, isEarly: (entries: number) => boolean): LogStore {
  let running: Promise<void> = Promise.resolve();
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    running = running.then(work);
    return running;
  };
  return {
    save(hardState, entries, mustSync) {
      const done = inTurn(() => log.save(hardState, entries, mustSync));
      return mustSync && isEarly(entries.length) ? Promise.resolve() : done;
    },
    saveSnapshot: (snapshot) => inTurn(() => log.saveSnapshot(snapshot)),
    release: (index) => inTurn(() => log.release(index)),
    close: () => inTurn(() => log.close()),
  };
}

/** The calls of a file system, some of them changed. */
function withCalls(
  real: FileSystem,
  calls: Partial<FileSystem>,
  file: (real: File) => Partial<File> = () => ({}),
): FileSystem {
  return {
    open: async (path, mode) => {
      const opened = await real.open(path, mode);
      const same: File = {
        path: opened.path,
        read: (into, offset) => opened.read(into, offset),
        writeAt: (bytes, offset) => opened.writeAt(bytes, offset),
        datasync: () => opened.datasync(),
        truncate: (size) => opened.truncate(size),
        size: () => opened.size(),
        close: () => opened.close(),
      };
      return { ...same, ...file(opened) };
    },
    rename: (from, to) => real.rename(from, to),
    unlink: (path) => real.unlink(path),
    list: (directory) => real.list(directory),
    makeDirectory: (directory) => real.makeDirectory(directory),
    syncDirectory: (directory) => real.syncDirectory(directory),
    lock: (directory) => real.lock(directory),
    ...calls,
  };
}

/** A leader counts by these acknowledgements in place of those that it got. */
function counting(server: Server, acked: (node: RawNode, id: number) => number, alsoLearners = false): void {
  const { node } = server;
  const { trk } = node.raft;
  trk.committed = () => {
    if (!alsoLearners) return trk.config.voters.committedIndex((id) => acked(node, id));
    const all = [...trk.progress.keys()].map((id) => acked(node, id)).sort((a, b) => b - a);
    return all[all.length >> 1] ?? 0;
  };
}

const matchOf = ({ raft }: RawNode, id: number): number => raft.trk.progress.get(id)?.match ?? 0;

function forgetful(stateMachine: StateMachine): StateMachine {
  let batches = 0;
  return {
    apply: (commands) => (++batches % 50 === 0 ? commands.map(() => undefined) : stateMachine.apply(commands)),
    snapshot: () => stateMachine.snapshot(),
    restore: (chunks) => stateMachine.restore(chunks),
    describe: (command) => stateMachine.describe(command),
  };
}

/** A leader and its followers take a change of the members over when it is appended, committed or not. */
function changeAtAppend({ node }: Server): void {
  const { raftLog } = node.raft;
  const append = raftLog.append.bind(raftLog);
  raftLog.append = (entries: readonly Entry[]) => {
    const last = append(entries);
    for (const e of entries) {
      const cc = confChangeOf(e);
      if (cc !== undefined) applied(node, asV2(cc));
    }
    return last;
  };
}

function applied(node: RawNode, cc: ConfChangeV2): void {
  try {
    node.applyConfChange(cc);
  } catch {
    // It does not fit: the member that applies it says so.
  }
}

/** All rounds of reads have one id, so that a late answer to an earlier one is taken for the answer to a later one. */
function reuseReadId(server: Server): void {
  const { reads } = server as unknown as { readonly reads: object };
  Object.defineProperty(reads, "counter", { get: () => 1, set: () => undefined });
}

/** Deletes the segments that only the older of the two snapshots needs. */
function purgeTooMuch(log: LogStore): LogStore {
  let newest = 0;
  return {
    save: (hardState, entries, mustSync) => log.save(hardState, entries, mustSync),
    saveSnapshot: (snapshot) => {
      newest = snapshot.index;
      return log.saveSnapshot(snapshot);
    },
    release: (index) => log.release(Math.max(index, newest)),
    close: () => log.close(),
  };
}

async function* again(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

export const mutants: readonly Mutant[] = [
  {
    name: "an append is acknowledged before it is synced",
    mutation: { parts: (parts) => ({ ...parts, log: early(parts.log, (entries) => entries > 0) }) },
  },
  {
    name: "a vote is sent before it is synced",
    mutation: { parts: (parts) => ({ ...parts, log: early(parts.log, (entries) => entries === 0) }) },
  },
  {
    name: "a candidate counts its own vote before it is synced",
    mutation: {
      server: ({ node: { raft } }) => {
        const send = raft.send.bind(raft);
        raft.send = (m) => {
          if (m.type === MessageType.MsgVoteResp && m.to === raft.id) raft.trk.recordVote(raft.id, true);
          send(m);
        };
      },
    },
  },
  {
    name: "the vote is forgotten on restart",
    isRare: true,
    mutation: {
      options: (options) => {
        const { recovered } = options;
        if (recovered?.hardState === undefined) return options;
        return { ...options, recovered: { ...recovered, hardState: { ...recovered.hardState, vote: 0 } } };
      },
    },
  },
  {
    name: "an entry of an earlier term is committed by counting",
    mutation: {
      server: (server) => {
        const { raftLog } = server.node.raft;
        const commit = raftLog.maybeCommit.bind(raftLog);
        raftLog.maybeCommit = ({ term, index }) => {
          const found = raftLog.term(index);
          return commit({ term: typeof found === "number" ? found : term, index });
        };
      },
    },
  },
  {
    name: "a leader counts its own entries before they are synced",
    mutation: {
      server: (server) =>
        counting(server, (node, id) => (id === node.raft.id ? node.raft.raftLog.lastIndex() : matchOf(node, id))),
    },
  },
  {
    name: "a learner counts in the quorum",
    isRare: true,
    mutation: { server: (server) => counting(server, matchOf, true) },
  },
  {
    name: "a leader serves reads without asking the others",
    isRare: true,
    mutation: {
      server: (server) => {
        const ask = server.readIndex.bind(server);
        server.readIndex = () =>
          server.node.raft.state === "StateLeader" ? Promise.resolve({ kind: "ready" }) : ask();
      },
    },
  },
  {
    name: "a received snapshot is recorded before its file is written",
    isRare: true,
    mutation: {
      parts: (parts) => {
        const { snapshots } = parts;
        return {
          ...parts,
          snapshots: {
            read: (position) => snapshots.read(position),
            release: (index) => snapshots.release(index),
            save: async (metadata, chunks) => {
              const all: Uint8Array[] = [];
              for await (const chunk of chunks) all.push(chunk.slice());
              snapshots.save(metadata, again(all)).catch(() => undefined);
            },
          },
        };
      },
    },
  },
  {
    name: "a snapshot is renamed without a sync of its directory",
    mutation: {
      fileSystem: (real) =>
        withCalls(real, {
          syncDirectory: (directory) =>
            directory.endsWith("/snap") ? Promise.resolve() : real.syncDirectory(directory),
        }),
    },
  },
  {
    name: "a segment is deleted that the older snapshot needs",
    isRare: true,
    mutation: { log: (log) => purgeTooMuch(log) },
  },
  {
    name: "a failed sync is tried again",
    isRare: true,
    mutation: {
      fileSystem: (real) =>
        withCalls(real, {}, (file) => ({ datasync: () => file.datasync().catch(() => file.datasync()) })),
    },
  },
  {
    name: "a change of the members counts when it is appended",
    isRare: true,
    mutation: { server: changeAtAppend },
  },
  {
    name: "a read id is used again",
    isRare: true,
    mutation: { server: reuseReadId },
  },
  {
    name: "leadership is handed over before the other has the whole log",
    isRare: true,
    mutation: {
      server: ({ node }) => {
        node.transferLeader = (to) => {
          node.raft.leadTransferee = to;
          node.raft.send({ type: MessageType.MsgTimeoutNow, to });
        };
      },
    },
  },
  {
    name: "a write now and then is never answered",
    mutation: {
      server: (server) => {
        const propose = server.propose.bind(server);
        let asked = 0;
        server.propose = (command) => {
          const outcome = propose(command);
          return ++asked % 10 === 0 ? new Promise(() => undefined) : outcome;
        };
      },
    },
  },
  {
    name: "the log is never synced",
    mutation: { log: (log) => withSave(log, (hardState, entries) => log.save(hardState, entries, false)) },
  },
  {
    name: "a restart forgets the members that its snapshot names",
    mutation: {
      options: (options) => {
        const { recovered } = options;
        if (recovered?.snapshot === undefined) return options;
        const confState = { ...recovered.snapshot.confState, voters: [options.id], learners: [] };
        return { ...options, recovered: { ...recovered, snapshot: { ...recovered.snapshot, confState } } };
      },
    },
  },
  {
    name: "a directory with a vote is made anew",
    mutation: { takesForNothing: (found) => found?.snapshot === undefined && (found?.hardState?.vote ?? 0) > 0 },
  },
  {
    name: "a directory with a hard state and nothing else is made anew",
    isRare: true,
    mutation: { takesForNothing: (found) => found?.snapshot === undefined && found?.entries.length === 0 },
  },
  {
    name: "a batch of committed commands is dropped",
    mutation: { parts: (parts) => ({ ...parts, stateMachine: forgetful(parts.stateMachine) }) },
  },
];
