// The worlds that the explorer walks: each is as large as a walk of some seconds to a minute allows, and has one thing that it is there for.
//
// In all but one of them a message may arrive any number of times, in any order, or never: loss, duplication and delay need no world of
// their own.
//
// "figure 8" is that of the paper (section 5.4.2), with as few members as it can happen to, three; the paper draws five. A leader has an
// entry that no one else has; another leads, and appends its own in its place; the first leads again, and brings its entry to a majority,
// in a term that is not the entry's; the other leads again, and overwrites it. The campaigns are in turn, 3, 1, 3, since in this story only
// two ever campaign, and one entry goes in each message, so that the old one reaches a majority before the new one does. Everything else is
// free. That the story is inside is shown by a mutant (mutants.ts): a leader that counts copies of the earlier term's entry is found there,
// by the shortest way. Five members are out of reach of a full walk: each acknowledgement more that may come, or not, multiplies all
// others.

import type { World } from "./world.ts";

const three = { nodes: 3 } as const;
/** All nodes are alike, and none leads. */
const equals = { ...three, isSymmetric: true } as const;
/** Node 1 leads. */
const led = { ...three, leader: 1 } as const;

export const worlds: readonly World[] = [
  {
    ...equals,
    name: "two candidates",
    about: "two nodes campaign at once, or one after the other, and a leader takes a proposal",
    budgets: { campaigns: 2, proposals: 1 },
  },
  {
    ...equals,
    name: "three candidates",
    about: "three campaigns, of one node or of several",
    budgets: { campaigns: 3 },
  },
  {
    ...equals,
    name: "one crash",
    about: "two campaigns, a proposal, and a node that crashes and starts again at any moment",
    budgets: { campaigns: 2, proposals: 1, crashes: 1 },
  },
  {
    ...led,
    name: "two proposals",
    about: "a leader takes two proposals, and a node crashes",
    budgets: { proposals: 2, crashes: 1 },
  },
  {
    ...led,
    name: "one lost, one twice",
    about: "each message arrives once, but for one that is lost and one that comes twice",
    network: "once",
    campaigners: [2],
    budgets: { campaigns: 1, proposals: 1, drops: 1, duplicates: 1 },
  },
  {
    ...led,
    name: "figure 8",
    about:
      "the paper's figure 8, with three members: leaders 1, 3, 1, 3, and an entry that reaches a majority two terms late",
    campaigners: [3, 1, 3],
    budgets: { campaigns: 3, proposals: 1 },
    options: { maxSizePerMsg: 0 },
    inTurn: true,
  },
  {
    name: "slow election",
    about: "votes take their time to reach the disk, and a crash takes one back that was not there yet",
    nodes: 2,
    disk: "slow",
    budgets: { campaigns: 2, crashes: 1 },
  },
  {
    ...led,
    name: "slow change of leader",
    about: "a node campaigns against a leader, and all three disks take their time",
    disk: "slow",
    campaigners: [2],
    budgets: { campaigns: 1 },
  },
  {
    ...led,
    name: "slow append",
    about: "entries take their time to reach the disk, and a crash takes them back",
    disk: "slow",
    budgets: { proposals: 1, crashes: 1 },
  },
  {
    ...led,
    name: "torn write",
    about: "a crash keeps the first part of a write",
    disk: "torn",
    budgets: { proposals: 1, crashes: 1 },
  },
  {
    ...equals,
    name: "pre-vote",
    about: "two nodes ask for pre-votes first",
    budgets: { campaigns: 2 },
    options: { preVote: true },
  },
  {
    ...led,
    name: "check quorum",
    about: "five ticks, of one clock or of several: leases run out, a leader steps down, nodes ask for pre-votes",
    budgets: { ticks: 5 },
    options: { preVote: true, checkQuorum: true, electionTick: 2 },
  },
  {
    ...led,
    name: "heartbeats",
    about: "a proposal, a campaign, and a round of heartbeats, which tell the commit index",
    campaigners: [2],
    budgets: { campaigns: 1, proposals: 1, beats: 1 },
  },
  {
    ...led,
    name: "reads",
    about: "two reads are asked for at any node while another node campaigns",
    campaigners: [2],
    budgets: { reads: 2, campaigns: 1 },
  },
  {
    ...led,
    name: "lease reads",
    about:
      "reads by lease, and clocks that drift: node 1's stands still while another is elected, and its read is stale",
    campaigners: [2],
    budgets: { campaigns: 2, reads: 1, ticks: 2 },
    options: { checkQuorum: true, electionTick: 2, readOnlyOption: "leaseBased" },
    expects: "linearizable reads: ",
  },
  {
    ...led,
    name: "transfer",
    about: "the leadership is handed to one node while another campaigns and a proposal is under way",
    budgets: { transfers: 1, campaigns: 1, proposals: 1 },
    campaigners: [2],
  },
  {
    ...led,
    name: "snapshot",
    about: "a node compacts its log, so that a follower gets the snapshot, and one crashes",
    campaigners: [2],
    budgets: { compactions: 1, campaigns: 1, proposals: 1, crashes: 1 },
  },
  {
    ...led,
    name: "removal of the leader",
    about: "the leader removes itself, and a node campaigns and one crashes",
    changes: ["r1"],
    budgets: { campaigns: 1, crashes: 1 },
  },
  {
    ...led,
    name: "joint change",
    about: "two of three members leave at once, through a joint configuration, while a node campaigns",
    changes: ["r2 r3"],
    budgets: { campaigns: 1 },
  },
  {
    ...led,
    name: "joint change, proposal",
    about: "the same with a proposal, while one of those that leave campaigns",
    isLarge: true,
    changes: ["r2 r3"],
    campaigners: [2],
    budgets: { campaigns: 1, proposals: 1 },
  },
  {
    ...led,
    name: "joint change, replaced",
    about: "a joint change that only its leader has gives way to another leader's entries",
    changes: ["r2 r3"],
    campaigners: [2, 1, 2],
    inTurn: true,
    budgets: { campaigns: 3 },
  },
  {
    ...led,
    name: "two removals",
    about: "two of three members leave, one after the other, while one of them campaigns",
    changes: ["r3", "r2"],
    campaigners: [2],
    budgets: { campaigns: 1 },
  },
  {
    ...led,
    name: "replacement",
    about: "a new member takes the place of another: it gets a snapshot, and all in a joint configuration",
    voters: [1, 2],
    changes: ["r2 v3"],
    budgets: { campaigns: 1, beats: 1, crashes: 1 },
  },
  {
    ...led,
    name: "learner",
    about: "a learner follows two voters and is made a voter; a node campaigns and one crashes",
    learners: [3],
    changes: ["v3"],
    budgets: { campaigns: 1, crashes: 1 },
  },
];

/** Throws if there is none of this name. */
export function worldNamed(name: string): World {
  const found = worlds.find((world) => world.name === name);
  if (found === undefined) {
    throw new Error(`there is no world "${name}": there are ${worlds.map((world) => world.name).join(", ")}`);
  }
  return found;
}
