// Quorums against the slowest possible reference: try every index, count every vote.

import fc from "fast-check";
import { expect, test } from "vitest";
import { JointConfig } from "./joint.ts";
import { MajorityConfig } from "./majority.ts";

const voters = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 9 });
const acked = fc.dictionary(fc.constantFrom("1", "2", "3", "4", "5", "6", "7", "8", "9"), fc.nat(20));

const hasMajority = (ids: number[], yes: (id: number) => boolean): boolean => 2 * ids.filter(yes).length > ids.length;

function slowCommitted(ids: number[], of: (id: number) => number): number {
  if (ids.length === 0) return Number.POSITIVE_INFINITY;
  let best = 0;
  for (let index = 0; index <= 20; index++) if (hasMajority(ids, (id) => of(id) >= index)) best = index;
  return best;
}

test("the committed index of a majority, and of two, is what counting gives [quorum.TestQuick]", () => {
  fc.assert(
    fc.property(voters, voters, acked, (a, b, acks) => {
      const of = (id: number): number | undefined => acks[id];
      const slow = (ids: number[]) => slowCommitted(ids, (id) => acks[id] ?? 0);
      expect(new MajorityConfig(a).committedIndex(of)).toBe(slow(a));
      const joint = new JointConfig(new MajorityConfig(a), new MajorityConfig(b));
      expect(joint.committedIndex(of)).toBe(Math.min(slow(a), slow(b)));
    }),
    { numRuns: 2000 },
  );
});

test("a vote is won, lost or pending as it is for every way in which the missing votes may come", () => {
  const answers = fc.dictionary(fc.constantFrom("1", "2", "3", "4", "5", "6", "7", "8", "9"), fc.boolean());
  const slow = (ids: number[], votes: Record<string, boolean>): string => {
    if (ids.length === 0) return "VoteWon";
    if (hasMajority(ids, (id) => votes[id] === true)) return "VoteWon";
    return hasMajority(ids, (id) => votes[id] !== false) ? "VotePending" : "VoteLost";
  };
  fc.assert(
    fc.property(voters, voters, answers, (a, b, votes) => {
      const map = new Map(Object.entries(votes).map(([id, v]) => [Number(id), v]));
      expect(new MajorityConfig(a).voteResult(map)).toBe(slow(a, votes));
      const [x, y] = [slow(a, votes), slow(b, votes)];
      const both = x === y ? x : x === "VoteLost" || y === "VoteLost" ? "VoteLost" : "VotePending";
      expect(new JointConfig(new MajorityConfig(a), new MajorityConfig(b)).voteResult(map)).toBe(both);
    }),
    { numRuns: 2000 },
  );
});

test("prints ids in hexadecimal and in order, and a joint configuration as both halves", () => {
  expect(String(new MajorityConfig([12, 2, 1]))).toBe("(1 2 c)");
  expect(String(new JointConfig(new MajorityConfig([1]), new MajorityConfig([2])))).toBe("(1)&&(2)");
  expect(String(new JointConfig(new MajorityConfig([1])))).toBe("(1)");
});

test.each<[what: string, acked: Record<number, number>, picture: string]>([
  [
    "each somewhere else",
    { 1: 101, 2: 102, 3: 103 },
    "       idx\n>      101    (id=1)\nx>     102    (id=2)\nxx>    103    (id=3)\n",
  ],
  [
    "all at one index",
    { 1: 100, 2: 100, 3: 100 },
    "       idx\n>      100    (id=1)\n>      100    (id=2)\n>      100    (id=3)\n",
  ],
  [
    "some at one index",
    { 1: 100, 2: 102, 3: 102 },
    "       idx\n>      100    (id=1)\nx>     102    (id=2)\nx>     102    (id=3)\n",
  ],
  [
    "one that has not answered",
    { 1: 101, 3: 103 },
    "       idx\nx>     101    (id=1)\n?        0    (id=2)\nxx>    103    (id=3)\n",
  ],
])("the picture of three voters, %s, shows how many are behind each [quorum.TestDescribe]", (_what, acked, picture) => {
  expect(new MajorityConfig([3, 1, 2]).describe((id) => acked[id])).toBe(picture);
});

test("the picture of a joint configuration is that of all its voters, and of none says so", () => {
  const joint = new JointConfig(new MajorityConfig([1]), new MajorityConfig([2]));
  expect(joint.describe(() => 7)).toBe("      idx\n>       7    (id=1)\n>       7    (id=2)\n");
  expect(new MajorityConfig().describe(() => 7)).toBe("<empty majority quorum>");
});
