// Stories that seeds have told, or that somebody has thought of, kept in a form that does not move.

import { describe, expect, test } from "vitest";
import { encodePut } from "../kvstore/command.ts";
import { MessageType } from "../raft/index.ts";
import type { MemberChange } from "../server/member.ts";
import { SimMember } from "./member.ts";
import { Scenario } from "./scenario.ts";

describe("a leader of two that was removed", () => {
  test("stays until the other, which has not heard that it is alone, can do without its vote", async () => {
    const scenario = new Scenario(2);
    const { network, world } = scenario;
    await scenario.giveLeadTo(1);
    await world.runUntil(world.now + 2000); // what a new cluster notes of its members is committed
    const before = scenario.member(1).running?.server.status().commit ?? 0;
    // Leadership cannot be handed over first, so the leader removes itself; the other has the entry, and never hears of
    // its commit.
    network.loses = (m) => m.from === 1 && (m.type === MessageType.MsgTimeoutNow || m.commit > before);
    void scenario.member(1).running?.server.changeMembers([{ kind: "remove", id: 1 }]);
    const first = scenario.member(1);
    const isRemoved = (): boolean => first.running?.server.status().members.length === 1 || first.gone !== undefined;
    await scenario.until("member 1 has applied its removal", isRemoved);
    expect(scenario.member(2).running?.server.status().members).toHaveLength(2);
    await scenario.until("member 2 leads alone", () => scenario.leads(2));
    const put = await scenario.outcome(scenario.member(2).running?.server.propose(encodePut("k", new Uint8Array(1))));
    expect(put.kind).toBe("applied");
    expect(scenario.member(2).running?.server.status().members).toHaveLength(1);
    await scenario.until("member 1 has gone", () => scenario.member(1).gone !== undefined);
    expect(scenario.counts.get("member turned away: removed")).toBe(1);
  });
});

describe("a leader of two that was removed while the other was away", () => {
  test("stays until the other is back, and it can lead alone", async () => {
    const scenario = new Scenario(2);
    const { network, world } = scenario;
    await scenario.giveLeadTo(2);
    await world.runUntil(world.now + 2000);
    const [first, second] = [scenario.member(1), scenario.member(2)];
    const before = second.running?.server.status().commit ?? 0;
    network.loses = (m) => m.from === 2 && (m.type === MessageType.MsgTimeoutNow || m.commit > before);
    void second.running?.server.changeMembers([{ kind: "remove", id: 2 }]);
    await scenario.until(
      "member 2 has applied its removal",
      () => second.running?.server.status().members.length === 1,
    );
    first.powerCut();
    network.loses = undefined;
    await world.runUntil(world.now + 60_000);
    expect(second.running, "it has gone, and nobody can vote for member 1").toBeDefined();
    first.start();
    await scenario.until("member 1 leads", () => scenario.leads(1));
    const put = await scenario.outcome(first.running?.server.propose(encodePut("k", new Uint8Array(1))));
    expect(put.kind).toBe("applied");
    await scenario.until("member 2 has gone", () => second.gone !== undefined);
  });
});

describe("a removal whose commit came in a Ready that wrote nothing", () => {
  test("is on the disk before it is applied, and a power cut cannot take it back", async () => {
    const scenario = new Scenario(2, { segmentBytes: 64_000_000 });
    const { network, world } = scenario;
    await scenario.giveLeadTo(2);
    await world.runUntil(world.now + 2000);
    const [first, second] = [scenario.member(1), scenario.member(2)];
    let acknowledgesNothing = true;
    network.loses = (m) =>
      m.type === MessageType.MsgTimeoutNow ||
      (acknowledgesNothing && m.type === MessageType.MsgAppResp && m.from === 1);
    // More than a Ready takes of committed entries (4 MiB), so that the removal is in the one after that which wrote
    // the commit index down.
    for (let i = 0; i < 5; i++) {
      void second.running?.server.propose(encodePut(`k${i}`, new Uint8Array(1_000_000)));
      await world.runUntil(world.now + 20);
    }
    void second.running?.server.changeMembers([{ kind: "remove", id: 2 }]);
    const raft = second.running?.server.node.raft;
    const isProposed = (): boolean => raft !== undefined && raft.pendingConfIndex > raft.raftLog.applied;
    await scenario.until("the removal is in the log", isProposed);
    await world.runUntil(world.now + 200);
    acknowledgesNothing = false;
    await scenario.until("member 2 has gone", () => second.gone !== undefined);
    expect(first.running?.server.status().members).toHaveLength(1);
    const { disk } = first;
    const cut = disk.powerCut.bind(disk);
    disk.powerCut = () => cut(() => "lost");
    first.powerCut();
    first.start();
    await scenario.until("member 1 leads alone", () => scenario.leads(1));
  });
});

