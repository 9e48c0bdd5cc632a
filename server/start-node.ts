// A raft node in the state that a member's log holds, with the limits that this server sets.

import { type Logger, type MemoryStorage, makeSnapshot, type Peer, RawNode } from "../raft/index.ts";
import type { MemberAddress } from "../transport/contract.ts";
import type { Recovered } from "./interfaces.ts";

const mebibyte = 1024 * 1024;

export interface NodeOptions {
  readonly id: number;
  readonly electionTicks: number;
  readonly recovered: Recovered | undefined;
  /** The members of a cluster that is started now; undefined for a member that joins one. */
  readonly founders: readonly MemberAddress[] | undefined;
  readonly logger: Logger;
  readonly random: (n: number) => number;
}

/** Fills the storage, which must be empty, and starts a node on it. */
export function startNode(storage: MemoryStorage, options: NodeOptions): RawNode {
  const { id, electionTicks, recovered, founders, logger, random } = options;
  const snapshot = recovered?.snapshot;
  if (recovered !== undefined) {
    // The data stays on disk: raft needs the metadata only.
    if (snapshot !== undefined) storage.applySnapshot({ ...makeSnapshot(0, 0), metadata: snapshot });
    storage.append(recovered.entries);
    if (recovered.hardState !== undefined) storage.setHardState(recovered.hardState);
  }
  const node = new RawNode({
    id,
    electionTick: electionTicks,
    heartbeatTick: 1,
    storage,
    applied: snapshot?.index ?? 0,
    maxSizePerMsg: mebibyte,
    maxCommittedSizePerReady: 4 * mebibyte,
    maxUncommittedEntriesSize: 128 * mebibyte,
    maxInflightMsgs: 512,
    maxInflightBytes: 8 * mebibyte, // below what the transport queues for one peer, or it would drop appends
    checkQuorum: true,
    preVote: true,
    // A leader that stepped down when it is no voter any more could leave the rest without one: of two, the other need not know yet that it
    // is alone. It leads on until a voter has its whole log, and gives leadership to that one (membership/requests.ts).
    stepDownOnRemoval: false,
    logger,
    random,
  });
  if (recovered === undefined && founders !== undefined) {
    const encoder = new TextEncoder();
    node.bootstrap(founders.map(({ id: peer, url }): Peer => ({ id: peer, context: encoder.encode(url) })));
  }
  return node;
}
