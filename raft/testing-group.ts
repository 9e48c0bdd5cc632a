// Several RawNodes, each with an application loop that does its duties, and a network between them: a group as its
// users see it.
//
// A member does the duties of a Ready in the order of doc/duties.md, so what these tests show holds for the server's
// loop. Its log outlives a restart, as if on disk. The network loses the messages for which `lose` is true, holds those
// for a paused member, and otherwise delivers in order.
//
// Promises: deterministic, like testing.ts, whose nodes are driven below RawNode. Nothing outside of tests imports this
// file.

import type { Config } from "./config.ts";
import {
  type ConfState,
  confChangeOf,
  type Entry,
  type Message,
  makeConfState,
  makeHardState,
  makeSnapshot,
} from "./raftpb/index.ts";
import { RawNode } from "./rawnode.ts";
import { MemoryStorage } from "./storage.ts";
import type { ReadState } from "./types.ts";

export class Member {
  readonly id: number;
  readonly storage = new MemoryStorage();
  readonly #options: Partial<Config>;
  node: RawNode;
  applied: string[] = [];
  readonly reads: ReadState[] = [];
  readonly sent: Message[] = [];
  confState: ConfState;
  /** Stopped: it hears and does nothing, and what is sent to it is lost. */
  stopped = false;
  /** Paused: it does nothing, and what is sent to it waits. */
  paused = false;
  readonly held: Message[] = [];

  constructor(id: number, cs: ConfState, options: Partial<Config>) {
    this.id = id;
    this.confState = cs;
    this.#options = options;
    this.storage.applySnapshot(makeSnapshot(1, 1, cs));
    this.storage.setHardState(makeHardState(1, 0, 1));
    this.node = this.#start();
  }

  #start(): RawNode {
    const common = { electionTick: 10, heartbeatTick: 1, maxSizePerMsg: 4096, maxInflightMsgs: 16, applied: 1 };
    return new RawNode({ id: this.id, storage: this.storage, random: () => 0, ...common, ...this.#options });
  }

  /** Starts again from what was persisted: everything is applied anew. */
  restart(): void {
    this.applied = [];
    this.node = this.#start();
    this.stopped = false;
  }

  /**
   * Does what the next Ready asks. The storage is disk and mirror in one, and no snapshot is ever due: duties 1 to 3
   * are one.
   */
  handle(send: (m: Message) => void = () => {}): void {
    const rd = this.node.ready();
    // 1 to 3: snapshot, entries and hard state
    if (rd.snapshot !== undefined) this.storage.applySnapshot(rd.snapshot);
    if (rd.hardState !== undefined) this.storage.setHardState(rd.hardState);
    this.storage.append(rd.entries);
    // 4: messages
    this.sent.push(...rd.messages);
    for (const m of rd.messages) send(m);
    // 5: apply
    if (rd.snapshot !== undefined) this.confState = rd.snapshot.metadata.confState;
    for (const e of rd.committedEntries) this.#apply(e);
    // 6: answer
    this.reads.push(...rd.readStates);
    // 8: advance
    this.node.advance();
  }

  #apply(e: Entry): void {
    const cc = confChangeOf(e);
    if (cc !== undefined) this.confState = this.node.applyConfChange(cc);
    else if (e.data !== undefined) this.applied.push(new TextDecoder().decode(e.data));
  }

  receive(m: Message): void {
    if (this.stopped) return;
    if (this.paused) this.held.push(m);
    else this.node.step(m);
  }

  resume(): void {
    this.paused = false;
    for (const m of this.held.splice(0)) this.node.step(m);
  }
}

export class Group {
  readonly members: ReadonlyMap<number, Member>;
  /** A message for which this is true is lost. */
  lose: (m: Message) => boolean = () => false;

  /** Members 1 to `size`, all voters unless another configuration is given. */
  constructor(size: number, options: Partial<Config> = {}, cs?: ConfState) {
    const ids = Array.from({ length: size }, (_, i) => i + 1);
    const state = cs ?? makeConfState({ voters: ids });
    this.members = new Map(ids.map((id) => [id, new Member(id, state, options)]));
  }

  at(id: number): Member {
    return this.members.get(id) as Member;
  }

  /** Handles Readys and delivers messages until nothing happens any more. */
  settle(): void {
    for (let busy = true; busy; ) {
      busy = false;
      for (const member of this.members.values()) {
        while (!member.stopped && !member.paused && member.node.hasReady()) {
          busy = true;
          member.handle((m) => {
            if (!this.lose(m)) this.members.get(m.to)?.receive(m);
          });
        }
      }
    }
  }

  elect(id: number): void {
    this.at(id).node.campaign();
    this.settle();
    const { raftState } = this.at(id).node.basicStatus();
    if (raftState !== "StateLeader") throw new Error(`member ${id} was not elected: it is ${raftState}`);
  }

  isolate(...ids: number[]): void {
    this.lose = (m) => ids.includes(m.from) !== ids.includes(m.to);
  }

  tick(id: number, times: number): void {
    for (let i = 0; i < times; i++) {
      this.at(id).node.tick();
      this.settle();
    }
  }
}
