// Joining: a new member asks the existing ones for the cluster id and for all members' addresses.
//
// It asks until the cluster has it as a member, so it may be started before it is added. Nothing is written to disk before that answer.
// "Removed" and "lost-data" are final: the cluster will never let this id in again.

import { setTimeout as sleep } from "node:timers/promises";
import type { Logger as PinoLogger } from "pino";
import { hint } from "../cli/program.ts";
import { askToJoin, type JoinOutcome } from "../transport/index.ts";

export interface JoinAnswer {
  readonly clusterId: number;
  readonly members: readonly { readonly id: number; readonly url: string }[];
}

export interface JoinFlags {
  readonly id: number;
  /** That of the existing log; 0 without one. */
  readonly incarnation: number;
  readonly urls: readonly string[];
  /** Where peers will reach this member. */
  readonly peerUrl: string;
  readonly signal: AbortSignal;
}

const pauseMs = 500;
const timeoutMs = 2000;

/** Rejects if the cluster will never take this member, or when the signal comes. */
export async function join(flags: JoinFlags, log: PinoLogger): Promise<JoinAnswer> {
  const { id, incarnation, urls, signal } = flags;
  let logged = "";
  for (;;) {
    const outcome = await askToJoin({ urls, id, incarnation, timeoutMs, signal });
    signal.throwIfAborted();
    if (outcome.kind === "joined") return outcome;
    const { text, isFinal } = explain(outcome, flags);
    if (isFinal) throw new Error(text);
    // The same answer again and again is worth one line.
    if (text !== logged) log.warn(`${text}; this member keeps asking`);
    logged = text;
    await sleep(pauseMs, undefined, { signal });
  }
}

function explain(
  outcome: Exclude<JoinOutcome, { kind: "joined" }>,
  { id, peerUrl }: JoinFlags,
): { text: string; isFinal: boolean } {
  switch (outcome.kind) {
    case "not-a-member":
      return {
        text: `${outcome.message}. Add this member: ${hint("members add")} ${id} ${peerUrl} --learner`,
        isFinal: false,
      };
    case "unreachable": {
      const reasons = outcome.failures.map(({ url, reason }) => `${url}: ${reason}`).join("; ");
      return { text: `no member answers (${reasons})`, isFinal: false };
    }
    case "malformed":
      return { text: `${outcome.url} does not answer as a member does: ${outcome.message}`, isFinal: true };
    default:
      return { text: `${outcome.message}: choose an id that no member has ever had`, isFinal: true };
  }
}
