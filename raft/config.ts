// The options of a node, their defaults and the checks made at start.
//
// Ports Config of raft.go. "No limit" is Infinity here and 0 or MaxUint64 there; both 0 and undefined mean "no limit"
// where they do upstream. Two options are this port's own: `random`, because a simulation must be repeatable, and a
// logger that may be missing. Leaves out TraceLogger.

import { discardLogger, type Logger } from "./logger.ts";
import type { Storage } from "./storage.ts";
import { noLimit, none, type ReadOnlyOption } from "./types.ts";
import { isLocalMsgTarget } from "./util.ts";

export interface Config {
  /** Unique for all time: not 0, never used again, not even after a removal. */
  readonly id: number;
  /**
   * The base election timeout in ticks, above heartbeatTick; ten times that is advised. The real one is drawn from
   * [electionTick, 2 * electionTick - 1] on every change of role. Also the period of checkQuorum, the lease, and the
   * time a leadership transfer may take.
   */
  readonly electionTick: number;
  /** Ticks between a leader's heartbeats, above 0. */
  readonly heartbeatTick: number;
  readonly storage: Storage;
  /** The last index applied before a restart: nothing up to it is handed out again. */
  readonly applied?: number;
  /**
   * Ready carries MsgStorageAppend and MsgStorageApply, to be answered when done, instead of being followed by
   * advance().
   */
  readonly asyncStorageWrites?: boolean;
  /** Encoded bytes of entries in one append. 0: one entry each; at least one is always sent. */
  readonly maxSizePerMsg?: number;
  /** Encoded bytes of committed entries handed out and not acknowledged, over all Readys. 0: as maxSizePerMsg. */
  readonly maxCommittedSizePerReady?: number;
  /** Payload bytes of a leader's uncommitted tail; beyond it proposals are dropped. 0: no limit. */
  readonly maxUncommittedEntriesSize?: number;
  /** Appends in flight to one follower, above 0. */
  readonly maxInflightMsgs: number;
  /** Payload bytes in flight to one follower, at least maxSizePerMsg. 0: no limit. */
  readonly maxInflightBytes?: number;
  /** A leader that has not heard from a quorum for an election timeout steps down (thesis 6.2). */
  readonly checkQuorum?: boolean;
  /**
   * Before a node campaigns, it asks whether it could win, so that a campaign without hope disturbs no leader (thesis
   * 9.6).
   */
  readonly preVote?: boolean;
  /** "leaseBased" needs checkQuorum. */
  readonly readOnlyOption?: ReadOnlyOption;
  readonly logger?: Logger;
  /** An integer in [0, n), uniformly. No default: Math.random is impure. Without it every timeout is the shortest. */
  readonly random?: (n: number) => number;
  /** Followers drop proposals instead of passing them to the leader. */
  readonly disableProposalForwarding?: boolean;
  /** Leaves it to the application that no second configuration change is proposed while one is pending. */
  readonly disableConfChangeValidation?: boolean;
  /** A leader that is removed or demoted becomes a follower. */
  readonly stepDownOnRemoval?: boolean;
}

export type ResolvedConfig = Required<Config>;

/** Fills in the defaults. Throws an Error that names the option at fault. */
export function resolveConfig(c: Config): ResolvedConfig {
  if (c.id === none) throw new Error("cannot use none as id");
  if (isLocalMsgTarget(c.id)) throw new Error("cannot use local target as id");
  if (!Number.isSafeInteger(c.id) || c.id < 0) throw new Error(`id ${c.id} is not an integer in (0, 2^53)`);
  if (!(c.heartbeatTick > 0)) throw new Error("heartbeat tick must be greater than 0");
  if (!(c.electionTick > c.heartbeatTick)) throw new Error("election tick must be greater than heartbeat tick");
  if (c.storage === undefined) throw new Error("storage cannot be nil");
  if (!(c.maxInflightMsgs > 0)) throw new Error("max inflight messages must be greater than 0");
  const maxSizePerMsg = c.maxSizePerMsg ?? 0;
  const maxInflightBytes = c.maxInflightBytes || noLimit;
  if (maxInflightBytes < maxSizePerMsg) throw new Error("max inflight bytes must be >= max message size");
  const readOnlyOption = c.readOnlyOption ?? "safe";
  const checkQuorum = c.checkQuorum ?? false;
  if (readOnlyOption === "leaseBased" && !checkQuorum) {
    throw new Error("CheckQuorum must be enabled when ReadOnlyOption is ReadOnlyLeaseBased");
  }
  return {
    id: c.id,
    electionTick: c.electionTick,
    heartbeatTick: c.heartbeatTick,
    storage: c.storage,
    applied: c.applied ?? 0,
    asyncStorageWrites: c.asyncStorageWrites ?? false,
    maxSizePerMsg,
    maxCommittedSizePerReady: c.maxCommittedSizePerReady || maxSizePerMsg,
    maxUncommittedEntriesSize: c.maxUncommittedEntriesSize || noLimit,
    maxInflightMsgs: c.maxInflightMsgs,
    maxInflightBytes,
    checkQuorum,
    preVote: c.preVote ?? false,
    readOnlyOption,
    logger: c.logger ?? discardLogger,
    random: c.random ?? (() => 0),
    disableProposalForwarding: c.disableProposalForwarding ?? false,
    disableConfChangeValidation: c.disableConfChangeValidation ?? false,
    stepDownOnRemoval: c.stepDownOnRemoval ?? false,
  };
}
