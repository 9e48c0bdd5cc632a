// The ids that nobody chooses: a cluster's, which all its members work out alike, and a log's own, which no other has.

import { createHash, randomInt } from "node:crypto";
import type { PeerFlag } from "../cli/flags.ts";

/** The id of a cluster that starts with these members: the same 52 bits on each of them. */
export const clusterIdOf = (peers: readonly PeerFlag[]): number =>
  idOf(peers.map(({ id, url }) => `${id}=${url}`).join(","));

/** 52 bits of a text's hash. */
export const idOf = (text: string): number =>
  Number.parseInt(createHash("sha256").update(text).digest("hex").slice(0, 13), 16);

/** For a cluster whose members no list names: of one that is made from what one member has. */
export const drawClusterId = (): number => randomInt(1, 2 ** 47);

/** Of a log that is made now (wal/metadata.ts). */
export const drawIncarnation = (): number => randomInt(1, 2 ** 47);
