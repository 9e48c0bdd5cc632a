// What comes from the peers: messages for the node, snapshots, requests that others pass on, and questions of who may come in.

import { describeMessage, errProposalDropped, type Logger, type Message, type RawNode } from "../raft/index.ts";
import type { Address, MemberAddress, Rejection, TransportHandler } from "../transport/contract.ts";
import { isUntimely, violationOf } from "./guard.ts";
import type { Refused } from "./member.ts";
import type { Peers } from "./membership/admission.ts";
import { decodeRequest, encodeOutcome } from "./membership/forwarded.ts";
import type { Members } from "./membership/members.ts";
import type { Membership } from "./membership/requests.ts";
import type { Snapshots } from "./snapshots.ts";

const maxHeld = 1024;
const maxHeldBytes = 64 * 1024 * 1024;

export interface InboxParts {
  readonly node: RawNode;
  readonly members: Members;
  readonly peers: Peers;
  readonly snapshots: Snapshots;
  readonly membership: Membership;
  readonly logger: Logger;
  /** The term of the last applied entry. */
  readonly appliedTerm: () => number;
  /** Why nothing more is taken, undefined while all is well. */
  readonly stopping: () => string | undefined;
  /** Why no request is taken now. */
  readonly refusal: () => Refused | undefined;
  /** Runs one change of the node. */
  readonly step: (change: () => void) => void;
  readonly rejectedBy: (id: number, rejection: Rejection) => void;
  /** Something waits to be fed. */
  readonly wake: () => void;
}

export class Inbox implements TransportHandler {
  private readonly parts: InboxParts;
  /** Proposals of peers that came while leadership moved. */
  private held: Message[] = [];
  private heldBytes = 0;
  /** Snapshots whose files are complete. */
  private received: { readonly m: Message; readonly settle: (why?: Error) => void }[] = [];

  constructor(parts: InboxParts) {
    this.parts = parts;
  }

  receive(from: number, messages: readonly Message[]): string | undefined {
    const { node, peers, appliedTerm, stopping, step } = this.parts;
    peers.heardOf(from);
    for (const m of messages) {
      if (stopping() !== undefined) return undefined;
      const violation = violationOf(node, m);
      if (violation !== undefined) return violation;
      if (!isUntimely(node, m, appliedTerm())) step(() => this.stepMessage(m));
    }
    return undefined;
  }

  private stepMessage(m: Message): void {
    const { node, logger } = this.parts;
    const error = node.step(m);
    if (error === undefined) return;
    const { lead, leadTransferee } = node;
    // Leadership moves: the next leader, this member or another, takes the proposal. Its sender would only see it time out.
    if (error === errProposalDropped && (lead === 0 || leadTransferee !== 0) && this.hold(m)) return;
    // A response from a node outside the configuration, or a proposal that the leader does not take: the sender's timeout tells it.
    logger.debug?.(`passed over ${describeMessage(m)} from ${m.from}: ${error.message}`);
  }

  private hold(m: Message): boolean {
    const bytes = m.entries.reduce((sum, { data }) => sum + (data?.length ?? 0), 0);
    if (this.held.length >= maxHeld || this.heldBytes + bytes > maxHeldBytes) return false;
    this.held.push(m);
    this.heldBytes += bytes;
    return true;
  }

  /**
   * Hands the node the snapshots that have come. Only between two Readies: raft takes a snapshot's configuration at once, and configuration
   * changes of a Ready that is still being applied would be made to that one.
   */
  feedSnapshots(): void {
    const { received } = this;
    this.received = [];
    for (const { m, settle } of received) {
      this.stepMessage(m);
      settle();
    }
  }

  /** Hands the held proposals to the node, now that there is a leader. */
  feed(): void {
    const { held } = this;
    this.forgetHeld();
    for (const m of held) this.stepMessage(m);
  }

  get isHolding(): boolean {
    return this.held.length > 0;
  }

  /** Drops the held messages: their senders have given up by now. */
  forgetHeld(): void {
    this.held = [];
    this.heldBytes = 0;
  }

  /** Nothing more is fed. */
  stop(why: string): void {
    this.forgetHeld();
    for (const { settle } of this.received) settle(new Error(why));
    this.received = [];
  }

  reportUnreachable(id: number): void {
    this.parts.step(() => this.parts.node.reportUnreachable(id));
  }

  async receiveSnapshot(from: number, message: Message, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const { peers, snapshots, stopping, wake } = this.parts;
    const check = (): void => {
      const why = stopping();
      if (why !== undefined) throw new Error(why);
    };
    check();
    const violation = violationOf(this.parts.node, message);
    if (violation !== undefined) throw new Error(violation);
    peers.heardOf(from);
    await snapshots.receive(message, chunks);
    check();
    await new Promise<void>((resolve, reject) => {
      const settle = (why?: Error): void => (why === undefined ? resolve() : reject(why));
      this.received.push({ m: message, settle });
      wake();
    });
  }

  async request(_from: number, body: Uint8Array): Promise<Uint8Array> {
    const request = decodeRequest(body);
    return encodeOutcome(this.parts.refusal() ?? (await this.parts.membership.ask(request, false)));
  }

  admit(from: number, incarnation: number, address: Address | undefined): Rejection | undefined {
    return this.parts.peers.admit(from, incarnation, address);
  }

  rejectedBy(id: number, rejection: Rejection): void {
    if (rejection.kind !== "unknown") this.parts.rejectedBy(id, rejection);
  }

  dialled(id: number, url: string, clusterId: number | undefined): void {
    this.parts.peers.dialled(id, url, clusterId);
  }

  addresses(): readonly MemberAddress[] {
    return this.parts.members.state().members.map(({ id, url }) => ({ id, url }));
  }
}
