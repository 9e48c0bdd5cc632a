// The handshake: the headers on the HTTP request that opens a connection or asks a question, and the reasons to refuse
// it.
//
// A connection carries one member's messages to another, and the handshake settles once which two they are. Every rule
// about From and To in validate.ts depends on it. A member of another cluster or another protocol, or one that the
// handler does not admit, never gets as far as a raft message. A joining member does not know the cluster yet: it names
// only itself, and may only ask for the members.
//
// A refusal is an HTTP response with a status of 4xx (503 while the member starts or stops) and one plain sentence,
// which both sides log. If the handler refused, a header names its reason. "removed" and "lost-data" are final, and the
// refused member must stop. A status alone would not do: any server that happens to listen there may answer 410. With
// "removed" another header names the remaining members: the log index of that list, and each member as id=url. Every
// answer names the cluster of the answering member, so that a program can tell the two sides of a mistake apart. The
// headers have a checksum (checksum.ts), since a wrong digit in an incarnation would turn a sound member away for good.
// They name the members and do not prove it: a peer port belongs on a network where only members can reach it.
//
// Its counterpart upstream is etcd's rafthttp/http.go (X-Etcd-Cluster-ID, X-Raft-To, its 410 for a removed member); the
// format is our own.

import { type IncomingHttpHeaders, type ServerResponse, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { checksumOf, fits } from "./checksum.ts";
import type { Address, MemberAddress, Rejection, Remaining } from "./contract.ts";
import { originOf } from "./peer-url.ts";

export const protocolVersion = 2;

/** The paths of the peer port. */
export const peerPath = {
  /** WebSocket: raft messages. */
  messages: "/raft",
  /** WebSocket: one snapshot (snapshot-frames.ts). */
  snapshot: "/raft/snapshot",
  /** POST: a request that a member forwards. */
  request: "/raft/request",
  /** GET: the members, for a joining member. */
  cluster: "/raft/cluster",
  /**
   * GET: which member of which cluster this is. Any program may ask: the answer needs no admission and changes nothing.
   */
  identity: "/raft/identity",
} as const;

const header = {
  version: "x-readyloop-version",
  cluster: "x-readyloop-cluster",
  from: "x-readyloop-from",
  to: "x-readyloop-to",
  incarnation: "x-readyloop-incarnation",
  address: "x-readyloop-address",
  rejection: "x-readyloop-rejection",
  checksum: "x-readyloop-checksum",
  /** In an answer, over its cluster id. */
  clusterChecksum: "x-readyloop-cluster-checksum",
} as const;

/** The remaining members, for a removed one. */
export const remainingHeader = "x-readyloop-remaining";

/** Over the body of a request or of an answer. */
export const bodyChecksumHeader = "x-readyloop-body-checksum";

/** The checksum covers the values of these headers, each on a line. */
const guarded = [header.version, header.from, header.incarnation, header.cluster, header.to, header.address];

/** The asking member, before it knows the cluster. */
export interface Asker {
  readonly from: number;
  /** 0: unknown. */
  readonly incarnation: number;
}

/** The member that opens a connection, and the one that it dials. */
export interface Identity extends Asker {
  readonly clusterId: number;
  readonly to: number;
  /** The sender's own address, if it knows it. */
  readonly address: Address | undefined;
}

/** Why a connection is refused: an HTTP status and a sentence. */
export interface Refusal {
  readonly status: number;
  readonly reason: string;
  readonly rejection?: Rejection["kind"];
  readonly remaining?: Remaining | undefined;
}

/** The member that is asked. */
export interface Asked {
  readonly id: number;
  readonly clusterId: number;
  admit(from: number, incarnation: number, address: Address | undefined): Rejection | undefined;
}

const maxRemainingLength = 8192;

const rejectionStatus = { unknown: 403, removed: 410, "lost-data": 409 } as const;

type Headers = Readonly<Record<string, string | string[] | undefined>>;

const guardedText = (headers: Headers): string => guarded.map((name) => String(headers[name] ?? "")).join("\n");

const withChecksum = (headers: Record<string, string>): Record<string, string> => ({
  ...headers,
  [header.checksum]: checksumOf(guardedText(headers)),
});

const plainHeaders = ({ from, incarnation }: Asker): Record<string, string> => ({
  [header.version]: String(protocolVersion),
  [header.from]: String(from),
  [header.incarnation]: String(incarnation),
});

export const askerHeaders = (asker: Asker): Record<string, string> => withChecksum(plainHeaders(asker));

export function handshakeHeaders(identity: Identity): Record<string, string> {
  const { clusterId, to, address } = identity;
  return withChecksum({
    ...plainHeaders(identity),
    [header.cluster]: String(clusterId),
    [header.to]: String(to),
    ...(address === undefined ? {} : { [header.address]: `${address.since} ${address.url}` }),
  });
}

/** The sender's id, or why the handshake is refused. */
export function checkHandshake(headers: Headers, asked: Asked): number | Refusal {
  const asker = readAsker(headers);
  if ("status" in asker) return asker;
  const clusterId = readNumber(headers[header.cluster]);
  if (clusterId === undefined) return malformed(header.cluster);
  const to = readNumber(headers[header.to]);
  if (to === undefined) return malformed(header.to);
  if (clusterId !== asked.clusterId) {
    return { status: 412, reason: `cluster ${clusterId} offered, this member belongs to cluster ${asked.clusterId}` };
  }
  if (to !== asked.id) {
    return { status: 421, reason: `looking for member ${to}, this is member ${asked.id}; check the peer URLs` };
  }
  if (asker.from === asked.id) {
    return { status: 409, reason: `member ${asker.from} called itself; check that ids and peer URLs differ` };
  }
  const said = headers[header.address];
  const address = said === undefined ? undefined : readAddress(said);
  if (said !== undefined && address === undefined) {
    return { status: 400, reason: `header ${header.address} is not a number and a URL like http://host:port` };
  }
  return refusalOf(asked.admit(asker.from, asker.incarnation, address)) ?? asker.from;
}

/** The id of a joining member, or why it is refused. */
export function checkJoiner(headers: Headers, asked: Asked): number | Refusal {
  const asker = readAsker(headers);
  if ("status" in asker) return asker;
  if (asker.from === asked.id) {
    // The asker has just drawn a new log: to the cluster, it is this member come back without its data.
    const message = `member ${asked.id} is running and has answered this; choose an id that is free`;
    return refusalOf({ kind: "lost-data", message }) as Refusal;
  }
  return refusalOf(asked.admit(asker.from, asker.incarnation, undefined)) ?? asker.from;
}

function refusalOf(rejection: Rejection | undefined): Refusal | undefined {
  if (rejection === undefined) return undefined;
  const { kind, message, remaining } = rejection;
  return {
    status: rejectionStatus[kind],
    reason: message,
    rejection: kind,
    ...(remaining === undefined ? {} : { remaining }),
  };
}

function readAsker(headers: Headers): Asker | Refusal {
  // The version comes first: it alone says what the other headers mean.
  const version = readNumber(headers[header.version]);
  if (version === undefined) return malformed(header.version);
  if (version !== protocolVersion) {
    return { status: 412, reason: `protocol version ${version} offered, this member speaks ${protocolVersion}` };
  }
  const from = readNumber(headers[header.from]);
  if (from === undefined) return malformed(header.from);
  const said = headers[header.incarnation];
  const incarnation = said === undefined || said === "0" ? 0 : readNumber(said);
  if (incarnation === undefined) return malformed(header.incarnation);
  if (!fits(headers[header.checksum], guardedText(headers))) {
    return { status: 400, reason: `header ${header.checksum} does not fit the others: they were changed on the way` };
  }
  return { from, incarnation };
}

const malformed = (name: string): Refusal => ({
  status: 400,
  reason: `header ${name} is missing or not a number in [1, 2^53)`,
});

/** A positive exact decimal. 0 and the two ids of the storage threads (2^64 - 1 and - 2 upstream) fall outside. */
function readNumber(text: string | string[] | undefined): number | undefined {
  if (typeof text !== "string" || !/^[1-9][0-9]{0,15}$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

function readAddress(text: string | string[]): Address | undefined {
  const match = typeof text === "string" ? /^(\d{1,16}) (\S{1,1024})$/.exec(text) : null;
  const since = Number(match?.[1]);
  if (match === null || !Number.isSafeInteger(since)) return undefined;
  try {
    return { since, url: originOf(match[2] as string) };
  } catch {
    return undefined;
  }
}

/** The headers of every answer of a peer port: the cluster of the answering member. */
export function clusterHeaders(clusterId: number): Record<string, string> {
  const text = String(clusterId);
  return { [header.cluster]: text, [header.clusterChecksum]: checksumOf(text) };
}

/**
 * The cluster that an answer names. Undefined if it names none, or if the header changed on the way: then no member
 * gave it.
 */
export function clusterIn(headers: Headers): number | undefined {
  const text = headers[header.cluster];
  const sum = headers[header.clusterChecksum];
  return typeof text === "string" && sum !== undefined && fits(sum, text) ? readNumber(text) : undefined;
}

/** The handler's reason, read from a refusal; undefined if the refusal has another cause, or comes from no member. */
export function rejectionIn(
  status: number | undefined,
  headers: IncomingHttpHeaders,
  message: string,
): Rejection | undefined {
  const kind = headers[header.rejection];
  if (kind !== "unknown" && kind !== "removed" && kind !== "lost-data") return undefined;
  if (rejectionStatus[kind] !== status) return undefined;
  const remaining = readRemaining(headers);
  return remaining === undefined ? { kind, message } : { kind, message, remaining };
}

function remainingHeaders(remaining: Remaining | undefined): Record<string, string> {
  if (remaining === undefined) return {};
  const { asOf, members } = remaining;
  const text = [asOf, ...members.map(({ id, url }) => `${id}=${originOrNone(url)}`)].join(" ");
  // A member that gets no list asks the members that it knows.
  return text.length > maxRemainingLength ? {} : { [remainingHeader]: text, [header.checksum]: checksumOf(text) };
}

/** Undefined if there are none, or if they changed on the way. */
function readRemaining(headers: Headers): Remaining | undefined {
  const text = headers[remainingHeader];
  if (typeof text !== "string" || !fits(headers[header.checksum], text)) return undefined;
  const [index, ...list] = text.split(" ");
  const asOf = readNumber(index);
  if (asOf === undefined || list.length === 0) return undefined;
  const members: MemberAddress[] = [];
  for (const item of list) {
    const [, said, url = ""] = /^(\d+)=(\S*)$/.exec(item) ?? [];
    const id = readNumber(said);
    if (id === undefined) return undefined;
    members.push({ id, url: originOrNone(url) });
  }
  return { asOf, members };
}

/** A bad address must not suppress the answer, and has no place in a header. */
function originOrNone(url: string): string {
  try {
    return originOf(url);
  } catch {
    return "";
  }
}

const answerHeaders = ({ rejection, remaining }: Refusal): Record<string, string> => ({
  Connection: "close",
  "Content-Type": "text/plain; charset=utf-8",
  ...(rejection === undefined ? {} : { [header.rejection]: rejection }),
  ...remainingHeaders(remaining),
});

/** Answers an upgrade request with the refusal and closes the connection. */
export function refuseUpgrade(socket: Duplex, refusal: Refusal, clusterId: number): void {
  const { status, reason } = refusal;
  const body = `${reason}\n`;
  const length = { "Content-Length": String(Buffer.byteLength(body)) };
  const lines = Object.entries({ ...answerHeaders(refusal), ...clusterHeaders(clusterId), ...length });
  socket.once("finish", () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${body}`,
  );
}

/** Answers a plain request with the refusal; the connection is closed once it has left. */
export function refuseRequest(response: ServerResponse, refusal: Refusal): void {
  response.writeHead(refusal.status, answerHeaders(refusal));
  response.end(`${refusal.reason}\n`);
}
