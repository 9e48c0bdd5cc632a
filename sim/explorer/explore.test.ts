// The explorer on worlds of a second or less: it walks them to their end, it finds what was planted, and what it leaves out is nothing.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { Antichain } from "./antichain.ts";
import { Numbering, textOf } from "./automaton.ts";
import { Cluster } from "./cluster.ts";
import { explore } from "./explore.ts";
import { LocalNode } from "./local-node.ts";
import { mutants } from "./mutants.ts";
import { StateSet } from "./state-set.ts";
import type { World } from "./world.ts";
import { worldNamed } from "./worlds.ts";

const election: World = {
  name: "election",
  about: "two nodes campaign",
  nodes: 3,
  isSymmetric: true,
  budgets: { campaigns: 2 },
};
const onceOnly: World = {
  name: "once only",
  about: "a proposal and a campaign, each message at most once",
  nodes: 3,
  leader: 1,
  campaigners: [2],
  network: "once",
  budgets: { campaigns: 1, proposals: 1 },
};
const appendOnce: World = {
  ...onceOnly,
  name: "append once",
  about: "a proposal, each message at most once",
  budgets: { proposals: 1 },
};
const appendOften: World = {
  ...appendOnce,
  name: "append often",
  about: "a proposal and heartbeats, each message any number of times",
  network: "often",
  budgets: { proposals: 1, beats: 1 },
};
const torn: World = {
  name: "torn",
  about: "a crash in the middle of a write",
  nodes: 2,
  leader: 1,
  disk: "torn",
  budgets: { proposals: 1, crashes: 1 },
};

/** Walks a world on its own, without the explorer. Calls `visit` with each state. */
function walked(world: World, visit: (words: Uint32Array, cluster: Cluster) => void = () => {}): Cluster {
  const cluster = new Cluster(world);
  const queue = [cluster.words.slice(0, cluster.length)];
  const seen = new Set(queue.map(String));
  for (const words of queue) {
    visit(words, cluster);
    cluster.words.set(words);
    cluster.length = words.length;
    for (const move of cluster.moves(words === queue[0])) {
      if (!cluster.make(move)) continue;
      const next = cluster.next.slice(0, cluster.nextLength);
      if (seen.has(String(next))) continue;
      seen.add(String(next));
      queue.push(next);
    }
  }
  return cluster;
}

// One for all clusters: what has the same number is the same.
const numbers = new Numbering();

/** What a walk meets of budgets, history and nodes, with every state or without those that are covered; and how many states it took. */
function combinations(world: World, isReduced: boolean): { texts: Set<string>; states: number } {
  const cluster = new Cluster(world);
  const { automata, histories, messagesAt } = cluster;
  const antichain = isReduced ? new Antichain(messagesAt) : undefined;
  const seen = antichain?.states ?? new StateSet();
  const firsts = new StateSet();
  (antichain ?? seen).add(cluster.words, cluster.length);
  for (let state = 0; state < seen.size; state++) {
    cluster.length = seen.read(state, cluster.words);
    firsts.add(cluster.words, messagesAt);
    if (antichain?.isCovered(state)) continue;
    for (const move of cluster.moves(state === 0)) {
      if (!cluster.make(move)) continue;
      if (isReduced && world.network !== "once") cluster.saturate();
      (antichain ?? seen).add(cluster.next, cluster.nextLength);
    }
  }
  // Each walk numbers what it meets in its own order: texts can be compared.
  const nodeNumbers = Array.from(
    { length: automata.stateCount },
    (_, s) => numbers.of(textOf(automata.make(s))).number,
  );
  const texts = new Set<string>();
  for (let first = 0; first < firsts.size; first++) {
    firsts.read(first, cluster.words);
    const [budgets, history, ...nodes] = cluster.words.subarray(0, messagesAt);
    const past = numbers.of(histories.text(history as number)).number;
    texts.add([budgets, past, ...nodes.map((node) => nodeNumbers[node])].join());
  }
  return { texts, states: seen.size };
}

