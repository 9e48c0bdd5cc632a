// The search for an order of one key's operations.
//
// The calls and returns stand in a linked list, by time. An operation may come next if its call stands before the first
// return in the list, the *fence*: no operation that is still to come ended before it began. Choosing it takes its call
// and its return out of the list; when the list is empty, an order is found. When no operation before the fence can be
// chosen, the last choice is taken back. Four rules keep that from taking for ever:
//   - A read that is legal now is taken at once, and no other choice is tried in its place: it changes nothing, so an
//     order that has it later is as good with it here.
//   - The operations still to be done and the state determine the future, so each such pair (a *configuration*) is
//     entered once. The operations still to be done follow from the fence and the calls left before it: a few numbers,
//     however long the history is. (Porcupine keeps a bit for each operation.)
//   - Operations of unknown outcome never return, so they stand beside the list, and none of them has to be chosen.
//     They are tried last, only where they change the state, and among those with the same effect the earliest called
//     goes first: any other order becomes this one by swapping equal operations.
//   - demand.ts, for models that allow it: no choice that leaves a read without its write.

import { Demand } from "./demand.ts";
import { illegal, type Model, type Operation } from "./specification.ts";

/** The list is a ring of positions, and this one is both of its ends; the others are 1 to 2n, in the order of time. */
const ends = 0;
const nothing = -1;

/** What a choice changed, beside what could be taken for free after it: that follows it in the order. */
interface Frame<S> {
  /** The number of an operation; for one of unknown outcome, the count of the others plus the number of its group. */
  readonly choice: number;
  readonly stateBefore: S;
  /** Length of the order before the choice. */
  readonly length: number;
}

export class Search<O extends Operation, S> {
  /** How often a choice was taken back. */
  backtracks = 0;

  readonly #model: Model<O, S>;
  /** Those that returned, by their calls: their place is their number. */
  readonly #returned: readonly O[];
  readonly #isRead: readonly boolean[];
  /** The others, in groups of equal effect, each by their calls; and how many of each group are in the order. */
  readonly #groups: readonly (readonly O[])[];
  readonly #used: number[];

  // The list: neighbours of a position; the operation whose call (or, negative, whose return) stands there; and where
  // each has them.
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #eventAt: Int32Array;
  readonly #callAt: Int32Array;
  readonly #returnAt: Int32Array;

  #state: S;
  /** Numbers, as Frame has them. */
  readonly #order: number[] = [];
  readonly #frames: Frame<S>[] = [];
  /** Configurations; no more than there are operations and choices taken back. */
  readonly #entered = new Set<string>();
  readonly #stateNumbers = new Map<S, number>();
  readonly #demand: Demand<O, S> | undefined;

  /**
   * Operations that failed, and reads of unknown outcome, are not for the search: they say nothing. Those that ended
   * "ok" have their return.
   */
  constructor(operations: readonly O[], model: Model<O, S>) {
    this.#model = model;
    this.#state = model.initial;
    this.#returned = operations.filter((o) => o.outcome === "ok").sort((a, b) => a.call - b.call);
    this.#isRead = this.#returned.map((o) => model.isRead(o));
    const { isRead, after } = model;
    if (after !== undefined) this.#demand = new Demand(operations, isRead, after);
    const open = operations.filter((o) => o.outcome === "unknown" && (!after || this.#demand!.isWanted(after(o))));
    this.#groups = groupsOf(
      open.sort((a, b) => a.call - b.call),
      model,
    );
    this.#used = this.#groups.map(() => 0);

    const count = this.#returned.length;
    this.#callAt = new Int32Array(count);
    this.#returnAt = new Int32Array(count);
    this.#eventAt = eventsByTime(this.#returned);
    const size = this.#eventAt.length;
    this.#next = Int32Array.from({ length: size }, (_, position) => (position + 1) % size);
    this.#previous = Int32Array.from({ length: size }, (_, position) => (position + size - 1) % size);
    for (let position = 1; position < size; position++) {
      const event = this.#eventAt[position]!;
      if (event > 0) this.#callAt[event - 1] = position;
      else this.#returnAt[-event - 1] = position;
    }
  }

  run(maxBacktracks: number): "linearizable" | "not-linearizable" | "undecided" {
    let fence = this.#takeFree();
    let after = nothing;
    while (fence !== ends) {
      if (this.#choose(after, fence)) {
        fence = this.#takeFree();
        if (fence === ends || this.#enter(fence)) {
          after = nothing;
          continue;
        }
      } else if (this.#frames.length === 0) return "not-linearizable";
      if (this.backtracks === maxBacktracks) return "undecided";
      this.backtracks++;
      after = this.#takeBack();
      fence = this.#fence();
    }
    return "linearizable";
  }

  /** The order found, when run() said "linearizable". */
  order(): O[] {
    const taken = this.#groups.map(() => 0);
    return this.#order.map((number) => {
      const group = number - this.#returned.length;
      return this.#returned[number] ?? this.#groups[group]![taken[group]!++]!;
    });
  }

