import fc from "fast-check";
import { expect, test } from "vitest";
import { bytesOf, store } from "./stored.ts";

const sizes = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.constantFrom(4095, 4096, 4097, 100_000));

test("store and bytesOf give back a value byte for byte, and a copy that does not change with its source", () => {
  fc.assert(
    fc.property(sizes, fc.integer({ min: 0, max: 255 }), (size, first) => {
      const bytes = Uint8Array.from({ length: size }, (_, i) => (first + 31 * i) % 256);
      const stored = store(bytes);
      const copy = bytes.slice();
      bytes.fill(0);
      expect(Buffer.compare(bytesOf(stored), copy)).toBe(0);
    }),
  );
});

test("store makes a string of a short value and an array of a long one", () => {
  expect(typeof store(new Uint8Array(128).fill(200))).toBe("string");
  expect(store(new Uint8Array(1_500_000))).toBeInstanceOf(Uint8Array);
});
