// Requests that change who the members are, or who leads: from the asking to the answer.
//
//     asked --+-- on a follower: passed on to the leader over the transport; its answer is the answer, once it is applied here too
//             |
//             +-- on the leader: tried dry -- refused: conflict, and nothing was proposed
//                                     |
//                                     +-- it would take the leader's own vote: leadership goes to another voter first, and the request after it
//                                     |
//                                     +-- proposed -- applied -- (a joint configuration is left) -- answered
//
// Requests wait, within their deadline, while there is no leader, while leadership is handed over, and while a new leader has not yet applied
// an entry of its own term: none of these lasts, and no client needs to see it. Each is settled once. Bounded: at most `maxAsked` at a time.
//
// Ports the thesis's 3.10 (transfer) and 4.2 to 4.3; upstream's counterpart is configure() and MoveLeader of etcd's server.go.

import type { RawNode } from "../../raft/index.ts";
import type { RequestId } from "../envelope.ts";
import { mayReadIndex } from "../guard.ts";
import type { Transport } from "../interfaces.ts";
import type { ChangeOutcome, Conflict, MemberChange, Refused } from "../member.ts";
import { toConfChange } from "./conf-change-context.ts";
import { tryChanges } from "./dry-run.ts";
import { decodeOutcome, encodeRequest, type MemberRequest } from "./forwarded.ts";
import type { Members } from "./members.ts";

const maxAsked = 64;

interface Asked {
  readonly request: MemberRequest;
  readonly deadline: number;
  /** Asked by a client, or by this leader that gave its place away; a request that a peer passed on goes no further. */
  readonly passOn: boolean;
  /** Leadership was offered to another once. */
  readonly keepLead: boolean;
  readonly settle: (outcome: ChangeOutcome) => void;
}

interface Transferring {
  readonly to: number;
  readonly deadline: number;
  /** Enough is done once this member has let go. */
  readonly letGo: boolean;
  /** The member named may be behind with its own promotion, and not know yet that it may lead: it gets a second chance. */
  readonly again: boolean;
  readonly settle: (outcome: ChangeOutcome) => void;
}

export interface MembershipParts {
  readonly node: RawNode;
  readonly members: Members;
  readonly transport: Transport;
  readonly isActive: (id: number) => boolean;
  /** The term of the last applied entry. */
  readonly appliedTerm: () => number;
  readonly electionMs: number;
  readonly now: () => number;
  /** Resolves once this member has applied what was applied anywhere before, or cannot find out. */
  readonly catchUp: () => Promise<unknown>;
  /** Something waits to be fed to the node. */
  readonly wake: () => void;
}

export class Membership {
  private readonly parts: MembershipParts;
  private readonly epoch: number;
  private readonly timeoutMs: number;
  private counter = 0;
  private asked: Asked[] = [];
  /** Passed on to the leader, whose answer is awaited. */
  private readonly passed = new Set<Asked>();
  private readonly proposed = new Map<number, Asked>();
  /** Applied, but the joint configuration is not left yet. */
  private leaving: Asked[] = [];
  private transferring: Transferring | undefined;
  private handingOver: Promise<void> | undefined;
  /** The term in which this member was first seen to lead, and when. */
  private led = { term: 0, since: 0 };
  private stopped: string | undefined;

  constructor(epoch: number, timeoutMs: number, parts: MembershipParts) {
    this.epoch = epoch;
    this.timeoutMs = timeoutMs;
    this.parts = parts;
  }

  /** `passOn`: whether a member that does not lead asks the leader. */
  ask(request: MemberRequest, passOn: boolean): Promise<ChangeOutcome> {
    if (this.waitingCount >= maxAsked) {
      const message = `${this.waitingCount} changes of the members are waiting on this member already`;
      return Promise.resolve({ kind: "refused", code: "TOO_MANY_WAITING", message });
    }
    const deadline = this.parts.now() + this.timeoutMs;
    const outcome = new Promise<ChangeOutcome>((settle) => {
      this.asked.push({ request, deadline, passOn, keepLead: false, settle });
    });
    this.parts.wake();
    return outcome;
  }

  /** Takes up what was asked. Called when the node has applied all that it handed out. */
  feed(): void {
    this.checkTransfer();
    const { term, raftState } = this.parts.node;
    if (raftState === "StateLeader") {
      if (this.led.term !== term) this.led = { term, since: this.parts.now() };
      this.letGoIfNoVoter();
    }
    if (this.asked.length === 0) return;
    const asked = this.asked;
    this.asked = [];
    for (const one of asked) if (!this.takeUp(one)) this.asked.push(one);
  }

  get waitingCount(): number {
    return this.asked.length + this.passed.size + this.proposed.size + this.leaving.length;
  }

