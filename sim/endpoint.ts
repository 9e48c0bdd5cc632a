// One member's end of the simulated network: the Transport that its server is given.
//
// Follows the real transport's rules: a peer is dialled as soon as its address is known, again and again with a growing
// pause; the dialled member asks its handler whether to admit the caller, and answers with a rejection if not; a
// message to a peer that is not connected is dropped and reported; a message passes the transport's own checks before
// the handler sees it. A message that breaks a rule of the handler is reported to the maker of the endpoint: no correct
// member sends one to another.

import { type Message, MessageType } from "../raft/index.ts";
import type { Transport } from "../server/interfaces.ts";
import type { Address, RequestOutcome, TransportHandler } from "../transport/contract.ts";
import { validateMessage, validateSnapshotMessage } from "../transport/validate.ts";
import type { End, Network } from "./network.ts";
import { streamSnapshot } from "./snapshot-stream.ts";
import type { Process } from "./world.ts";

const backoffMs = { least: 50, most: 800 };
/** Time after which a member no longer waits for an answer. */
const requestTimeoutMs = 6000;
const handshakeTimeoutMs = 3000;
const idleTimeoutMs = 5000;

interface Link {
  url: string;
  /** Undefined while there is no connection. */
  peer: End | undefined;
  backoffMs: number;
  /** Counts the dials: what an earlier one still brings is not looked at. */
  attempt: number;
  ended: boolean;
}

export interface EndpointOptions {
  readonly id: number;
  readonly incarnation: number;
  readonly clusterId: number;
  readonly url: string;
  readonly process: Process;
  readonly network: Network;
  readonly onViolation: (error: Error) => void;
}

export class Endpoint implements Transport, End {
  readonly id: number;
  readonly process: Process;
  readonly network: Network;
  readonly incarnation: number;
  readonly clusterId: number;
  readonly url: string;
  readonly #onViolation: EndpointOptions["onViolation"];
  handler: TransportHandler | undefined;
  address: Address | undefined;
  readonly #links = new Map<number, Link>();
  readonly #sending = new Set<number>();
  readonly #receiving = new Set<number>();
  #closed = false;

  constructor({ id, incarnation, clusterId, url, process, network, onViolation }: EndpointOptions) {
    this.#onViolation = onViolation;
    this.id = id;
    this.incarnation = incarnation;
    this.clusterId = clusterId;
    this.url = url;
    this.process = process;
    this.network = network;
    network.attach(url, this);
    process.whenDead(() => network.detach(url, this));
  }

