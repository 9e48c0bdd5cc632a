// One direction between two members, and what may be wrong with it.
//
// A link is an ordered pair: what member 1 sends to member 2, on whichever connection. It carries one direction of
// every connection between the two, whichever member dialled, as a cable does. A cut link holds back what comes, and
// lets it pass when it is healed, as TCP does when packets are lost and sent again: so old messages arrive late, after
// elections that they know nothing of. Not even the end of a connection passes a cut link. A link that breaks
// connections resets them; one that corrupts turns over single bits, which no TCP checksum sees here.
//
// Promises: the bytes of a connection stay in order; what waits on one is bounded, since a source that is too far ahead
// is not read from; `bytes` and `damaged` count what has really passed, so that a fault which never did anything shows.

import type { Socket } from "node:net";
import type { Random } from "../../sim/random.ts";

export interface LinkFaults {
  readonly cut: boolean;
  readonly delayMs: number;
  readonly bytesPerSecond: number;
  /** The chance that a chunk of bytes has one of its bits turned over. */
  readonly corrupt: number;
  /** The chance that a chunk, instead of passing, resets its connection. */
  readonly reset: number;
}

export const sound: LinkFaults = {
  cut: false,
  delayMs: 0,
  bytesPerSecond: Number.POSITIVE_INFINITY,
  corrupt: 0,
  reset: 0,
};

/**
 * Breaks a connection. Node loses a socket that is to be reset while its end is on the way: it stays open, and the
 * process cannot exit.
 */
export function reset(socket: Socket): void {
  if (socket.writableEnded && !socket.writableFinished) socket.destroy();
  else socket.resetAndDestroy();
}

const maxWaitingBytes = 1024 * 1024;
/** A throttled link passes pieces of this size, so that it is slow all the time and not stopped and fast in turn. */
const throttledPieceBytes = 512;

export class Link {
  readonly from: number;
  readonly to: number;
  /** What has passed. */
  bytes = 0;
  /** Bits turned over, and connections reset. */
  damaged = 0;
  resets = 0;
  faults: LinkFaults = sound;
  readonly random: Random;
  readonly #pumps = new Set<Pump>();
  /** When the throttled link has passed all that was given to it. */
  #freeAt = 0;

  constructor(from: number, to: number, random: Random) {
    this.from = from;
    this.to = to;
    this.random = random;
  }

  /** From now on it has these faults and no others. What it held back for one that it has no more passes at once. */
  set(faults: Partial<LinkFaults>): void {
    this.faults = { ...sound, ...faults };
    this.#freeAt = 0;
    for (const pump of this.#pumps) pump.hurry();
  }

  /** Carries one direction of a connection; `head` was read from the source already. */
  carry(source: Socket, target: Socket, head: Uint8Array): void {
    const pump = new Pump(this, source, target);
    this.#pumps.add(pump);
    target.once("close", () => this.#pumps.delete(pump));
    if (head.length > 0) pump.take(head);
  }

  /** When a piece of this size that comes now is through. */
  dueAt(size: number): number {
    const { delayMs, bytesPerSecond } = this.faults;
    const now = performance.now();
    this.#freeAt = Math.max(now, this.#freeAt) + (size * 1000) / bytesPerSecond;
    return this.#freeAt + delayMs;
  }
}

/**
 * Bytes, or the end of them ("end"), of both directions ("closed"), or of the connection before its time ("broken").
 */
type Waiting = { readonly piece: Uint8Array | "end" | "closed" | "broken"; readonly dueAt: number };

/** One direction of one connection. */
class Pump {
  readonly #link: Link;
  readonly #source: Socket;
  readonly #target: Socket;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(link: Link, source: Socket, target: Socket) {
    this.#link = link;
    this.#source = source;
    this.#target = target;
    source.on("data", (chunk: Buffer) => this.take(chunk));
    source.once("end", () => this.#put("end"));
    source.once("close", (hadError) => this.#put(source.readableEnded && !hadError ? "closed" : "broken"));
    target.on("drain", () => this.#run());
    target.once("close", () => clearTimeout(this.#timer));
  }

  take(chunk: Uint8Array): void {
    const size = this.#link.faults.bytesPerSecond < Number.POSITIVE_INFINITY ? throttledPieceBytes : chunk.length;
    for (let offset = 0; offset < chunk.length; offset += size) this.#put(chunk.subarray(offset, offset + size));
  }

  /** The link has changed: nothing waits for a time that was reckoned before. */
  hurry(): void {
    this.#waiting = this.#waiting.map(({ piece }) => ({ piece, dueAt: 0 }));
    this.#run();
  }

  #put(piece: Waiting["piece"]): void {
    const size = typeof piece === "string" ? 0 : piece.length;
    this.#waitingBytes += size;
    if (this.#waitingBytes > maxWaitingBytes) this.#source.pause();
    this.#waiting.push({ piece, dueAt: this.#link.dueAt(size) });
    this.#run();
  }

  #run(): void {
    clearTimeout(this.#timer);
    const link = this.#link;
    const target = this.#target;
    while (!link.faults.cut && !target.destroyed && !target.writableNeedDrain) {
      const [next] = this.#waiting;
      if (next === undefined) break;
      const early = next.dueAt - performance.now();
      if (early > 0) {
        this.#timer = setTimeout(() => this.#run(), early);
        break;
      }
      this.#waiting.shift();
      this.#pass(next.piece);
    }
    if (this.#waitingBytes <= maxWaitingBytes) this.#source.resume();
  }

  #pass(piece: Waiting["piece"]): void {
    const link = this.#link;
    const source = this.#source;
    const target = this.#target;
    if (piece === "end") {
      target.end();
    } else if (piece === "closed") {
      target.destroySoon(); // what was written before still leaves
    } else if (piece === "broken") {
      reset(target);
    } else {
      this.#waitingBytes -= piece.length;
      if (link.random.chance(link.faults.reset)) {
        link.resets++;
        reset(source);
        reset(target);
        return;
      }
      target.write(this.#damage(piece));
      link.bytes += piece.length;
    }
  }

  #damage(piece: Uint8Array): Uint8Array {
    const link = this.#link;
    if (!link.random.chance(link.faults.corrupt)) return piece;
    link.damaged++;
    const copy = Uint8Array.from(piece);
    const at = link.random.below(copy.length);
    copy[at] = (copy[at] as number) ^ (1 << link.random.below(8));
    return copy;
  }
}
