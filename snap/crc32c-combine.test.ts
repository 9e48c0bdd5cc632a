// The combined checksum against the one of the joined bytes, and against itself where the bytes would be too many to join.

import fc from "fast-check";
import { expect, test } from "vitest";
import { crc32c } from "../wal/crc32c.ts";
import { crc32cCombine } from "./crc32c-combine.ts";

test("the combined checksum is that of the joined bytes, whatever their sizes", () => {
  const bytes = fc.uint8Array({ maxLength: 700 });
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      expect(crc32cCombine(crc32c(a), crc32c(b), b.length)).toBe(crc32c(Buffer.concat([a, b])));
    }),
  );
});

test("three parts give the same whichever two are joined first, with sizes beyond 32 bits too", () => {
  const [a, b, c] = [0x12345678, 0x9abcdef0, 0x0fedcba9];
  for (const size of [5, 2 ** 31, 2 ** 32 - 1, 2 ** 34 + 7]) {
    const left = crc32cCombine(crc32cCombine(a, b, size), c, size);
    expect(left).toBe(crc32cCombine(a, crc32cCombine(b, c, size), 2 * size));
    expect(left).not.toBe(crc32cCombine(a, crc32cCombine(b, c, size), 2 * size + 1));
  }
});
