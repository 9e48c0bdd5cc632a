// Node, Ready by Ready: the start of a group, restarts, what its step lets through, and configuration changes through
// promises.

import { afterEach, describe, expect, test } from "vitest";
import type { Config } from "./config.ts";
import { Node } from "./node.ts";
import {
  type ConfState,
  confChangeOf,
  type Entry,
  EntryType,
  encodeConfChange,
  MessageType,
  makeConfChange,
  makeConfState,
  makeEntry,
  makeHardState,
  makeMessage,
  makeSnapshot,
  messageTypeName,
} from "./raftpb/index.ts";
import type { Ready } from "./ready.ts";
import { MemoryStorage } from "./storage.ts";
import { bytes, Network, propose, text } from "./testing.ts";
import { noLimit } from "./types.ts";
import { isLocalMsg } from "./util.ts";

const { MsgApp, MsgProp } = MessageType;

/** A Node whose Readys are taken one by one. */
class Driver {
  readonly storage: MemoryStorage;
  readonly node: Node;
  readonly #readies: AsyncGenerator<Ready, void, void>;

  constructor(storage: MemoryStorage, start: (config: Config) => Node) {
    this.storage = storage;
    const options = { electionTick: 10, heartbeatTick: 1, maxSizePerMsg: noLimit, maxInflightMsgs: 256 };
    this.node = start({ id: 1, storage, ...options });
    this.#readies = this.node.readies();
    drivers.push(this);
  }

  /** The next Ready, with its work done and advanced. */
  async handle(): Promise<Ready> {
    const { value } = await this.#readies.next();
    const rd = value as Ready;
    if (rd.hardState !== undefined) this.storage.setHardState(rd.hardState);
    this.storage.append(rd.entries);
    this.node.advance();
    return rd;
  }

  /**
   * The next Ready if there is one without anything else happening. Must be the last call: it waits for another one
   * otherwise.
   */
  async quiet(): Promise<boolean> {
    let came = false;
    void this.#readies.next().then(({ done }) => {
      came = done !== true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    return !came;
  }
}

const drivers: Driver[] = [];
afterEach(() => {
  for (const { node } of drivers.splice(0)) node.stop();
});

function storageWith(voters: number[], index = 0, term = 0): MemoryStorage {
  const storage = new MemoryStorage();
  storage.applySnapshot(makeSnapshot(index, term, makeConfState({ voters })));
  return storage;
}

const nothing: Ready = {
  softState: undefined,
  hardState: undefined,
  readStates: [],
  entries: [],
  snapshot: undefined,
  committedEntries: [],
  messages: [],
  mustSync: false,
};
const foo = (term: number, index: number) => makeEntry(undefined, term, index, bytes("foo"));

describe("the Readys of a Node", () => {
  test("begin with the entries that add the members, then go on to what is proposed [TestNodeStart]", async () => {
    const driver = new Driver(new MemoryStorage(), (config) => Node.start(config, [{ id: 1 }]));
    const add = makeEntry(EntryType.EntryConfChange, 1, 1, encodeConfChange(makeConfChange(0, 1)));
    const first = { hardState: makeHardState(1, 0, 1), entries: [add], committedEntries: [add], mustSync: true };
    expect(await driver.handle()).toEqual({ ...nothing, ...first });

    driver.node.campaign();
    const vote = await driver.handle();
    expect([vote.hardState, vote.entries]).toEqual([makeHardState(2, 1, 1), []]);
    const empty = makeEntry(undefined, 2, 2, undefined);
    expect((await driver.handle()).entries).toEqual([empty]);

    await driver.node.propose(bytes("foo"));
    expect(await driver.handle()).toEqual({
      ...nothing,
      hardState: makeHardState(2, 1, 2),
      entries: [foo(2, 3)],
      committedEntries: [empty],
      mustSync: true,
    });
    expect(await driver.handle()).toEqual({
      ...nothing,
      hardState: makeHardState(2, 1, 3),
      committedEntries: [foo(2, 3)],
    });
    expect(await driver.quiet()).toBe(true);
  });

  test("begin, after a restart, with what is committed [TestNodeRestart]", async () => {
    const storage = storageWith([1]);
    const empty = makeEntry(undefined, 1, 1, undefined);
    storage.append([empty, foo(1, 2)]);
    storage.setHardState(makeHardState(1, 0, 1));
    const driver = new Driver(storage, Node.restart);
    expect(await driver.handle()).toEqual({ ...nothing, committedEntries: [empty] });
    expect(await driver.quiet()).toBe(true);
  });

  test("begin, after a restart from a snapshot, with what is committed behind it [TestNodeRestartFromSnapshot]", async () => {
    const storage = storageWith([1, 2], 2, 1);
    storage.append([foo(1, 3)]);
    storage.setHardState(makeHardState(1, 0, 3));
    const driver = new Driver(storage, Node.restart);
    expect(await driver.handle()).toEqual({ ...nothing, committedEntries: [foo(1, 3)] });
    expect(await driver.quiet()).toBe(true);
  });

  test("come one after the other once each is advanced [TestNodeAdvance]", async () => {
    const driver = new Driver(storageWith([1]), Node.restart);
    driver.node.campaign();
    await driver.handle();
    await driver.handle();
    await driver.node.propose(bytes("foo"));
    expect((await driver.handle()).entries).toEqual([foo(1, 2)]);
    expect((await driver.handle()).committedEntries).toEqual([foo(1, 2)]);
  });
});

