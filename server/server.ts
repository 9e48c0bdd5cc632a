// Server: one member of a cluster. It brings together a raft node, its log and snapshots on disk, its peers and a state machine, and offers
// writes, reads, changes of the membership and status to the API above.
//
// Everything runs on one thread: requests, messages and ticks change the node at once; the ready loop (ready-loop.ts) does the rest, in its
// order. The parts have files of their own: guard.ts says what peers may not say; in membership/, admission.ts says who is let in, and
// departure.ts how a removed member ends.

import {
  errProposalDropped,
  MemoryStorage,
  type Message,
  type RawNode,
  type Ready,
  type SnapshotMetadata,
} from "../raft/index.ts";
import type { Rejection, Remaining } from "../transport/contract.ts";
import { Applier } from "./applier.ts";
import { decodeEnvelope, encodeEnvelope, type RequestId } from "./envelope.ts";
import { mayReadIndex } from "./guard.ts";
import { Inbox } from "./inbox.ts";
import type {
  ChangeOutcome,
  Member,
  MemberChange,
  MemberStatus,
  ProposeOutcome,
  ReadOutcome,
  Refused,
} from "./member.ts";
import { Peers } from "./membership/admission.ts";
import { Departure } from "./membership/departure.ts";
import { type KnownMember, Members } from "./membership/members.ts";
import { Move } from "./membership/move.ts";
import { encodeNote } from "./membership/notes.ts";
import { Membership } from "./membership/requests.ts";
import type { ServerOptions, ServerParts } from "./options.ts";
import { Proposals } from "./proposals.ts";
import { Reads } from "./reads.ts";
import { ReadyLoop } from "./ready-loop.ts";
import { Snapshots } from "./snapshots.ts";
import { startNode } from "./start-node.ts";
import { memberStatus } from "./status.ts";

const mebibyte = 1024 * 1024;
export class Server implements Member {
  private readonly options: ServerOptions;
  private readonly parts: ServerParts;
  /** Here, in `members` and in `applier` a simulator looks inside. To be read only: what happens to the node happens through this server. */
  readonly node: RawNode;
  readonly members = new Members();
  private readonly peers: Peers;
  readonly applier: Applier;
  private readonly proposals: Proposals;
  private readonly reads: Reads;
  private readonly membership: Membership;
  private readonly move: Move;
  private readonly snapshots: Snapshots;
  /** What the transport calls. */
  readonly inbox: Inbox;
  private readonly loop: ReadyLoop;
  private readonly epoch: number;
  private cancelTicks: (() => void) | undefined;
  /** Since when no leader has been known; undefined while one is. */
  private leaderlessSince: number | undefined;
  /** New requests are refused for this reason. */
  private closing: string | undefined;
  /** Nothing more is done, for this reason. */
  private stopping: string | undefined;
  private readonly departure: Departure;
  private hasFailed = false;

  /** A member in the state that its log and its snapshot hold. Rejects if the snapshot cannot be read. */
  static async create(options: ServerOptions, parts: ServerParts): Promise<Server> {
    const server = new Server(options, parts);
    const snapshot = options.recovered?.snapshot;
    if (snapshot !== undefined) await server.restoreState(snapshot);
    return server;
  }

  private constructor(options: ServerOptions, parts: ServerParts) {
    this.options = options;
    this.parts = parts;
    const { id, incarnation, requestTimeoutMs, maxWaiting, tickMs, electionTicks, recovered, peers } = options;
    const { log, transport, stateMachine, clock, logger } = parts;
    const { members } = this;
    const now = (): number => clock.now();
    const electionMs = tickMs * electionTicks;
    const wake = (): void => this.loop.wake();
    const storage = new MemoryStorage();
    const founders = peers.how === "start" ? peers.list : undefined;
    this.node = startNode(storage, { id, electionTicks, recovered, founders, logger, random: parts.random });
    this.peers = new Peers({ id, incarnation, clusterId: options.clusterId }, members, electionMs, {
      transport,
      logger,
      now,
      remaining: () => this.remaining(),
    });
    this.peers.given(peers, this.node.lastIndex());
    this.applier = new Applier(this.node, stateMachine, members, logger, this);
    this.epoch = parts.random(2 ** 47);
    this.proposals = new Proposals(id, this.epoch, {
      maxWaiting,
      maxWaitingBytes: 64 * mebibyte,
      timeoutMs: requestTimeoutMs,
      maxBatchBytes: mebibyte,
    });
    this.reads = new Reads(id, this.epoch, { maxWaiting, timeoutMs: requestTimeoutMs, retryMs: electionMs });
    this.departure = new Departure({ id, electionMs, now, logger, onRejected: parts.onRejected });
    this.membership = new Membership(this.epoch, requestTimeoutMs, {
      node: this.node,
      members,
      transport,
      isActive: (peer) => this.peers.isActive(peer),
      appliedTerm: () => this.applier.term,
      electionMs,
      now,
      catchUp: () => this.readIndex(),
      wake,
    });
    const { node, applier } = this;
    this.move = new Move(options, { node, members, applier, now, logger, ask: (list) => this.changeMembers(list) });
    const limits = { count: options.snapshotCount, catchupEntries: options.snapshotCatchupEntries };
    this.snapshots = new Snapshots(limits, recovered?.snapshot, {
      store: parts.snapshots,
      log,
      storage,
      node: this.node,
      stateMachine,
      members,
      transport,
      logger,
      now,
      failed: (error) => this.failed(error),
      wake,
    });
    this.inbox = new Inbox({
      node: this.node,
      members,
      peers: this.peers,
      snapshots: this.snapshots,
      membership: this.membership,
      logger,
      appliedTerm: () => this.applier.term,
      stopping: () => this.stopping,
      refusal: () => this.refusal(),
      step: (change) => this.step(change),
      rejectedBy: (id, rejection) => this.rejectedBy(id, rejection),
      wake,
    });
    this.loop = new ReadyLoop({ node: this.node, storage, log, transport, clock, logger }, this);
  }

