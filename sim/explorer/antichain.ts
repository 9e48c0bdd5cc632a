// The states of a cluster that are worth a visit: of two that differ in nothing but the messages in flight, the one with more of them.
//
// A message in flight need not arrive. So whatever can happen with fewer messages can happen with more, to the same nodes, with the same
// history: a state is
// *covered* by another that has the same first words (budgets, history, nodes) and all its messages. A new state that is covered is not kept; one
// that waits for its visit when a new one covers it is not visited. What covers is itself kept and visited, or covered in its turn, and there
// is no circle in that, since the messages only get more. So each combination of nodes, history and budgets is met, and those are all
// that a property looks at. explore.test.ts compares them with those of a walk that leaves nothing out.
//
// Most states of a walk differ in messages only, so one is compared with many. A sketch, one bit for each message modulo 32, tells most
// pairs apart.

import { StateSet } from "./state-set.ts";

export class Antichain {
  readonly states = new StateSet();
  /** How many words come before the messages. */
  readonly #keyLength: number;
  readonly #keys = new StateSet();
  /** For each key the newest of its states, and for each state the one before it with the same key: their numbers plus one, or 0. */
  #newest = new Uint32Array(1 << 12);
  #older = new Uint32Array(1 << 12);
  #sketches = new Uint32Array(1 << 12);
  #covered = new Uint8Array(1 << 12);

  constructor(keyLength: number) {
    this.#keyLength = keyLength;
  }

  /** Whether a state that is kept covers the first `length` words. */
  covers(words: Uint32Array, length: number): boolean {
    return this.#coverOf(words, length) !== undefined;
  }

  /** Adds the first `length` words, unless they are covered. The number of the state, or of one that covers it, and whether it is new. */
  add(words: Uint32Array, length: number): { number: number; isNew: boolean } {
    const cover = this.#coverOf(words, length);
    if (cover !== undefined) return { number: cover, isNew: false };
    const key = this.#keys.add(words, this.#keyLength).number;
    const sketch = this.#sketch(words, length);
    for (let state = this.#newest[key] ?? 0; state !== 0; state = this.#older[state - 1] as number) {
      const mayBe = ((this.#sketches[state - 1] as number) & ~sketch) === 0;
      if (mayBe && this.states.isWithin(state - 1, words, length, this.#keyLength)) this.#covered[state - 1] = 1;
    }
    const { number } = this.states.add(words, length);
    if (number === this.#older.length) this.#grow();
    this.#older[number] = this.#newest[key] as number;
    this.#newest[key] = number + 1;
    this.#sketches[number] = sketch;
    return { number, isNew: true };
  }

  /** Whether a later state covers this one. */
  isCovered(number: number): boolean {
    return this.#covered[number] === 1;
  }

  #coverOf(words: Uint32Array, length: number): number | undefined {
    const { number: key, isNew } = this.#keys.add(words, this.#keyLength);
    if (isNew) return undefined;
    const sketch = this.#sketch(words, length);
    for (let state = this.#newest[key] ?? 0; state !== 0; state = this.#older[state - 1] as number) {
      const mayBe = (sketch & ~(this.#sketches[state - 1] as number)) === 0;
      if (mayBe && this.states.contains(state - 1, words, length, this.#keyLength)) return state - 1;
    }
    return undefined;
  }

  #sketch(words: Uint32Array, length: number): number {
    let sketch = 0;
    for (let at = this.#keyLength; at < length; at++) sketch |= 1 << ((words[at] as number) & 31);
    return sketch;
  }

  /** There are no more keys than states: one size serves all. */
  #grow(): void {
    const size = this.#older.length * 2;
    const larger = (list: Uint32Array): Uint32Array<ArrayBuffer> => {
      const copy = new Uint32Array(size);
      copy.set(list);
      return copy;
    };
    this.#newest = larger(this.#newest);
    this.#older = larger(this.#older);
    this.#sketches = larger(this.#sketches);
    const covered = new Uint8Array(size);
    covered.set(this.#covered);
    this.#covered = covered;
  }
}