describe("a follower that was removed, and whose vote is wanted by those who have not heard of it", () => {
  test("stays when the leader, the only one who knows, is gone for good", async () => {
    const scenario = new Scenario(4);
    const { network, world } = scenario;
    await scenario.giveLeadTo(1);
    await world.runUntil(world.now + 2000);
    const [first, fourth] = [scenario.member(1), scenario.member(4)];
    const before = first.running?.server.status().commit ?? 0;
    network.loses = (m) => m.from === 1 && m.to !== 4 && m.commit > before;
    void first.running?.server.changeMembers([{ kind: "remove", id: 4 }]);
    await scenario.until("member 1 has applied it", () => first.running?.server.status().members.length === 3);
    await world.runUntil(world.now + 500); // time to tell member 4
    for (const id of [1, 2, 3]) scenario.member(id).powerCut();
    await world.runUntil(world.now + 60_000);
    for (const id of [2, 3]) scenario.member(id).start();
    // Three of four must vote: the one that was removed is needed, after whatever time.
    const others = (): boolean => scenario.leads(2) || scenario.leads(3);
    await scenario.until("another leads", others);
    const leader = scenario.leads(2) ? 2 : 3;
    const put = await scenario.outcome(
      scenario.member(leader).running?.server.propose(encodePut("k", new Uint8Array(1))),
    );
    expect(put.kind).toBe("applied");
    expect(scenario.member(leader).running?.server.status().members).toHaveLength(3);
    expect(fourth.gone).toBeUndefined(); // member 1 may have forgotten
    first.start();
    await scenario.until("member 4 has gone", () => fourth.gone !== undefined);
  });
});

describe("a learner that was a voter when it last heard of anything", () => {
  test("keeps those who were removed since from going, as it may vote again", async () => {
    const scenario = new Scenario(4);
    const { network, world } = scenario;
    await scenario.giveLeadTo(1);
    await world.runUntil(world.now + 2000);
    const [first, third] = [scenario.member(1), scenario.member(3)];
    const change = async (asked: MemberChange): Promise<void> => {
      const outcome = await scenario.outcome(first.running?.server.changeMembers([asked]));
      expect(outcome.kind).toBe("applied");
    };
    network.loses = (m) => m.to === 2;
    await change({ kind: "demote", id: 2 });
    await change({ kind: "remove", id: 3 });
    await world.runUntil(world.now + 60_000);
    expect(third.gone).toBeUndefined();
    network.loses = undefined;
    await scenario.until("member 3 has gone", () => third.gone !== undefined);
  });
});

describe("a leader whose disk hangs", () => {
  test("leads no longer after an election timeout or two, acknowledges nothing, and stops when the disk has stalled for too long", async () => {
    const scenario = new Scenario(3);
    const { world } = scenario;
    await scenario.giveLeadTo(1);
    const first = scenario.member(1);
    first.diskMayFailUntil = Number.POSITIVE_INFINITY;
    first.disk.hangWhen(({ kind }) => kind === "datasync");
    let outcome: string | undefined;
    void first.running?.server.propose(encodePut("k", new Uint8Array(1))).then(({ kind }) => {
      outcome = kind;
    });
    const others = (): boolean => scenario.leads(2) || scenario.leads(3);
    await scenario.until("another leads", others, 40);
    await scenario.until("the first has stepped down", () => !scenario.leads(1), 40);
    expect(first.running).toBeDefined();
    await scenario.until("the first has stopped", () => first.running === undefined);
    expect(world.now).toBeGreaterThan(15_000);
    expect(outcome).not.toBe("applied");
    expect(scenario.counts.get("stopped by its hanging disk")).toBe(1);
    first.start();
    await scenario.until("it is back, and follows", () => (first.running?.server.status().leader ?? 0) > 1);
  });
});

