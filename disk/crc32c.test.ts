import { execFile } from "node:child_process";
import { promisify } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { crc32c, crc32cCombine } from "./crc32c.ts";
import { slowCrc32c, text } from "./testing.ts";

describe("crc32c", () => {
  test("gives the published check values of CRC-32C", () => {
    expect(crc32c(text("123456789"))).toBe(0xe3069283);
    // RFC 3720, appendix B.4
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => 31 - i))).toBe(0x113fdb5c);
    expect(crc32c(new Uint8Array(0))).toBe(0);
  });

  test("agrees with the bit-by-bit definition at every length, start and continuation", () => {
    const bytes = Uint8Array.from({ length: 100 }, (_, i) => (i * 151 + 7) & 0xff);
    for (let start = 0; start < 9; start++) {
      for (let end = start; end < bytes.length; end++) {
        const part = bytes.subarray(start, end);
        expect(crc32c(bytes, 0, start, end)).toBe(slowCrc32c(part));
        expect(crc32c(part, 0xdeadbeef)).toBe(slowCrc32c(part, 0xdeadbeef));
      }
    }
  });

  test("agrees with it where there are many bytes, too", () => {
    const bytes = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 151 + (i >> 7) * 13 + 7) & 0xff);
    for (const size of [
      127, 128, 129, 143, 144, 255, 1040, 49_151, 49_152, 49_153, 49_167, 49_168, 49_280, 98_304, 199_990,
    ]) {
      for (const start of [0, 3]) {
        const part = bytes.subarray(start, start + size);
        expect(crc32c(bytes, 0xdeadbeef, start, start + size)).toBe(slowCrc32c(part, 0xdeadbeef));
        expect(crc32c(part)).toBe(slowCrc32c(part));
      }
    }
  });

  test("is continued by handing the checksum so far to the next call", () => {
    expect(crc32c(text("56789"), crc32c(text("1234")))).toBe(0xe3069283);
  });
});

describe("where a process may not make machine code", () => {
  const forbid = `WebAssembly.Module = class { constructor() { throw new WebAssembly.CompileError("forbidden"); } };`;
  test.each([
    ["node --jitless", ["--jitless"], ""],
    ["a policy that forbids it", [], forbid],
  ])("it does without: %s", async (_, flags, first) => {
    const program = `${first} const { crc32c } = await import(${JSON.stringify(new URL("crc32c.ts", import.meta.url).href)});
      console.log(crc32c(new Uint8Array(1000).fill(7)));`;
    const args = [...flags, "--import", "tsx", "--input-type=module", "--eval", program];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    expect(Number(stdout)).toBe(slowCrc32c(new Uint8Array(1000).fill(7)));
  });
});

describe("the checksum combined of two", () => {
  test("is that of the joined bytes, whatever their sizes", () => {
    const bytes = fc.uint8Array({ maxLength: 700 });
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        expect(crc32cCombine(crc32c(a), crc32c(b), b.length)).toBe(crc32c(Buffer.concat([a, b])));
      }),
    );
  });

  test("of three parts is the same whichever two are joined first, with sizes beyond 32 bits too", () => {
    const [a, b, c] = [0x12345678, 0x9abcdef0, 0x0fedcba9];
    for (const size of [5, 2 ** 31, 2 ** 32 - 1, 2 ** 34 + 7]) {
      const left = crc32cCombine(crc32cCombine(a, b, size), c, size);
      expect(left).toBe(crc32cCombine(a, crc32cCombine(b, c, size), 2 * size));
      expect(left).not.toBe(crc32cCombine(a, crc32cCombine(b, c, size), 2 * size + 1));
    }
  });
});
