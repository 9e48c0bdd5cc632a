// The state of one node as a text: two nodes with the same text do the same from here on, whatever comes in.
//
// The text is made from the objects themselves, field by field, so that a field which the core gains tomorrow is in it
// without anyone thinking of it. Left out is what cannot change (options, logger, methods), and what cannot matter any
// more:
//
//   - slots of the ring of inflights outside of its window: nothing reads them;
//   - the order in which a map or set was filled: raft visits nodes in ascending order, or counts;
//   - the order of the messages that wait to be sent, and that there are two of the same: the network keeps neither;
//   - on a node that does not lead, all of a progress but who is a learner: reset() makes the rest anew when the node
//     becomes leader, and nothing but a leader's steps reads it. The same goes for the votes on a node that does not
//     campaign.

import type { Message } from "../../raft/index.ts";
import type { Inflights } from "../../raft/tracker/inflights.ts";

const isConstant = (key: string): boolean => key === "logger" || key === "random";

/** Whatever a node is made of, as text. */
export function canonical(value: unknown): string {
  if (typeof value !== "object" || value === null) return typeof value === "string" ? `'${value}'` : String(value);
  if (value instanceof Uint8Array) return `<${String.fromCharCode(...value)}>`;
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value instanceof Map) {
    return `{${[...value]
      .map(([key, of]) => `${canonical(key)}=>${canonical(of)}`)
      .sort()
      .join(",")}}`;
  }
  if (value instanceof Set) return `{${[...new Set([...value].map(canonical))].sort().join(",")}}`;
  return canonicalObject(value);
}

function canonicalObject(value: object): string {
  const name = value.constructor.name;
  switch (name) {
    case "Inflights":
      return inflightsText(value as Inflights);
    case "Raft":
      return raftText(value as unknown as RaftFields);
    default:
      return fieldsText(name === "Object" ? "" : name, value);
  }
}

function fieldsText(name: string, value: object): string {
  let text = `${name}{`;
  for (const [key, field] of Object.entries(value)) {
    if (typeof field !== "function" && !isConstant(key)) text += `${key}:${canonical(field)},`;
  }
  return `${text}}`;
}

/** The parts of a Raft that are not taken as they are. */
interface RaftFields {
  readonly id: number;
  readonly state: string;
  readonly trk: {
    readonly config: object;
    readonly progress: ReadonlyMap<number, { readonly isLearner: boolean }>;
    readonly votes: ReadonlyMap<number, boolean>;
  };
  readonly msgs: readonly Message[];
  readonly msgsAfterAppend: readonly Message[];
}

function raftText(r: RaftFields): string {
  const { id, state, trk, msgs, msgsAfterAppend } = r;
  const { config, progress, votes } = trk;
  const known = state === "StateLeader" ? progress : new Map([...progress].map(([of, pr]) => [of, pr.isLearner]));
  const counted = state === "StateCandidate" || state === "StatePreCandidate" ? votes : undefined;
  const own = msgsAfterAppend.filter((m) => m.to === id);
  const others = msgsAfterAppend.filter((m) => m.to !== id);
  const queues = { msgs: queued(msgs), msgsAfterAppend: [own, queued(others)] };
  return fieldsText("Raft", { ...r, config: undefined, trk: [config, known, counted], ...queues });
}

/**
 * Messages that wait to be sent, all at once. They go into the set of those in flight, where neither order nor number
 * counts.
 */
export const queued = (messages: readonly Message[]): Set<Message> => new Set(messages);

interface InflightsFields {
  readonly start: number;
  readonly items: number;
  readonly buffer: readonly object[];
  readonly size: number;
}

function inflightsText(inflights: Inflights): string {
  const { start, items, buffer, size } = inflights as unknown as InflightsFields;
  const window = Array.from({ length: items }, (_, i) => canonical(buffer[(start + i) % size]));
  return `Inflights[${window.join(",")}]`;
}