  /** A change was applied, or refused; an id of another member or an earlier start means nothing here. */
  changed(id: RequestId | undefined, refusal: string | undefined): void {
    const { node } = this.parts;
    const joint = node.config.voters.isJoint();
    if (!joint) {
      for (const one of this.leaving) one.settle({ kind: "applied" });
      this.leaving = [];
    }
    if (id === undefined || id.member !== node.id || id.epoch !== this.epoch) return;
    const one = this.proposed.get(id.counter);
    if (one === undefined) return;
    this.proposed.delete(id.counter);
    if (refusal !== undefined) one.settle(conflict("INVALID_CHANGE", refusal, "look at GET /_members, then try again"));
    else if (joint) this.leaving.push(one);
    else one.settle({ kind: "applied" });
  }

  /** This member was removed: answers the requests that asked for it while there is time. */
  removed(id: number): void {
    for (const one of this.passed) {
      const { request } = one;
      const asksIt = "change" in request && request.change.some((c) => c.kind === "remove" && c.id === id);
      if (asksIt) one.settle({ kind: "applied" });
    }
  }

  /** Gives leadership to the active voter that has most of the log, if there is one. Resolves when this member leads no more, or must stay. */
  handOver(): Promise<void> {
    this.handingOver ??= this.letGo().finally(() => {
      this.handingOver = undefined;
    });
    return this.handingOver;
  }

  private async letGo(): Promise<void> {
    const to = this.successor([]);
    if (to === undefined || this.transferring !== undefined) return;
    await new Promise<ChangeOutcome>((settle) => {
      this.transfer({ to, deadline: this.parts.now() + this.timeoutMs, settle, letGo: true, again: false });
    });
  }

  /** Settles those whose time is up. */
  expire(now: number): void {
    this.checkTransfer();
    const late = `the change was not confirmed within ${this.timeoutMs} ms`;
    const waits = (one: Asked, outcome: ChangeOutcome): boolean => {
      if (one.deadline > now) return true;
      one.settle(outcome);
      return false;
    };
    const noLeader = `within ${this.timeoutMs} ms no leader was there to decide on the change`;
    this.asked = this.asked.filter((one) => waits(one, refused("NO_LEADER", noLeader)));
    this.leaving = this.leaving.filter((one) => waits(one, { kind: "unknown", message: late }));
    for (const [counter, one] of this.proposed) {
      if (!waits(one, { kind: "unknown", message: late })) this.proposed.delete(counter);
    }
    if (this.transferring !== undefined && this.transferring.deadline <= now) {
      this.endTransfer(notTaken(this.transferring.to, `it took more than ${this.timeoutMs} ms`));
    }
  }

  /** Settles all: a request that is still only asked was never proposed; of the others the outcome is unknown. */
  stop(message: string): void {
    this.stopped = message;
    if (this.transferring !== undefined) this.endTransfer({ kind: "unknown", message }); // may put its request back
    for (const one of this.asked) one.settle(refused("STOPPING", message));
    for (const one of [...this.passed, ...this.proposed.values(), ...this.leaving]) {
      one.settle({ kind: "unknown", message });
    }
    this.asked = [];
    this.leaving = [];
    this.proposed.clear();
  }

  /** A leader that a change has left without a vote leads only until another has its whole log. */
  private letGoIfNoVoter(): void {
    const { id, config, leadTransferee } = this.parts.node;
    if (!config.voters.has(id) && leadTransferee === 0) void this.handOver();
  }

  /** False if it has to wait. */
  private takeUp(one: Asked): boolean {
    const { node, appliedTerm } = this.parts;
    const { lead, raftState, leadTransferee } = node;
    if (raftState !== "StateLeader") {
      if (lead === 0 || this.transferring !== undefined) return false;
      if (one.passOn) void this.passOnTo(lead, one);
      else one.settle(refused("NO_LEADER", `member ${node.id} is not the leader`));
      return true;
    }
    if (leadTransferee !== 0 || !mayReadIndex(node, appliedTerm())) return false;
    if ("change" in one.request) return this.change(one, one.request.change);
    // raft leaves a joint configuration by a proposal of its own, which a transfer would drop.
    const { voters } = node.config;
    if (voters.isJoint() || node.hasPendingConfChange()) return false;
    const { transfer } = one.request;
    if (voters.has(transfer) && !this.parts.isActive(transfer)) {
      if (this.isNewLeader()) return false;
      one.settle(notTaken(transfer, "it has not been heard of for an election timeout"));
    } else {
      this.transfer({ to: transfer, deadline: one.deadline, settle: one.settle, letGo: false, again: true });
    }
    return true;
  }

  /** A new leader has not heard from every member yet. */
  private isNewLeader(): boolean {
    return this.parts.now() - this.led.since <= this.parts.electionMs;
  }

