// Stories that seeds have told, or that somebody has thought of, kept in a form that does not move.

import { describe, expect, test } from "vitest";
import { encodePut } from "../kvstore/command.ts";
import { MessageType } from "../raft/index.ts";
import { Scenario } from "./scenario.ts";

describe("a leader of two that was removed", () => {
  test("stays until the other, which has not heard that it is alone, can do without its vote", async () => {
    const scenario = new Scenario(2);
    const { network, world } = scenario;
    await scenario.giveLeadTo(1);
    await world.runUntil(world.now + 2000); // what a new cluster notes of its members is committed
    const before = scenario.member(1).running?.server.status().commit ?? 0;
    // Leadership cannot be handed over first, so the leader removes itself; the other has the entry, and never hears of its commit.
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
