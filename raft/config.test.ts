import { describe, expect, test } from "vitest";
import { type Config, resolveConfig } from "./config.ts";
import { Node } from "./node.ts";
import { confChangeOf, makeConfState, makeSnapshot } from "./raftpb/index.ts";
import { RawNode } from "./rawnode.ts";
import { MemoryStorage } from "./storage.ts";
import { noLimit } from "./types.ts";

const good: Config = { id: 1, electionTick: 10, heartbeatTick: 1, storage: new MemoryStorage(), maxInflightMsgs: 16 };

interface Walk {
  readonly works: readonly unknown[];
  readonly refused: readonly unknown[];
  /** The option must be given. */
  readonly isRequired?: true;
}

const notNumbers = [null, "1", "", true, [], {}, () => 1, 1n];
const notIntegers = [Number.NaN, Number.NEGATIVE_INFINITY, -1, -0.5, 0.5, 1.5, 2 ** 53, ...notNumbers];
const count: Walk = { works: [], refused: [undefined, 0, noLimit, ...notIntegers], isRequired: true };
const size: Walk = { works: [undefined, 0, 1, 100, 2 ** 40, noLimit], refused: notIntegers };
const flag: Walk = { works: [undefined, false, true], refused: [null, 0, 1, "", "false", "true", {}] };
const methods = { initialState() {}, entries() {}, term() {}, lastIndex() {}, firstIndex() {} };

/** Each option of the type: a new one does not compile until it is walked, too. */
const walks = {
  id: { works: [1, 7, 2 ** 53 - 1], refused: [undefined, 0, -1, -2, noLimit, ...notIntegers], isRequired: true },
  electionTick: { ...count, works: [2, 10, 1000] },
  heartbeatTick: { ...count, works: [1, 2, 9] },
  storage: {
    works: [],
    refused: [undefined, null, 0, "x", {}, methods, { ...methods, snapshot: 1 }],
    isRequired: true,
  },
  applied: { works: [undefined, 0, 1], refused: [2, noLimit, ...notIntegers] },
  asyncStorageWrites: flag,
  maxSizePerMsg: size,
  maxCommittedSizePerReady: size,
  maxUncommittedEntriesSize: size,
  maxInflightMsgs: {
    works: [1, 2, 256, 2 ** 40, noLimit],
    refused: [undefined, 0, ...notIntegers],
    isRequired: true,
  },
  maxInflightBytes: size,
  checkQuorum: flag,
  preVote: flag,
  readOnlyOption: { works: [undefined, "safe"], refused: [null, 0, 1, true, "", "lease", "SAFE", {}] },
  logger: { works: [undefined, {}, { info() {} }], refused: [null, 1, "x", true, { info: "x" }] },
  random: {
    works: [undefined, () => 0, (n: number) => n - 1],
    refused: [null, 7, "x", {}, () => Number.NaN, () => 0.5, () => -1, (n: number) => n, () => undefined, () => "0"],
  },
  disableProposalForwarding: flag,
  disableConfChangeValidation: flag,
  stepDownOnRemoval: flag,
} satisfies Record<keyof Required<Config>, Walk>;

/** The storage of a group of one that has a snapshot at index 1. */
function storageOf(id: number): MemoryStorage {
  const storage = new MemoryStorage();
  storage.applySnapshot(makeSnapshot(1, 1, makeConfState({ voters: [id] })));
  return storage;
}

/** A node by itself that is elected by its timeout and gets three proposals: what is handed out as committed. */
function committed(config: Config): (string | undefined)[] {
  const storage = config.storage as MemoryStorage;
  const node = new RawNode(config);
  const handedOut: (string | undefined)[] = [];
  let proposed = 0;
  for (let round = 0; round < 4000 && handedOut.length < 4; round++) {
    node.tick();
    if (node.basicStatus().lead !== 0 && proposed < 3) node.propose(Uint8Array.of(++proposed));
    while (node.hasReady()) {
      const rd = node.ready();
      storage.append(rd.entries);
      if (rd.hardState !== undefined) storage.setHardState(rd.hardState);
      handedOut.push(...rd.committedEntries.map((e) => e.data?.join()));
      if (config.asyncStorageWrites !== true) node.advance();
      for (const m of rd.messages) for (const answer of m.responses) node.step(answer);
    }
  }
  return handedOut;
}

