// The state of a whole cluster as a list of numbers, and what may happen in it.
//
//     budgets left | history | node 1 | node 2 | ... | messages in flight, ascending
//
// A move is one thing that happens to one node. Messages may arrive in any order, late, or never. No move is needed for
// a lost message: it is one that stays in flight for ever, and every state in which it does is visited. By the same
// argument two things are left out that could only lead to less:
//
//   - a delivery that changes nothing in the node and sends nothing. The state after it is the same with one message
//     fewer, so whatever can be reached from there can be reached from here, with the same nodes and the same history,
//     by leaving that message in flight.
//   - messages without any effect: the receiving node has a later term on disk, or they answer a question of a role
//     that the node no longer has and cannot have again in that term. With them or without them, the same can happen.
//
// No property looks at the messages in flight, so nothing that could be found is lost. explore.test.ts checks on a
// small world that lost messages add nothing, and that messages which arrive often cover those which arrive once, or
// twice. For the same reason the explorer may go on with more messages in flight than there are: a delivery that only
// adds some need not be a choice (saturate), and a state with fewer need not be visited (antichain.ts).

import { type Message, MessageType } from "../../raft/index.ts";
import { Automata, type Facts, type Transition } from "./automaton.ts";
import { Histories } from "./history.ts";
import type { Input, Mutation } from "./local-node.ts";
import { type BudgetName, budgetNames, type World } from "./world.ts";

const { MsgApp, MsgAppResp, MsgHeartbeat, MsgHeartbeatResp, MsgPreVote, MsgVoteResp } = MessageType;

/** One thing that may happen. */
export interface Move {
  /** The offset of the node among the nodes. */
  readonly node: number;
  /** The number of the input; undefined if a message is lost. */
  readonly input: number | undefined;
  readonly spends: BudgetName | "changes" | undefined;
  /** The offset, among the words, of the message that is in flight no more. */
  readonly takes: number | undefined;
}

function add(moves: Move[], node: number, input: number | undefined, spends: Move["spends"], takes?: number): void {
  moves.push({ node, input, spends, takes });
}

const nodesAt = 2;
const maxWords = 1024;

