import { describe, expect, test } from "vitest";
import type { StateMachine } from "../server/interfaces.ts";
import { CommandError, encodeDelete, encodePut } from "./command.ts";
import { KvMap } from "./map.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("the map", () => {
  test("applies commands in order and gives one result for each", () => {
    const map = new KvMap();
    const machine: StateMachine = map;
    const commands = [
      encodePut("a", bytes("1")),
      encodePut("b", bytes("2")),
      encodePut("a", bytes("3")),
      encodeDelete("b"),
    ];
    expect(machine.apply(commands)).toEqual([undefined, undefined, undefined, undefined]);
    expect(map.get("a")).toEqual(bytes("3"));
    expect(map.get("b")).toBeUndefined();
    expect(map.size).toBe(1);
  });

  test("answers a command that cannot be decoded with an error, changes nothing, and goes on", () => {
    const map = new KvMap();
    const results = map.apply([encodePut("a", bytes("1")), bytes("nonsense"), encodePut("b", bytes("2"))]);
    expect(results[1]).toBeInstanceOf(CommandError);
    expect([results[0], results[2], map.size]).toEqual([undefined, undefined, 2]);
  });

  test("gives the same results and the same map in whatever batches the commands come", () => {
    const commands = [encodePut("a", bytes("1")), bytes("x"), encodeDelete("a"), encodePut("a", bytes("2"))];
    const [one, four] = [new KvMap(), new KvMap()];
    expect(commands.flatMap((command) => one.apply([command]))).toEqual(four.apply(commands));
    expect(one.get("a")).toEqual(four.get("a"));
  });

  test.each([
    ["a Uint8Array", (size: number) => new Uint8Array(size)],
    ["a Buffer, whose slice() does not copy", (size: number) => Buffer.alloc(size)],
  ])("keeps no view of the buffer that a command came in: %s", (_what, make) => {
    const frame = make(10_000);
    const command = encodePut("a", bytes("value"));
    frame.set(command, 100);
    const map = new KvMap();
    map.apply([frame.subarray(100, 100 + command.length)]);
    frame.fill(0);
    expect(map.get("a")).toEqual(bytes("value"));
    expect(map.get("a")?.buffer.byteLength).toBe(5);
  });

  test("holds names apart that an object would give a meaning to", () => {
    const map = new KvMap();
    expect(map.get("__proto__")).toBeUndefined();
    map.apply([encodePut("__proto__", bytes("1")), encodePut("constructor", bytes(""))]);
    expect(map.get("__proto__")).toEqual(bytes("1"));
    expect(map.get("constructor")).toEqual(new Uint8Array(0));
  });

  test("describes a command in a few words, also one that it cannot decode", () => {
    const map = new KvMap();
    expect(map.describe(encodePut("greeting", bytes("hello")))).toBe("put greeting (5 bytes)");
    expect(map.describe(encodeDelete("greeting"))).toBe("delete greeting");
    expect(map.describe(bytes("x"))).toMatch(/at least 4 bytes/);
  });
});
