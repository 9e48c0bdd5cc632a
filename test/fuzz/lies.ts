// What an admitted peer says, as a target: frames that decode, handed to a real node as the peer port and the server
// hand them over.
//
// Raft trusts its members: one that lies can take away what was committed, and nothing here can prevent it. The bar is
// that no message makes a node panic, because then a single broken member stops all others. So the messages pass the
// same doors as in production, validate.ts and guard.ts, and what gets through is stepped into a node of a random role,
// whose Readies are then carried out.
//
// Input: one byte for the role (its top bit: the rest is a message of the stream of snapshots, not a frame), then a
// frame. The oracle: nothing throws; what is committed stays; whatever the node then wants to send can be encoded.

import { KvMap } from "../../kvstore/map.ts";
import { MemoryStorage, type Message, MessageType, makeMessage, type RawNode } from "../../raft/index.ts";
import {
  type ConfState,
  DecodeError,
  decodeMessage,
  type Entry,
  encodeMessage,
  makeConfState,
  makeEntry,
  makeHardState,
  makeSnapshot,
  type SnapshotMetadata,
} from "../../raft/raftpb/index.ts";
import { Applier } from "../../server/applier.ts";
import { isUntimely, violationOf } from "../../server/guard.ts";
import { Members } from "../../server/membership/members.ts";
import { startNode } from "../../server/start-node.ts";
import type { Random } from "../../sim/random.ts";
import { decodeFrame } from "../../transport/frame.ts";
import { validateMessage, validateSnapshotMessage } from "../../transport/validate.ts";
import { mutate } from "./mutate.ts";
import { link, someLie, someSnapshot } from "./some-lies.ts";
import { frameOf, someMessages } from "./some-messages.ts";
import { expect, type Session, type Target } from "./target.ts";

const snapshotBit = 0x80;
const terms = [1, 1, 2, 2, 2, 3, 3, 3];
const snapshotIndex = 4;
const committed = 9;

type Guard = typeof violationOf;

type Role = { readonly name: string; readonly confState: ConfState; prepare(node: TestNode): void };

const three = makeConfState({ voters: [1, 2, 3] });

const roles: readonly Role[] = [
  { name: "follower", confState: three, prepare: () => {} },
  { name: "follower with a leader", confState: three, prepare: (n) => n.step(heartbeat(3)) },
  { name: "leader", confState: three, prepare: (n) => n.elect() },
  { name: "pre-candidate", confState: three, prepare: (n) => n.campaign() },
  {
    name: "candidate",
    confState: three,
    prepare: (n) => {
      n.campaign();
      n.step(makeMessage(MessageType.MsgPreVoteResp, { from: 3, to: 1, term: 4 }));
    },
  },
  { name: "single voter", confState: makeConfState({ voters: [1] }), prepare: (n) => n.campaign() },
  {
    name: "single voter with a learner",
    confState: makeConfState({ voters: [1], learners: [2] }),
    prepare: (n) => n.campaign(),
  },
  { name: "learner", confState: makeConfState({ voters: [2, 3], learners: [1] }), prepare: () => {} },
  {
    name: "leader of a joint configuration",
    confState: makeConfState({ voters: [1, 2, 4], votersOutgoing: [1, 2, 3], learnersNext: [3], autoLeave: true }),
    prepare: (n) => n.elect(),
  },
  { name: "without a vote or a place", confState: makeConfState({ voters: [2, 3] }), prepare: () => {} },
];

const heartbeat = (term: number): Message =>
  makeMessage(MessageType.MsgHeartbeat, { from: 2, to: 1, term, commit: committed });

/** A node with a log behind a snapshot, and those parts of a server that carry out its Readies. */
class TestNode {
  readonly node: RawNode;
  readonly #storage = new MemoryStorage();
  readonly #applier: Applier;
  /** By index: the term of what was applied. */
  readonly #applied = new Map<number, number>();

  readonly #guard: Guard;

