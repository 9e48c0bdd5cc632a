// Node: the asynchronous facade over RawNode, for library users who want promises and an async iterable.
//
//     const node = Node.start(config, peers);            // or Node.restart(config)
//     setInterval(() => node.tick(), 100);
//     for await (const rd of node.readies()) {
//       await persist(rd); send(rd.messages); apply(rd.committedEntries); // the duties 1 to 7 of doc/duties.md
//       node.advance(); // and 8
//     }
//
// Promises: no Ready is handed out before the previous one was advanced; proposals wait while no leader is known, up to
// a limit, and learn whether the node took them (not whether they will commit); after stop() everything is refused with
// errStopped.
//
// Ports node.go. Its channels and goroutine are queues here, drained synchronously: one thread has nothing to wait for.
// Leaves out the context argument: a caller that gives up passes an AbortSignal.

import type { Config } from "./config.ts";
import { errStopped, RaftError } from "./errors.ts";
import {
  type AnyConfChange,
  type ConfState,
  type Entry,
  type Message,
  MessageType,
  makeMessage,
  marshalConfChange,
  proposed,
} from "./raftpb/index.ts";
import { type Peer, RawNode } from "./rawnode.ts";
import type { Ready } from "./ready.ts";
import type { Status } from "./status.ts";
import { step } from "./step.ts";
import { none, type SnapshotStatus } from "./types.ts";
import { hex, isLocalMsg, isLocalMsgTarget, isResponseMsg } from "./util.ts";

interface WaitingProposal {
  readonly message: Message;
  readonly settle: (error: RaftError | undefined) => void;
}

/** How many proposals may wait for a leader before further ones are refused. */
const maxWaitingProposals = 4096;
const errTooManyWaiting = new RaftError("PROPOSAL_DROPPED", "too many proposals wait for a leader");

export class Node {
  readonly #rn: RawNode;
  #waiting: WaitingProposal[] = [];
  #lead = none;
  /** Set while this node is removed from its configuration: proposals wait until another leader is known. */
  #removed = false;
  #stopped = false;
  #awaitingAdvance = false;
  #wakeReader: (() => void) | undefined;

  private constructor(rn: RawNode) {
    this.#rn = rn;
  }

  /** A node of a new group that consists of `peers`. Throws if there is no peer, or the storage is not empty. */
  static start(config: Config, peers: readonly Peer[]): Node {
    const rn = new RawNode(config);
    rn.bootstrap(peers);
    return new Node(rn);
  }

  /** A node whose membership and log are in the storage. */
  static restart(config: Config): Node {
    return new Node(new RawNode(config));
  }

  tick(): void {
    if (this.#stopped) return;
    this.#rn.tick();
    this.#changed();
  }

  campaign(): void {
    this.#stepLocal(makeMessage(MessageType.MsgHup));
  }

  /** Resolves once this node has appended or forwarded the proposal; rejects with errProposalDropped or errStopped. */
  propose(data: Uint8Array, signal?: AbortSignal): Promise<void> {
    return this.#proposeEntry(proposed(data), signal);
  }

  proposeConfChange(cc: AnyConfChange | undefined, signal?: AbortSignal): Promise<void> {
    const { type, data } = marshalConfChange(cc);
    return this.#proposeEntry(proposed(data, type), signal);
  }

  #proposeEntry(entry: Entry, signal?: AbortSignal): Promise<void> {
    return this.#enqueue(makeMessage(MessageType.MsgProp, { entries: [entry] }), signal);
  }