const withOption = (option: string, value: unknown): Config =>
  ({ ...good, storage: storageOf(option === "id" ? Number(value) : 1), [option]: value }) as Config;

describe.each(Object.entries<Walk>(walks))("the option %s of RawNode", (option, { works, refused, isRequired }) => {
  test.each(works.map((value) => [value]))("works as %o: proposals are committed and handed out", (value) => {
    expect(committed(withOption(option, value))).toEqual([undefined, "1", "2", "3"]);
  });

  test.each(refused.map((value) => [value]))("is refused as %o, by name, with what is allowed", (value) => {
    const start = (): unknown => new RawNode(withOption(option, value));
    expect(start).toThrow(new RegExp(`\\b${option}\\b.* (must|lie) `));
    expect(start).toThrow(/, not |: not /);
  });

  test(`${isRequired ? "must be given" : "may be left out"}`, () => {
    const { [option as keyof Config]: _left, ...others } = withOption(option, undefined);
    if (isRequired) expect(() => new RawNode(others as Config)).toThrow(`${option} must be `);
    else expect(committed(others as Config)).toEqual([undefined, "1", "2", "3"]);
  });
});

test.each<[string, Partial<Config>, RegExp]>([
  ["an id of 0", { id: 0 }, /^cannot use none as id: id must be an integer in \(0, 2\^53\), not 0$/],
  ["the id of a local thread", { id: -1 }, /^cannot use local target as id: id must be/],
  ["an id beyond 2^53", { id: 2 ** 53 }, /^id must be an integer in \(0, 2\^53\), not 9007199254740992$/],
  ["no heartbeat", { heartbeatTick: 0 }, /^heartbeat tick must be greater than 0: heartbeatTick must be an integer/],
  [
    "an election timeout that is no longer than the heartbeat",
    { electionTick: 1 },
    /greater than heartbeat tick: elec/,
  ],
  ["no window", { maxInflightMsgs: 0 }, /^max inflight messages must be greater than 0: maxInflightMsgs must be/],
  ["a window smaller than a message", { maxSizePerMsg: 10, maxInflightBytes: 9 }, />= max message size: maxInflightB/],
  ["leases without a check of the quorum", { readOnlyOption: "leaseBased" }, /^CheckQuorum must be enabled when/],
])("%s is refused, etcd's words first", (_what, bad, reason) => {
  expect(() => resolveConfig({ ...good, ...bad })).toThrow(reason);
});

test.each([undefined, null, 1, "x"])("a config that is %j is refused", (config) => {
  expect(() => new RawNode(config as never)).toThrow(/^the config of a node must be an object, not /);
});

test("what is not given has upstream's default, but for the size of a message, which must not be 0", () => {
  expect(resolveConfig(good)).toMatchObject({
    applied: 0,
    asyncStorageWrites: false,
    maxSizePerMsg: 2 ** 20,
    maxCommittedSizePerReady: 2 ** 20,
    maxUncommittedEntriesSize: noLimit,
    maxInflightBytes: noLimit,
    checkQuorum: false,
    preVote: false,
    readOnlyOption: "safe",
  });
  expect(resolveConfig({ ...good, maxSizePerMsg: 7 }).maxCommittedSizePerReady).toBe(7);
  expect(resolveConfig({ ...good, maxInflightBytes: 7 }).maxSizePerMsg).toBe(7);
});

