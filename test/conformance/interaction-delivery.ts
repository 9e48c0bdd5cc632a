// Commands that move messages: deliver-msgs, and stabilize, which does all there is to do until nothing is left.
//
// A message is printed before the node takes it, so what the node makes of it stands below. Messages to one node keep
// their order. What a node tells itself, or its storage threads tell it, is never dropped: raft may rely on it.
//
// Ports interaction_env_handler_deliver_msgs.go and interaction_env_handler_stabilize.go.

import { describeMessage, isLocalMsgTarget } from "../../raft/index.ts";
import { type Message, MessageType } from "../../raft/raftpb/index.ts";
import { must, nodeNumbers, pairs, parseUint, ScriptError } from "./arguments.ts";
import type { CommandHandler, InteractionEnv, ScriptNode } from "./interaction-env.ts";
import { handleReady, runAppendThread, runApplyThread } from "./interaction-ready.ts";

interface Recipient {
  readonly id: number;
  readonly drop: boolean;
}

/** deliver-msgs [ID ..] [drop=(ID ..)] [type=MsgX] */
export const deliverMsgs: CommandHandler = (env, command) => {
  const recipients: Recipient[] = [];
  let type: MessageType | undefined;
  for (const { key, values } of command.args) {
    if (values.length === 0) recipients.push({ id: must(parseUint(key)), drop: false });
    for (const value of values) {
      if (key === "drop") recipients.push(dropped(must(parseUint(value)), recipients));
      else if (key === "type") type = messageType(value);
    }
  }
  const count = recipients.reduce((sum, recipient) => sum + deliver(env, recipient, type), 0);
  if (count === 0) env.output.write("no messages\n");
  return undefined;
};

function dropped(id: number, others: readonly Recipient[]): Recipient {
  if (others.some((r) => r.id === id)) throw new ScriptError(`can't both deliver and drop msgs to ${id}`);
  return { id, drop: true };
}

function messageType(name: string): MessageType {
  const type = Object.entries(MessageType).find(([known]) => known === name)?.[1];
  if (type === undefined) throw new ScriptError(`unknown message type ${name}`);
  return type;
}

/**
 * Delivers or drops the messages in flight to this recipient, of this type if one is given. Returns how many they were.
 */
function deliver(env: InteractionEnv, { id, drop }: Recipient, type?: MessageType): number {
  const taken = env.messages.filter((m) => isFor(m, id, drop, type));
  env.messages = env.messages.filter((m) => !isFor(m, id, drop, type));
  for (const m of taken) {
    env.output.write(`${drop ? "dropped: " : ""}${describeMessage(m)}\n`);
    if (drop) continue; // also to a node that the script has not added yet
    const refused = env.node(id).raft.step(m);
    if (refused !== undefined) env.output.write(`${refused.message}\n`);
  }
  return taken.length;
}

function isFor(m: Message, id: number, drop: boolean, type: MessageType | undefined): boolean {
  return m.to === id && !(drop && isLocal(m)) && (type === undefined || m.type === type);
}

function isLocal(m: Message): boolean {
  return m.from === m.to || isLocalMsgTarget(m.from) || isLocalMsgTarget(m.to);
}

/** stabilize [ID ..] [log-level=L]: the level holds for this command only. */
export const stabilize: CommandHandler = (env, command) => {
  const ids = nodeNumbers(command);
  const levels = pairs(command).filter(({ key }) => key === "log-level");
  const before = env.output.level;
  try {
    for (const { value } of levels) {
      const failed = env.output.setLevel(value);
      if (failed !== undefined) return failed;
    }
    return runUntilQuiet(env, ids.length === 0 ? [...env.nodes] : ids.map((id) => env.node(id)));
  } finally {
    env.output.level = before;
  }
};

function runUntilQuiet(env: InteractionEnv, nodes: readonly ScriptNode[]): Error | undefined {
  const { output } = env;
  for (let busy = true; busy; ) {
    busy = false;
    for (const node of nodes) {
      if (!node.raft.hasReady()) continue;
      busy = true;
      output.write(`> ${node.id} handling Ready\n`);
      const failed = output.indented(() => handleReady(env, node));
      if (failed !== undefined) return failed;
    }
    for (const { id } of nodes) {
      if (!env.messages.some((m) => m.to === id)) continue;
      busy = true;
      output.write(`> ${id} receiving messages\n`);
      output.indented(() => deliver(env, { id, drop: false }));
    }
    for (const node of nodes) {
      if (node.appendWork.length === 0) continue;
      busy = true;
      output.write(`> ${node.id} processing append thread\n`);
      while (node.appendWork.length > 0) {
        const failed = output.indented(() => runAppendThread(env, node));
        if (failed !== undefined) return failed;
      }
    }
    for (const node of nodes) {
      if (node.applyWork.length === 0) continue;
      busy = true;
      output.write(`> ${node.id} processing apply thread\n`);
      while (node.applyWork.length > 0) output.indented(() => runApplyThread(env, node));
    }
  }
  return undefined;
}
