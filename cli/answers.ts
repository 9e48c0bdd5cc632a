// The answers that a client command accepts from a member: for each kind the exact status, and a reader that checks the body.
//
// Any other answer comes from a login page, a proxy or another program, and throws NotOfMember: a command reports success only if a
// member did. The readers ignore fields that a later release adds; a missing field, or one of another type, is an error.

import type { MemberInfo, MemberStatus, PeerProgress, Warning } from "../server/member.ts";
import type { Head } from "./http-exchange.ts";
import { printable } from "./printable.ts";

/** The answer that counts as success. */
export interface Answer<T> {
  readonly status: 200 | 204;
  /** Throws NotOfMember, BodyTooLarge, ExchangeError. */
  read(head: Head): Promise<T>;
}

/** The answer is not one that a member gives. */
export class NotOfMember extends Error {
  override readonly name = "NotOfMember";
}

/** A member's refusal or failure: kvstore/problem.ts. */
export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly next: string;
}

/** What GET /_members answers, and each change. */
export interface Members {
  readonly members: readonly MemberInfo[];
  /** 0 when none is known. */
  readonly leader: number;
}

/** The largest --max-value-bytes of a server. */
export const MAX_VALUE_BYTES = 32 * 1024 * 1024;
const MAX_PROBLEM_BYTES = 64 * 1024;
/** Ten thousand members, each with its progress. */
const MAX_JSON_BYTES = 4 * 1024 * 1024;

const jsonType = /^application\/json\s*(;|$)/i;
const problemCode = /^[A-Z][A-Z0-9_]{0,63}$/;
const roles = ["follower", "pre-candidate", "candidate", "leader", "removed"] as const;
const states = ["probe", "replicate", "snapshot"] as const;

/** 204: a write was carried out. */
export const nothing: Answer<undefined> = {
  status: 204,
  read: async ({ headers }) => {
    const { "content-length": length = "0", "content-type": type } = headers;
    if (length !== "0" || type !== undefined || headers["transfer-encoding"] !== undefined) {
      throw new NotOfMember("204, with the headers of a body");
    }
    return undefined;
  },
};

export const value: Answer<Buffer> = {
  status: 200,
  read: (head) => {
    requireBytes(head);
    return head.whole(MAX_VALUE_BYTES);
  },
};

export const membersAnswer: Answer<Members> = { status: 200, read: async (head) => membersOf(await jsonOf(head)) };
export const statusAnswer: Answer<MemberStatus> = { status: 200, read: async (head) => statusOf(await jsonOf(head)) };

/** Reads the problem in an answer of any other status. Throws NotOfMember if it is not a member's. */
export async function problemOf(head: Head): Promise<Problem> {
  const { status, headers } = head;
  if (status >= 300 && status < 400) {
    const to = headers.location === undefined ? "" : ` to ${printable(headers.location, 100)}`;
    throw new NotOfMember(`it redirects (${status}${to}), and a member never does`);
  }
  if (status < 400) throw new NotOfMember(`${status} ${typeOf(head)}`);
  const { code, message, next } = fieldsOf("its body", await jsonOf(head, MAX_PROBLEM_BYTES));
  if (typeof code !== "string" || !problemCode.test(code)) throw new NotOfMember(`${status}, and its JSON has no code`);
  if (typeof message !== "string" || typeof next !== "string") {
    throw new NotOfMember(`${status}, and its JSON has no message and no next`);
  }
  return { status, code, message: printable(message), next: printable(next) };
}

/** Throws NotOfMember unless the body is unencoded bytes, with a length or chunks that show whether it is complete. */
export function requireBytes({ status, headers }: Head): void {
  if (headers["content-type"] !== "application/octet-stream") {
    throw new NotOfMember(`${status} ${typeOf({ headers })}, not application/octet-stream`);
  }
  requirePlain(headers);
}

function requirePlain(headers: Head["headers"]): void {
  const coding = headers["content-encoding"] ?? "identity";
  if (coding !== "identity") throw new NotOfMember(`its body is encoded (${printable(coding, 40)})`);
  if (headers["content-length"] === undefined && headers["transfer-encoding"] === undefined) {
    throw new NotOfMember("its body has neither a length nor chunks, so a truncated one would look complete");
  }
}