test("the default of random gives each id a sequence of its own, and spreads it", () => {
  const draws = [1, 2, 3, 4, 5, 2 ** 40].map((id) => {
    const { random } = resolveConfig({ ...good, id });
    return Array.from({ length: 1000 }, () => random(10));
  });
  expect(draws[0]).toEqual(
    Array.from(
      { length: 1000 },
      (
        (random) => () =>
          random(10)
      )(resolveConfig(good).random),
    ),
  );
  for (const [i, mine] of draws.entries()) {
    for (let value = 0; value < 10; value++) {
      const times = mine.filter((drawn) => drawn === value).length;
      expect(times).toBeGreaterThan(50);
      expect(times).toBeLessThan(150);
    }
    for (const theirs of draws.slice(0, i)) {
      expect(mine.filter((drawn, at) => drawn === theirs[at]).length).toBeLessThan(150);
    }
  }
});

test("three nodes without random, ticked together, elect a leader: their timeouts part", () => {
  const voters = [1, 2, 3];
  const nodes = voters.map((id) => {
    const storage = new MemoryStorage();
    storage.applySnapshot(makeSnapshot(1, 1, makeConfState({ voters })));
    return { node: new RawNode({ ...good, id, storage, applied: 1 }), storage };
  });
  const settle = (): void => {
    for (let found = true; found; ) {
      found = false;
      for (const { node, storage } of nodes) {
        if (!node.hasReady()) continue;
        found = true;
        const rd = node.ready();
        storage.append(rd.entries);
        if (rd.hardState !== undefined) storage.setHardState(rd.hardState);
        node.advance();
        for (const m of rd.messages) nodes[m.to - 1]?.node.step(m);
      }
    }
  };
  for (let i = 0; i < 100 && nodes[0]?.node.basicStatus().lead === 0; i++) {
    for (const { node } of nodes) node.tick();
    settle();
  }
  expect(new Set(nodes.map(({ node }) => node.basicStatus().lead)).size).toBe(1);
  expect(nodes[0]?.node.basicStatus().lead).not.toBe(0);
});

describe("applied", () => {
  test("below where the storage's log begins, or above what is committed in it, is refused with both", () => {
    const storage = new MemoryStorage();
    storage.applySnapshot(makeSnapshot(5, 1, makeConfState({ voters: [1] })));
    for (const applied of [4, 6]) {
      expect(() => new RawNode({ ...good, storage, applied })).toThrow(
        `applied must lie between where the storage's log begins, 5, and what is committed in it, 5: not ${applied}`,
      );
    }
    expect(new RawNode({ ...good, storage, applied: 5 }).basicStatus().applied).toBe(5);
  });
});

describe("the peers of a new group", () => {
  const started =
    (peers: unknown): (() => unknown) =>
    () =>
      Node.start({ ...good, storage: new MemoryStorage() }, peers as never);

  test.each([
    [undefined, /^peers must be an array with at least one peer, not undefined$/],
    [{}, /^peers must be an array with at least one peer, not an object$/],
    [[], /must provide at least one peer/],
    [[1], /^the id of a peer must be an integer in \(0, 2\^53\), not undefined$/],
    [[null], /^the id of a peer must be/],
    [[{ id: 0 }], /^the id of a peer must be an integer in \(0, 2\^53\), not 0$/],
    [[{ id: -1 }], /^the id of a peer must be/],
    [[{ id: "1" }], /^the id of a peer must be an integer in \(0, 2\^53\), not "1"$/],
    [[{ id: 1 }, { id: 1.5 }], /^the id of a peer must be an integer in \(0, 2\^53\), not 1.5$/],
    [[{ id: 1, context: "http://a" }], /^the context of peer 1 must be a Uint8Array, not "http:\/\/a"$/],
  ])("are refused as %j", (peers, reason) => {
    expect(started(peers)).toThrow(reason);
  });

  test("are in its log, each with its context", async () => {
    const context = Uint8Array.of(7);
    const node = Node.start({ ...good, storage: new MemoryStorage() }, [{ id: 1, context }, { id: 2 }]);
    const { value } = await node.readies().next();
    expect(value?.entries.map((e) => confChangeOf(e)?.context)).toEqual([context, undefined]);
    node.stop();
  });
});
