import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Inflights } from "./inflights.ts";

/** Adds the messages [from, to), each of 100 bytes plus its index. */
function fill(inflights: Inflights, from: number, to: number): void {
  for (let index = from; index < to; index++) inflights.add(index, 100 + index);
}

describe("Inflights", () => {
  test("is a list of which freeLE frees a prefix, limited by count and softly by bytes [tracker.TestInflightsAdd, tracker.TestInflightFreeTo]", () => {
    const step = fc.oneof(fc.record({ add: fc.nat(50) }), fc.record({ free: fc.nat(5) }));
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.nat(120),
        fc.array(step, { maxLength: 80 }),
        (size, maxBytes, steps) => {
          const inflights = new Inflights(size, maxBytes);
          let list: { index: number; bytes: number }[] = [];
          let index = 0;
          const full = () =>
            list.length === size || (maxBytes > 0 && list.reduce((n, m) => n + m.bytes, 0) >= maxBytes);
          for (const s of steps) {
            if ("add" in s) {
              if (full()) {
                expect(() => inflights.add(index + 1, s.add)).toThrow(/Full/);
                continue;
              }
              index += 2;
              inflights.add(index, s.add);
              list.push({ index, bytes: s.add });
            } else {
              const to = (list[0]?.index ?? 0) + 2 * s.free - 1;
              inflights.freeLE(to);
              list = list.filter((m) => m.index > to);
            }
            expect([inflights.count(), inflights.full()]).toEqual([list.length, full()]);
          }
          inflights.reset();
          expect([inflights.count(), inflights.full()]).toEqual([0, false]);
        },
      ),
    );
  });

  test("freeLE frees up to an index, also after the ring has wrapped, and nothing for a lower index [tracker.TestInflightFreeTo]", () => {
    const inflights = new Inflights(10, 0);
    fill(inflights, 0, 10);
    const left = [0, 4, 8, 3].map((to) => {
      inflights.freeLE(to);
      return inflights.count();
    });
    expect(left).toEqual([9, 5, 1, 1]);
    fill(inflights, 10, 15);
    inflights.freeLE(12);
    expect(inflights.count()).toBe(2);
    inflights.freeLE(14);
    expect(inflights.count()).toBe(0);
  });

  test.each<[what: string, size: number, maxBytes: number, fullAt: number, free: number, againAt: number]>([
    ["of no size: always full", 0, 0, 0, 0, 0],
    ["of one", 1, 0, 1, 1, 2],
    ["of one, which exceeds the bytes", 1, 10, 1, 1, 2],
    ["of fifteen", 15, 0, 15, 6, 22],
    ["of eight, bytes slightly exceeded", 8, 400, 4, 2, 7],
    ["of eight, bytes just reached", 8, 406, 4, 3, 8],
    ["of fifteen, bytes well exceeded", 15, 408, 5, 1, 6],
  ])(
    "full, %s: size %i and %i bytes are full at %i, and with those up to %i freed at %i [tracker.TestInflightsFull]",
    (_what, size, maxBytes, fullAt, free, againAt) => {
      const inflights = new Inflights(size, maxBytes);
      const fillUp = (from: number, to: number) => {
        for (let index = from; index < to; index++) {
          expect(inflights.full()).toBe(false);
          fill(inflights, index, index + 1);
        }
        expect(inflights.full()).toBe(true);
      };
      fillUp(0, fullAt);
      inflights.freeLE(free);
      fillUp(fullAt, againAt);
      expect(() => inflights.add(100, 1024)).toThrow(/cannot add into a Full inflights/);
    },
  );

  test("reset leaves no messages and no bytes [tracker.TestInflightsReset]", () => {
    const inflights = new Inflights(10, 1000);
    for (let epoch = 0, index = 0; epoch < 100; epoch++) {
      inflights.reset();
      for (let i = 0; i < 5; i++) {
        expect(inflights.full()).toBe(false);
        inflights.add(++index, 16);
      }
      inflights.freeLE(index - 2);
      expect([inflights.full(), inflights.count()]).toEqual([false, 2]);
    }
  });

  test("clone shares nothing with its original", () => {
    const inflights = new Inflights(3, 0);
    inflights.add(1, 1);
    const copy = inflights.clone();
    inflights.freeLE(1);
    expect([inflights.count(), copy.count()]).toEqual([0, 1]);
  });
});
