// The way to a state that must not be, told step by step: what happens, what the node makes of it in etcd's words, and
// the state it is in then.

import { describeMessage } from "../../raft/index.ts";
import type { Facts } from "./automaton.ts";
import type { Cluster, Move } from "./cluster.ts";
import type { Input } from "./local-node.ts";

/**
 * Tells the moves, from the state that the cluster is in now. The last one is the one that goes wrong, by this error.
 */
export function tell(cluster: Cluster, path: readonly Move[], error: Error): string {
  const lines = ["at the start:", ...cluster.facts().map((facts) => `  ${describeFacts(facts)}`)];
  for (const [at, move] of path.entries()) {
    lines.push("", `${at + 1}. ${describeMove(cluster, move)}`, ...readies(cluster, move));
    if (at < path.length - 1) {
      cluster.go(move);
      lines.push(`  ${describeFacts(cluster.facts()[move.node] as Facts)}`);
    }
  }
  lines.push("", `${error.name}: ${error.message}`);
  return lines.join("\n");
}

function describeMove(cluster: Cluster, { node, input, takes }: Move): string {
  if (input === undefined) return `lost: ${describeMessage(cluster.inFlight(takes as number))}`;
  return `node ${node + 1} ${describeInput(cluster.automata.inputOf(input))}`;
}

function describeInput(input: Input): string {
  switch (input.kind) {
    case "deliver":
      return `receives ${describeMessage(input.message)}`;
    case "campaign":
      return "has heard of no leader for an election timeout";
    case "tick":
      return "ticks";
    case "beat":
      return "sends heartbeats";
    case "ready":
      return "begins to write a Ready";
    case "persist":
      return "has written its Ready";
    case "compact":
      return "makes a snapshot and compacts its log";
    case "crash":
      return `crashes${input.kept > 0 ? `, with ${input.kept} pieces of its write on the disk,` : ""} and starts again`;
    case "propose":
      return `is asked to write "${input.data}"`;
    case "read":
      return `is asked for read ${input.data}`;
    case "change":
      return `is asked to change the members: ${input.change === "" ? "leave the joint configuration" : input.change}`;
    case "transfer":
      return `is asked to make node ${input.to} the leader`;
  }
}

/** The Readies of a move, each line indented. */
function readies({ automata, words }: Cluster, { node, input }: Move): string[] {
  if (input === undefined) return [];
  const lines: string[] = [];
  const real = automata.make(words[2 + node] as number);
  real.trace = (text) => lines.push(...text.trimEnd().split("\n"));
  try {
    real.do(automata.inputOf(input));
  } catch (error) {
    lines.push(String(error));
  }
  return lines.map((line) => `    ${line}`);
}

function describeFacts({ id, state, term, commit, log, durable, voters }: Facts): string {
  const entries = log.map((key, offset) => (durable[offset] === key ? key : `(${key})`)).join(", ");
  return `node ${id}: ${state} Term:${term} Commit:${commit} Voters:${voters} Log: ${entries}`;
}
