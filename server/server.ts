// Server: one member of a cluster. It brings together a raft node, its log on disk, its peers and a state machine, and offers
// propose, readIndex and status to the API above.
//
// Everything runs on one thread: requests, messages and ticks change the node at once; the ready loop does the rest. See ready-loop.ts
// for the order in which things happen, applier.ts, proposals.ts and reads.ts for the parts, guard.ts for what peers may not say.

import {
  describeMessage,
  errProposalDropped,
  type Logger,
  MemoryStorage,
  type Message,
  type Peer,
  RawNode,
  type Ready,
} from "../raft/index.ts";
import { Applier } from "./applier.ts";
import { decodeEnvelope } from "./envelope.ts";
import { isUntimely, mayReadIndex, violationOf } from "./guard.ts";
import type {
  Clock,
  LogStore,
  Member,
  MemberStatus,
  ProposeOutcome,
  ReadOutcome,
  Recovered,
  Refused,
  StateMachine,
  Transport,
  TransportHandler,
} from "./interfaces.ts";
import { Members } from "./members.ts";
import { Proposals } from "./proposals.ts";
import { Reads } from "./reads.ts";
import { ReadyLoop } from "./ready-loop.ts";
import { memberStatus } from "./status.ts";

export interface ServerOptions {
  readonly id: number;
  readonly clusterId: number;
  /** What the log held at start; undefined for a new member, which then starts a cluster of `peers`. */
  readonly recovered: Recovered | undefined;
  /** The members of a new cluster and their addresses, in ascending order of id: the same on each of them. */
  readonly peers: readonly { readonly id: number; readonly url: string }[];
  readonly tickMs: number;
  /** Ticks without a leader before an election; heartbeats go out every tick. */
  readonly electionTicks: number;
  /** How long a client's request may take. */
  readonly requestTimeoutMs: number;
  /** Requests that may wait at a time; writes and reads are counted apart. */
  readonly maxWaiting: number;
}

export interface ServerParts {
  readonly log: LogStore;
  readonly transport: Transport;
  readonly stateMachine: StateMachine;
  readonly clock: Clock;
  /** An integer in [0, n), uniformly. */
  readonly random: (n: number) => number;
  readonly logger: Logger;
  /** The member cannot go on: its disk failed, or an invariant is broken. The process must end. */
  readonly onFailure: (error: Error) => void;
}

const mebibyte = 1024 * 1024;
const noLeader = "this member knows no leader at the moment: an election is probably under way";
const encoder = new TextEncoder();

export class Server implements Member, TransportHandler {
  private readonly options: ServerOptions;
  private readonly parts: ServerParts;
  private readonly node: RawNode;
  private readonly members = new Members();
  private readonly applier: Applier;
  private readonly proposals: Proposals;
  private readonly reads: Reads;
  private readonly loop: ReadyLoop;
  private cancelTicks: (() => void) | undefined;
  private stopping: string | undefined;

  constructor(options: ServerOptions, parts: ServerParts) {
    this.options = options;
    this.parts = parts;
    const { id, requestTimeoutMs, maxWaiting, tickMs, electionTicks } = options;
    const { log, transport, stateMachine, clock, logger } = parts;
    const storage = new MemoryStorage();
    this.node = this.startNode(storage);
    this.applier = new Applier(this.node, stateMachine, this.members, transport, logger);
    const epoch = parts.random(2 ** 47);
    this.proposals = new Proposals(id, epoch, {
      maxWaiting,
      maxWaitingBytes: 64 * mebibyte,
      timeoutMs: requestTimeoutMs,
      maxBatchBytes: mebibyte,
    });
    const retryMs = tickMs * electionTicks;
    this.reads = new Reads(id, epoch, { maxWaiting, timeoutMs: requestTimeoutMs, retryMs });
    this.loop = new ReadyLoop({ node: this.node, storage, log, transport, clock, logger }, this);
  }

  private startNode(storage: MemoryStorage): RawNode {
    const { id, electionTicks, recovered, peers } = this.options;
    if (recovered !== undefined) {
      storage.append(recovered.entries);
      if (recovered.hardState !== undefined) storage.setHardState(recovered.hardState);
    }
    const node = new RawNode({
      id,
      electionTick: electionTicks,
      heartbeatTick: 1,
      storage,
      maxSizePerMsg: mebibyte,
      maxCommittedSizePerReady: 4 * mebibyte,
      maxUncommittedEntriesSize: 128 * mebibyte,
      maxInflightMsgs: 512,
      maxInflightBytes: 8 * mebibyte, // below what the transport queues for one peer, or it would drop appends
      checkQuorum: true,
      preVote: true,
      stepDownOnRemoval: true,
      logger: this.parts.logger,
      random: this.parts.random,
    });
    if (recovered === undefined) {
      node.bootstrap(peers.map(({ id: peer, url }): Peer => ({ id: peer, context: encoder.encode(url) })));
    }
    return node;
  }

