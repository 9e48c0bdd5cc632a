// The ids that no operator chooses: the cluster id, which all members compute alike, and the incarnation, which differs for every log.

import { createHash, randomInt } from "node:crypto";
import type { PeerFlag } from "../cli/flags.ts";

/** The id of a cluster that starts with these members: the same 52 bits on each of them. */
export const clusterIdOf = (peers: readonly PeerFlag[]): number =>
  idOf(peers.map(({ id, url }) => `${id}=${url}`).join(","));

/** 52 bits of a text's hash. */
export const idOf = (text: string): number =>
  Number.parseInt(createHash("sha256").update(text).digest("hex").slice(0, 13), 16);

/** For a cluster made by `recover`, which has no founding list. */
export const drawClusterId = (): number => randomInt(1, 2 ** 47);

/** For a new log (wal/metadata.ts). */
export const drawIncarnation = (): number => randomInt(1, 2 ** 47);
