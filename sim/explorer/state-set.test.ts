import { describe, expect, test } from "vitest";
import { Random } from "../random.ts";
import { StateSet } from "./state-set.ts";

const listOf = (random: Random, length: number): Uint32Array => Uint32Array.from({ length }, () => random.bits());

describe("a set of states", () => {
  test("numbers lists in the order in which they come, keeps all of each, and knows each again", () => {
    const random = new Random(1);
    const lists = Array.from({ length: 50_000 }, () => listOf(random, 1 + (random.bits() % 60)));
    const set = new StateSet();
    const added = lists.map((list) => set.add(list, list.length));
    expect(added.every(({ number, isNew }, i) => number === i && isNew)).toBe(true);
    const again = lists.map((list) => set.add(list, list.length));
    expect(again.every(({ number, isNew }, i) => number === i && !isNew)).toBe(true);
    const found = new Uint32Array(64);
    const differing = lists.filter((list, i) => String(found.slice(0, set.read(i, found))) !== String(list));
    expect(differing).toEqual([]);
    expect(set.size).toBe(lists.length);
  });

  test("tells lists apart that differ in one number, or in nothing but their length", () => {
    const set = new StateSet();
    const words = new Uint32Array([1, 2, 3, 0]);
    const numbers = [set.add(words, 3), set.add(words, 4), set.add(words, 2)].map(({ number }) => number);
    words[0] = 0xffffffff;
    numbers.push(set.add(words, 3).number);
    expect(numbers).toEqual([0, 1, 2, 3]);
  });
});