  private async passOnTo(leader: number, one: Asked): Promise<void> {
    this.passed.add(one);
    const answer = await this.parts.transport.request(leader, encodeRequest(one.request));
    let outcome: ChangeOutcome;
    if (answer.kind === "answered") outcome = decodeOutcome(answer.body);
    else if (answer.kind === "unsent")
      outcome = refused("NO_LEADER", `the leader cannot be reached: ${answer.message}`);
    else outcome = { kind: "unknown", message: `the leader did not answer: ${answer.message}` };
    if (outcome.kind === "applied") await this.parts.catchUp();
    this.passed.delete(one);
    const moved = outcome.kind === "refused" && (outcome.code === "NO_LEADER" || outcome.code === "STOPPING");
    const again = moved && this.stopped === undefined;
    // The asked member leads no more, or not yet, or is about to hand over: the next tick asks the leader of that time.
    if (again && one.deadline > this.parts.now()) this.asked.push(one);
    else one.settle(outcome);
  }

  /** False if it has to wait. */
  private change(one: Asked, changes: readonly MemberChange[]): boolean {
    const { node, members, isActive } = this.parts;
    const wrong = tryChanges(changes, { node, members, isActive });
    if (wrong !== undefined) {
      if ((wrong.code === "QUORUM_AT_RISK" || wrong.code === "LEARNER_BEHIND") && this.isNewLeader()) return false;
      one.settle(wrong);
      return true;
    }
    const own = changes.some(({ kind, id }) => id === node.id && (kind === "remove" || kind === "demote"));
    const successor = own && !one.keepLead ? this.successor(changes.map(({ id }) => id)) : undefined;
    if (successor !== undefined) {
      // Were the leader removed while it leads, the others would have to wait for an election timeout, and its clients with them.
      const settle = (): void => void this.asked.push({ ...one, passOn: true, keepLead: true });
      this.transfer({ to: successor, deadline: one.deadline, settle, letGo: false, again: true });
      return true;
    }
    const counter = ++this.counter;
    const error = node.proposeConfChange(toConfChange(changes, { member: node.id, epoch: this.epoch, counter }));
    if (error === undefined) this.proposed.set(counter, one);
    else one.settle(refused("TOO_MANY_WAITING", "too much is waiting to be committed: a majority is slow or away"));
    return true;
  }

  /** The active voter, other than this member and the ones left out, that has most of the log. */
  private successor(leaveOut: readonly number[]): number | undefined {
    const { node, isActive } = this.parts;
    const { id, config, raftState } = node;
    if (raftState !== "StateLeader") return undefined;
    let best: number | undefined;
    for (const voter of config.voters.incoming.slice()) {
      if (voter === id || leaveOut.includes(voter) || !isActive(voter)) continue;
      const match = (other: number): number => node.match(other) ?? 0;
      if (best === undefined || match(voter) > match(best)) best = voter;
    }
    return best;
  }

  private transfer(transferring: Transferring): void {
    const { node, members, wake } = this.parts;
    const { to, settle } = transferring;
    if (!node.config.voters.has(to)) {
      const what = members.get(to) === undefined ? `there is no member ${to}` : `member ${to} is a learner`;
      settle(conflict("INVALID_CHANGE", what, "name a voter: GET /_members lists them"));
      return;
    }
    this.transferring = transferring;
    if (to !== node.id) node.transferLeader(to);
    this.checkTransfer();
    wake();
  }

  private checkTransfer(): void {
    const { transferring } = this;
    if (transferring === undefined) return;
    const { to, letGo, again } = transferring;
    const { lead, raftState, leadTransferee } = this.parts.node;
    const leads = raftState === "StateLeader";
    if (lead === to || (letGo && !leads)) this.endTransfer({ kind: "applied" });
    else if (leads && leadTransferee !== to) {
      if (again && this.parts.isActive(to)) this.transfer({ ...transferring, again: false });
      else this.endTransfer(notTaken(to, "it did not take over within an election timeout"));
    } else if (!leads && lead !== 0) {
      this.endTransfer(notTaken(to, `member ${lead} was elected`));
    }
  }

  private endTransfer(outcome: ChangeOutcome): void {
    const settle = this.transferring?.settle;
    this.transferring = undefined;
    settle?.(outcome);
    this.parts.wake();
  }
}

const refused = (code: Refused["code"], message: string): Refused => ({ kind: "refused", code, message });

const conflict = (code: Conflict["code"], message: string, next: string): Conflict => ({
  kind: "conflict",
  code,
  message,
  next,
});

const notTaken = (to: number, why: string): Conflict =>
  conflict(
    "TRANSFER_FAILED",
    `leadership did not go to member ${to}: ${why}`,
    "see with GET /_status whether the member is up",
  );
