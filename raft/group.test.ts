// Five members through losses, restarts and pauses: in the end all have applied the same, and all that was promised.

import { describe, expect, test } from "vitest";
import { bytes } from "./testing.ts";
import { Group, type Member } from "./testing-group.ts";

/** Integers below n, always the same ones for a seed. */
function randomOf(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (state * 48271) % 0x7fffffff;
    return state % n;
  };
}

class Run {
  readonly group: Group;
  readonly accepted: string[] = [];

  constructor(seed: number, options: { preVote?: boolean; checkQuorum?: boolean } = {}) {
    this.group = new Group(5, { ...options, random: randomOf(seed) });
  }

  #members(): Member[] {
    return [...this.group.members.values()].filter((m) => !m.stopped && !m.paused);
  }

  /** One tick for each member that runs. */
  tick(times = 1): void {
    for (let i = 0; i < times; i++) {
      for (const m of this.#members()) m.node.tick();
      this.group.settle();
    }
  }

  leader(): Member {
    for (let i = 0; i < 500; i++) {
      const leaders = this.#members().filter((m) => m.node.basicStatus().raftState === "StateLeader");
      const newest = leaders.sort((a, b) => b.node.basicStatus().term - a.node.basicStatus().term)[0];
      if (newest !== undefined) return newest;
      this.tick();
    }
    throw new Error("no leader was elected in 500 ticks");
  }

  propose(count: number): void {
    for (let i = 0; i < count; i++) {
      const data = `p${this.accepted.length}`;
      expect(this.leader().node.propose(bytes(data))).toBeUndefined();
      this.accepted.push(data);
      this.group.settle();
    }
  }

  /** After some ticks without any disturbance. */
  expectConverged(): void {
    this.group.lose = () => false;
    this.tick(30);
    const commits = [...this.group.members.values()].map((m) => m.node.basicStatus().commit);
    expect(new Set(commits).size).toBe(1);
    for (const m of this.group.members.values()) expect(m.applied).toEqual(this.accepted);
  }
}

describe.each([{}, { preVote: true, checkQuorum: true }])("five members, options %j,", (options) => {
  test("apply a hundred proposals alike [rafttest.TestBasicProgress]", () => {
    const run = new Run(1, options);
    run.propose(100);
    run.expectConverged();
  });

  test("catch up with what was proposed while they were stopped, from their own logs [rafttest.TestRestart]", () => {
    const run = new Run(2, options);
    const leader = run.leader().id;
    const [a, b] = [1, 2, 3, 4, 5].filter((id) => id !== leader).map((id) => run.group.at(id)) as [Member, Member];
    run.propose(30);
    a.stopped = true;
    run.propose(30);
    b.stopped = true;
    run.propose(30);
    b.restart();
    run.tick(3);
    run.propose(30);
    a.restart();
    run.expectConverged();
  });

  test("catch up with what was proposed while they were paused, late messages included [rafttest.TestPause]", () => {
    const run = new Run(3, options);
    const leader = run.leader().id;
    const [a, b] = [1, 2, 3, 4, 5].filter((id) => id !== leader).map((id) => run.group.at(id)) as [Member, Member];
    run.propose(30);
    a.paused = true;
    run.propose(30);
    b.paused = true;
    run.propose(30);
    expect(a.held.length).toBeGreaterThan(0);
    b.resume();
    run.tick(3);
    run.propose(30);
    a.resume();
    run.expectConverged();
  });

  test("elect another leader when theirs stops, and lose nothing that it had committed", () => {
    const run = new Run(4, options);
    run.propose(10);
    const first = run.leader();
    first.stopped = true;
    run.tick(60);
    expect(run.leader().id).not.toBe(first.id);
    run.propose(10);
    first.restart();
    run.expectConverged();
  });

  test("apply the same in the same order when every fifth message is lost", () => {
    const run = new Run(5, options);
    const random = randomOf(6);
    run.group.lose = () => random(5) === 0;
    const proposed: string[] = [];
    for (let i = 0; i < 60; i++) {
      const data = `lossy${i}`;
      if (run.leader().node.propose(bytes(data)) === undefined) proposed.push(data);
      run.group.settle();
      run.tick(2);
    }
    run.group.lose = () => false;
    run.tick(60);
    const [reference, ...others] = [...run.group.members.values()].map((m) => m.applied);
    for (const applied of others) expect(applied).toEqual(reference);
    // A leader that was deposed may have taken a proposal down with it; what is applied, was proposed, and once.
    expect(reference?.filter((data) => !proposed.includes(data))).toEqual([]);
    expect(new Set(reference).size).toBe(reference?.length);
    expect(reference?.length).toBeGreaterThan(30);
  });

  test("never see a Ready change that they were handed, nor a message that they sent", () => {
    const run = new Run(7, options);
    const kept: { rd: unknown; copy: unknown }[] = [];
    for (const { node } of run.group.members.values()) {
      const ready = node.ready.bind(node);
      node.ready = () => {
        const rd = ready();
        kept.push({ rd, copy: structuredClone(rd) });
        return rd;
      };
    }
    const random = randomOf(8);
    run.group.lose = () => random(10) === 0;
    for (let i = 0; i < 20; i++) {
      const leader = run.leader();
      leader.node.propose(bytes(`p${i}`));
      leader.node.readIndex(bytes(`r${i}`));
      run.group.settle();
      run.tick(2);
    }
    expect(kept.length).toBeGreaterThan(100);
    for (const { rd, copy } of kept) expect(rd).toEqual(copy);
  });
});
