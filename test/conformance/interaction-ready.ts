// Commands that do a node's work: process-ready, process-append-thread, process-apply-thread.
//
// Without asynchronous storage writes one process-ready is a whole round: storage, state machine, messages, advance.
// With them it only hands out work: MsgStorageAppend and MsgStorageApply wait for their thread's command, and their
// responses travel like any other message once the work is done.
//
// Ports interaction_env_handler_process_ready.go and its two thread siblings. Messages are values here, so the one that
// a thread prints without its responses is a copy.

import { describeMessage, describeReady, isEmptyHardState, isEmptySnap, isLocalMsgTarget } from "../../raft/index.ts";
import {
  type ConfState,
  confChangeOf,
  type Entry,
  type HardState,
  type Message,
  MessageType,
  makeHardState,
  makeSnapshot,
  messageTypeName,
  type Snapshot,
} from "../../raft/raftpb/index.ts";
import { nodeNumbers } from "./arguments.ts";
import type { CommandHandler, InteractionEnv, ScriptNode } from "./interaction-env.ts";

type Work = (env: InteractionEnv, node: ScriptNode) => Error | undefined;

/** A command that does the same work on one node, or on several under a heading for each. */
function onEachNode(heading: string, work: Work): CommandHandler {
  return (env, command) => {
    const ids = nodeNumbers(command);
    for (const id of ids) {
      if (ids.length > 1) env.output.write(`> ${id} ${heading}\n`);
      const failed = ids.length > 1 ? env.output.indented(() => work(env, env.node(id))) : work(env, env.node(id));
      if (failed !== undefined) return failed;
    }
    return undefined;
  };
}

/** Takes the node's next Ready, and without asynchronous storage writes sees it through. */
export const handleReady: Work = (env, node) => {
  const async = node.config.asyncStorageWrites === true;
  const ready = node.raft.ready();
  env.output.write(describeReady(ready));
  if (!async) {
    const failed =
      saveToStorage(node, ready.hardState, ready.entries, ready.snapshot) ?? applyEntries(node, ready.committedEntries);
    if (failed !== undefined) return failed;
  }
  for (const m of ready.messages) {
    if (!isLocalMsgTarget(m.to)) env.messages.push(m);
    else if (async && m.type === MessageType.MsgStorageAppend) node.appendWork.push(m);
    else if (async && m.type === MessageType.MsgStorageApply) node.applyWork.push(m);
    else throw new Error(`unexpected message to a storage thread: ${messageTypeName(m.type)}`);
  }
  if (!async) node.raft.advance();
  return undefined;
};

/** Does the oldest task of the append thread. */
export const runAppendThread: Work = (env, node) => {
  return runThread(env, "no append work to perform", node.appendWork.shift(), (task) =>
    saveToStorage(node, makeHardState(task.term, task.vote, task.commit), task.entries, task.snapshot),
  );
};

/** Does the oldest task of the apply thread. */
export const runApplyThread: Work = (env, node) => {
  return runThread(env, "no apply work to perform", node.applyWork.shift(), (task) => applyEntries(node, task.entries));
};

export const processReady = onEachNode("handling Ready", handleReady);
export const processAppendThread = onEachNode("processing append thread", runAppendThread);
export const processApplyThread = onEachNode("processing apply thread", runApplyThread);

function runThread(
  env: InteractionEnv,
  idle: string,
  task: Message | undefined,
  work: (task: Message) => Error | undefined,
): Error | undefined {
  if (task === undefined) {
    env.output.write(idle);
    return undefined;
  }
  env.output.write(`Processing:\n${describeMessage({ ...task, responses: [] })}\n`);
  const failed = work(task);
  if (failed !== undefined) return failed;
  env.output.write(`Responses:\n${task.responses.map((m) => `${describeMessage(m)}\n`).join("")}`);
  env.messages.push(...task.responses);
  return undefined;
}

function saveToStorage(
  { storage }: ScriptNode,
  hardState: HardState | undefined,
  entries: readonly Entry[],
  snapshot: Snapshot | undefined,
): Error | undefined {
  if (hardState !== undefined && !isEmptyHardState(hardState)) storage.setHardState(hardState);
  if (snapshot !== undefined && !isEmptySnap(snapshot)) {
    if (entries.length > 0) return new Error("can't apply snapshot and entries at the same time");
    return storage.applySnapshot(snapshot);
  }
  storage.append(entries);
  return undefined;
}

function applyEntries(node: ScriptNode, entries: readonly Entry[]): Error | undefined {
  const { history } = node.storage;
  for (const entry of entries) {
    const { data, metadata } = history.at(-1) as Snapshot;
    let confState: ConfState = metadata.confState;
    let update = entry.data;
    const change = confChangeOf(entry);
    if (change !== undefined) {
      confState = node.raft.applyConfChange(change);
      update = change.context;
    }
    history.push(makeSnapshot(entry.index, entry.term, confState, concat(data, update)));
  }
  return undefined;
}

function concat(a: Uint8Array | undefined, b: Uint8Array | undefined): Uint8Array | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