  constructor(confState: ConfState, guard: Guard) {
    this.#guard = guard;
    const { metadata } = makeSnapshot(snapshotIndex, 1, confState);
    const entries = terms.map((term, i) => makeEntry(undefined, term, snapshotIndex + 1 + i, undefined));
    this.node = startNode(this.#storage, {
      id: 1,
      electionTicks: 10,
      recovered: { snapshot: metadata, hardState: makeHardState(3, 0, committed), entries },
      founders: undefined,
      logger: {},
      random: () => 0,
    });
    const listener = { applied() {}, changed() {}, membersChanged() {} };
    this.#applier = new Applier(this.node, new KvMap(), new Members(), {}, listener);
    this.#applier.restored(metadata);
    this.#settle();
  }

  campaign(): void {
    this.node.campaign();
    this.#settle();
  }

  /** With the votes of two others. */
  elect(): void {
    this.campaign();
    for (const type of [MessageType.MsgPreVoteResp, MessageType.MsgVoteResp]) {
      for (const from of [2, 3]) this.step(makeMessage(type, { from, to: 1, term: 4 }));
    }
    for (const from of [2, 3]) this.step(makeMessage(MessageType.MsgAppResp, { from, to: 1, term: 4, index: 13 }));
    expect(this.node.raft.state === "StateLeader", "the preparation has not made a leader");
  }

  step(m: Message): void {
    this.node.step(m);
    this.#settle();
  }

  /** The way of a message from the peer port: returns why it was not stepped. */
  receive(m: Message): string | undefined {
    if (this.#guard(this.node, m) !== undefined) return "guard";
    if (isUntimely(this.node, m, this.#applier.term)) return "untimely";
    this.step(m);
    return undefined;
  }

  tick(): void {
    this.node.tick();
    this.#settle();
  }

  #settle(): void {
    for (let i = 0; this.node.hasReady(); i++) {
      expect(i < 100, "the node has always something more to do");
      const rd = this.node.ready();
      for (const m of rd.messages) encodeMessage(m);
      if (rd.snapshot !== undefined) this.#restore(rd.snapshot.metadata);
      if (rd.hardState !== undefined) this.#storage.setHardState(rd.hardState);
      this.#storage.append(rd.entries);
      this.#apply(rd.committedEntries);
      this.node.advance();
    }
  }

  #restore(metadata: SnapshotMetadata): void {
    this.#storage.applySnapshot({ data: undefined, metadata });
    this.#applier.restored(metadata);
  }

  #apply(entries: readonly Entry[]): void {
    for (const { index, term } of entries) {
      expect(
        index === this.#applier.index + 1 || entries[0]?.index !== index,
        `entry ${index} is applied out of order`,
      );
      expect(!this.#applied.has(index), `entry ${index} is applied twice`);
      this.#applied.set(index, term);
    }
    this.#applier.apply(entries);
  }
}

class LiesSession implements Session {
  readonly #corpus: readonly Uint8Array[];

  readonly #guard: Guard;

  constructor(corpus: readonly Uint8Array[], guard: Guard) {
    this.#corpus = corpus;
    this.#guard = guard;
  }

  draw(random: Random): Uint8Array {
    if (random.chance(0.3)) return mutate(random, this.#corpus);
    const role = random.below(roles.length);
    const onSnapshotStream = random.chance(0.1);
    const messages = Array.from({ length: onSnapshotStream ? 1 : 1 + random.below(8) }, () =>
      onSnapshotStream ? someSnapshot(random) : someLie(random),
    );
    const bytes = onSnapshotStream ? encodeMessage(messages[0] as Message) : frameOf(...messages);
    return Uint8Array.of(role | (onSnapshotStream ? snapshotBit : 0), ...bytes);
  }

  run(input: Uint8Array): string {
    const [choice = 0] = input;
    const role = roles[(choice & ~snapshotBit) % roles.length] as Role;
    const onSnapshotStream = (choice & snapshotBit) !== 0;
    let messages: Message[];
    try {
      messages = onSnapshotStream ? [decodeMessage(input.slice(1))] : decodeFrame(input.slice(1));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return "undecodable";
    }
    const validate = onSnapshotStream ? validateSnapshotMessage : validateMessage;
    for (const m of messages) if (validate(m, link) !== undefined) return "refused by validate";
    const node = new TestNode(role.confState, this.#guard);
    role.prepare(node);
    let stepped = false;
    for (const m of messages) {
      const why = node.receive(m);
      if (why === "guard") return "refused by the guard";
      stepped ||= why === undefined;
    }
    for (let i = 0; i < 25; i++) node.tick();
    return stepped ? "stepped" : "untimely";
  }

  async close(): Promise<void> {}
}

/** The lies behind this guard: the real one, or one that is planted with a bug. */
export const makeLiesTarget = (guard: Guard = violationOf): Target => ({
  name: "lies",
  about: "messages of an admitted peer, stepped into a node",
  lanes: 1,
  open: async (corpus) => new LiesSession(corpus, guard),
});

export const liesTarget = makeLiesTarget();

/** An input for each role and message. */
export function lieFiles(): Record<string, Uint8Array> {
  const files: Record<string, Uint8Array> = {};
  for (const [i, role] of roles.entries()) {
    const carried = Object.values(someMessages).filter((m) => validateMessage(m, link) === undefined);
    files[role.name.replaceAll(" ", "-")] = Uint8Array.of(i, ...frameOf(...carried));
  }
  const [append, heartbeatMessage] = [someMessages.append, someMessages.heartbeat];
  files["append-and-heartbeat"] = Uint8Array.of(0, ...frameOf(append, heartbeatMessage));
  files.snapshot = Uint8Array.of(snapshotBit, ...encodeMessage(someMessages.snapshot));
  return files;
}
