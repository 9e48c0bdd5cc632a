// Commands that call one method of one node, or print what a node knows.
//
// Proposals and ticks change the node and print only what it logs; raft-log, raft-state and status read it and change
// nothing, not even by taking its Ready.
//
// Ports the handlers of rafttest that are not in a file of their own here. read-index and report-snapshot are not in
// etcd's runner: they reach the two methods of RawNode that no command of its calls.

import { describeEntries, describeMessage, noLimit, progressMapString } from "../../raft/index.ts";
import {
  type AnyConfChange,
  ConfChangeTransition,
  confChangesFromString,
  MessageType,
  makeConfChange,
  makeConfChangeV2,
  makeMessage,
} from "../../raft/raftpb/index.ts";
import {
  argumentAt,
  firstNumber,
  must,
  nodeNumbers,
  pairs,
  parseBool,
  parseInteger,
  parseUint,
  ScriptError,
  soleValue,
} from "./arguments.ts";
import type { Command } from "./datadriven.ts";
import type { CommandHandler, InteractionEnv, ScriptNode } from "./interaction-env.ts";

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const firstNode = (env: InteractionEnv, command: Command): ScriptNode => env.node(firstNumber(command));

/** campaign ID */
export const campaign: CommandHandler = (env, command) => firstNode(env, command).raft.campaign();

/** forget-leader ID */
export const forgetLeader: CommandHandler = (env, command) => {
  firstNode(env, command).raft.forgetLeader(); // etcd's runner does not look at the outcome
  return undefined;
};

/** propose ID DATA */
export const propose: CommandHandler = (env, command) => {
  const node = firstNode(env, command);
  const data = argumentAt(command, 1);
  if (command.args.length !== 2 || data.values.length > 0) throw new ScriptError("propose takes one word without =");
  return node.raft.propose(bytesOf(data.key));
};

/**
 * propose-conf-change ID [v1=BOOL] [transition=auto|implicit|explicit], then `v1 l2 r3 u4`; no change at all leaves a
 * joint one.
 */
export const proposeConfChange: CommandHandler = (env, command) => {
  const id = firstNumber(command);
  let v1 = false;
  let transition: ConfChangeTransition = ConfChangeTransition.ConfChangeTransitionAuto;
  for (const { key, value } of pairs(command, 1)) {
    if (key === "v1") {
      const parsed = parseBool(value);
      if (parsed instanceof Error) return parsed;
      v1 = parsed;
    } else if (key === "transition") {
      const known = transitions[value];
      if (known === undefined) return new Error(`unknown transition ${value}`);
      transition = known;
    } else return new Error(`unknown command ${key}`);
  }
  const change = confChange(command.input, v1, transition);
  return change instanceof Error ? change : env.node(id).raft.proposeConfChange(change);
};

const transitions: Readonly<Record<string, ConfChangeTransition>> = {
  auto: ConfChangeTransition.ConfChangeTransitionAuto,
  implicit: ConfChangeTransition.ConfChangeTransitionJointImplicit,
  explicit: ConfChangeTransition.ConfChangeTransitionJointExplicit,
};

