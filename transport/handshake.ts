// The handshake: four headers on the HTTP request that opens a connection, and the reasons to refuse one.
//
// A connection carries one member's messages to another, and who those two are is settled here, once. Every rule about From and To in
// validate.ts leans on it. A member of another cluster, of another protocol, or a stranger never gets as far as a raft message.
//
// A refusal is an HTTP response with a status of 4xx (503 while the member starts or stops) and one plain sentence, which both sides log.
// The headers name the members and do not prove it: a peer port belongs on a network where only members can reach it.
//
// Its counterpart upstream is etcd's rafthttp/http.go (X-Etcd-Cluster-ID, X-Raft-To and their kin); the format is our own.

import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";

export const protocolVersion = 1;

/** The only path of the peer port. */
export const peerPath = "/raft";

const header = {
  version: "x-readyloop-version",
  cluster: "x-readyloop-cluster",
  from: "x-readyloop-from",
  to: "x-readyloop-to",
} as const;

/** Who opens a connection to whom. */
export interface Identity {
  readonly clusterId: number;
  readonly from: number;
  readonly to: number;
}

/** Why a connection is not taken: an HTTP status and a sentence. */
export interface Refusal {
  readonly status: number;
  readonly reason: string;
}

/** The member that is asked. */
export interface Asked {
  readonly id: number;
  readonly clusterId: number;
  isPeer(id: number): boolean;
}

export function handshakeHeaders(identity: Identity): Record<string, string> {
  return {
    [header.version]: String(protocolVersion),
    [header.cluster]: String(identity.clusterId),
    [header.from]: String(identity.from),
    [header.to]: String(identity.to),
  };
}

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** The sender's id, or why it is refused. Pure. */
export function checkHandshake(path: string | undefined, headers: Headers, asked: Asked): number | Refusal {
  if (path !== peerPath) return { status: 404, reason: `peers connect to ${peerPath}` };
  // The version comes first: it alone says what the other headers mean.
  const version = readNumber(headers[header.version]);
  if (version === undefined) return malformed(header.version);
  if (version !== protocolVersion) {
    return { status: 412, reason: `protocol version ${version} offered, this member speaks ${protocolVersion}` };
  }
  const clusterId = readNumber(headers[header.cluster]);
  if (clusterId === undefined) return malformed(header.cluster);
  const from = readNumber(headers[header.from]);
  if (from === undefined) return malformed(header.from);
  const to = readNumber(headers[header.to]);
  if (to === undefined) return malformed(header.to);
  return checkIdentity({ clusterId, from, to }, asked);
}

function checkIdentity({ clusterId, from, to }: Identity, asked: Asked): number | Refusal {
  if (clusterId !== asked.clusterId) {
    return { status: 412, reason: `cluster ${clusterId} offered, this member belongs to cluster ${asked.clusterId}` };
  }
  if (to !== asked.id) {
    return { status: 421, reason: `looking for member ${to}, this is member ${asked.id}; check the peer URLs` };
  }
  if (from === asked.id) {
    return { status: 409, reason: `member ${from} called itself; check that ids and peer URLs differ` };
  }
  if (!asked.isPeer(from)) return { status: 403, reason: `member ${from} is not known to member ${asked.id}` };
  return from;
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

/** Answers an upgrade request with the refusal and closes the connection. */
export function refuse(socket: Duplex, { status, reason }: Refusal): void {
  const body = `${reason}\n`;
  socket.once("finish", () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n` +
      "Connection: close\r\n" +
      "Content-Type: text/plain; charset=utf-8\r\n" +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
