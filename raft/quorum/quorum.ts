// The vocabulary of quorums: what a vote can come to, and how to ask what a voter has acknowledged.
//
// Ports quorum/quorum.go. An index without a value is `undefined`; "everything is committed", which an empty
// configuration answers, is Infinity (Go: MaxUint64, printed as ∞).

/** pending: neither side can be sure yet. */
export type VoteResult = "VotePending" | "VoteLost" | "VoteWon";

/** The highest index that the voter has acknowledged, undefined if it has not said anything. */
export type AckedIndexer = (voterId: number) => number | undefined;

/** What voters have answered: true for, false against, missing not yet. */
export type Votes = ReadonlyMap<number, boolean>;

export const indexToString = (index: number): string => (index === Number.POSITIVE_INFINITY ? "∞" : String(index));
