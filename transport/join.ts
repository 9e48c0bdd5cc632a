// The question of a joining member: which cluster is this, and who are its members?
//
// A member that joins knows a few addresses and nothing else. It needs the cluster's id before it creates its log, and
// all members' addresses before it can talk. Any member can answer, once the new member was added: a member is added
// first, then started. So it asks the members in turn, over plain HTTP on their peer ports, and all ways this can go
// are outcomes.
//
// A member that has a log asks the other question: do its peers belong to the cluster of that log? It asks before any
// port is open, and names no member: the answer depends on no admission.
//
// A member that answers "unknown" may only lag behind the others, so the asker tries the next; "removed" and
// "lost-data" are final. Its counterpart upstream is etcd's etcdserver/cluster_util.go (getClusterFromRemotePeers).

import { setMaxListeners } from "node:events";
import type { MemberAddress, Rejection } from "./contract.ts";
import { askerHeaders, clusterIn, peerPath, rejectionIn } from "./handshake.ts";
import { type Answer, exchange } from "./http-client.ts";
import { maxRequestBytes } from "./options.ts";
import { isMemberId, originOf } from "./peer-url.ts";
import { printable } from "./socket.ts";

export interface JoinQuestion {
  /** Peer URLs (http://host:port) of members, asked in this order. Throws TransportError for a URL of another form. */
  readonly urls: readonly string[];
  /** The id of the asking member. */
  readonly id: number;
  /** The incarnation of the log that exists or will be created; 0: unknown. */
  readonly incarnation: number;
  /** The time limit for each member. */
  readonly timeoutMs: number;
  /** Aborts the question: the outcome is "unreachable". */
  readonly signal?: AbortSignal;
}

export type JoinOutcome =
  | { readonly kind: "joined"; readonly clusterId: number; readonly members: readonly MemberAddress[] }
  /** It must be added first, or the answering members have not yet applied that. */
  | { readonly kind: "not-a-member"; readonly url: string; readonly message: string }
  /** It was a member once, and its id is spent. */
  | { readonly kind: "removed"; readonly url: string; readonly message: string }
  /** The member of this id has another log. */
  | { readonly kind: "lost-data"; readonly url: string; readonly message: string }
  /** The answer is not that of a member of this version. */
  | { readonly kind: "malformed"; readonly url: string; readonly message: string }
  /** No member answered, or all that answered are starting or stopping. */
  | { readonly kind: "unreachable"; readonly failures: readonly { readonly url: string; readonly reason: string }[] };

const maxReasonBytes = 1024;
const outcomeOf = { unknown: "not-a-member", removed: "removed", "lost-data": "lost-data" } as const;

/**
 * Asks until one member gives a final answer; otherwise returns the most informative answer. Rejects only for a bad
 * URL.
 */
export async function askToJoin(question: JoinQuestion): Promise<JoinOutcome> {
  const { id, incarnation, timeoutMs } = question;
  const signal = question.signal ?? new AbortController().signal;
  const failures: { url: string; reason: string }[] = [];
  let notAMember: JoinOutcome | undefined;
  let malformed: JoinOutcome | undefined;
  for (const url of question.urls.map(originOf)) {
    const answer = await exchange({
      origin: url,
      path: peerPath.cluster,
      headers: askerHeaders({ from: id, incarnation }),
      timeoutMs,
      maxAnswerBytes: maxRequestBytes,
      signal,
    });
    const outcome = readAnswer(url, answer);
    if (outcome.kind === "unreachable") failures.push(...outcome.failures);
    else if (outcome.kind === "not-a-member") notAMember ??= outcome;
    else if (outcome.kind === "malformed") malformed ??= outcome;
    else return outcome;
  }
  return notAMember ?? malformed ?? { kind: "unreachable", failures };
}