describe("a cluster whose members come back at new addresses", () => {
  const at = (id: number): string => `http://10.0.1.${id}:2380`;
  const list = (urlOf: (id: number) => string) => [1, 2, 3].map((id) => ({ id, url: urlOf(id) }));
  const urls = (scenario: Scenario, id: number): (string | undefined)[] =>
    scenario
      .member(id)
      .running?.server.status()
      .members.map(({ peerUrl }) => peerUrl) ?? [];

  /** Three members with one key, all down, in the middle of whatever they did. */
  async function stopped(): Promise<Scenario> {
    const scenario = new Scenario(3);
    await scenario.giveLeadTo(1);
    const put = scenario.member(1).running?.server.propose(encodePut("k", new Uint8Array(1)));
    expect((await scenario.outcome(put)).kind).toBe("applied");
    for (const member of scenario.members) member.powerCut();
    return scenario;
  }

  function start(scenario: Scenario, id: number, urlOf: (id: number) => string, isTold = true): void {
    const member = scenario.member(id);
    member.url = urlOf(id);
    member.moved = isTold ? list(urlOf) : undefined;
    member.start();
  }

  const led = (scenario: Scenario, ...ids: number[]): Promise<void> =>
    scenario.until(`${ids} have a leader`, () => ids.some((id) => scenario.leads(id)));

  const written = async (scenario: Scenario): Promise<void> => {
    const leader = scenario.members.find(({ id }) => scenario.leads(id));
    const put = leader?.running?.server.propose(encodePut("l", new Uint8Array(1)));
    expect((await scenario.outcome(put)).kind).toBe("applied");
  };

  const settled = (scenario: Scenario, urlOf: (id: number) => string): Promise<void> =>
    scenario.until("every log has the new addresses", () =>
      [1, 2, 3].every((id) => [1, 2, 3].every((of) => urls(scenario, id)[of - 1] === urlOf(of))),
    );

  test("finds no leader without --peers-moved", async () => {
    const scenario = await stopped();
    for (const id of [1, 2, 3]) start(scenario, id, at, false);
    await scenario.world.runUntil(scenario.world.now + 60_000);
    expect([1, 2, 3].some((id) => scenario.leads(id))).toBe(false);
  });

  test("goes on, has the addresses in its log, and starts from them without the flag", async () => {
    const scenario = await stopped();
    for (const id of [1, 2, 3]) start(scenario, id, at);
    await settled(scenario, at);
    for (const member of scenario.members) {
      member.powerCut();
      member.moved = undefined;
      member.start();
    }
    await led(scenario, 1, 2, 3);
    await written(scenario);
  });

  test.each([
    ["and is told so itself", true],
    ["and is not told so itself: the leader reaches it all the same, and the log keeps its old address", false],
  ])("goes on with two of three, and with the third that comes later %s", async (_how, isTold) => {
    const scenario = await stopped();
    for (const id of [1, 2]) start(scenario, id, at);
    await scenario.until("both are in the log", () => urls(scenario, 1)[0] === at(1) && urls(scenario, 2)[1] === at(2));
    await written(scenario);
    start(scenario, 3, at, isTold);
    if (isTold) await settled(scenario, at);
    const commit = (id: number): number => scenario.member(id).running?.server.status().applied ?? 0;
    await scenario.until("the third has caught up", () => commit(3) === commit(1) && commit(3) > 0);
    if (!isTold) expect(urls(scenario, 3)[2]).toBe(SimMember.urlOf(3));
  });

  test("reaches a third that comes later at another address than the two have for it", async () => {
    const scenario = await stopped();
    for (const id of [1, 2]) start(scenario, id, at);
    await scenario.until("both are in the log", () => urls(scenario, 1)[0] === at(1) && urls(scenario, 2)[1] === at(2));
    const elsewhere = (id: number): string => (id === 3 ? "http://10.0.2.3:2380" : at(id));
    start(scenario, 3, elsewhere);
    await settled(scenario, elsewhere);
  });

  test.each<[string, (id: number) => string]>([
    ["two members swap theirs", (id) => SimMember.urlOf([2, 1, 3][id - 1] as number)],
    ["each takes its neighbour's", (id) => SimMember.urlOf((id % 3) + 1)],
  ])("goes on when %s", async (_how, urlOf) => {
    const scenario = await stopped();
    for (const id of [1, 2, 3]) start(scenario, id, urlOf);
    await settled(scenario, urlOf);
    await written(scenario);
  });

  test("lets a later change of an address count, and does not ask for its own address again", async () => {
    const scenario = await stopped();
    for (const id of [1, 2, 3]) start(scenario, id, at);
    await settled(scenario, at);
    const later = (id: number): string => (id === 3 ? "http://10.0.2.3:2380" : at(id));
    const leader = scenario.members.find(({ id }) => scenario.leads(id));
    const change = { kind: "update", id: 3, peerUrl: later(3) } as const;
    expect((await scenario.outcome(leader?.running?.server.changeMembers([change]))).kind).toBe("applied");
    await scenario.world.runUntil(scenario.world.now + 20_000);
    expect([urls(scenario, 1), urls(scenario, 2)]).toEqual([1, 2].map(() => list(later).map(({ url }) => url)));
  });

  test("turns away a member that was removed while it was down, at the new addresses too", async () => {
    const scenario = await stopped();
    for (const id of [1, 2]) start(scenario, id, at);
    await scenario.until("both are in the log", () => urls(scenario, 1)[0] === at(1) && urls(scenario, 2)[1] === at(2));
    const leader = scenario.members.find(({ id }) => scenario.leads(id));
    const removal = leader?.running?.server.changeMembers([{ kind: "remove", id: 3 }]);
    expect((await scenario.outcome(removal)).kind).toBe("applied");
    start(scenario, 3, at);
    await scenario.until("member 3 has gone", () => scenario.member(3).gone !== undefined);
    expect(scenario.counts.get("member turned away: removed")).toBe(1);
  });
});