  start(handler: TransportHandler): void {
    this.handler = handler;
    for (const [id, link] of this.#links) this.#dial(id, link);
  }

  announce(address: Address): void {
    this.address = address;
  }

  addPeer(id: number, url: string): void {
    const known = this.#links.get(id);
    if (id === this.id || known?.url === url) return;
    if (known !== undefined) known.ended = true;
    const link: Link = { url, peer: undefined, backoffMs: backoffMs.least, attempt: 0, ended: false };
    this.#links.set(id, link);
    if (this.handler !== undefined) this.#dial(id, link);
  }

  removePeer(id: number): void {
    const link = this.#links.get(id);
    if (link === undefined) return;
    link.ended = true;
    this.#links.delete(id);
    // The connection from it is closed, too: it notices at once, or when nothing answers its pings.
    const { network } = this;
    const peer = network.at(link.url);
    const noticedInMs = network.canConnect(this.id, id) ? network.delay() : idleTimeoutMs;
    if (peer?.id === id) peer.process.after(noticedInMs, () => peer.lost(this.id));
  }

  send(messages: readonly Message[]): void {
    const dropped = new Set<number>();
    for (const m of messages) {
      const link = this.#links.get(m.to);
      if (link?.peer === undefined) dropped.add(m.to);
      else this.network.carry(this, link.peer, m);
    }
    for (const id of dropped) this.process.after(0, () => this.handler?.reportUnreachable(id));
  }

  take(from: End, m: Message): void {
    if (this.handler === undefined) return;
    const broken = validateMessage(m, { self: this.id, peer: from.id }) ?? this.handler.receive(from.id, [m]);
    if (broken !== undefined) {
      this.#onViolation(new Error(`member ${this.id} finds that member ${from.id} breaks a rule: ${broken}`));
    }
  }

  async sendSnapshot(message: Message, chunks: AsyncIterable<Uint8Array>): Promise<boolean> {
    const peer = this.#links.get(message.to)?.peer;
    if (peer === undefined || this.#sending.has(message.to) || this.#closed) {
      void chunks[Symbol.asyncIterator]().return?.();
      return false;
    }
    this.#sending.add(message.to);
    const taken = await streamSnapshot(this.network, this, peer, message, chunks);
    this.#sending.delete(message.to);
    return taken;
  }

  async takeSnapshot(from: End, message: Message, chunks: AsyncIterable<Uint8Array>): Promise<boolean> {
    const broken = validateSnapshotMessage(message, { self: this.id, peer: from.id });
    if (broken !== undefined || message.type !== MessageType.MsgSnap) {
      this.process.world.fail(new Error(`member ${this.id} finds that member ${from.id} breaks a rule: ${broken}`));
    }
    if (this.handler === undefined || this.#receiving.has(from.id)) return false;
    if (this.handler.admit(from.id, from.incarnation, from.address) !== undefined) return false;
    this.#receiving.add(from.id);
    try {
      await this.handler.receiveSnapshot(from.id, message, chunks);
      return true;
    } catch {
      return false; // the reason is in the receiver's log
    } finally {
      this.#receiving.delete(from.id);
    }
  }

  request(to: number, body: Uint8Array): Promise<RequestOutcome> {
    const { network, process } = this;
    const link = this.#links.get(to);
    const unsent = (message: string): RequestOutcome => ({ kind: "unsent", message });
    if (link === undefined) return Promise.resolve(unsent(`the address of member ${to} is not known`));
    return new Promise((resolve) => {
      process.after(requestTimeoutMs, () => resolve({ kind: "unknown", message: "no answer came in time" }));
      const peer = network.at(link.url);
      if (peer === undefined || !network.canConnect(this.id, to)) {
        process.after(network.delay(), () => resolve(unsent(`member ${to} cannot be reached`)));
        return;
      }
      peer.process.after(network.delay(), () => {
        const { handler } = peer;
        if (handler?.admit(this.id, this.incarnation, this.address) !== undefined) return;
        handler?.request(this.id, body).then((answer) => {
          if (network.isBlocked(to, this.id)) return;
          process.after(network.delay(), () => resolve({ kind: "answered", body: answer }));
        });
      });
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.handler = undefined;
    for (const id of [...this.#links.keys()]) this.removePeer(id);
    this.network.detach(this.url, this);
  }

  #dial(id: number, link: Link): void {
    const { network, process } = this;
    if (link.ended || this.#closed || link.peer !== undefined) return;
    const attempt = ++link.attempt;
    const again = (pauseMs: number): void =>
      process.after(pauseMs, () => {
        if (link.attempt === attempt) this.#dial(id, link);
      });
    link.backoffMs = Math.min(2 * link.backoffMs, backoffMs.most);
    const pauseMs = link.backoffMs * (1 - network.random.real() / 2);
    const peer = network.at(link.url);
    if (peer?.handler === undefined || peer.id !== id || !network.canConnect(this.id, id)) {
      this.handler?.dialled(id, link.url, undefined);
      again(pauseMs);
      return;
    }
    peer.process.after(network.delay(), () => {
      const isOther = peer.clusterId !== this.clusterId;
      const rejection = isOther ? undefined : peer.handler?.admit(this.id, this.incarnation, this.address);
      process.after(network.delay(), () => {
        if (link.ended || this.#closed || link.attempt !== attempt) return;
        this.handler?.dialled(id, link.url, peer.clusterId);
        if (isOther) {
          again(pauseMs);
          return;
        }
        if (rejection !== undefined && rejection.kind !== "unknown") this.handler?.rejectedBy(id, rejection);
        if (rejection !== undefined || !peer.process.alive || peer.handler === undefined) again(pauseMs);
        else this.#connected(id, link, peer);
      });
    });
    // The peer may die or sleep before it answers.
    again(handshakeTimeoutMs);
  }

  #connected(id: number, link: Link, peer: End): void {
    link.peer = peer;
    link.backoffMs = backoffMs.least;
    // The peer's system resets the connection when the process is gone.
    peer.process.whenDead(() => this.process.after(this.network.delay(), () => this.lost(id, link, peer)));
  }

  /** A connection is gone: another is made. */
  lost(id: number, link = this.#links.get(id), peer = link?.peer): void {
    if (link === undefined || link.peer !== peer || peer === undefined) return;
    link.peer = undefined;
    this.handler?.reportUnreachable(id);
    this.#dial(id, link);
  }
}
