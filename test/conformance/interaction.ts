// Interaction scripts: commands to a few nodes, and every log line, Ready and message that follows.
//
// Ports Handle of rafttest/interaction_env_handler.go. A command that prints nothing and does not fail prints `ok`; an
// error is appended to what was printed, and is printed even at log level NONE.

import type { Command } from "./datadriven.ts";
import * as commands from "./interaction-commands.ts";
import { deliverMsgs, stabilize } from "./interaction-delivery.ts";
import { type CommandHandler, InteractionEnv } from "./interaction-env.ts";
import { addNodes, restart, setConfig } from "./interaction-nodes.ts";
import { processAppendThread, processApplyThread, processReady } from "./interaction-ready.ts";

const handlers: ReadonlyMap<string, CommandHandler> = new Map<string, CommandHandler>([
  ["_breakpoint", () => undefined], // a line to hold a debugger at
  ["add-nodes", addNodes],
  ["campaign", commands.campaign],
  ["compact", commands.compact],
  ["deliver-msgs", deliverMsgs],
  ["forget-leader", commands.forgetLeader],
  ["log-level", commands.logLevel],
  ["process-append-thread", processAppendThread],
  ["process-apply-thread", processApplyThread],
  ["process-ready", processReady],
  ["propose", commands.propose],
  ["propose-conf-change", commands.proposeConfChange],
  ["raft-log", commands.raftLog],
  ["raft-state", commands.raftState],
  ["read-index", commands.readIndex],
  ["report-snapshot", commands.reportSnapshot],
  ["report-unreachable", commands.reportUnreachable],
  ["restart", restart],
  ["send-snapshot", commands.sendSnapshot],
  ["set-config", setConfig],
  ["set-randomized-election-timeout", commands.setRandomizedElectionTimeout],
  ["stabilize", stabilize],
  ["status", commands.status],
  ["tick-election", commands.tickElection],
  ["tick-heartbeat", commands.tickHeartbeat],
  ["transfer-leadership", commands.transferLeadership],
]);

export const interactionCommands: ReadonlySet<string> = new Set(handlers.keys());

/**
 * A fresh stage: returns the output of each command that it is given. Throws where etcd's runner would end the test.
 */
export function interactionRunner(): (command: Command) => string {
  const env = new InteractionEnv();
  const { output } = env;
  return (command) => {
    output.clear();
    const handler = handlers.get(command.name);
    const error = handler === undefined ? new Error("unknown command") : handler(env, command);
    const text = output.text + (error?.message ?? "");
    return text === "" ? "ok" : text;
  };
}
