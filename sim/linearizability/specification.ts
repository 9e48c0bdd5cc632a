// What the checker knows of the operations that it orders: when they ran and how they ended (Operation), and what the
// object they ran on would have done, had it done one thing at a time (Model).
//
// Times are numbers on one clock that never goes back; the checker only compares them. A model describes one key. Its
// states are compared with ===: strings, numbers, undefined; not objects.

/**
 * What the client knows: it took effect; it did not and never will; or, after a timeout or a broken connection,
 * nothing.
 */
export type Outcome = "ok" | "fail" | "unknown";

/** What every operation has, whatever it does. Models add to it what was asked and what was answered. */
export interface Operation {
  readonly client: number | string;
  readonly key: string;
  /** Not later than the moment at which the request left the client. */
  readonly call: number;
  /**
   * Not earlier than the moment at which the answer arrived; for an unknown outcome, when the client gave up, if that
   * was noted.
   */
  readonly return: number | undefined;
  readonly outcome: Outcome;
}

/** What `step` answers where the operation cannot have returned what it did. */
export const illegal: unique symbol = Symbol("illegal");

/** The sequential object, for one key. */
export interface Model<O extends Operation, S> {
  readonly initial: S;
  /**
   * The state after the operation took effect in `state`, or `illegal`. For an unknown outcome: the state after it took
   * effect with whatever answer, never `illegal`.
   */
  step(state: S, operation: O): S | typeof illegal;
  /** True if the operation changes no state whatever: then the search takes it as soon as it is legal. */
  isRead(operation: O): boolean;
  /**
   * Only for an object whose every operation either reads the whole state or overwrites it: the state after the
   * operation, whatever it was before. What a read answered is then the one state in which it is legal, and the search
   * sees from afar what cannot end well.
   */
  after?(operation: O): S;
  /**
   * Only for an object whose every change leads to a state that the operation names. `needs`: the states of which an
   * "ok" operation must have found one to return what it did, undefined where they cannot be listed. `leaves`: every
   * state that it may leave other than the one that it finds, judged by the request and not by the answer, which was
   * unknown while it ran. With it, a read of a value that no operation can have written is found without a search.
   */
  reach?(operation: O): { readonly needs: readonly S[] | undefined; readonly leaves: readonly S[] };
  /** One line for a reader; says all that `step` looks at, so that unknown operations with equal texts do the same. */
  describe(operation: O): string;
  describeState(state: S): string;
}
