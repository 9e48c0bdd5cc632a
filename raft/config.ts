// The options of a node, their defaults and the checks made at start.
//
// Promises: each option that is left out works, or the error names it; each value that is given works, or the error names the option, the
// value and what is allowed. What etcd refuses is refused with its words in front.
//
// Ports Config of raft.go. "No limit" is Infinity here and 0 or MaxUint64 there; 0 means "no limit" where it does upstream. Three defaults
// are this port's own: `random`, because a simulation must be repeatable; a logger that may be missing; and maxSizePerMsg, whose zero value
// upstream leaves nothing to be applied. Leaves out TraceLogger.

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
  /**
   * Encoded bytes of entries in one append; at least one entry is always sent. 0: one entry each. Default: 1 MiB, or maxInflightBytes if
   * that is less.
   */
  readonly maxSizePerMsg?: number;
  /**
   * Encoded bytes of committed entries handed out and not acknowledged, over all Readys; at least one entry is always handed out. 0 and
   * default: as maxSizePerMsg.
   */
  readonly maxCommittedSizePerReady?: number;
  /** Payload bytes of a leader's uncommitted tail; beyond it proposals are dropped. 0 and default: no limit. */
  readonly maxUncommittedEntriesSize?: number;
  /** Appends in flight to one follower, above 0; etcd has 512. Infinity: no limit. */
  readonly maxInflightMsgs: number;
  /** Payload bytes in flight to one follower, at least maxSizePerMsg. 0 and default: no limit. */
  readonly maxInflightBytes?: number;
  /** A leader that has not heard from a quorum for an election timeout steps down (thesis 6.2). */
  readonly checkQuorum?: boolean;
  /**
   * Before a node campaigns, it asks whether it could win, so that a campaign without hope disturbs no leader (thesis
   * 9.6).
   */
  readonly preVote?: boolean;
  /** Default: "safe". "leaseBased" needs checkQuorum. */
  readonly readOnlyOption?: ReadOnlyOption;
  /** Default: silence. */
  readonly logger?: Logger;
  /**
   * An integer in [0, n), uniformly: `(n) => Math.floor(Math.random() * n)`. It spreads election timeouts. Default: a
   * fixed sequence for each id, since Math.random is impure.
   */
  readonly random?: (n: number) => number;
  /** Followers drop proposals instead of passing them to the leader. */
  readonly disableProposalForwarding?: boolean;
  /** Leaves it to the application that no second configuration change is proposed while one is pending. */
  readonly disableConfChangeValidation?: boolean;
  /** A leader that is removed or demoted becomes a follower. */
  readonly stepDownOnRemoval?: boolean;
}

export type ResolvedConfig = Required<Config>;

/** As etcd's server has it. */
const defaultSizePerMsg = 1024 * 1024;
/** The smallest quota: no entry is smaller, so that one at a time is handed out. */
const oneEntry = 1;

interface Check {
  /** What is allowed, as the end of a sentence. */
  readonly what: string;
  readonly holds: (value: unknown) => boolean;
  readonly isRequired?: true;
}

const storageMethods = ["initialState", "entries", "term", "lastIndex", "firstIndex", "snapshot"] as const;
const loggerMethods = ["debug", "info", "warning", "error", "fatal"] as const;

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  (typeof value === "object" && value !== null) || typeof value === "function";

/** Also whether it can be the id of a node. */
export const isPositiveInteger = (value: unknown): boolean => isCount(value) && value !== 0;

const count: Check = { what: "an integer above 0", holds: isPositiveInteger, isRequired: true };
const size: Check = {
  what: "an integer that is not negative, or Infinity",
  holds: (value) => isCount(value) || value === noLimit,
};
const flag: Check = { what: "true or false", holds: (value) => typeof value === "boolean" };

const checks: { readonly [option in keyof ResolvedConfig]: Check } = {
  id: { ...count, what: "an integer in (0, 2^53)" },
  electionTick: count,
  heartbeatTick: count,
  storage: {
    what: `an object with the methods ${storageMethods.join(", ")}`,
    holds: (value) => isObject(value) && storageMethods.every((name) => typeof value[name] === "function"),
    isRequired: true,
  },
  applied: { what: "an integer that is not negative", holds: isCount },
  asyncStorageWrites: flag,
  maxSizePerMsg: size,
  maxCommittedSizePerReady: size,
  maxUncommittedEntriesSize: size,
  maxInflightMsgs: {
    what: "an integer above 0, or Infinity",
    holds: (value) => value !== 0 && size.holds(value),
    isRequired: true,
  },
  maxInflightBytes: size,
  checkQuorum: flag,
  preVote: flag,
  readOnlyOption: { what: '"safe" or "leaseBased"', holds: (value) => value === "safe" || value === "leaseBased" },
  logger: {
    what: `an object whose ${loggerMethods.join(", ")} are functions or missing`,
    holds: (value) =>
      isObject(value) && loggerMethods.every((name) => value[name] === undefined || typeof value[name] === "function"),
  },
  random: { what: "a function", holds: (value) => typeof value === "function" },
  disableProposalForwarding: flag,
  disableConfChangeValidation: flag,
  stepDownOnRemoval: flag,
};