describe("what a Node lets in", () => {
  test.each(Object.values(MessageType).map((type) => [messageTypeName(type), type] as const))(
    "%s: proposals wait for a leader, local messages are dropped, all else is stepped [TestNodeStep]",
    async (_name, type) => {
      const { node } = new Driver(storageWith([1, 2]), Node.restart);
      let settled = false;
      void node
        .step(makeMessage(type, { from: 2, term: 7, ...(type === MsgProp ? { term: 0, entries: [foo(0, 0)] } : {}) }))
        .then(() => {
          settled = true;
        })
        .catch(() => {});
      await new Promise((resolve) => setImmediate(resolve));
      expect(settled).toBe(type !== MsgProp);
      // A message of a higher term raises the node's term, but for a pre-vote, whose term no node is in.
      const preVotes: MessageType[] = [MessageType.MsgPreVote, MessageType.MsgPreVoteResp];
      const unmoved = isLocalMsg(type) || type === MsgProp || preVotes.includes(type);
      expect((node.status()?.term ?? 0) > 0).toBe(!unmoved);
    },
  );

  test("a follower forwards proposals, unless forwarding is off: then it drops them [TestDisableProposalForwarding]", () => {
    for (const disableProposalForwarding of [false, true]) {
      const net = Network.of(3, { disableProposalForwarding });
      net.campaign(1);
      const error = propose(net.at(2), "testdata");
      expect(error?.code).toBe(disableProposalForwarding ? "PROPOSAL_DROPPED" : undefined);
      expect(net.at(2).msgs.map((m) => [m.type, m.to, text(m.entries[0]?.data)])).toEqual(
        disableProposalForwarding ? [] : [[MsgProp, 1, "testdata"]],
      );
    }
  });

  test("the answer to a stranger's append is that of any member", async () => {
    const driver = new Driver(storageWith([1, 2]), Node.restart);
    await driver.node.step(makeMessage(MsgApp, { from: 9, to: 1, term: 1 }));
    expect((await driver.handle()).messages).toMatchObject([{ to: 9, type: MessageType.MsgAppResp }]);
  });
});

describe("configuration changes through a Node", () => {
  /** Node 1 alone, elected; applies what comes and remembers it. */
  async function elected(): Promise<{ driver: Driver; apply: () => Promise<ConfState>; committed: Entry[] }> {
    const driver = new Driver(storageWith([1]), Node.restart);
    const committed: Entry[] = [];
    const apply = async (): Promise<ConfState> => {
      for (;;) {
        const rd = await driver.handle();
        committed.push(...rd.committedEntries);
        const changes = rd.committedEntries.map(confChangeOf).filter((cc) => cc !== undefined);
        if (changes[0] !== undefined) return driver.node.applyConfChange(changes[0]);
      }
    };
    driver.node.campaign();
    return { driver, apply, committed };
  }

  test("reach the log as they were proposed [TestNodeProposeConfig]", async () => {
    const { driver, apply, committed } = await elected();
    void driver.node.proposeConfChange(makeConfChange(0, 1, bytes("context")));
    expect(await apply()).toEqual(makeConfState({ voters: [1] }));
    expect(committed.at(-1)).toEqual(
      makeEntry(EntryType.EntryConfChange, 1, 2, encodeConfChange(makeConfChange(0, 1, bytes("context")))),
    );
  });

  test("that add a member twice are harmless, and later ones still work [TestNodeProposeAddDuplicateNode]", async () => {
    const { driver, apply, committed } = await elected();
    for (const id of [1, 1, 2]) {
      void driver.node.proposeConfChange(makeConfChange(0, id));
      await apply();
    }
    expect(committed.map((e) => e.data)).toEqual([
      undefined,
      ...[1, 1, 2].map((id) => encodeConfChange(makeConfChange(0, id))),
    ]);
    expect(driver.node.status()?.config.voters.incoming.slice()).toEqual([1, 2]);
  });

  test("add a learner once, and no voter [TestNodeProposeAddLearnerNode]", async () => {
    const { driver, apply } = await elected();
    void driver.node.proposeConfChange(makeConfChange(3, 2));
    expect(await apply()).toEqual(makeConfState({ voters: [1], learners: [2] }));
  });
});
