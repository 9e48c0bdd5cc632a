// Commands that make nodes: add-nodes, set-config, restart.
//
// A node starts from a snapshot at an index above 1 (term 1) if its command names voters, learners or an index, else
// with nothing. Nodes of one add-nodes share that snapshot. Limits are off and timeouts short unless the script sets
// them.
//
// Ports interaction_env_handler_add_nodes.go. set-config and restart are not in etcd's runner; they reach what its
// commands cannot: size limits, and what a node makes of its storage when it comes back.

import { type Config, isLocalMsgTarget, noLimit, RawNode } from "../../raft/index.ts";
import { makeConfState, makeSnapshot } from "../../raft/raftpb/index.ts";
import { firstNumber, must, pairs, parseBool, parseInteger, parseUint, ScriptError } from "./arguments.ts";
import type { Command } from "./datadriven.ts";
import { type CommandHandler, HistoryStorage, type InteractionEnv } from "./interaction-env.ts";

/** A configuration but for the node's own id, storage and logger. */
type Template = Omit<Config, "id" | "storage" | "logger">;

const maxInt32 = 2 ** 31 - 1;

/** No script waits for a timeout that it has not set, or told by its count of ticks. */
const shortestTimeout = (): number => 0;

/** What add-nodes says of the first snapshot; index 0 and no members mean that there is none. */
interface Start {
  index: number;
  readonly voters: number[];
  readonly learners: number[];
}

/** add-nodes N [voters=(..)] [learners=(..)] [index=I] [option=value ..] */
export const addNodes: CommandHandler = (env, command) => {
  const count = firstNumber(command);
  const start: Start = { index: 0, voters: [], learners: [] };
  let template: Template = { electionTick: 3, heartbeatTick: 1, maxSizePerMsg: noLimit, maxInflightMsgs: maxInt32 };
  for (const { key, value } of pairs(command, 1)) {
    if (key === "voters") start.voters.push(must(parseUint(value)));
    else if (key === "learners") start.learners.push(must(parseUint(value)));
    else if (key === "index") start.index = must(parseUint(value));
    else if (key === "content") throw new ScriptError("etcd's runner cannot read content=, so no script may have it");
    else {
      const option = nodeOption(key, value);
      if (option instanceof Error) return option;
      template = { ...template, ...option };
    }
  }
  if (start.index > 0) template = { ...template, applied: start.index };
  return createNodes(env, count, template, start);
};

/** What one key=value of add-nodes sets; nothing for a key that is unknown, as in etcd's runner. */
function nodeOption(key: string, value: string): Partial<Config> | Error {
  switch (key) {
    case "inflight":
      return { maxInflightMsgs: must(parseInteger(value)) };
    case "async-storage-writes":
      return { asyncStorageWrites: must(parseBool(value)) };
    case "prevote":
      return { preVote: must(parseBool(value)) };
    case "checkquorum":
      return { checkQuorum: must(parseBool(value)) };
    case "max-committed-size-per-ready":
      return { maxCommittedSizePerReady: must(parseUint(value)) };
    case "disable-conf-change-validation":
      return { disableConfChangeValidation: must(parseBool(value)) };
    case "step-down-on-removal":
      return { stepDownOnRemoval: must(parseBool(value)) };
    case "read-only":
      if (value === "safe") return { readOnlyOption: "safe" };
      if (value === "lease-based") return { readOnlyOption: "leaseBased" };
      return new Error(`invalid read-only option ${JSON.stringify(value)}`);
    default:
      return {};
  }
}

function createNodes(env: InteractionEnv, count: number, template: Template, start: Start): Error | undefined {
  const { index, voters, learners } = start;
  const fromSnapshot = index > 0 || voters.length > 0 || learners.length > 0;
  if (fromSnapshot && count > 0 && index <= 1) return new Error("index must be specified as > 1 due to bootstrap");
  const snapshot = fromSnapshot ? makeSnapshot(index, 1, makeConfState({ voters, learners })) : makeSnapshot(0, 0);
  for (let i = 0; i < count; i++) {
    const id = env.nodes.length + 1;
    const storage = new HistoryStorage(snapshot);
    const failed = fromSnapshot ? storage.applySnapshot(snapshot) : undefined;
    if (failed !== undefined) return failed;
    const config: Config = {
      ...template,
      id,
      storage,
      random: shortestTimeout,
      logger: env.output.logger,
      ...env.configOverrides,
    };
    env.nodes.push({ id, storage, config, raft: new RawNode(config), appendWork: [], applyWork: [] });
  }
  return undefined;
}

/** set-config [option=value ..]: for the nodes that later commands add; starts from the defaults each time. */
export const setConfig: CommandHandler = (env, command) => {
  env.configOverrides = Object.assign({}, ...pairs(command).map(({ key, value }) => override(command, key, value)));
  return undefined;
};

function override(command: Command, key: string, value: string): Partial<Config> {
  switch (key) {
    case "max-size-per-msg":
      return { maxSizePerMsg: must(parseUint(value)) };
    case "max-uncommitted-size":
      return { maxUncommittedEntriesSize: must(parseUint(value)) };
    case "max-inflight-bytes":
      return { maxInflightBytes: must(parseUint(value)) };
    case "disable-proposal-forwarding":
      return { disableProposalForwarding: must(parseBool(value)) };
    case "election-tick":
      return { electionTick: must(parseInteger(value)) };
    case "heartbeat-tick":
      return { heartbeatTick: must(parseInteger(value)) };
    default:
      throw new ScriptError(`${command.name} does not know ${key}`);
  }
}

/** restart ID: a new node on the old storage. What the node was about to do, or to tell itself, is lost. */
export const restart: CommandHandler = (env, command) => {
  const node = env.node(firstNumber(command));
  node.appendWork = [];
  node.applyWork = [];
  env.messages = env.messages.filter((m) => m.to !== node.id || (m.from !== node.id && !isLocalMsgTarget(m.from)));
  node.storage.history.length = 1;
  node.raft = new RawNode({ ...node.config, applied: 0 });
  return undefined;
};
