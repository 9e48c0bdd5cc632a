// Configuration changes: v1 and v2 seen as one, their joint-consensus rules, and the short notation of scripts and
// logs.
//
// Ports raftpb/confchange.go and confstate.go. Go's ConfChangeI interface is the union AnyConfChange here,
// discriminated by `kind`; EnsureConfState and its kin are not needed, because the factories of types.ts leave no key
// out.

import { decodeConfChange, decodeConfChangeV2, encodeConfChange, encodeConfChangeV2 } from "./codec.ts";
import {
  type ConfChange,
  type ConfChangeSingle,
  ConfChangeTransition,
  ConfChangeType,
  type ConfChangeV2,
  type ConfState,
  type Entry,
  EntryType,
} from "./types.ts";

export type AnyConfChange = ConfChange | ConfChangeV2;

/** The same operation as a v2 change. */
export function asV2(cc: AnyConfChange): ConfChangeV2 {
  if (cc.kind === "v2") return cc;
  return {
    kind: "v2",
    transition: undefined,
    changes: [{ type: cc.type ?? ConfChangeType.ConfChangeAddNode, nodeId: cc.nodeId ?? 0 }],
    context: cc.context,
  };
}

/** The single changes with nothing left out: a missing type is ConfChangeAddNode, a missing id 0. */
export function changesOf(cc: AnyConfChange): { readonly type: ConfChangeType; readonly nodeId: number }[] {
  return asV2(cc).changes.map(({ type = ConfChangeType.ConfChangeAddNode, nodeId = 0 }) => ({ type, nodeId }));
}

/**
 * The entry type and data that carry the change. No change at all (undefined) becomes a v2 entry without data: it
 * decodes to the empty change, which leaves a joint configuration, and its payload size of 0 can never be refused.
 */
export function marshalConfChange(cc: AnyConfChange | undefined): { type: EntryType; data: Uint8Array | undefined } {
  if (cc === undefined) return { type: EntryType.EntryConfChangeV2, data: undefined };
  if (cc.kind === "v1") return { type: EntryType.EntryConfChange, data: encodeConfChange(cc) };
  return { type: EntryType.EntryConfChangeV2, data: encodeConfChangeV2(cc) };
}

const noBytes = new Uint8Array(0);

/** The change that an entry carries, undefined for a normal entry. Throws DecodeError. */
export function confChangeOf(e: Entry): AnyConfChange | undefined {
  if (e.type === EntryType.EntryConfChange) return decodeConfChange(e.data ?? noBytes);
  if (e.type === EntryType.EntryConfChangeV2) return decodeConfChangeV2(e.data ?? noBytes);
  return undefined;
}

/**
 * Whether applying the change enters a joint configuration and, if so, whether that is left automatically (thesis 4.3).
 */
export function enterJoint(cc: ConfChangeV2): { autoLeave: boolean } | undefined {
  const transition = cc.transition ?? ConfChangeTransition.ConfChangeTransitionAuto;
  if (transition === ConfChangeTransition.ConfChangeTransitionAuto && cc.changes.length <= 1) return undefined;
  return { autoLeave: transition !== ConfChangeTransition.ConfChangeTransitionJointExplicit };
}

/** Whether the change leaves a joint configuration: it is empty but for its context. */
export function leaveJoint(cc: ConfChangeV2): boolean {
  return (
    (cc.transition ?? ConfChangeTransition.ConfChangeTransitionAuto) ===
      ConfChangeTransition.ConfChangeTransitionAuto && cc.changes.length === 0
  );
}

const letterOf: Readonly<Record<number, string>> = {
  [ConfChangeType.ConfChangeAddNode]: "v",
  [ConfChangeType.ConfChangeAddLearnerNode]: "l",
  [ConfChangeType.ConfChangeRemoveNode]: "r",
  [ConfChangeType.ConfChangeUpdateNode]: "u",
};
const typeOf = new Map(Object.entries(letterOf).map(([type, letter]) => [letter, Number(type) as ConfChangeType]));

/** Parses `v1 l2 r3 u4`: voter, learner, remove, update. Throws an Error with upstream's text. */
export function confChangesFromString(text: string): ConfChangeSingle[] {
  const trimmed = text.trim();
  if (trimmed === "") return [];
  return trimmed.split(" ").map((token) => {
    if (token.length < 2) throw new Error(`unknown token ${token}`);
    const type = typeOf.get(token[0] as string);
    if (type === undefined) throw new Error(`unknown input: ${token}`);
    return { type, nodeId: parseId(token.slice(1)) };
  });
}

function parseId(text: string): number {
  if (!/^[0-9]+$/.test(text)) throw new Error(`strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`);
  const id = Number(text);
  if (!Number.isSafeInteger(id)) {
    throw new Error(`strconv.ParseUint: parsing ${JSON.stringify(text)}: value out of range`);
  }
  return id;
}

/** The inverse of confChangesFromString. */
export function confChangesToString(changes: readonly ConfChangeSingle[]): string {
  return changes.map((cc) => (letterOf[cc.type ?? 0] ?? "unknown") + String(cc.nodeId ?? 0)).join(" ");
}

const sorted = (ids: readonly number[]): string => [...ids].sort((a, b) => a - b).join(" ");

/** Whether both describe the same configuration; the order of their lists does not count. */
export function confStatesEquivalent(a: ConfState, b: ConfState): boolean {
  return (
    sorted(a.voters) === sorted(b.voters) &&
    sorted(a.learners) === sorted(b.learners) &&
    sorted(a.votersOutgoing) === sorted(b.votersOutgoing) &&
    sorted(a.learnersNext) === sorted(b.learnersNext) &&
    a.autoLeave === b.autoLeave
  );
}
