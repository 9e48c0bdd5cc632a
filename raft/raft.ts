// The state of one raft node, and how it sends.
//
// This class holds what the paper's figure 2 calls state, and little else. The algorithm is in functions on a Raft,
// named as in etcd's raft.go and gathered by what a reader looks for: role.ts, tick.ts, election.ts, replication.ts,
// handle-append.ts, step.ts and its step-*.ts for each role, apply-conf-change.ts, read-index.ts. README.md gives the
// order to read them in.
//
// The state is in plain fields, never in # ones: simulators compare nodes field by field, and tests put one into the
// state they need.
//
// Promises: pure. No clock but tick, no randomness but what the Config brings, no I/O but Storage. Messages go out in
// `msgs`, or, if they vouch for something that must be durable first, in `msgsAfterAppend`.
//
// Ports type raft and its send of raft.go. Leaves out the trace logger. Go's function pointers for step and tick are
// switches on the role.

import type { Config, ResolvedConfig } from "./config.ts";
import { resolveConfig } from "./config.ts";
import { RaftLog } from "./log.ts";
import { type Logger, panic } from "./logger.ts";
import {
  emptyEntries,
  type HardState,
  type Message,
  MessageType,
  makeHardState,
  makeMessage,
  messageTypeName,
} from "./raftpb/index.ts";
import { ReadOnly } from "./read-only.ts";
import { ProgressTracker } from "./tracker/tracker.ts";
import { none, type ReadState, type SoftState, type StateType } from "./types.ts";

const { MsgProp, MsgAppResp, MsgVote, MsgVoteResp, MsgReadIndex, MsgPreVote, MsgPreVoteResp } = MessageType;

/** A message to be sent: the type, the receiver, and what differs from the default. */
export type Outgoing = Pick<Message, "type" | "to"> & Partial<Message>;

const emptyMessages: readonly Message[] = makeMessage(0).responses;

export class Raft {
  readonly id: number;
  readonly config: ResolvedConfig;
  readonly logger: Logger;

  // Persistent state on all nodes (figure 2), with the log.
  term = 0;
  vote = none;
  readonly raftLog: RaftLog;

  state: StateType = "StateFollower";
  /** The leader of this term as far as known. */
  lead = none;
  /** This node is a learner in its own configuration. */
  isLearner = false;
  trk: ProgressTracker;

  /** To other nodes, at any time. */
  msgs: Message[] = [];
  /**
   * Answers that promise something: to be sent once all state that was unstable when they were made is durable. Some
   * are addressed to this node itself.
   */
  msgsAfterAppend: Message[] = [];
  readStates: ReadState[] = [];

  /** The target of a leadership transfer under way (thesis 3.10). */
  leadTransferee = none;
  /**
   * At or above the index of the last configuration change in the log. Until that is applied, the leader admits no
   * other.
   */
  pendingConfIndex = 0;
  /** A leader's estimate of the payload bytes in its uncommitted tail; never above the truth. */
  uncommittedSize = 0;

  readOnly: ReadOnly;
  /** Reads that came before this leader had committed anything in its term. */
  pendingReadIndexMessages: Message[] = [];

  /** Ticks since the last election timeout or, on a follower, since the last message of the leader. */
  electionElapsed = 0;
  /** Ticks since a leader's last heartbeat. */
  heartbeatElapsed = 0;
  /** In [electionTick, 2 * electionTick - 1], drawn anew with each change of role. */
  randomizedElectionTimeout = 0;

  constructor(c: Config) {
    this.config = resolveConfig(c);
    this.id = this.config.id;
    this.logger = this.config.logger;
    this.raftLog = new RaftLog(this.config.storage, this.logger, this.config.maxCommittedSizePerReady);
    this.trk = new ProgressTracker(this.config.maxInflightMsgs, this.config.maxInflightBytes);
    this.readOnly = new ReadOnly(this.config.readOnlyOption);
  }

  hasLeader(): boolean {
    return this.lead !== none;
  }

  softState(): SoftState {
    return { lead: this.lead, raftState: this.state };
  }

  hardState(): HardState {
    return makeHardState(this.term, this.vote, this.raftLog.committed);
  }

  /** Restores what was persisted. Panics if the commit index lies outside of the log. */
  loadState(hs: HardState): void {
    const { committed } = this.raftLog;
    const last = this.raftLog.lastIndex();
    if (hs.commit < committed || hs.commit > last) {
      panic(this.logger, `${this.id.toString(16)} state.commit ${hs.commit} is out of range [${committed}, ${last}]`);
    }
    this.raftLog.committed = hs.commit;
    this.term = hs.term;
    this.vote = hs.vote;
  }

  /** Whether this node may become leader: a voter of its own configuration, with no snapshot still to install. */
  promotable(): boolean {
    const pr = this.trk.progress.get(this.id);
    return pr !== undefined && !pr.isLearner && !this.raftLog.hasNextOrInProgressSnapshot();
  }

  /**
   * Whether the entry at the commit index is of this term: only then does a leader know what is committed (paper
   * section 8).
   */
  committedEntryInCurrentTerm(): boolean {
    return this.raftLog.term(this.raftLog.committed) === this.term;
  }

  /**
   * Queues a message, from this node and of its term unless said otherwise.
   *
   * A vote and an acknowledged append are promises that must outlive a crash (thesis 3.8), so their messages wait until
   * the state that they rest on is durable. Rejections wait too: they may rest on unstable state as well, and they are
   * rare.
   */
  send(m: Outgoing): void {
    const { type } = m;
    const isVote = type === MsgVote || type === MsgVoteResp || type === MsgPreVote || type === MsgPreVoteResp;
    const given = m.term ?? 0;
    let term = given;
    if (isVote) {
      // The term of a campaign is part of the message: a pre-vote's is one that no node is in yet.
      if (given === 0) panic(this.logger, `term should be set when sending ${messageTypeName(type)}`);
    } else {
      if (given !== 0) {
        panic(this.logger, `term should not be set when sending ${messageTypeName(type)} (was ${given})`);
      }
      // Forwarded requests have no term, like local ones: the leader accepts them in any term.
      if (type !== MsgProp && type !== MsgReadIndex) term = this.term;
    }
    const message: Message = {
      type,
      to: m.to,
      from: m.from === undefined || m.from === none ? this.id : m.from,
      term,
      logTerm: m.logTerm ?? 0,
      index: m.index ?? 0,
      entries: m.entries ?? emptyEntries,
      commit: m.commit ?? 0,
      vote: m.vote ?? 0,
      snapshot: m.snapshot,
      reject: m.reject ?? false,
      rejectHint: m.rejectHint ?? 0,
      context: m.context,
      responses: emptyMessages,
    };
    if (type === MsgAppResp || type === MsgVoteResp || type === MsgPreVoteResp) {
      this.msgsAfterAppend.push(message);
      return;
    }
    if (message.to === this.id) {
      panic(this.logger, `message should not be self-addressed when sending ${messageTypeName(type)}`);
    }
    this.msgs.push(message);
  }
}