export class Cluster {
  readonly world: World;
  readonly automata: Automata;
  readonly histories = new Histories();
  /** The state at hand, and how many words of it count. */
  readonly words = new Uint32Array(maxWords);
  length = 0;
  /** The state after the last move. */
  readonly next = new Uint32Array(maxWords);
  nextLength = 0;
  /** Where the messages in flight begin. */
  readonly messagesAt: number;
  /** The first word holds what is left of all budgets, as one number of mixed radix. */
  readonly #budgets: Record<BudgetName | "changes", { readonly stride: number; readonly most: number }>;
  readonly #answersStale: boolean;
  readonly #isAtomic: boolean;
  readonly #inputs = { campaign: 0, tick: 0, beat: 0, ready: 0, persist: 0, compact: 0 };
  readonly #numbered: Record<"crash" | "propose" | "read" | "change" | "transfer", number[]> = {
    crash: [],
    propose: [],
    read: [],
    change: [],
    transfer: [],
  };

  constructor(world: World, mutation: Mutation = {}) {
    this.world = world;
    const { nodes, learners = [], disk = "atomic", options = {} } = world;
    const all = Array.from({ length: nodes }, (_, i) => i + 1);
    const voters = world.voters ?? all.filter((id) => !learners.includes(id));
    this.automata = new Automata({ voters, learners, disk, options, mutation });
    this.messagesAt = nodesAt + nodes;
    this.#isAtomic = disk === "atomic";
    if (world.network === "once" && !this.#isAtomic) {
      throw new Error(
        `"${world.name}": a slow disk goes with a network that delivers often, because a queue does not count what is in it twice`,
      );
    }
    this.#answersStale = options.checkQuorum === true || options.preVote === true;
    for (const kind of ["campaign", "tick", "beat", "ready", "persist", "compact"] as const) {
      this.#inputs[kind] = this.automata.input({ kind });
    }
    let stride = 1;
    const digit = (most = 0): { stride: number; most: number } => {
      const place = { stride, most };
      stride *= most + 1;
      return place;
    };
    const digits = budgetNames.map((name) => [name, digit(world.budgets[name])]);
    this.#budgets = { ...Object.fromEntries(digits), changes: digit(world.changes?.length) };
    if (stride > 2 ** 32) throw new Error(`the budgets of "${world.name}" do not fit into a word: make them smaller`);
    this.words[0] = stride - 1;
    for (const id of all) this.words[nodesAt + id - 1] = this.automata.begin(id);
    this.length = this.messagesAt;
    if (world.leader !== undefined) this.#settle(world.leader);
  }

  /** Lets a node be elected, and everything that follows from that happen. */
  #settle(leader: number): void {
    const rest = { spends: undefined, takes: undefined };
    this.go({ node: leader - 1, input: this.#inputs.campaign, ...rest });
    for (;;) {
      const all = this.facts();
      const writing = all.findIndex((facts) => facts.isWriting);
      const ready = all.findIndex((facts) => facts.hasReady);
      if (writing >= 0) this.go({ node: writing, input: this.#inputs.persist, ...rest });
      else if (ready >= 0) this.go({ node: ready, input: this.#inputs.ready, ...rest });
      else if (this.length > this.messagesAt) {
        const input = this.words[this.messagesAt] as number;
        const node = this.automata.message(input).to - 1;
        this.go({ node, input, spends: undefined, takes: this.messagesAt });
      } else break;
    }
  }

  /** Makes the move, and is in the state after it. */
  go(move: Move): void {
    if (!this.make(move) && move.takes !== undefined) this.#remove(move.takes);
    this.words.set(this.next.subarray(0, this.nextLength));
    this.length = this.nextLength;
  }

  /** Facts of all nodes in the state at hand. */
  facts(): Facts[] {
    return Array.from({ length: this.world.nodes }, (_, i) => this.automata.facts(this.words[nodesAt + i] as number));
  }

  /** The message at this offset of the words. */
  inFlight(at: number): Message {
    return this.automata.message(this.words[at] as number);
  }

  /** How much is left of a budget in the state at hand. */
  #left(name: BudgetName | "changes"): number {
    const { stride, most } = this.#budgets[name];
    return most === 0 ? 0 : Math.floor((this.words[0] as number) / stride) % (most + 1);
  }

  /** All that may happen in the state at hand. */
  moves(isFirst: boolean): Move[] {
    const moves: Move[] = [];
    this.#addDeliveries(moves);
    const { world } = this;
    const inputs = this.#inputs;
    for (let node = 0; node < world.nodes; node++) {
      const facts = this.automata.facts(this.words[nodesAt + node] as number);
      if (facts.hasReady && !this.#isAtomic) add(moves, node, inputs.ready, undefined);
      if (facts.isWriting) add(moves, node, inputs.persist, undefined);
      if (!(isFirst && world.isSymmetric === true && node > 0)) this.#addTimeouts(moves, node, facts);
      if (facts.canCompact && this.#left("compactions") > 0) add(moves, node, inputs.compact, "compactions");
      if (this.#left("crashes") > 0) {
        const variants = world.disk === "torn" ? Math.max(1, facts.pieces) : 1;
        for (let kept = 0; kept < variants; kept++) add(moves, node, this.#input("crash", kept), "crashes");
      }
      if (this.#left("reads") > 0) add(moves, node, this.#input("read", this.#left("reads")), "reads");
      if (facts.leads) this.#addLeaderMoves(moves, node, facts);
    }
    return moves;
  }

  #addDeliveries(moves: Move[]): void {
    for (let at = this.messagesAt; at < this.length; at++) {
      const input = this.words[at] as number;
      if (at > this.messagesAt && this.words[at - 1] === input) continue;
      const { to, term } = this.automata.message(input);
      const node = to - 1;
      // What a client asked for and a node passed on has no term. It is no message of raft's own, and nothing tells two
      // of them apart.
      const isTaken = this.world.network === "once" || term === 0;
      add(moves, node, input, undefined, isTaken ? at : undefined);
      if (this.#left("duplicates") > 0) add(moves, node, input, "duplicates");
      if (this.#left("drops") > 0) add(moves, node, undefined, "drops", at);
    }
  }

  #addTimeouts(moves: Move[], node: number, { id, leads }: Facts): void {
    if (this.#left("ticks") > 0) add(moves, node, this.#inputs.tick, "ticks");
    const left = this.#left("campaigns");
    if (left > 0 && !leads && this.#mayCampaign(id, left)) add(moves, node, this.#inputs.campaign, "campaigns");
  }

  #mayCampaign(id: number, left: number): boolean {
    const { campaigners, inTurn, budgets } = this.world;
    if (campaigners === undefined) return true;
    return inTurn === true ? campaigners[(budgets.campaigns ?? 0) - left] === id : campaigners.includes(id);
  }

  #addLeaderMoves(moves: Move[], node: number, { id }: Facts): void {
    if (this.#left("proposals") > 0) add(moves, node, this.#input("propose", this.#left("proposals")), "proposals");
    if (this.#left("beats") > 0) add(moves, node, this.#inputs.beat, "beats");
    if (this.#left("changes") > 0) add(moves, node, this.#input("change", this.#left("changes")), "changes");
    if (this.#left("transfers") === 0) return;
    for (let to = 1; to <= this.world.nodes; to++) {
      if (to !== id) add(moves, node, this.#input("transfer", to), "transfers");
    }
  }

  /**
   * The number of an input that comes in several kinds. Of what clients ask for, `of` is how many requests are left.
   */
  #input(kind: "crash" | "propose" | "read" | "change" | "transfer", of: number): number {
    const known = this.#numbered[kind][of];
    if (known !== undefined) return known;
    const number = this.automata.input(this.#makeInput(kind, of));
    this.#numbered[kind][of] = number;
    return number;
  }

  #makeInput(kind: "crash" | "propose" | "read" | "change" | "transfer", of: number): Input {
    const { changes = [], budgets } = this.world;
    switch (kind) {
      case "crash":
        return { kind, kept: of };
      case "transfer":
        return { kind, to: of };
      case "change":
        return { kind, change: changes[changes.length - of] as string };
      default: {
        const asked = (budgets[kind === "read" ? "reads" : "proposals"] ?? 0) - of;
        return { kind, data: String.fromCharCode("a".charCodeAt(0) + asked) };
      }
    }
  }

  /** Makes the move, into `next`. False if it changes nothing. Throws what is wrong with what follows. */
  make({ node, input, spends, takes }: Move): boolean {
    const at = nodesAt + node;
    const state = this.words[at] as number;
    const { next, automata } = this;
    next.set(this.words.subarray(0, this.length));
    this.nextLength = this.length;
    if (spends !== undefined) next[0] = (next[0] as number) - this.#budgets[spends].stride;
    if (input === undefined) {
      this.#remove(takes as number);
      return true;
    }
    const transition = automata.transition(state, input);
    if (transition.error !== undefined) throw transition.error;
    const { to, sent, reads } = transition;
    const question = spends === "reads" ? automata.inputOf(input) : undefined;
    if (to === state && sent.length === 0 && reads.length === 0 && question === undefined) return false;
    next[at] = to;
    if (to !== state || question !== undefined) this.#remember(state, transition, question);
    for (const read of reads) this.histories.answered(next[1] as number, read);
    if (takes !== undefined) this.#remove(takes);
    for (const message of sent) this.#insert(message);
    this.#dropDead();
    return true;
  }

  #remember(state: number, { to }: Transition, question: Input | undefined): void {
    const { next, automata, histories } = this;
    if (question?.kind === "read") next[1] = histories.asked(next[1] as number, question.data);
    const before = automata.facts(state);
    const after = automata.facts(to);
    const isSame =
      before.leads === after.leads &&
      before.term === after.term &&
      before.commit === after.commit &&
      before.logNumber === after.logNumber &&
      before.applied.length === after.applied.length;
    if (isSame) return;
    const cluster: Facts[] = [];
    for (let i = nodesAt; i < this.messagesAt; i++) cluster.push(automata.facts(next[i] as number));
    next[1] = histories.after(next[1] as number, before, after, cluster);
  }

  /**
   * Delivers, in `next`, all that changes no node and adds messages to those in flight. Returns the moves.
   * Only on a network that delivers often: there the state that follows covers the one before, see antichain.ts.
   */
  saturate(): Move[] {
    const { next, automata } = this;
    const moves: Move[] = [];
    for (let at = this.messagesAt; at < this.nextLength; at++) {
      const input = next[at] as number;
      const { to, term } = automata.message(input);
      const state = next[nodesAt + to - 1] as number;
      const transition = automata.transition(state, input);
      const { error, reads, sent } = transition;
      // What has no term goes when it is delivered: fewer messages may be left.
      if (term === 0 || error !== undefined || transition.to !== state || reads.length > 0) continue;
      const before = this.nextLength;
      for (const message of sent) this.#insert(message);
      this.#dropDead();
      if (this.nextLength === before) continue;
      add(moves, to - 1, input, undefined);
      at = this.messagesAt - 1;
    }
    return moves;
  }

  #remove(at: number): void {
    this.next.copyWithin(at, at + 1, this.nextLength);
    this.nextLength--;
  }

  #insert(message: number): void {
    const { next, world } = this;
    if (this.automata.message(message).to > world.nodes) return;
    let at = this.messagesAt;
    while (at < this.nextLength && (next[at] as number) < message) at++;
    if (world.network !== "once" && at < this.nextLength && next[at] === message) return;
    if (this.nextLength === maxWords) throw new Error(`too many messages in flight in "${world.name}"`);
    next.copyWithin(at + 1, at, this.nextLength);
    next[at] = message;
    this.nextLength++;
  }

  #dropDead(): void {
    const { next, automata } = this;
    let kept = this.messagesAt;
    for (let at = this.messagesAt; at < this.nextLength; at++) {
      const number = next[at] as number;
      const m = automata.message(number);
      if (!this.#isDead(m, automata.facts(next[nodesAt + m.to - 1] as number))) next[kept++] = number;
    }
    this.nextLength = kept;
  }

  #isDead({ type, term }: Message, { durableTerm, term: now, state }: Facts): boolean {
    if (term === 0 || term > durableTerm) return false;
    if (type === MsgVoteResp) return term !== now || state !== "StateCandidate";
    if (type === MsgAppResp || type === MsgHeartbeatResp) {
      return term !== now || (state !== "StateLeader" && state !== "StateCandidate");
    }
    // The only ones to which a node of a later term answers.
    if (type === MsgPreVote || (this.#answersStale && (type === MsgApp || type === MsgHeartbeat))) return false;
    return term < durableTerm;
  }
}
