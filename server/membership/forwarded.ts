// Requests that a follower passes on to the leader, and the answers, as JSON.
//
//     {"change": [{"kind": "add", "id": 4, "peerUrl": "http://127.0.0.1:2680", "learner": true}, ...]}      or      {"transfer": 2}
//     an answer is a ChangeOutcome: {"kind": "applied"}, {"kind": "conflict", "code": ..., "message": ..., "next": ...}, ...
//
// raft passes proposals on by itself, but nothing comes back: a change that the leader would refuse could only time out.

import type { ChangeOutcome, MemberChange } from "../member.ts";
import { parseJson } from "./conf-change-context.ts";

export type MemberRequest = { readonly change: readonly MemberChange[] } | { readonly transfer: number };

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

export const encodeRequest = (request: MemberRequest): Uint8Array => encode(request);
export const encodeOutcome = (outcome: ChangeOutcome): Uint8Array => encode(outcome);

/** Throws an Error for what is no request. */
export function decodeRequest(body: Uint8Array): MemberRequest {
  const value = parseJson(body);
  if (isObject(value)) {
    const { change, transfer } = value;
    if (isId(transfer)) return { transfer };
    if (Array.isArray(change) && change.length > 0 && change.every(isChange)) return { change };
  }
  throw new Error("a peer passed on a request that this version does not know");
}

/** An answer that cannot be read leaves the outcome unknown. */
export function decodeOutcome(body: Uint8Array): ChangeOutcome {
  const value = parseJson(body);
  if (isObject(value)) {
    const { kind, code, message, next } = value;
    if (kind === "applied") return { kind };
    const refused = kind === "conflict" || kind === "refused";
    const complete = typeof message === "string" && (!refused || typeof code === "string");
    // The codes of a later version are passed through: they are words for the client.
    if (complete && kind === "unknown") return { kind, message };
    if (complete && kind === "refused") return { kind, code, message } as ChangeOutcome;
    if (complete && kind === "conflict" && typeof next === "string") {
      return { kind, code, message, next } as ChangeOutcome;
    }
  }
  return { kind: "unknown", message: "the leader's answer could not be read" };
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
const isId = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;

/** As the API of the member that was asked has made it. */
const isOrigin = (value: unknown): boolean =>
  typeof value === "string" && URL.canParse(value) && new URL(value).origin === value;

function isChange(value: unknown): value is MemberChange {
  if (!isObject(value) || !isId(value.id)) return false;
  const { kind, peerUrl, learner } = value;
  if (kind === "add") return isOrigin(peerUrl) && typeof learner === "boolean";
  if (kind === "update") return isOrigin(peerUrl);
  return kind === "promote" || kind === "demote" || kind === "remove";
}
