// The states that the reads still to come need, for an object that every operation either reads or overwrites whole
// (Model.after).
//
// There each read waits for one state, and only the writes of that state bring it about. So the search can see from
// afar:
//   - a state that a read still waits for, and that no remaining write will bring about again, must not be overwritten;
//   - a write of unknown outcome need not have happened if no read waits for its state;
//   - states that no read waits for are all the same to the future.
// Where every put has a value of its own, this leaves the search hardly anything to guess.

import type { Operation } from "./specification.ts";

export class Demand<O extends Operation, S> {
  readonly #isRead: (operation: O) => boolean;
  readonly #after: (operation: O) => S;
  /** By state, how many operations that are not in the order read it, and how many write it. */
  readonly #reads = new Map<S, number>();
  readonly #writes = new Map<S, number>();

  constructor(operations: readonly O[], isRead: (operation: O) => boolean, after: (operation: O) => S) {
    this.#isRead = isRead;
    this.#after = after;
    for (const operation of operations) this.#count(operation, 1);
  }

  /** The operation came into the order. */
  done(operation: O): void {
    this.#count(operation, -1);
  }

  /** It was taken out of it again. */
  undone(operation: O): void {
    this.#count(operation, 1);
  }

  isWanted(state: S): boolean {
    return (this.#reads.get(state) ?? 0) > 0;
  }

  mayBeOverwritten(state: S): boolean {
    return !this.isWanted(state) || (this.#writes.get(state) ?? 0) > 0;
  }

  #count(operation: O, change: number): void {
    const counts = this.#isRead(operation) ? this.#reads : this.#writes;
    const state = this.#after(operation);
    counts.set(state, (counts.get(state) ?? 0) + change);
  }
}
