// Limits by size: of one append, of what is handed out to be applied, and of what a leader takes before it commits.

import { describe, expect, test } from "vitest";
import { errProposalDropped } from "./errors.ts";
import {
  type Entry,
  entrySize,
  type Message,
  MessageType,
  makeConfState,
  makeEntry,
  makeHardState,
  makeMessage,
  makeSnapshot,
} from "./raftpb/index.ts";
import { RawNode } from "./rawnode.ts";
import type { Ready } from "./ready.ts";
import { MemoryStorage } from "./storage.ts";
import { bytes, Network, newNode, proposalOf, type Setup, storageOf } from "./testing.ts";
import { noLimit } from "./types.ts";
import { entsSize, payloadsSize } from "./util.ts";

const { MsgApp, MsgHeartbeat, MsgProp, MsgStorageAppend, MsgStorageApply } = MessageType;

/** Node 1 as the only voter, driven by hand, and its storage. */
function alone(options: Setup = {}): { rn: RawNode; storage: MemoryStorage } {
  const storage = storageOf(newNode(1, { voters: [1] }));
  const common = { electionTick: 10, heartbeatTick: 1, maxSizePerMsg: noLimit, maxInflightMsgs: 256 };
  return { rn: new RawNode({ id: 1, storage, ...common, ...options }), storage };
}

/** Takes one Ready and does what it asks. */
function handle(rn: RawNode, storage: MemoryStorage): Ready {
  const rd = rn.ready();
  storage.append(rd.entries);
  rn.advance();
  return rd;
}

function elect(rn: RawNode, storage: MemoryStorage): void {
  rn.campaign();
  while (rn.hasReady()) handle(rn, storage);
  expect(rn.basicStatus()).toMatchObject({ raftState: "StateLeader", applied: 1 });
}

/** Hands out more than it is asked for: raft must not rely on the storage's count of bytes. */
class GenerousStorage extends MemoryStorage {
  override entries(lo: number, hi: number): Entry[] {
    return super.entries(lo, hi, noLimit) as Entry[];
  }
}

function restarted(count: number, pageWithout: number): { rn: RawNode; commit: number } {
  const log = Array.from({ length: count }, (_, i) => makeEntry(0, 1, i + 1, bytes("a")));
  const storage = new GenerousStorage();
  storage.applySnapshot(makeSnapshot(0, 0, makeConfState({ voters: [1] })));
  storage.append(log);
  const commit = 10;
  storage.setHardState(makeHardState(1, 1, commit));
  const maxSizePerMsg = entsSize(log.slice(0, commit - pageWithout)) - 1;
  const options = { electionTick: 10, heartbeatTick: 1, maxInflightMsgs: 256 };
  return { rn: new RawNode({ id: 1, storage, maxSizePerMsg, ...options }), commit };
}

describe("appends", () => {
  test("never exceed maxSizePerMsg, also when a follower catches up [TestAppendPagination]", () => {
    const maxSizePerMsg = 2048;
    const net = Network.of(3, { maxSizePerMsg });
    const seen: number[] = [];
    net.deliver = (m) => {
      if (m.type === MsgApp) seen.push(payloadsSize(m.entries));
      return true;
    };
    net.campaign(1);
    net.isolate(1);
    for (let i = 0; i < 5; i++) net.send(makeMessage(MsgProp, { from: 1, to: 1, ...proposalOf(new Uint8Array(1000)) }));
    net.recover();
    net.beat(1);
    expect(Math.max(...seen)).toBeLessThanOrEqual(maxSizePerMsg);
    expect(Math.max(...seen)).toBeGreaterThan(maxSizePerMsg / 2);
    for (const r of net.nodes.values()) expect(r.raftLog.committed).toBe(6);
  });

  test("hold one entry each if maxSizePerMsg is 0, and at least one under any limit", () => {
    const net = Network.of(2, { maxSizePerMsg: 0 });
    const seen: number[] = [];
    net.deliver = (m) => m.type !== MsgApp || seen.push(m.entries.length) > 0;
    net.campaign(1);
    net.send(makeMessage(MsgProp, { from: 1, to: 1, ...proposalOf(new Uint8Array(100), new Uint8Array(100)) }));
    expect(Math.max(...seen)).toBe(1);
    expect(net.at(2).raftLog.committed).toBe(3);
  });
});