  /** Begins to tick, and to talk to the peers. */
  start(): void {
    const { transport, clock } = this.parts;
    transport.start(this);
    this.cancelTicks = clock.every(this.options.tickMs, () => this.tick());
    this.loop.wake();
  }

  /** Refuses what waits and ends the loop after the Ready at hand. Transport and log are the caller's to close. */
  async stop(reason = "this member is shutting down"): Promise<void> {
    this.halt(reason);
    await this.loop.stop();
  }

  private halt(reason: string): void {
    this.stopping ??= reason;
    this.cancelTicks?.();
    this.proposals.stop(reason);
    this.reads.stop(reason);
  }

  // What clients ask (Member)

  propose(command: Uint8Array): Promise<ProposeOutcome> {
    const refused = this.refusal();
    if (refused !== undefined) return Promise.resolve(refused);
    const outcome = this.proposals.add(command, this.parts.clock.now());
    this.loop.wake();
    return outcome;
  }

  readIndex(): Promise<ReadOutcome> {
    const refused = this.refusal();
    if (refused !== undefined) return Promise.resolve(refused);
    const outcome = this.reads.add(this.parts.clock.now());
    this.loop.wake();
    return outcome;
  }

  status(): MemberStatus {
    return memberStatus(this.node, this.options.clusterId, this.members, this.applier.index);
  }

  private refusal(): Refused | undefined {
    if (this.stopping !== undefined) return { kind: "refused", code: "STOPPING", message: this.stopping };
    if (!this.node.raft.hasLeader()) return { kind: "refused", code: "NO_LEADER", message: noLeader };
    return undefined;
  }

  // What happens to the node: ticks and messages (TransportHandler)

  private tick(): void {
    const now = this.parts.clock.now();
    this.proposals.expire(now);
    this.reads.expire(now);
    const { trk, state } = this.node.raft;
    // A single voter disturbs nobody and waits for nobody.
    const alone = trk.isSingleton() && state === "StateFollower";
    this.step(() => (alone ? this.node.campaign() : this.node.tick()));
  }

  receive(from: number, messages: readonly Message[]): string | undefined {
    for (const m of messages) {
      if (this.stopping !== undefined) return undefined;
      const violation = violationOf(this.node, m);
      if (violation !== undefined) return violation;
      if (isUntimely(this.node, m, this.applier.term)) continue;
      // A response from a node outside the configuration, or a proposal that the leader does not take: the sender's timeout tells it.
      this.step(() => {
        const error = this.node.step(m);
        if (error !== undefined) {
          this.parts.logger.debug?.(`passed over ${describeMessage(m)} from ${from}: ${error.message}`);
        }
      });
    }
    return undefined;
  }

  reportUnreachable(id: number): void {
    this.step(() => this.node.reportUnreachable(id));
  }

  /** Runs one change of the node; whatever it throws is a broken invariant, and the end of this member. */
  private step(change: () => void): void {
    if (this.stopping !== undefined) return;
    try {
      change();
    } catch (error) {
      this.failed(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    this.loop.wake();
  }

  // What the ready loop asks (LoopOwner)

  feed(): void {
    this.proposals.flush((batch) => {
      if (this.node.proposeMany(batch) !== errProposalDropped) return undefined;
      const { lead, leadTransferee } = this.node.basicStatus();
      if (lead === 0) return { kind: "refused", code: "NO_LEADER", message: noLeader };
      if (leadTransferee !== 0) {
        return { kind: "refused", code: "NO_LEADER", message: "leadership is being handed over at the moment" };
      }
      const message = "too much is waiting to be committed: a majority of the members is slow or away";
      return { kind: "refused", code: "TOO_MANY_WAITING", message };
    });
    if (this.reads.hasQueued() && mayReadIndex(this.node, this.applier.term)) {
      this.reads.flush(this.parts.clock.now(), (context) => this.node.readIndex(context));
    }
  }

  apply(committedEntries: Ready["committedEntries"]): void {
    for (const { id, index, result } of this.applier.apply(committedEntries)) {
      this.proposals.applied(id, index, result);
    }
  }

  answer(rd: Ready): void {
    for (const { index, requestCtx } of rd.readStates) {
      const envelope = decodeEnvelope(requestCtx);
      if (envelope !== undefined) this.reads.answered(envelope.id, index);
    }
    this.reads.appliedTo(this.applier.index);
    // With the leader, the reads that it was asked to confirm are lost. Writes are not: the next leader may hold them.
    if (rd.softState !== undefined && !this.node.raft.hasLeader()) this.reads.refuse("NO_LEADER", noLeader);
  }

  failed(error: Error): void {
    if (this.stopping !== undefined) return;
    this.halt(`this member has failed: ${error.message}`);
    this.parts.onFailure(error);
  }

  describeData(data: Uint8Array): string {
    const envelope = decodeEnvelope(data);
    return envelope === undefined ? "" : this.parts.stateMachine.describe(envelope.command);
  }
}
