import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CommandError, decodeCommand, encodeDelete, encodePut } from "./command.ts";

const key = fc.string({ unit: "binary", maxLength: 200 });
const value = fc.uint8Array({ maxLength: 500 });

describe("encodePut and encodeDelete", () => {
  test("make bytes that decodeCommand turns back into the key and the value", () => {
    fc.assert(
      fc.property(key, value, (k, v) => {
        expect(decodeCommand(encodePut(k, v))).toEqual({ kind: "put", key: k, value: v });
        expect(decodeCommand(encodeDelete(k))).toEqual({ kind: "delete", key: k });
      }),
    );
  });

  test("write the layout that command.ts documents", () => {
    expect([...encodePut("é", Uint8Array.of(7, 8))]).toEqual([1, 1, 0, 2, 0xc3, 0xa9, 7, 8]);
    expect([...encodeDelete("a")]).toEqual([1, 2, 0, 1, 0x61]);
    expect([...encodeDelete("a".repeat(258)).subarray(0, 4)]).toEqual([1, 2, 1, 2]);
  });

  test("keep keys apart that differ only in a byte order mark", () => {
    expect(decodeCommand(encodeDelete("\ufeffa")).key).toBe("\ufeffa");
  });

  test("refuse a key that UTF-8 cannot express, or that is too long", () => {
    expect(() => encodeDelete("a\ud800")).toThrow(CommandError);
    expect(() => encodePut("a".repeat(65_536), new Uint8Array(0))).toThrow(/65536 bytes/);
    expect(decodeCommand(encodeDelete("a".repeat(65_535))).key.length).toBe(65_535);
  });
});

describe("decodeCommand", () => {
  test("throws CommandError and nothing else, and accepts only the one encoding of a command", () => {
    const header = fc.tuple(fc.constantFrom(0, 1, 2), fc.constantFrom(0, 1, 2, 3), fc.constantFrom(0, 1), fc.nat(12));
    const hostile = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc.tuple(header, fc.uint8Array({ maxLength: 20 })).map(([h, rest]) => Uint8Array.from([...h, ...rest])),
    );
    let taken = 0;
    fc.assert(
      fc.property(hostile, (bytes) => {
        try {
          const command = decodeCommand(bytes);
          taken++;
          expect(command.kind === "put" ? encodePut(command.key, command.value) : encodeDelete(command.key)).toEqual(
            bytes,
          );
        } catch (error) {
          if (!(error instanceof CommandError)) throw error;
        }
      }),
      { numRuns: 5000 },
    );
    expect(taken).toBeGreaterThan(0);
  });

  test.each([
    ["nothing", [], /at least 4 bytes/],
    ["less than a header", [1, 1, 0], /at least 4 bytes/],
    ["another version", [2, 1, 0, 1, 97], /version 2 is not known/],
    ["an unknown operation", [1, 3, 0, 1, 97], /operation 3/],
    ["a key that ends behind the command", [1, 1, 0, 2, 97], /should end at offset 6/],
    ["a key that is not UTF-8", [1, 1, 0, 1, 0xff], /not UTF-8/],
    ["a delete with something behind its key", [1, 2, 0, 1, 97, 0], /1 bytes follow/],
  ])("refuses %s", (_what, bytes, message) => {
    expect(() => decodeCommand(Uint8Array.from(bytes))).toThrow(CommandError);
    expect(() => decodeCommand(Uint8Array.from(bytes))).toThrow(message);
  });
});