/** What the nodes of a cluster can be in, together with their history; messages in flight and budgets left aside. */
function statesOfNodes(world: World): Set<string> {
  const known = new Map<number, number>();
  const states = new Set<string>();
  walked(world, (words, { automata, histories }) => {
    const nodes = [...words.subarray(2, 2 + world.nodes)].map((state) => {
      const number = known.get(state) ?? numbers.of(textOf(automata.make(state))).number;
      known.set(state, number);
      return number;
    });
    states.add([numbers.of(histories.text(words[1] as number)).number, ...nodes].join());
  });
  return states;
}

describe("a walk", () => {
  test.each([election, torn, onceOnly])("of $name comes to its end, the same in each run", (world) => {
    const [one, other] = [explore(world), explore(world)];
    expect(one.counterexample).toBeUndefined();
    expect(one.isComplete).toBe(true);
    const figures = ({ states, transitions, depth, nodeStates, messages, coreSteps }: typeof one) =>
      [states, transitions, depth, nodeStates, messages, coreSteps].join(" ");
    expect(figures(other)).toBe(figures(one));
    expect(one.states).toBeGreaterThan(200);
  });

  test("that is cut short says so", () => {
    const { isComplete, states, counterexample } = explore(election, { maxStates: 100 });
    expect([isComplete, counterexample]).toEqual([false, undefined]);
    expect(states).toBeGreaterThanOrEqual(100);
  });

  test("meets no state of the nodes because of a lost message that it does not meet without", () => {
    const lossy = statesOfNodes({ ...onceOnly, budgets: { ...onceOnly.budgets, drops: 1 } });
    expect(lossy).toEqual(statesOfNodes(onceOnly));
  });

  test("with messages that arrive often meets all that it meets with messages that arrive once, or one of them twice", () => {
    const often = statesOfNodes({ ...appendOnce, network: "often" });
    for (const duplicates of [0, 1]) {
      const other = statesOfNodes({ ...appendOnce, budgets: { proposals: 1, duplicates } });
      expect(other.size).toBeGreaterThan(5);
      expect([...other].filter((state) => !often.has(state))).toEqual([]);
    }
  });

  test.each([appendOften, torn, onceOnly])(
    "of $name that leaves out covered states meets every combination of nodes, history and budgets that there is",
    (world) => {
      const [reduced, full] = [combinations(world, true), combinations(world, false)];
      expect(reduced.texts).toEqual(full.texts);
      expect(reduced.texts.size).toBeGreaterThan(10);
      expect(reduced.states).toBeLessThan(full.states);
    },
  );

  test("begins with node 1 where all are alike, and loses nothing but the names", () => {
    // Who is first is a third of all there is: the walk that lets any node begin meets all of the other, and more.
    const some = statesOfNodes(election);
    const all = statesOfNodes({ ...election, isSymmetric: false });
    expect([...some].filter((state) => !all.has(state))).toEqual([]);
    expect(all.size).toBeGreaterThan(some.size);
    expect(all.size).toBeLessThanOrEqual(3 * some.size);
  });
});

describe("a planted bug is found", () => {
  test("so is a stale read, which no bug is needed for when reads rely on leases and clocks drift", () => {
    const world = worldNamed("lease reads");
    const { counterexample } = explore(world, { isShortest: true });
    expect(counterexample?.error.message).toMatch(/^linearizable reads: read a is answered at index 2, and 3 was/);
    expect(counterexample?.moves).toBe(9);
    const safe = { ...world, options: { ...world.options, readOnlyOption: "safe" } } as const;
    expect(explore(safe, { isShortest: true, maxStates: 5_000 }).counterexample).toBeUndefined();
  });

  test.each<[name: string, wrong: RegExp, moves: number]>([
    ["the vote is forgotten in a crash", /^one vote: member/, 4],
    ["a vote is sent before it is on the disk", /^one vote: member/, 8],
    ["an append is acknowledged before it is on the disk", /^durability: member 1 commits 2\/3 .* no quorum/, 6],
    ["a vote is given to a candidate with an older log", /^leader completeness: /, 8],
    ["a learner counts in the quorum", /^durability: .* no quorum of \(1 2\) has/, 5],
    ["a leader serves reads without asking the others", /^linearizable reads: /, 6],
  ])("by the shortest way: %s", (name, wrong, moves) => {
    const mutant = mutants.find((other) => other.name === name);
    if (mutant === undefined) throw new Error(`there is no mutant "${name}"`);
    const { counterexample } = explore(mutant.world, { mutation: mutant.mutation, isShortest: true });
    expect(counterexample?.error.message).toMatch(wrong);
    expect(counterexample?.moves).toBe(moves);
    const told = counterexample?.text.match(/^\d+\. /gm) ?? [];
    expect(told).toHaveLength(moves);
  });
});