function readAnswer(url: string, answer: Answer): JoinOutcome {
  if (answer.kind === "failed") return { kind: "unreachable", failures: [{ url, reason: answer.message }] };
  const { status, headers, body } = answer;
  const text = Buffer.from(body).toString();
  if (status === 200) {
    const read = readMembers(text);
    return typeof read === "string" ? { kind: "malformed", url, message: read } : { kind: "joined", ...read };
  }
  const said = printable(text.slice(0, maxReasonBytes));
  const rejection: Rejection | undefined = rejectionIn(status, headers, said);
  if (rejection !== undefined) return { kind: outcomeOf[rejection.kind], url, message: said };
  const reason = `HTTP status ${status}: ${said}`;
  if (status === 503) return { kind: "unreachable", failures: [{ url, reason }] };
  return { kind: "malformed", url, message: reason };
}

export interface ClusterQuestion {
  /**
   * Peer URLs (http://host:port) of other members, all asked at once. Throws TransportError for a URL of another form.
   */
  readonly urls: readonly string[];
  /** The cluster that the asker belongs to. */
  readonly clusterId: number;
  /** The time limit for all of them. */
  readonly timeoutMs: number;
  /** Aborts the question: members that have not answered count as "no-answer". */
  readonly signal?: AbortSignal;
}

export type ClusterAnswer =
  | { readonly kind: "same-cluster"; readonly url: string }
  /** A member answered, and belongs to that cluster. */
  | { readonly kind: "another-cluster"; readonly url: string; readonly clusterId: number }
  /** No server listens there, or it did not answer in time. */
  | { readonly kind: "no-answer"; readonly url: string; readonly reason: string }
  /** The answer named no cluster: the server is no member, or one of an earlier release. */
  | { readonly kind: "no-member"; readonly url: string; readonly reason: string };

/** Asks every URL which cluster it belongs to; one answer for each, in their order. Rejects only for a bad URL. */
export async function askCluster(question: ClusterQuestion): Promise<ClusterAnswer[]> {
  const { clusterId, timeoutMs } = question;
  // One signal for all questions: each adds a listener, and Node warns of more than ten.
  const signal = AbortSignal.any(question.signal === undefined ? [] : [question.signal]);
  setMaxListeners(0, signal);
  const ask = async (url: string): Promise<ClusterAnswer> => {
    const headers = {};
    const limits = { timeoutMs, maxAnswerBytes: maxReasonBytes };
    const answer = await exchange({ origin: url, path: peerPath.identity, headers, ...limits, signal });
    if (answer.kind === "failed") return { kind: "no-answer", url, reason: answer.message };
    const named = clusterIn(answer.headers);
    if (named === clusterId) return { kind: "same-cluster", url };
    if (named !== undefined) return { kind: "another-cluster", url, clusterId: named };
    return { kind: "no-member", url, reason: `HTTP status ${answer.status}, and no member's cluster id` };
  };
  return Promise.all(question.urls.map(originOf).map(ask));
}

export interface Membership {
  readonly clusterId: number;
  readonly members: readonly MemberAddress[];
}

/** What a member answers. */
export const encodeMembers = ({ clusterId, members }: Membership): string =>
  JSON.stringify({ clusterId, members: members.map(({ id, url }) => ({ id, url })) });

/** The membership, its URLs reduced to their origins, or what is wrong with it. */
function readMembers(text: string): Membership | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "an answer that is not JSON";
  }
  if (typeof value !== "object" || value === null) return "an answer that is no object";
  const { clusterId, members } = value as { clusterId?: unknown; members?: unknown };
  if (!isMemberId(clusterId)) return "an answer without a cluster id in [1, 2^53)";
  if (!Array.isArray(members) || members.length === 0) return "an answer without members";
  const read = new Map<number, MemberAddress>();
  for (const member of members as unknown[]) {
    const address = readAddress(member);
    if (address === undefined || read.has(address.id)) {
      return `an answer with ${printable(JSON.stringify(member)).slice(0, maxReasonBytes)} in its list of members`;
    }
    read.set(address.id, address);
  }
  return { clusterId, members: [...read.values()] };
}

function readAddress(member: unknown): MemberAddress | undefined {
  if (typeof member !== "object" || member === null) return undefined;
  const { id, url } = member as { id?: unknown; url?: unknown };
  if (!isMemberId(id) || typeof url !== "string") return undefined;
  try {
    return { id, url: originOf(url) };
  } catch {
    return undefined;
  }
}
