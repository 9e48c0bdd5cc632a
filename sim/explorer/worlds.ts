// The worlds that the explorer walks: each is as large as a walk of some seconds to a minute allows, and has one thing that it is there for.
// Those that are large take many minutes and some gigabytes, or nobody has seen their end yet: they are there for the bugs that show early in them
// (mutants.ts), and are walked only when they are asked for.
//
// In all but one of them a message may arrive any number of times, in any order, or never: loss, duplication and delay need no world of their own.

import type { World } from "./world.ts";

const three = { nodes: 3 } as const;
/** All nodes are alike, and nobody leads. */
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
    about: "the paper's figure 8: leaders 1, 3, 1, 3, and an entry of the first term that reaches a majority late",
    campaigners: [3, 1, 3],
    budgets: { campaigns: 3, proposals: 1 },
    options: { maxSizePerMsg: 0 },
    inTurn: true,
    isLarge: true,
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
    isLarge: true,
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