  #enqueue(message: Message, signal?: AbortSignal): Promise<void> {
    if (this.#stopped) return Promise.reject(errStopped);
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#waiting.length >= maxWaitingProposals) return Promise.reject(errTooManyWaiting);
    return new Promise((resolve, reject) => {
      const settle = (error: RaftError | undefined): void => {
        signal?.removeEventListener("abort", abort);
        if (error === undefined) resolve();
        else reject(error);
      };
      const item: WaitingProposal = { message: { ...message, from: this.#rn.id }, settle };
      const abort = (): void => {
        this.#waiting = this.#waiting.filter((w) => w !== item);
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.#waiting.push(item);
      this.#changed();
    });
  }

  /**
   * Steps a message from the network, or a storage thread's response. Local types from elsewhere and strangers'
   * responses are dropped.
   */
  async step(m: Message): Promise<void> {
    if (this.#stopped) throw errStopped;
    const fromThread = isLocalMsgTarget(m.from);
    if (isLocalMsg(m.type) && !fromThread) return;
    if (m.type === MessageType.MsgProp) return this.#enqueue(m);
    if (isResponseMsg(m.type) && !fromThread && this.#rn.match(m.from) === undefined) return;
    this.#stepLocal(m);
  }

  /**
   * Each Ready in turn, until the node is stopped. After each, advance() must be called (not with async storage
   * writes).
   */
  async *readies(): AsyncGenerator<Ready, void, void> {
    for (;;) {
      while (!this.#stopped && (this.#awaitingAdvance || !this.#rn.hasReady())) {
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve;
        });
      }
      if (this.#stopped) return;
      this.#awaitingAdvance = !this.#rn.raft.config.asyncStorageWrites;
      yield this.#rn.ready();
    }
  }

  /** The work of the last Ready is done. */
  advance(): void {
    if (this.#stopped) return;
    this.#rn.advance();
    this.#awaitingAdvance = false;
    this.#changed();
  }

  /**
   * To be called for every configuration change that the application applies. Later snapshots carry what it returns.
   */
  applyConfChange(cc: AnyConfChange): ConfState {
    const isMember = (): boolean => this.#rn.match(this.#rn.id) !== undefined;
    const before = isMember();
    const cs = this.#rn.applyConfChange(cc);
    if (before && !isMember()) this.#removed = true;
    this.#changed();
    return cs;
  }

  transferLeadership(lead: number, transferee: number): void {
    this.#stepLocal(makeMessage(MessageType.MsgTransferLeader, { from: transferee, to: lead }));
  }

  forgetLeader(): void {
    this.#stepLocal(makeMessage(MessageType.MsgForgetLeader));
  }

  /** A ReadState with this context answers in a Ready, or nothing does: ask again, with another context. */
  readIndex(requestCtx: Uint8Array): void {
    this.#stepLocal(makeMessage(MessageType.MsgReadIndex, { entries: [proposed(requestCtx)] }));
  }

  /** Undefined after stop(). */
  status(): Status | undefined {
    return this.#stopped ? undefined : this.#rn.status();
  }

  reportUnreachable(id: number): void {
    this.#stepLocal(makeMessage(MessageType.MsgUnreachable, { from: id }));
  }

  reportSnapshot(id: number, status: SnapshotStatus): void {
    this.#stepLocal(makeMessage(MessageType.MsgSnapStatus, { from: id, reject: status === "failure" }));
  }

  /** Ends readies() and refuses the waiting proposals. May be called again. */
  stop(): void {
    this.#stopped = true;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { settle } of waiting) settle(errStopped);
    this.#wakeReader?.();
  }

  #stepLocal(m: Message): void {
    if (this.#stopped) return;
    step(this.#rn.raft, m);
    this.#changed();
  }

  /** After every event: notes the leader, steps waiting proposals, and wakes readies(). */
  #changed(): void {
    this.#followLeader();
    while (this.#lead !== none && !this.#removed) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      next.settle(step(this.#rn.raft, next.message));
      this.#followLeader();
    }
    if (!this.#awaitingAdvance && this.#rn.hasReady()) {
      this.#wakeReader?.();
      this.#wakeReader = undefined;
    }
  }

  #followLeader(): void {
    const r = this.#rn.raft;
    if (this.#lead === r.lead) return;
    if (r.lead === none) r.logger.info?.(`raft.node: ${hex(r.id)} lost leader ${hex(this.#lead)} at term ${r.term}`);
    else if (this.#lead === none) {
      r.logger.info?.(`raft.node: ${hex(r.id)} elected leader ${hex(r.lead)} at term ${r.term}`);
    } else {
      r.logger.info?.(
        `raft.node: ${hex(r.id)} changed leader from ${hex(this.#lead)} to ${hex(r.lead)} at term ${r.term}`,
      );
    }
    this.#lead = r.lead;
    this.#removed = false;
  }
}
