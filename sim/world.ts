// Virtual time, and processes that live in it.
//
// A world is a queue of events, ordered by time and then by the order in which they were put there. It runs one event, waits until every
// promise that this settled has been followed to where it stops, lets its watchers look, and only then goes on to the next. The code under
// test awaits nothing but events of the world, so no real time passes in it and nothing depends on how fast the machine is: the same seed
// gives the same run.
//
// A Process is what a machine runs between two crashes. Its events belong to it: they wait while it is paused, and those of a dead process never
// come. A promise of a dead process is therefore never settled, and what awaits it is forgotten, which is what a power cut does.

import type { Clock } from "../server/interfaces.ts";
import type { Random } from "./random.ts";

interface Event {
  readonly time: number;
  readonly order: number;
  readonly run: () => void;
  /** Whose it is; undefined for one of the world itself. */
  readonly owner: Process | undefined;
}

const before = (a: Event, b: Event): boolean => a.time < b.time || (a.time === b.time && a.order < b.order);

/**
 * What Node has to do next runs when no promise is left that could go on: an immediate does, and so does a tick that is asked for while
 * promises are followed, which saves a round of Node's event loop. (An immediate now and then, so that threads and tests around the run get
 * their turn.)
 */
const settled = (byTick: boolean): Promise<void> =>
  new Promise((resolve) => (byTick ? process.nextTick(resolve) : setImmediate(resolve)));

const eventsBetweenImmediates = 1000;

export class World {
  readonly random: Random;
  /** Milliseconds of virtual time. */
  now = 0;
  /** Events run so far. */
  steps = 0;
  /** Events that came while their process was paused. */
  heldUp = 0;
  #order = 0;
  readonly #heap: Event[] = [];
  #failure: Error | undefined;
  readonly #watchers: ((owner: Process | undefined) => void)[] = [];

  constructor(random: Random) {
    this.random = random;
  }

  /** Runs `run` after so many milliseconds; if it has an owner, only while that one is alive, and awake. */
  after(delayMs: number, run: () => void, owner?: Process): void {
    this.#push({ time: this.now + Math.max(0, delayMs), order: this.#order++, run, owner });
  }

  /** Called after each event that was run, with its owner. */
  watch(look: (owner: Process | undefined) => void): void {
    this.#watchers.push(look);
  }

  /** Ends the run: something is wrong with the code under test, or with the simulator. */
  fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
  }

  /** Runs what is due up to this time, or until `isDone` says so. Throws what anybody failed the world with. */
  async runUntil(time: number, isDone: () => boolean = () => false): Promise<void> {
    for (let events = 0; ; events++) {
      const next = this.#heap[0];
      if (next === undefined || next.time > time || isDone()) break;
      this.#pop();
      this.now = next.time;
      this.steps++;
      const { owner, run } = next;
      if (owner?.alive === false) continue;
      if (owner?.isPaused) {
        this.heldUp++;
        owner.hold(run);
        continue;
      }
      run();
      await settled(events % eventsBetweenImmediates > 0);
      for (const look of this.#watchers) look(owner);
      if (this.#failure !== undefined) throw this.#failure;
    }
    if (!isDone()) this.now = time;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const other = heap[parent] as Event;
      if (before(other, event)) break;
      heap[at] = other;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Event;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event)) child++;
      if (!before(heap[child] as Event, last)) break;
      heap[at] = heap[child] as Event;
      at = child;
    }
    heap[at] = last;
  }
}

export class Process {
  readonly world: World;
  alive = true;
  readonly #rate: number;
  readonly #bornAt: number;
  #pausedUntil = 0;
  readonly #held: (() => void)[] = [];
  readonly #onDeath: (() => void)[] = [];

  /** `rate`: how fast its clock runs, 1 for a true one. */
  constructor(world: World, rate: number) {
    this.world = world;
    this.#rate = rate;
    this.#bornAt = world.now;
  }

  /** After so many milliseconds of true time, unless it is dead by then; once it is awake again, if it is paused. */
  after(delayMs: number, run: () => void): void {
    this.world.after(delayMs, run, this);
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, resolve));
  }

  /** A promise of the world outside, whose outcome this process hears of only while it lives. */
  follow<T>(promise: Promise<T>, delayMs = 0): Promise<T> {
    return new Promise((resolve, reject) => {
      promise.then(
        (value) => this.after(delayMs, () => resolve(value)),
        (error) => this.after(delayMs, () => reject(error)),
      );
    });
  }

  pause(forMs: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.world.now + forMs);
    this.world.after(forMs, () => this.#release());
  }

  /** Keeps what came while it is paused. */
  hold(run: () => void): void {
    this.#held.push(run);
  }

  #release(): void {
    if (this.isPaused) return;
    for (const run of this.#held.splice(0)) this.after(0, run);
  }

  get isPaused(): boolean {
    return this.world.now < this.#pausedUntil;
  }

  /** Whether it has been awake all the time since then. */
  wasAwakeSince(time: number): boolean {
    return this.#pausedUntil <= time;
  }

  /** Milliseconds by which its clock has gone too fast. */
  get aheadMs(): number {
    return this.clock().now() - (this.world.now - this.#bornAt);
  }

  wakeUp(): void {
    this.#pausedUntil = Math.min(this.#pausedUntil, this.world.now);
    this.#release();
  }

  kill(): void {
    if (!this.alive) return;
    this.alive = false;
    for (const tell of this.#onDeath.splice(0)) tell();
  }

  /** Calls back when it dies; what this returns takes that back. */
  whenDead(tell: () => void): () => void {
    if (!this.alive) {
      tell();
      return () => undefined;
    }
    this.#onDeath.push(tell);
    return () => {
      const at = this.#onDeath.indexOf(tell);
      if (at >= 0) this.#onDeath.splice(at, 1);
    };
  }

  /** The clock that the process reads: it drifts, and goes on while the process is paused. */
  clock(): Clock {
    return {
      now: () => (this.world.now - this.#bornAt) * this.#rate,
      every: (ms, callback) => {
        let ended = false;
        const next = (): void => {
          if (ended) return;
          callback();
          this.after(ms / this.#rate, next);
        };
        this.after(ms / this.#rate, next);
        return () => {
          ended = true;
        };
      },
      soon: (callback) => this.after(0, callback),
    };
  }
}
