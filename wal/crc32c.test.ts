import { describe, expect, it } from "vitest";
import { crc32c } from "./crc32c.ts";
import { slowCrc32c, text } from "./testing.ts";

describe("crc32c", () => {
  it("gives the published check values of CRC-32C", () => {
    expect(crc32c(text("123456789"))).toBe(0xe3069283);
    // RFC 3720, appendix B.4
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => 31 - i))).toBe(0x113fdb5c);
    expect(crc32c(new Uint8Array(0))).toBe(0);
  });

  it("agrees with the bit-by-bit definition at every length, start and continuation", () => {
    const bytes = Uint8Array.from({ length: 100 }, (_, i) => (i * 151 + 7) & 0xff);
    for (let start = 0; start < 9; start++) {
      for (let end = start; end < bytes.length; end++) {
        const part = bytes.subarray(start, end);
        expect(crc32c(bytes, 0, start, end)).toBe(slowCrc32c(part));
        expect(crc32c(part, 0xdeadbeef)).toBe(slowCrc32c(part, 0xdeadbeef));
      }
    }
  });

  it("is continued by handing the checksum so far to the next call", () => {
    expect(crc32c(text("56789"), crc32c(text("1234")))).toBe(0xe3069283);
  });
});