const typeOf = ({ headers }: Pick<Head, "headers">): string =>
  printable(headers["content-type"] ?? "without a Content-Type", 60);

async function jsonOf(head: Head, maxBytes = MAX_JSON_BYTES): Promise<unknown> {
  if (!jsonType.test(head.headers["content-type"] ?? "")) {
    throw new NotOfMember(`${head.status} ${typeOf(head)}, not application/json`);
  }
  requirePlain(head.headers);
  const bytes = await head.whole(maxBytes);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new NotOfMember(`${head.status}, and its body is not JSON`);
  }
}

function statusOf(json: unknown): MemberStatus {
  const { warnings = [], progress, ...fields } = fieldsOf("its status", json);
  const role = oneOf("role", fields.role, roles);
  return {
    id: numberOf("id", fields.id, 1),
    clusterId: numberOf("clusterId", fields.clusterId),
    role,
    term: numberOf("term", fields.term),
    leader: numberOf("leader", fields.leader),
    commit: numberOf("commit", fields.commit),
    applied: numberOf("applied", fields.applied),
    snapshot: numberOf("snapshot", fields.snapshot),
    members: memberList(fields.members),
    progress: progress === undefined ? undefined : listOf("progress", progress).map(progressOf),
    warnings: listOf("warnings", warnings).map(warningOf), // an earlier release has none
  };
}

function membersOf(json: unknown): Members {
  const { members, leader } = fieldsOf("its body", json);
  return { members: memberList(members), leader: numberOf("leader", leader) };
}

/** Members as the API lists them. Throws NotOfMember. */
export function memberList(value: unknown): MemberInfo[] {
  const members = listOf("members", value).map((item, i): MemberInfo => {
    const { id, peerUrl, role } = fieldsOf(`members[${i}]`, item);
    if (typeof peerUrl !== "string" || !/^[!-~]{0,300}$/.test(peerUrl)) throw wrong(`members[${i}].peerUrl`, peerUrl);
    return {
      id: numberOf(`members[${i}].id`, id, 1),
      peerUrl,
      role: oneOf(`members[${i}].role`, role, ["voter", "learner"] as const),
    };
  });
  if (new Set(members.map(({ id }) => id)).size < members.length) throw new NotOfMember("its members share an id");
  return members;
}

function progressOf(item: unknown, i: number): PeerProgress {
  const { id, match, next, state, recentActive, inflight } = fieldsOf(`progress[${i}]`, item);
  if (typeof recentActive !== "boolean") throw wrong(`progress[${i}].recentActive`, recentActive);
  return {
    id: numberOf(`progress[${i}].id`, id, 1),
    match: numberOf(`progress[${i}].match`, match),
    next: numberOf(`progress[${i}].next`, next),
    state: oneOf(`progress[${i}].state`, state, states),
    recentActive,
    inflight: numberOf(`progress[${i}].inflight`, inflight),
  };
}

function warningOf(item: unknown, i: number): Warning {
  const { code, message } = fieldsOf(`warnings[${i}]`, item);
  if (typeof code !== "string" || !problemCode.test(code)) throw wrong(`warnings[${i}].code`, code);
  if (typeof message !== "string") throw wrong(`warnings[${i}].message`, message);
  return { code, message };
}

export function fieldsOf(name: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(name, value);
  return value as Readonly<Record<string, unknown>>;
}

function listOf(name: string, value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw wrong(name, value);
  return value;
}

export function numberOf(name: string, value: unknown, least = 0): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least) throw wrong(name, value);
  return value;
}

function oneOf<const T extends string>(name: string, value: unknown, words: readonly T[]): T {
  const word = words.find((one) => one === value);
  if (word === undefined) throw wrong(name, value);
  return word;
}

function wrong(name: string, value: unknown): NotOfMember {
  const shown = value === undefined ? "missing" : printable(JSON.stringify(value), 60);
  return new NotOfMember(`${name} is ${shown}`);
}