describe("a planted bug is found without covered states as well, and told move by move", () => {
  test.each<[name: string, wrong: RegExp, atLeast: number]>([
    ["an append is acknowledged before it is on the disk", /^durability: member 1 commits 2\/3 .* no quorum/, 6],
    ["a heartbeat tells the commit index to nodes that do not have the entries", /./, 3],
    ["a leader serves reads without asking the others", /^linearizable reads: /, 6],
  ])("%s", (name, wrong, atLeast) => {
    const mutant = mutants.find((other) => other.name === name);
    if (mutant === undefined) throw new Error(`there is no mutant "${name}"`);
    const { counterexample } = explore(mutant.world, { mutation: mutant.mutation });
    expect(counterexample?.error.message).toMatch(wrong);
    expect(counterexample?.moves).toBeGreaterThanOrEqual(atLeast);
    const told = counterexample?.text.match(/^\d+\. /gm) ?? [];
    expect(told).toHaveLength(counterexample?.moves as number);
  });
});

describe("a node that is made again", () => {
  test("by doing its inputs is in the state that it was in, and goes on in the same way", () => {
    const { automata } = walked(torn);
    const count = automata.stateCount;
    for (let state = 0; state < count; state++) {
      const [one, other] = [automata.make(state), automata.make(state)];
      expect(textOf(one)).toBe(textOf(other));
      for (const kind of ["campaign", "tick", "compact"] as const) {
        if (kind === "compact" && !one.canCompact) continue;
        const { to } = automata.transition(state, automata.input({ kind }));
        const next = automata.make(state);
        next.do({ kind });
        expect(textOf(automata.make(to))).toBe(textOf(next));
      }
    }
  });

  test("has a text of its own in each state", () => {
    const { automata } = walked(election);
    const texts = new Set(Array.from({ length: automata.stateCount }, (_, state) => textOf(automata.make(state))));
    expect(texts.size).toBe(automata.stateCount);
  });
});

describe("the text of a node", () => {
  const common = { voters: [1, 2, 3], learners: [], disk: "atomic", options: {}, mutation: {} } as const;
  const textAfter = (...inputs: Parameters<LocalNode["do"]>[0][]): string => {
    const node = new LocalNode(1, common);
    for (const input of inputs) node.do(input);
    return textOf(node);
  };

  test("tells apart what a node may do differently for", () => {
    const crash = { kind: "crash", kept: 0 } as const;
    const campaign = { kind: "campaign" } as const;
    // A candidate, one of a later term, one that has forgotten that it was one, one whose election is nearer.
    const texts = [
      textAfter(),
      textAfter(campaign),
      textAfter(campaign, campaign),
      textAfter(campaign, crash),
      textAfter({ kind: "tick" }),
    ];
    expect(new Set(texts).size).toBe(texts.length);
  });

  test("is the same for a node that has been through more and is none the wiser", () => {
    expect(textAfter({ kind: "crash", kept: 0 })).toBe(textAfter());
    expect(textAfter({ kind: "propose", data: "a" })).toBe(textAfter());
  });
});

describe("the command", () => {
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, [
      "--import",
      "tsx",
      fileURLToPath(new URL("run.ts", import.meta.url)),
      ...args,
    ]);

  test("prints a table, and fails when a world was not walked to its end", async () => {
    const failed = run("--world=removal of the leader", "--max-states=50");
    await expect(failed).rejects.toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/removal of the leader.* INCOMPLETE\n/),
    });
    const { stdout } = await run("--world=removal of the leader", "--max-states=50", "--allow-incomplete");
    expect(stdout).toMatch(/0 of 1 as they should be/);
  });
});
