// What must hold when the faults are over: all members come together and have the same state, and the history of the
// clients has an order.

import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { checkHistory } from "../../sim/linearizability/checker.ts";
import { type MapOperation, mapModel } from "../../sim/linearizability/model.ts";
import { drawPicture } from "../../sim/linearizability/picture.ts";
import type { ChaosMember, Members } from "./members.ts";
import type { Network } from "./network.ts";

const convergenceMs = 60_000;
const pollMs = 50;
const snapshotTimeoutMs = 10_000;
const checksumBytes = 32;

/**
 * Mends everything, starts all, and waits until all members are at one: on who leads and who they are, and at rest,
 * when nothing is written any more, on what is applied. Throws if they do not come to that, saying what is amiss.
 */
export async function converge(members: Members, network: Network, when: "under load" | "at rest"): Promise<void> {
  network.heal();
  const started = Promise.all(members.all.map((member) => member.start()));
  let amiss: string | undefined = "";
  for (const end = performance.now() + convergenceMs; performance.now() < end; await sleep(pollMs)) {
    amiss = await disagreement(members, when === "at rest");
    if (amiss !== undefined) continue;
    await started;
    return;
  }
  throw new Error(`${convergenceMs / 1000} s after all faults have ended the members are not at one: ${amiss}`);
}

/** What the members do not agree on, or undefined. */
async function disagreement(members: Members, atRest: boolean): Promise<string | undefined> {
  const left = members.removed.filter(({ process }) => process !== undefined);
  if (left.length > 0) return `members ${idsOf(left)} were removed and still run`;
  const statuses = await members.statuses();
  const ids = idsOf(members.all);
  if (statuses.length < members.all.length) return `of ${ids} only ${idsOf(statuses)} answer`;
  const [first] = statuses;
  if (first === undefined || first.leader === 0) return "there is no leader";
  for (const { id, leader, term, commit, applied, members: known } of statuses) {
    if (leader !== first.leader || term !== first.term) {
      return `member ${id} follows ${leader} at term ${term}, member ${first.id} follows ${first.leader} at term ${first.term}`;
    }
    if (idsOf(known) !== ids) return `member ${id} counts the members ${idsOf(known)}, and they are ${ids}`;
    const learner = known.find(({ role }) => role === "learner");
    if (learner !== undefined) return `member ${id} counts ${learner.id} as a learner`;
    if (atRest && (applied !== first.applied || commit !== first.commit || applied !== commit)) {
      return `member ${id} has applied ${applied} of ${commit}, member ${first.id} ${first.applied} of ${first.commit}`;
    }
  }
  return undefined;
}

const idsOf = (list: readonly { readonly id: number }[]): string =>
  list
    .map(({ id }) => id)
    .sort((a, b) => a - b)
    .join(", ");

/** Compares the members' states as a whole, byte for byte. Throws if two differ at the same index. */
export async function compareStates(members: Members): Promise<void> {
  for (const end = performance.now() + convergenceMs; performance.now() < end; await sleep(pollMs)) {
    const byIndex = new Map<number, { readonly id: number; readonly map: Buffer }>();
    for (const member of members.all) {
      const { index, map } = await stateOf(member);
      const other = byIndex.get(index);
      if (other === undefined) byIndex.set(index, { id: member.id, map });
      else if (!other.map.equals(map)) {
        const sum = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex").slice(0, 16);
        const states = `member ${other.id} has the state ${sum(other.map)}, and member ${member.id} has ${sum(map)}`;
        throw new Error(`at index ${index} ${states}`);
      }
    }
    if (byIndex.size === 1) return;
    // An election in between has put an entry into the log.
  }
  throw new Error(`within ${convergenceMs / 1000} s the members were never at the same index`);
}

/** The format is that of kvstore/snapshot-download.ts. */
async function stateOf(member: ChaosMember): Promise<{ index: number; map: Buffer }> {
  const answer = await member.ask({ method: "GET", path: "/_snapshot?consistency=stale" }, snapshotTimeoutMs);
  if (answer.kind !== "answer" || answer.status !== 200) {
    throw new Error(`member ${member.id} does not give its state: ${JSON.stringify(answer)}`);
  }
  const { body } = answer;
  const lineEnd = body.indexOf("\n");
  const { index } = JSON.parse(body.subarray(0, lineEnd).toString()) as { index: number };
  return { index, map: body.subarray(lineEnd + 1, body.length - checksumBytes) };
}

export interface HistoryVerdict {
  readonly operations: number;
  readonly ms: number;
  /** What was found, and where its picture lies; undefined if the history has an order. */
  readonly violation: string | undefined;
}

/** Is the history linearizable? A failing one becomes a picture in the directory. */
export function judge(operations: readonly MapOperation[], directory: string): HistoryVerdict {
  const began = performance.now();
  const result = checkHistory(operations, mapModel);
  const done = { operations: operations.length, ms: performance.now() - began };
  if (result.verdict === "linearizable") return { ...done, violation: undefined };
  const failures = result.keys.filter((key) => key.verdict === "not-linearizable");
  if (failures.length === 0) {
    const keys = result.keys.filter((key) => key.verdict === "undecided").map(({ key }) => key);
    return { ...done, violation: `the checker ran out of its budget on the keys ${keys.join(", ")}` };
  }
  const picture = path.join(directory, "history.html");
  const describeTime = (time: number): string => `${(time / 1e6).toFixed(3)} ms`;
  fs.writeFileSync(picture, drawPicture(failures, mapModel, { title: "chaos", describeTime }));
  const told = failures.slice(0, 5).map(({ key, contradiction: { operation } }) => {
    const { client, call } = operation;
    return `  key ${key}: nothing explains ${mapModel.describe(operation)} of client ${client}, called at ${describeTime(call)}`;
  });
  return { ...done, violation: `the history is not linearizable:\n${told.join("\n")}\n  picture: ${picture}` };
}
