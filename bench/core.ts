// What the core alone costs: a RawNode on MemoryStorage, one proposal at a time, from propose to the Ready that has it
// committed. No disk, no network; the second voter's answers are made up on the spot. The shape of etcd-raft's
// BenchmarkRawNode.
//
//     npm run bench:core [-- --proposals=1000000 --rounds=5]
//
// Time is the median of the rounds. Bytes are the growth of the heap over a stretch that is too short for the collector
// to run; objects are counted by V8's sampling heap profiler. The npm script exposes the collector, so that each
// stretch begins with a clean heap.

import { Session } from "node:inspector/promises";
import { countFlag, readFlags } from "../command-line/script-flags.ts";
import {
  discardLogger,
  MemoryStorage,
  MessageType,
  makeConfState,
  makeMessage,
  makeSnapshot,
  RawNode,
} from "../raft/index.ts";
import { measure } from "./measuring.ts";

const { proposals, rounds } = readFlags({
  name: "bench:core",
  does: "What the core alone does in a second, without a disk or a network.",
  flags: {
    proposals: countFlag("proposals", 1_000_000, "entries in each measurement"),
    rounds: countFlag("rounds", 5, "measurements, of which the median counts"),
  },
});
const data = new TextEncoder().encode("foo");

interface Group {
  readonly node: RawNode;
  /** Does what is due until there is nothing left; returns the last applied index. */
  stabilize(): number;
}

function makeGroup(voters: readonly number[]): Group {
  const storage = new MemoryStorage();
  storage.applySnapshot(makeSnapshot(1, 1, makeConfState({ voters: [...voters] })));
  const node = new RawNode({
    id: 1,
    electionTick: 10,
    heartbeatTick: 1,
    storage,
    applied: 1,
    maxSizePerMsg: Number.POSITIVE_INFINITY,
    maxInflightMsgs: 256,
    logger: discardLogger,
    random: () => 0,
  });
  const stabilize = (): number => {
    let applied = 0;
    while (node.hasReady()) {
      const rd = node.ready();
      applied = rd.committedEntries.at(-1)?.index ?? applied;
      storage.append(rd.entries);
      for (const { type, from, to, term, index, entries } of rd.messages) {
        if (type === MessageType.MsgVote) {
          node.step(makeMessage(MessageType.MsgVoteResp, { from: to, to: from, term }));
        } else if (type === MessageType.MsgApp) {
          const last = entries.at(-1)?.index ?? index;
          node.step(makeMessage(MessageType.MsgAppResp, { from: to, to: from, term, index: last }));
        }
      }
      node.advance();
    }
    // As a server's snapshot would, now and then: the log must not grow for ever.
    if (storage.lastIndex() - storage.firstIndex() > 10_000) storage.compact(storage.lastIndex() - 1000);
    return applied;
  };
  node.campaign();
  stabilize();
  return { node, stabilize };
}

function run({ node, stabilize }: Group, count: number): void {
  let applied = 0;
  for (let i = 0; i < count; i++) {
    node.propose(data);
    applied = stabilize();
  }
  if (applied !== node.basicStatus().commit) throw new Error("a proposal was not committed");
}

const median = (numbers: number[]): number => numbers.sort((a, b) => a - b)[numbers.length >> 1] as number;

function nsPerProposal(group: Group): number {
  run(group, 50_000); // the engine has compiled what matters
  return median(
    Array.from({ length: rounds }, () => {
      const began = process.hrtime.bigint();
      run(group, proposals);
      return Number(process.hrtime.bigint() - began) / proposals;
    }),
  );
}

/** Growth of the heap, in a stretch that is short enough to fit into the young generation. */
function bytesPerProposal(group: Group): number {
  const count = 2000;
  return median(
    Array.from({ length: 15 }, () => {
      globalThis.gc?.();
      const before = process.memoryUsage().heapUsed;
      run(group, count);
      return (process.memoryUsage().heapUsed - before) / count;
    }),
  );
}

/** By V8's sampling heap profiler. */
async function objectsPerProposal(group: Group): Promise<number> {
  const session = new Session();
  session.connect();
  const samplingInterval = 64;
  const count = 20_000;
  await session.post("HeapProfiler.startSampling", {
    samplingInterval,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  });
  run(group, count);
  const { profile } = await session.post("HeapProfiler.stopSampling");
  session.disconnect();
  const { samples } = profile as unknown as { samples: readonly { size: number }[] };
  // An object of this size is sampled with a probability that grows with it: each sample stands for so many of its
  // kind.
  const objects = samples.reduce((sum, { size }) => sum + 1 / (1 - Math.exp(-size / samplingInterval)), 0);
  return objects / count;
}

async function report(): Promise<void> {
  if (globalThis.gc === undefined) console.log("run with --expose-gc for steadier figures of the heap\n");
  console.log("| | ns per proposal | bytes per proposal | objects per proposal |\n|---|---|---|---|");
  for (const [what, voters] of [
    ["one voter", [1]],
    ["two voters", [1, 2]],
  ] as const) {
    const group = makeGroup(voters);
    const ns = nsPerProposal(group);
    const bytes = bytesPerProposal(group);
    const objects = await objectsPerProposal(group);
    console.log(`| ${what} | ${Math.round(ns)} | ${Math.round(bytes)} | ${objects.toFixed(1)} |`);
  }
}

await measure("bench:core", [`--proposals=${proposals}`, `--rounds=${rounds}`], report);