  /** Takes what can be taken without a choice; says where the fence is then. */
  #takeFree(): number {
    const fence = this.#takeAll((number, operation) => {
      return this.#isRead[number]! && this.#model.step(this.#state, operation) !== illegal;
    });
    if (this.#demand === undefined || this.#demand.isWanted(this.#state)) return fence;
    // No operation will see what such a write leaves, so the state may stand for it.
    return this.#takeAll(
      (number, operation) => !this.#isRead[number]! && !this.#demand!.isWanted(this.#model.after!(operation)),
    );
  }

  #takeAll(isFree: (number: number, operation: O) => boolean): number {
    let position = this.#next[ends]!;
    for (;;) {
      const event = this.#eventAt[position]!;
      if (event <= 0) return position;
      if (isFree(event - 1, this.#returned[event - 1]!)) this.#append(event - 1);
      position = this.#next[position]!;
    }
  }

  #fence(): number {
    let position = this.#next[ends]!;
    while (this.#eventAt[position]! > 0) position = this.#next[position]!;
    return position;
  }

  /** Makes the first choice that can be made after `after`, which was tried before; false if there is none. */
  #choose(after: number, fence: number): boolean {
    const count = this.#returned.length;
    if (after < count) {
      let position = this.#next[after === nothing ? ends : this.#callAt[after]!]!;
      for (; position !== fence; position = this.#next[position]!) {
        const number = this.#eventAt[position]! - 1;
        // A read that is still here is not legal now.
        if (!this.#isRead[number]! && this.#tryChoice(number, this.#returned[number]!)) return true;
      }
    }
    const latestCall = this.#returned[-this.#eventAt[fence]! - 1]!.return!;
    for (let group = Math.max(0, after - count + 1); group < this.#groups.length; group++) {
      const operation = this.#groups[group]![this.#used[group]!];
      if (operation !== undefined && operation.call <= latestCall && this.#tryChoice(count + group, operation))
        return true;
    }
    return false;
  }

  #tryChoice(choice: number, operation: O): boolean {
    const stateBefore = this.#state;
    const state = this.#model.step(stateBefore, operation);
    if (state === illegal) return false;
    if (state === stateBefore) {
      if (operation.outcome === "unknown") return false;
    } else if (this.#demand !== undefined) {
      if (!this.#demand.mayBeOverwritten(stateBefore)) return false;
      if (operation.outcome === "unknown" && !this.#demand.isWanted(state)) return false;
    }
    this.#frames.push({ choice, stateBefore, length: this.#order.length });
    this.#state = state;
    this.#append(choice);
    return true;
  }

  /** Undoes the last choice and what came free after it; says which choice it was. */
  #takeBack(): number {
    const { choice, stateBefore, length } = this.#frames.pop()!;
    while (this.#order.length > length) {
      const number = this.#order.pop()!;
      const group = number - this.#returned.length;
      if (group < 0) this.#putBack(number);
      else this.#used[group]!--;
      this.#demand?.undone(this.#returned[number] ?? this.#groups[group]![this.#used[group]!]!);
    }
    this.#state = stateBefore;
    return choice;
  }

  /** Adds an operation to the order. */
  #append(number: number): void {
    const group = number - this.#returned.length;
    this.#order.push(number);
    this.#demand?.done(this.#returned[number] ?? this.#groups[group]![this.#used[group]!]!);
    if (group < 0) this.#lift(number);
    else this.#used[group]!++;
  }

  /** Takes out the return before the call, so that the call's position still leads on to what stays in the list. */
  #lift(number: number): void {
    for (const position of [this.#returnAt[number]!, this.#callAt[number]!]) {
      this.#next[this.#previous[position]!] = this.#next[position]!;
      this.#previous[this.#next[position]!] = this.#previous[position]!;
    }
  }

  /** The opposite of lift; the positions still know their neighbours, if what was lifted last comes back first. */
  #putBack(number: number): void {
    for (const position of [this.#callAt[number]!, this.#returnAt[number]!]) {
      this.#next[this.#previous[position]!] = position;
      this.#previous[this.#next[position]!] = position;
    }
  }

  /** Notes the configuration; false if the search was here before. */
  #enter(fence: number): boolean {
    const left: number[] = [];
    for (let position = this.#next[ends]!; position !== fence; position = this.#next[position]!) left.push(position);
    const configuration = `${fence};${this.#stateNumber()};${this.#used.join()};${left.join()}`;
    const sizeBefore = this.#entered.size;
    return this.#entered.add(configuration).size > sizeBefore;
  }

  #stateNumber(): number {
    if (this.#demand?.isWanted(this.#state) === false) return nothing;
    const known = this.#stateNumbers.get(this.#state);
    if (known !== undefined) return known;
    this.#stateNumbers.set(this.#state, this.#stateNumbers.size);
    return this.#stateNumbers.size - 1;
  }
}

function groupsOf<O extends Operation, S>(operations: readonly O[], model: Model<O, S>): O[][] {
  const groups = new Map<string, O[]>();
  for (const operation of operations) {
    const effect = model.describe(operation);
    const group = groups.get(effect);
    if (group === undefined) groups.set(effect, [operation]);
    else group.push(operation);
  }
  return [...groups.values()];
}

/**
 * At each position from 1 on the event there: n + 1 for the call of operation n, -(n + 1) for its return; calls first
 * at equal times.
 */
function eventsByTime(operations: readonly Operation[]): Int32Array {
  const events: { time: number; event: number }[] = [];
  operations.forEach((operation, number) => {
    events.push({ time: operation.call, event: number + 1 }, { time: operation.return!, event: -(number + 1) });
  });
  events.sort((a, b) => a.time - b.time || b.event - a.event);
  return Int32Array.from([ends, ...events.map((e) => e.event)]);
}
