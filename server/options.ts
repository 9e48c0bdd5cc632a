// What a server is made of: its settings, and the parts that it is given.

import type { Logger } from "../raft/index.ts";
import type { MemberAddress, Rejection } from "../transport/contract.ts";
import type { Clock, LogStore, Recovered, SnapshotStore, StateMachine, Transport } from "./interfaces.ts";

export interface ServerOptions {
  readonly id: number;
  readonly clusterId: number;
  /** The random number that was drawn when this member's log was made; 0 for a log that has none. */
  readonly incarnation: number;
  /** What the log held at start; undefined for a new member. */
  readonly recovered: Recovered | undefined;
  /**
   * `start`: the members of a new cluster, in ascending order of id, the same on each of them. `join`: members of a running cluster that may
   * talk to this one until it knows them all from its log. Neither counts once the log names the members. `moved`: new addresses of
   * members in the log, this one among them. They override those that the log had at the start, until a later entry gives one
   * (membership/move.ts).
   */
  readonly peers: {
    readonly how: "start" | "join" | "moved";
    readonly list: readonly MemberAddress[];
  };
  readonly tickMs: number;
  /** Ticks without a leader before an election; heartbeats go out every tick. */
  readonly electionTicks: number;
  /** How long a client's request may take. */
  readonly requestTimeoutMs: number;
  /** Requests that may wait at a time; writes and reads are counted apart. */
  readonly maxWaiting: number;
  /** A disk that takes longer than this for a write and its sync counts as dead; 0 disables this. */
  readonly diskStallMs: number;
  /** A snapshot is taken after so many entries. */
  readonly snapshotCount: number;
  /** Entries kept in memory behind a snapshot, for peers that lag a little. */
  readonly snapshotCatchupEntries: number;
}

export interface ServerParts {
  readonly log: LogStore;
  readonly snapshots: SnapshotStore;
  readonly transport: Transport;
  readonly stateMachine: StateMachine;
  readonly clock: Clock;
  /** An integer in [0, n), uniformly. */
  readonly random: (n: number) => number;
  readonly logger: Logger;
  /** The member cannot go on: its disk failed, or an invariant is broken. The process must end. */
  readonly onFailure: (error: Error) => void;
  /**
   * The cluster has no place for this member any more: it was removed and no member needs it any longer, or it has lost its promises. The
   * process must end.
   */
  readonly onRejected: (rejection: Rejection) => void;
}