function confChange(input: string, v1: boolean, transition: ConfChangeTransition): AnyConfChange | Error {
  let changes: ReturnType<typeof confChangesFromString>;
  try {
    changes = confChangesFromString(input);
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  if (!v1) return makeConfChangeV2(changes, transition);
  if (changes.length > 1 || transition !== ConfChangeTransition.ConfChangeTransitionAuto) {
    return new Error("v1 conf change can only have one operation and no transition");
  }
  const only = changes[0];
  if (only?.type === undefined || only.nodeId === undefined) throw new ScriptError("a v1 change needs one operation");
  return makeConfChange(only.type, only.nodeId);
}

/** read-index ID CONTEXT */
export const readIndex: CommandHandler = (env, command) => {
  firstNode(env, command).raft.readIndex(bytesOf(argumentAt(command, 1).key));
  return undefined;
};

/** tick-election ID: as many ticks as an election timeout has before randomization. */
export const tickElection: CommandHandler = (env, command) => {
  const node = firstNode(env, command);
  return tick(node, node.config.electionTick);
};

/** tick-heartbeat ID */
export const tickHeartbeat: CommandHandler = (env, command) => {
  const node = firstNode(env, command);
  return tick(node, node.config.heartbeatTick);
};

function tick(node: ScriptNode, count: number): undefined {
  for (let i = 0; i < count; i++) node.raft.tick();
}

/** set-randomized-election-timeout ID timeout=TICKS: holds until the node changes its role or its term. */
export const setRandomizedElectionTimeout: CommandHandler = (env, command) => {
  const timeout = must(parseInteger(soleValue(command, "timeout")));
  if (timeout === 0) throw new ScriptError("timeout must not be 0");
  firstNode(env, command).raft.raft.randomizedElectionTimeout = timeout;
  return undefined;
};

/** transfer-leadership from=ID to=ID */
export const transferLeadership: CommandHandler = (env, command) => {
  const from = env.node(must(parseUint(soleValue(command, "from"))));
  const to = env.node(must(parseUint(soleValue(command, "to"))));
  from.raft.transferLeader(to.id);
  return undefined;
};

/** report-unreachable ID PEER */
export const reportUnreachable: CommandHandler = (env, command) => {
  const [id, peer, ...more] = nodeNumbers(command);
  if (id === undefined || peer === undefined || more.length > 0) {
    return new Error("must specify exactly two node indexes: node on which to report, and reported node");
  }
  env.node(id).raft.reportUnreachable(env.node(peer).id);
  return undefined;
};

/** report-snapshot ID PEER status=finish|failure */
export const reportSnapshot: CommandHandler = (env, command) => {
  const status = soleValue(command, "status");
  const [id, peer, ...more] = nodeNumbers(command);
  if (id === undefined || peer === undefined || more.length > 0)
    throw new ScriptError("report-snapshot takes two nodes");
  if (status !== "finish" && status !== "failure") throw new ScriptError(`unknown snapshot status ${status}`);
  env.node(id).raft.reportSnapshot(peer, status);
  return undefined;
};

/** send-snapshot FROM TO: puts FROM's newest snapshot in flight, whether or not it leads. */
export const sendSnapshot: CommandHandler = (env, command) => {
  const [from, to, ...more] = nodeNumbers(command);
  if (from === undefined || to === undefined || more.length > 0) throw new ScriptError("send-snapshot takes two nodes");
  const { raft, storage } = env.node(from);
  const { term } = raft.basicStatus();
  const m = makeMessage(MessageType.MsgSnap, { term, from, to, snapshot: storage.snapshot() });
  env.messages.push(m);
  env.output.write(describeMessage(m));
  return undefined;
};

/** compact ID INDEX: drops the log up to and including the index, and prints what is left. */
export const compact: CommandHandler = (env, command) => {
  const node = firstNumber(command);
  const index = parseUint(argumentAt(command, 1).key);
  if (index instanceof Error) return index;
  const { storage } = env.node(node);
  return storage.compact(index) ?? printLog(env, node);
};

/** raft-log ID */
export const raftLog: CommandHandler = (env, command) => printLog(env, firstNumber(command));

function printLog(env: InteractionEnv, id: number): Error | undefined {
  const { storage } = env.node(id);
  const [first, last] = [storage.firstIndex(), storage.lastIndex()];
  if (last < first) {
    env.output.write(`log is empty: first index=${first}, last index=${last}`);
    return undefined;
  }
  const entries = storage.entries(first, last + 1, noLimit);
  if (entries instanceof Error) return entries;
  env.output.write(describeEntries(entries));
  return undefined;
}

/** raft-state: every node's role, as that node sees it. */
export const raftState: CommandHandler = (env) => {
  for (const node of env.nodes) {
    const { id, raftState: role, term, lead, config } = node.raft.status();
    const voter = config.voters.ids().has(id) ? "(Voter)" : "(Non-Voter)";
    env.output.write(`${id}: ${role} ${voter} Term:${term} Lead:${lead}\n`);
  }
  return undefined;
};

/** status ID: how far a leader knows each of its peers; nothing on other nodes. */
export const status: CommandHandler = (env, command) => {
  env.output.write(progressMapString(firstNode(env, command).raft.status().progress));
  return undefined;
};

/** log-level LEVEL */
export const logLevel: CommandHandler = (env, command) => env.output.setLevel(argumentAt(command, 0).key);
