// Changes of the membership on their way through the log: what is asked, as a raft configuration change, and back.
//
// A change carries in its context what raft has no field for: who asked, so that the asker is answered when it is applied, and the
// addresses. The entries of a cluster's start are the exception: their context is the bare address, the same bytes on every member.

import {
  type ConfChangeSingle,
  ConfChangeTransition,
  ConfChangeType,
  type ConfChangeV2,
  makeConfChangeV2,
} from "../../raft/index.ts";
import { decodeEnvelope, encodeEnvelope, type RequestId } from "../envelope.ts";
import type { MemberChange } from "../member.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const types = {
  update: ConfChangeType.ConfChangeUpdateNode,
  promote: ConfChangeType.ConfChangeAddNode,
  demote: ConfChangeType.ConfChangeAddLearnerNode,
  remove: ConfChangeType.ConfChangeRemoveNode,
} as const;

function typeOf(change: MemberChange): ConfChangeSingle["type"] {
  if (change.kind !== "add") return types[change.kind];
  return change.learner ? ConfChangeType.ConfChangeAddLearnerNode : ConfChangeType.ConfChangeAddNode;
}

/** Several changes become one joint change, which is left again without being asked. */
export function toConfChange(changes: readonly MemberChange[], id: RequestId): ConfChangeV2 {
  const urls: Record<string, string> = {};
  for (const change of changes) if ("peerUrl" in change) urls[change.id] = change.peerUrl;
  const context = encodeEnvelope(id, encoder.encode(JSON.stringify({ urls })));
  return makeConfChangeV2(
    changes.map((change) => ({ type: typeOf(change), nodeId: change.id })),
    ConfChangeTransition.ConfChangeTransitionAuto,
    context,
  );
}

export interface ChangeContext {
  readonly id: RequestId | undefined;
  readonly urls: ReadonlyMap<number, string>;
}

/** What the context says; nothing if it says nothing that can be read. */
export function contextOf({ context, changes }: ConfChangeV2): ChangeContext {
  const urls = new Map<number, string>();
  if (context === undefined || context.length === 0) return { id: undefined, urls };
  const envelope = decodeEnvelope(context);
  if (envelope === undefined) {
    const only = changes.length === 1 ? changes[0]?.nodeId : undefined;
    if (only !== undefined) urls.set(only, decoder.decode(context));
    return { id: undefined, urls };
  }
  const body = parseJson(envelope.body);
  const listed = typeof body === "object" && body !== null && "urls" in body ? body.urls : undefined;
  if (typeof listed === "object" && listed !== null) {
    for (const [id, url] of Object.entries(listed)) if (typeof url === "string") urls.set(Number(id), url);
  }
  return { id: envelope.id, urls };
}

/** Undefined for what is no JSON. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch {
    return undefined;
  }
}