  private async restoreState(snapshot: SnapshotMetadata): Promise<void> {
    await this.snapshots.restore(snapshot);
    this.applier.restored(snapshot);
    this.peers.restored();
  }

  /** Begins to tick, and to talk to the peers. */
  start(): void {
    const { transport, clock } = this.parts;
    this.leaderlessSince = clock.now();
    transport.start(this.inbox);
    this.cancelTicks = clock.every(this.options.tickMs, () => this.tick());
    this.rejectIfRemoved();
    this.loop.wake();
  }

  /**
   * An orderly end: takes no more requests, hands leadership over, waits for those that are under way (each has its deadline), then stops.
   * Transport and stores are the caller's to close.
   */
  async shutDown(reason = "this member is shutting down"): Promise<void> {
    this.closing ??= reason;
    if (this.stopping === undefined) await this.membership.handOver();
    if (!this.departure.isDecided) await this.drained();
    await this.stop(reason);
  }

  /** Settles what waits and ends the loop after the Ready at hand. */
  async stop(reason = "this member is shutting down"): Promise<void> {
    this.halt(reason);
    if (this.hasFailed) return; // its disk may never answer
    await this.loop.stop();
    await this.snapshots.close();
  }

  private halt(reason: string): void {
    this.closing ??= reason;
    this.stopping ??= reason;
    this.cancelTicks?.();
    this.proposals.stop(reason);
    this.reads.stop(reason);
    this.membership.stop(reason);
    this.inbox.stop(reason);
  }