describe("committed entries", () => {
  test("are handed out in pages [TestCommitPagination]", () => {
    const { rn, storage } = alone({ maxCommittedSizePerReady: 2048 });
    elect(rn, storage);
    for (let i = 0; i < 3; i++) rn.propose(new Uint8Array(1000));
    const pages = [handle(rn, storage), handle(rn, storage), handle(rn, storage)];
    expect(pages.map((rd) => [rd.entries.length, rd.committedEntries.length])).toEqual([
      [3, 0],
      [0, 2],
      [0, 1],
    ]);
  });

  test("are withheld while a page of them is not acknowledged [TestCommitPaginationWithAsyncStorageWrites]", () => {
    const { rn, storage } = alone({ maxCommittedSizePerReady: 2048, asyncStorageWrites: true });
    const applies: Message[] = [];
    /** Does the work of the append thread; what is to be applied waits. */
    const work = (): void => {
      while (rn.hasReady()) {
        for (const m of rn.ready().messages) {
          if (m.type === MsgStorageApply) applies.push(m);
          if (m.type !== MsgStorageAppend) continue;
          storage.append(m.entries);
          for (const response of m.responses) rn.step(response);
        }
      }
    };
    const acknowledge = (m: Message | undefined): void => {
      for (const response of m?.responses ?? []) rn.step(response);
    };
    rn.campaign();
    work();
    acknowledge(applies.shift());

    for (let i = 0; i < 3; i++) {
      rn.propose(new Uint8Array(1024));
      work();
    }
    // Two entries of over 1024 bytes use the page up: the third is committed, and waits.
    expect(applies.map((m) => m.entries.map((e) => e.index))).toEqual([[2], [3]]);
    expect(rn.basicStatus().commit).toBe(4);
    acknowledge(applies[0]);
    work();
    expect(applies.map((m) => m.entries.map((e) => e.index))).toEqual([[2], [3], [4]]);
    for (const m of applies.slice(1)) acknowledge(m);
    expect(rn.basicStatus().applied).toBe(4);
  });

  test("end after a restart where the commit index does, if the page is short as well [TestNodeCommitPaginationAfterRestart]", () => {
    const { rn, commit } = restarted(10, 1);
    const rd = rn.ready();
    expect(rd.hardState?.commit ?? commit).toBeGreaterThanOrEqual(commit);
  });

  test("leave no gap after a restart, if the storage hands out more than a page [TestRawNodeCommitPaginationAfterRestart]", () => {
    const { rn } = restarted(11, 1);
    const applied: number[] = [];
    while (applied.at(-1) !== 11) {
      const rd = rn.ready();
      expect(rd.committedEntries.length).toBeGreaterThan(0);
      applied.push(...rd.committedEntries.map((e) => e.index));
      rn.advance();
      rn.step(makeMessage(MsgHeartbeat, { from: 2, to: 1, term: 1, commit: 11 }));
    }
    expect(applied).toEqual(Array.from({ length: 11 }, (_, i) => i + 1));
  });
});

describe("the log of a leader that cannot commit", () => {
  test("stops growing at the limit, and goes on when it can [TestRawNodeBoundedLogGrowthWithPartition]", () => {
    const [count, data] = [16, bytes("testdata")];
    const { rn, storage } = alone({ maxUncommittedEntriesSize: count * data.length });
    elect(rn, storage);
    const outcomes = Array.from({ length: 1024 }, () => rn.propose(data));
    expect(outcomes.filter((error) => error === undefined)).toHaveLength(count);
    expect(outcomes.at(-1)).toBe(errProposalDropped);
    expect(rn.raft.uncommittedSize).toBe(count * data.length);

    expect(handle(rn, storage).entries).toHaveLength(count);
    expect(rn.raft.uncommittedSize).toBe(count * data.length);
    expect(handle(rn, storage).committedEntries).toHaveLength(count);
    expect(rn.raft.uncommittedSize).toBe(0);
    expect(rn.propose(data)).toBeUndefined();
  });

  test("counts payload, not encoding: what is empty costs nothing [TestPayloadSizeOfEmptyEntry]", () => {
    const empty = makeEntry(undefined, 7, 9, undefined);
    expect([payloadsSize([empty]), payloadsSize([{ ...empty, data: new Uint8Array(0) }]), payloadsSize([])]).toEqual([
      0, 0, 0,
    ]);
    expect(entrySize(empty)).toBeGreaterThan(0);
  });
});
