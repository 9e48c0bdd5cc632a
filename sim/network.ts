// The simulated network: who can reach whom, how long it takes, and what gets lost on the way.
//
// Messages are encoded when they leave and decoded when they arrive, each on its own: any of them may be lost, come
// twice, or overtake others. That is harsher than the real transport, whose connections keep the order, and is what
// raft is made for. A direction that is cut loses everything; a cut in one direction leaves the other alone.
//
// Here is the world between the members; endpoint.ts has what one member holds of it.

import { decodeMessage, encodeMessage, type Message, MessageType, messageTypeName } from "../raft/index.ts";
import type { Address, TransportHandler } from "../transport/contract.ts";
import type { Random } from "./random.ts";
import type { Process, World } from "./world.ts";

/** What the network, and a member's peers, know of its end of it. */
export interface End {
  readonly id: number;
  readonly incarnation: number;
  readonly clusterId: number;
  readonly process: Process;
  /** Where it says that it is reached. */
  readonly address: Address | undefined;
  /** Undefined until the server has started, and after it has closed. */
  readonly handler: TransportHandler | undefined;
  /** The connection to this member is gone. */
  lost(id: number): void;
  /** A message has arrived. */
  take(from: End, m: Message): void;
  /** A snapshot begins to arrive: resolves to whether it was taken. */
  takeSnapshot(from: End, message: Message, chunks: AsyncIterable<Uint8Array>): Promise<boolean>;
}

export interface NetworkFaults {
  /** Probability that a message is lost. */
  loss: number;
  /** Probability that it comes twice. */
  duplicate: number;
  /** Probability that it is late, by up to lateMs. */
  late: number;
  lateMs: number;
  /** Probability, for each chunk of a snapshot, that its stream breaks. */
  cutStream: number;
}

export const noNetworkFaults: NetworkFaults = { loss: 0, duplicate: 0, late: 0, lateMs: 0, cutStream: 0 };

/** Times of a healthy network, in milliseconds. */
const delayMs = { least: 0.5, most: 5 };

const veryLateMs = 1000;

/** Told of what happens, for the trace and the counts. */
export interface NetworkListener {
  sent(from: Process, m: Message): void;
  delivered(to: number, m: Message): void;
  count(what: string): void;
}

export class Network {
  readonly world: World;
  readonly random: Random;
  readonly listener: NetworkListener;
  faults: NetworkFaults = noNetworkFaults;
  /** Of which members the clients do not reach, or do not hear. */
  readonly clientCuts = { requests: new Set<number>(), answers: new Set<number>() };
  /** What a scenario wants lost, besides. */
  loses: ((m: Message) => boolean) | undefined;
  /** Directions that lose everything, as "from>to". */
  readonly #cuts = new Set<string>();
  /** Who is there now, by address. */
  readonly #endpoints = new Map<string, End>();

  constructor(world: World, random: Random, listener: NetworkListener) {
    this.world = world;
    this.random = random;
    this.listener = listener;
  }

  attach(url: string, endpoint: End): void {
    this.#endpoints.set(url, endpoint);
  }

  detach(url: string, endpoint: End): void {
    if (this.#endpoints.get(url) === endpoint) this.#endpoints.delete(url);
  }

  at(url: string): End | undefined {
    return this.#endpoints.get(url);
  }

  cut(from: number, to: number): void {
    this.#cuts.add(`${from}>${to}`);
  }

  mend(): void {
    this.#cuts.clear();
  }

  get isCut(): boolean {
    return this.#cuts.size > 0;
  }

  isBlocked(from: number, to: number): boolean {
    return this.#cuts.has(`${from}>${to}`);
  }

  /** Whether a connection can be made at all: both directions are needed. */
  canConnect(a: number, b: number): boolean {
    return !this.isBlocked(a, b) && !this.isBlocked(b, a);
  }

  /** Time for one way. */
  delay(): number {
    const { random, faults } = this;
    const delay = random.spread(delayMs.least, delayMs.most);
    if (!random.chance(faults.late)) return delay;
    this.listener.count("late message");
    return delay + random.real() * faults.lateMs;
  }

  /** Carries one message to an endpoint that was reached before. */
  carry(from: End, to: End, m: Message): void {
    const { random, faults, listener } = this;
    listener.sent(from.process, m);
    if (this.isBlocked(from.id, to.id) || this.loses?.(m)) {
      listener.count("message into a cut");
      return;
    }
    if (random.chance(faults.loss)) {
      listener.count("lost message");
      return;
    }
    const bytes = encodeMessage(m);
    // raft does not mind what comes twice, except for a proposal, which would be a second entry: a connection never
    // repeats one.
    const copies = m.type !== MessageType.MsgProp && random.chance(faults.duplicate) ? 2 : 1;
    if (copies === 2) listener.count("duplicate message");
    const sentAt = this.world.now;
    for (let i = 0; i < copies; i++) {
      to.process.after(this.delay(), () => {
        const copy = decodeMessage(bytes);
        listener.count(messageTypeName(copy.type));
        if (this.world.now - sentAt > veryLateMs) listener.count("message that came a second late");
        listener.delivered(to.id, copy);
        to.take(from, copy);
      });
    }
  }
}