  /** What was asked here is answered, what peers asked is passed on, and the next leader is known, if there is going to be one. */
  private drained(): Promise<void> {
    const { clock } = this.parts;
    const { tickMs, electionTicks } = this.options;
    const patience = clock.now() + tickMs * electionTicks;
    const isDone = (): boolean => {
      if (this.stopping !== undefined) return true;
      const { proposals, reads, membership } = this;
      if (proposals.waitingCount + reads.waitingCount + membership.waitingCount > 0) return false;
      return clock.now() > patience || (this.node.hasLeader() && !this.inbox.isHolding);
    };
    return new Promise((resolve) => {
      const cancel = clock.every(tickMs / 4, () => {
        if (!isDone()) return;
        cancel();
        resolve();
      });
    });
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

  changeMembers(changes: readonly MemberChange[]): Promise<ChangeOutcome> {
    const refused = this.refusal();
    return refused === undefined ? this.membership.ask({ change: changes }, true) : Promise.resolve(refused);
  }

  transferLeadership(transferee: number): Promise<ChangeOutcome> {
    const refused = this.refusal();
    return refused === undefined ? this.membership.ask({ transfer: transferee }, true) : Promise.resolve(refused);
  }

  status(): MemberStatus {
    const position = { applied: this.applier.index, snapshot: this.snapshots.newest };
    const status = memberStatus(this.node, this.options.clusterId, this.members, this.peers, position);
    return this.departure.isDecided ? { ...status, role: "removed" } : status;
  }

  private refusal(): Refused | undefined {
    if (this.closing !== undefined) return { kind: "refused", code: "STOPPING", message: this.closing };
    if (this.isHopeless()) return { kind: "refused", code: "NO_LEADER", message: this.peers.noLeader() };
    return undefined;
  }

  /** An election takes one to two election timeouts. Requests wait that long for a leader; after it they are refused at once. */
  private isHopeless(): boolean {
    if (this.leaderlessSince === undefined) return false;
    const { tickMs, electionTicks } = this.options;
    return this.parts.clock.now() - this.leaderlessSince > 2 * tickMs * electionTicks;
  }

  // What happens to the node; inbox.ts has what the peers do

  private tick(): void {
    const now = this.parts.clock.now();
    const stalled = now - (this.loop.waitingForDiskSince ?? now);
    // By now the others have another leader, since no heartbeat has left; and the disk may never come back.
    if (this.options.diskStallMs > 0 && stalled > this.options.diskStallMs) {
      this.failed(new Error(`the disk has not finished a write for ${Math.round(stalled)} ms (--disk-stall-ms)`));
      return;
    }
    this.proposals.expire(now);
    this.reads.expire(now);
    this.membership.expire(now);
    if (this.isHopeless()) {
      const message = this.peers.noLeader();
      this.proposals.refuseQueued({ kind: "refused", code: "NO_LEADER", message });
      this.reads.refuse("NO_LEADER", message);
      this.inbox.forgetHeld();
    }
    const { config, raftState, id } = this.node;
    this.departure.tick();
    if (this.closing === undefined) this.move.tick();
    // A single voter campaigns at once: there is no other leader to disturb or to wait for.
    const alone = this.node.isSingleton() && config.voters.has(id) && raftState === "StateFollower";
    this.step(() => (alone ? this.node.campaign() : this.node.tick()));
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
    this.inbox.feedSnapshots();
    const { lead, raftState, leadTransferee } = this.node;
    this.membership.feed();
    for (const id of raftState === "StateLeader" ? this.peers.unrecorded() : []) {
      const note = encodeNote({ started: id });
      this.node.propose(encodeEnvelope({ member: this.options.id, epoch: this.epoch, counter: 0 }, note, "note"));
    }
    // Without a leader, and while leadership is handed over, what is queued waits.
    if (lead === 0 || (raftState === "StateLeader" && leadTransferee !== 0)) return;
    this.inbox.feed();
    this.proposals.flush((batch) => {
      if (this.node.proposeMany(batch) !== errProposalDropped) return undefined;
      const message = "too much is waiting to be committed: a majority of the members is slow or away";
      return { kind: "refused", code: "TOO_MANY_WAITING", message };
    });
    if (this.reads.hasQueued() && mayReadIndex(this.node, this.applier.term)) {
      this.reads.flush(this.parts.clock.now(), (context) => this.node.readIndex(context));
    }
  }

  sendSnapshot(m: Message): void {
    void this.snapshots.send(m).then((taken) => {
      this.step(() => this.node.reportSnapshot(m.to, taken ? "finish" : "failure"));
    });
  }

  async restore(metadata: SnapshotMetadata): Promise<void> {
    await this.restoreState(metadata);
    await this.snapshots.replaced(metadata);
    this.rejectIfRemoved();
  }

  apply(committedEntries: Ready["committedEntries"]): void {
    this.applier.apply(committedEntries);
  }

  answer(rd: Ready): void {
    for (const { index, requestCtx } of rd.readStates) {
      const envelope = decodeEnvelope(requestCtx);
      if (envelope !== undefined) this.reads.answered(envelope.id, index);
    }
    this.reads.appliedTo(this.applier.index);
    if (rd.softState === undefined) return;
    if (this.node.hasLeader()) {
      this.leaderlessSince = undefined;
    } else {
      this.leaderlessSince ??= this.parts.clock.now();
      // With the leader, the reads that it was asked to confirm are lost. Writes are not: the next leader may hold them.
      this.reads.restart();
    }
  }

  snapshotIfDue(): void {
    const { index, term } = this.applier;
    this.snapshots.takeIfDue({ index, term });
  }

  keepSnapshot(): Promise<void> | undefined {
    return this.snapshots.keep();
  }

  failed(error: Error): void {
    if (this.stopping !== undefined) return;
    this.hasFailed = true;
    this.halt(`this member has failed: ${error.message}`);
    this.parts.onFailure(error);
  }

  describeData(data: Uint8Array): string {
    const envelope = decodeEnvelope(data);
    if (envelope === undefined) return "";
    if (envelope.kind === "note") return new TextDecoder().decode(envelope.body);
    return this.parts.stateMachine.describe(envelope.body);
  }

  // What the applier tells (ApplyListener)

  applied(id: RequestId, index: number, result: unknown): void {
    this.proposals.applied(id, index, result);
  }

  changed(id: RequestId | undefined, refusal: string | undefined): void {
    this.membership.changed(id, refusal);
  }

  membersChanged(addresses: readonly KnownMember[], gone: readonly number[]): void {
    this.peers.changed(addresses, gone);
    this.rejectIfRemoved();
  }

  private rejectIfRemoved(): void {
    const { id } = this.options;
    if (this.members.wasRemoved(id))
      this.reject({ kind: "removed", message: `member ${id} was removed from the cluster` });
  }

  private reject(rejection: Rejection): void {
    if (this.departure.isDecided || this.stopping !== undefined) return;
    this.closing ??= rejection.message;
    if (rejection.kind === "removed") this.membership.removed(this.options.id);
    this.departure.decide(rejection, this.remaining());
  }

  private rejectedBy(id: number, rejection: Rejection): void {
    this.reject(rejection);
    const newer = this.departure.turnedAwayBy(id, rejection);
    if (newer !== undefined && this.stopping === undefined) this.peers.contactRemaining(newer);
  }

  private remaining(): Remaining {
    return this.members.remaining(this.node.config, this.applier.index);
  }
}