/** What etcd says first of a value that it refuses as well. */
function wordsOfEtcd(option: keyof Config, value: unknown): string {
  if (option === "id" && value === none) return "cannot use none as id: ";
  if (option === "id" && isLocalMsgTarget(value as number)) return "cannot use local target as id: ";
  if (option === "storage" && !isObject(value)) return "storage cannot be nil: ";
  if (!((value as number) <= 0)) return "";
  if (option === "heartbeatTick") return "heartbeat tick must be greater than 0: ";
  return option === "maxInflightMsgs" ? "max inflight messages must be greater than 0: " : "";
}

/** A value in an error's text: short, and never one that throws. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}...` : value);
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

/** The caller's source with its answers checked: one that is out of bounds would leave a node without elections. */
function checkedRandom(random: (n: number) => number): (n: number) => number {
  return (n) => {
    const drawn = random(n);
    if (isCount(drawn) && drawn < n) return drawn;
    throw new Error(`random(${n}) must give an integer from 0 to ${n - 1}, not ${shown(drawn)}`);
  };
}

/** The same numbers each time for one id, others for another: enough to part candidates that would time out together for ever. */
function randomOfId(id: number): (n: number) => number {
  let state = (id % 2 ** 32) ^ Math.floor(id / 2 ** 32);
  return (n) => {
    state = (state + 0x9e3779b9) | 0; // odd, so that all 2^32 states come
    let bits = Math.imul(state ^ (state >>> 16), 0x45d9f3b5);
    bits = Math.imul(bits ^ (bits >>> 15), 0x2c1b3c6d);
    return Math.floor((((bits ^ (bits >>> 16)) >>> 0) / 2 ** 32) * n);
  };
}

/** Fills in the defaults. Throws an Error that names the option at fault. */
export function resolveConfig(c: Config): ResolvedConfig {
  if (!isObject(c)) throw new Error(`the config of a node must be an object, not ${shown(c)}`);
  for (const option of Object.keys(checks) as (keyof Config)[]) {
    const { what, holds, isRequired } = checks[option];
    const value: unknown = c[option];
    if (value === undefined && isRequired === undefined) continue;
    if (!holds(value)) throw new Error(`${wordsOfEtcd(option, value)}${option} must be ${what}, not ${shown(value)}`);
  }
  const { id, electionTick, heartbeatTick, readOnlyOption = "safe", checkQuorum = false } = c;
  if (electionTick <= heartbeatTick) {
    const text = "election tick must be greater than heartbeat tick";
    throw new Error(`${text}: electionTick is ${electionTick}, heartbeatTick ${heartbeatTick}`);
  }
  const maxInflightBytes = c.maxInflightBytes || noLimit;
  const maxSizePerMsg = c.maxSizePerMsg ?? Math.min(defaultSizePerMsg, maxInflightBytes);
  if (maxInflightBytes < maxSizePerMsg) {
    const text = "max inflight bytes must be >= max message size";
    throw new Error(`${text}: maxInflightBytes is ${maxInflightBytes}, maxSizePerMsg ${maxSizePerMsg}`);
  }
  if (readOnlyOption === "leaseBased" && !checkQuorum) {
    const text = "CheckQuorum must be enabled when ReadOnlyOption is ReadOnlyLeaseBased";
    throw new Error(`${text}: readOnlyOption is "leaseBased", checkQuorum false`);
  }
  return {
    id,
    electionTick,
    heartbeatTick,
    storage: c.storage,
    applied: c.applied ?? 0,
    asyncStorageWrites: c.asyncStorageWrites ?? false,
    maxSizePerMsg,
    maxCommittedSizePerReady: c.maxCommittedSizePerReady || maxSizePerMsg || oneEntry,
    maxUncommittedEntriesSize: c.maxUncommittedEntriesSize || noLimit,
    maxInflightMsgs: c.maxInflightMsgs,
    maxInflightBytes,
    checkQuorum,
    preVote: c.preVote ?? false,
    readOnlyOption,
    logger: c.logger ?? discardLogger,
    random: checkedRandom(c.random ?? randomOfId(id)),
    disableProposalForwarding: c.disableProposalForwarding ?? false,
    disableConfChangeValidation: c.disableConfChangeValidation ?? false,
    stepDownOnRemoval: c.stepDownOnRemoval ?? false,
  };
}
