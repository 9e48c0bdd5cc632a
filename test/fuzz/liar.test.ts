// Liars against a cluster that serves, a few of each kind; for more: npm run fuzz -- --target=strangers,traitors

import { describe, expect, test } from "vitest";
import type { TestMember } from "../../server/testing.ts";
import { makeStrangersTarget, makeTraitorsTarget, strangersTarget, traitorsTarget } from "./liar.ts";
import { fuzz, replay } from "./target.ts";

const seed = 20_260_801;
const largestGrowthBytes = 32 * 1024 * 1024;

describe.each([
  { target: strangersTarget, inputs: 12, among: "a removed member" },
  { target: traitorsTarget, inputs: 4, among: "served on" },
])("$target.name: $target.about", ({ target, inputs, among }) => {
  test("come to no fault on inputs from a seed, and hold on to little of them", async () => {
    console.log(`${target.name}: seed ${seed}, ${inputs} inputs`);
    const { failures, outcomes, growthBytes } = await fuzz(target, [], { seed, inputs, measure: true });
    expect(failures.map((failure) => `seed ${failure.seed}: ${failure.error.message}`)).toEqual([]);
    console.log([...outcomes].map(([outcome, count]) => `${outcome} ${count}`).join(", "));
    expect(outcomes.get(among)).toBeGreaterThan(0);
    expect(growthBytes).toBeLessThan(largestGrowthBytes);
  });
});

describe("found at once is", () => {
  /** From the third voter to the first: a heartbeat of the next term that commits a hundred entries more than it has. */
  const heartbeatBeyond = [0, 0x20, 4, 0, 0, 13, 0, 0];

  test("a member that admits every peer", async () => {
    const open = ({ server }: TestMember): void => void Object.assign(server.inbox, { admit: () => undefined });
    const anotherDirectory = Uint8Array.of(2, 0, ...heartbeatBeyond);
    await expect(replay(makeStrangersTarget(open), [], anotherDirectory)).rejects.toThrow(/is let in/);
  });

  test("a member that believes a voter whatever it commits", async () => {
    const trusting = ({ server }: TestMember): void => {
      const step: (change: () => void) => void = Reflect.get(server, "step").bind(server);
      const receive = (_from: number, messages: readonly Parameters<typeof server.node.step>[0][]): void =>
        step(() => {
          for (const m of messages) server.node.step(m);
        });
      Object.assign(server.inbox, { receive });
    };
    const voter = Uint8Array.of(0, 0, ...heartbeatBeyond);
    await expect(replay(traitorsTarget, [], voter)).resolves.toBe("served on");
    await expect(replay(makeTraitorsTarget(trusting), [], voter)).rejects.toThrow(/brought down.*tocommit/);
  });
});
