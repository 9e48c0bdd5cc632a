import v8 from "node:v8";
import vm from "node:vm";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { StateMachine } from "../server/interfaces.ts";
import { CommandError, encodeDelete, encodePut } from "./command.ts";
import { KvMap } from "./map.ts";
import { KvSnapshotError } from "./map-snapshot.ts";

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

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

async function* inPieces(snapshot: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < snapshot.length; offset += size) yield snapshot.subarray(offset, offset + size);
}

const mapOf = (entries: Iterable<readonly [string, Uint8Array]>): KvMap => {
  const map = new KvMap();
  for (const [key, value] of entries) map.apply([encodePut(key, value)]);
  return map;
};

const key = fc.string({ unit: "binary", maxLength: 30 });
const state = fc.array(fc.tuple(key, fc.uint8Array({ maxLength: 60 })), { maxLength: 60 });

describe("a snapshot of the map", () => {
  test("restores every key and value in another map, in chunks of any size", async () => {
    await fc.assert(
      fc.asyncProperty(state, state, fc.integer({ min: 1, max: 500 }), async (entries, others, size) => {
        const machine: StateMachine = mapOf(others);
        const map = machine as KvMap;
        await machine.restore(inPieces(await collect(mapOf(entries).snapshot()), size));
        const expected = new Map(entries);
        expect(map.size).toBe(expected.size);
        for (const [name, value] of expected) expect(Buffer.from(value).equals(map.get(name)!)).toBe(true);
        for (const [name] of others) expect(map.get(name) === undefined).toBe(!expected.has(name));
      }),
    );
  });

  test("is the same bytes whichever way the state was reached", async () => {
    await fc.assert(
      fc.asyncProperty(state, state, async (entries, others) => {
        const final = new Map(entries);
        const detour = mapOf([...others, ...[...final].reverse()]);
        detour.apply(others.filter(([name]) => !final.has(name)).map(([name]) => encodeDelete(name)));
        const restored = new KvMap();
        await restored.restore(mapOf(entries).snapshot());
        const snapshot = await collect(mapOf(entries).snapshot());
        expect(snapshot.equals(await collect(detour.snapshot()))).toBe(true);
        expect(snapshot.equals(await collect(restored.snapshot()))).toBe(true);
      }),
    );
  });

  test("shows no write that was applied after it was taken, however many are taken while others are read", async () => {
    // Values large enough that a snapshot has several chunks, and few enough keys that most writes meet one that exists.
    const command = fc.record({
      key: fc.nat(60).map((n) => `key-${n}`),
      size: fc.option(fc.nat(40_000), { nil: undefined }),
    });
    const step = fc.oneof(
      fc.record({ kind: fc.constant("write" as const), commands: fc.array(command, { maxLength: 20 }) }),
      fc.record({ kind: fc.constant("take" as const) }),
      fc.record({ kind: fc.constant("read" as const), which: fc.nat(3), count: fc.nat(3) }),
      fc.record({ kind: fc.constant("return" as const), which: fc.nat(3) }),
    );
    let [whole, chunks] = [0, 0];
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const map = mapOf(Array.from({ length: 40 }, (_, i) => [`key-${i}`, new Uint8Array(20_000).fill(i)]));
        const taken: { chunks: AsyncIterator<Uint8Array>; read: Uint8Array[]; expected: Buffer; open: boolean }[] = [];
        const read = async (one: (typeof taken)[number], count: number): Promise<void> => {
          for (let i = 0; i < count && one.open; i++) {
            const { done, value } = await one.chunks.next();
            if (done) one.open = false;
            else one.read.push(value);
          }
        };
        for (const [number, one] of steps.entries()) {
          if (one.kind === "write") {
            map.apply(
              one.commands.map(({ key, size }) =>
                size === undefined ? encodeDelete(key) : encodePut(key, new Uint8Array(size).fill(number)),
              ),
            );
          } else if (one.kind === "take") {
            const expected = await collect(map.snapshot());
            taken.push({ chunks: map.snapshot(), read: [], expected, open: true });
          } else {
            const at = taken[one.which];
            if (at === undefined) continue;
            if (one.kind === "read") await read(at, one.count);
            else if (at.open) {
              await at.chunks.return!();
              taken.splice(one.which, 1);
            }
          }
        }
        for (const one of taken) {
          await read(one, Number.POSITIVE_INFINITY);
          expect(Buffer.concat(one.read).equals(one.expected)).toBe(true);
          whole++;
          chunks += one.read.length;
        }
      }),
    );
    expect(chunks).toBeGreaterThan(2 * whole);
  });

  test("is the state when it was taken, not when its first chunk is asked for", async () => {
    const map = mapOf([["a", bytes("1")]]);
    const expected = await collect(map.snapshot());
    const snapshot = map.snapshot();
    map.apply([encodePut("a", bytes("2")), encodePut("b", bytes("3"))]);
    expect(await collect(snapshot)).toEqual(expected);
  });

  test("is not disturbed when another state is restored while it is read", async () => {
    const map = mapOf([["a", bytes("1")]]);
    const expected = await collect(map.snapshot());
    const snapshot = map.snapshot();
    await map.restore(mapOf([["b", bytes("2")]]).snapshot());
    map.apply([encodePut("a", bytes("3"))]);
    expect(await collect(snapshot)).toEqual(expected);
    expect([map.get("a"), map.get("b")]).toEqual([bytes("3"), bytes("2")]);
  });

  test("gives no chunk after it was returned, begun or not", async () => {
    const map = mapOf([["a", bytes("1")]]);
    for (const begun of [false, true]) {
      const snapshot = map.snapshot();
      if (begun) await snapshot.next();
      expect(await snapshot.return!()).toEqual({ done: true, value: undefined });
      expect(await snapshot.next()).toEqual({ done: true, value: undefined });
    }
  });
});

describe("the overwritten values that are kept for a snapshot", () => {
  v8.setFlagsFromString("--expose-gc");
  const collectGarbage = vm.runInNewContext("gc") as () => void;

  /** Puts a value that is too long for a string, and after `meanwhile` another one in its place; a weak reference to the first. */
  async function overwrite(map: KvMap, meanwhile: () => Promise<unknown>): Promise<WeakRef<Uint8Array>> {
    map.apply([encodePut("a", new Uint8Array(10_000))]);
    const old = new WeakRef(map.get("a")!);
    await meanwhile();
    map.apply([encodePut("a", new Uint8Array(10_000))]);
    return old;
  }

  async function isCollected(old: WeakRef<Uint8Array>): Promise<boolean> {
    for (let i = 0; i < 10 && old.deref() !== undefined; i++) {
      await new Promise(setImmediate);
      collectGarbage();
    }
    return old.deref() === undefined;
  }

  // Of a hash below that of "a", and large: the first chunk ends in its value.
  const first: [string, Uint8Array] = ["\u{1f600}", new Uint8Array(400_000)];

  test("stay until its shard is read", async () => {
    const map = mapOf([first]);
    let snapshot = map.snapshot();
    const old = await overwrite(map, async () => {
      snapshot = map.snapshot();
    });
    expect((await snapshot.next()).done).toBe(false);
    expect(await isCollected(old)).toBe(false);
    while (!(await snapshot.next()).done);
    expect(await isCollected(old)).toBe(true);
  });

  test("become no more in a shard that was read", async () => {
    const map = mapOf([["b", new Uint8Array(400_000)]]);
    let snapshot = map.snapshot();
    const old = await overwrite(map, async () => {
      snapshot = map.snapshot();
      await snapshot.next();
    });
    expect(await isCollected(old)).toBe(true);
    expect((await snapshot.next()).done).toBe(false);
  });

  test("become no more once it was returned, begun or not", async () => {
    for (const begun of [false, true]) {
      const map = mapOf([first]);
      let snapshot = map.snapshot();
      const old = await overwrite(map, async () => {
        snapshot = map.snapshot();
        if (begun) await snapshot.next();
        await snapshot.return?.();
      });
      expect(await isCollected(old)).toBe(true);
      expect((await snapshot.next()).done).toBe(true);
    }
  });

  test("go when it was forgotten", async () => {
    const map = mapOf([first]);
    const old = await overwrite(map, async () => {
      map.snapshot();
    });
    expect(await isCollected(old)).toBe(true);
  });
});

describe("restoring", () => {
  const before: [string, Uint8Array][] = [
    ["a", bytes("1")],
    ["b", bytes("2")],
  ];

  test("leaves the state as it was when the snapshot is cut or goes on after its end", async () => {
    const map = mapOf(before);
    const untouched = await collect(map.snapshot());
    const snapshot = await collect(mapOf([["c", bytes("3")]]).snapshot());
    const longer = Buffer.concat([snapshot, Buffer.of(0)]);
    for (let size = 0; size <= longer.length; size++) {
      if (size === snapshot.length) continue;
      await expect(map.restore(inPieces(longer.subarray(0, size), 5))).rejects.toThrow(KvSnapshotError);
      expect(untouched.equals(await collect(map.snapshot()))).toBe(true);
    }
  });

  test("passes on what the chunks throw, even after the last one, and leaves the state as it was", async () => {
    const map = mapOf(before);
    const snapshot = mapOf([["c", bytes("3")]]).snapshot();
    async function* damaged(): AsyncGenerator<Uint8Array> {
      yield* snapshot;
      throw new Error("the checksum does not hold");
    }
    await expect(map.restore(damaged())).rejects.toThrow("the checksum does not hold");
    expect([map.get("a"), map.get("c"), map.size]).toEqual([bytes("1"), undefined, 2]);
  });

  test("shows the state of before until the last chunk", async () => {
    const map = mapOf(before);
    const seen: number[] = [];
    async function* watched(): AsyncGenerator<Uint8Array> {
      for await (const piece of inPieces(await collect(new KvMap().snapshot()), 1)) {
        yield piece;
        seen.push(map.size);
      }
    }
    await map.restore(watched());
    expect(seen).toEqual(new Array(14).fill(2));
    expect(map.size).toBe(0);
  });
});

test("the first bytes of a snapshot tell whether it can be restored from", async () => {
  const machine: StateMachine = new KvMap();
  const whole = await collect(mapOf([["a", bytes("1")]]).snapshot());
  for (let size = 0; size <= whole.length; size++) machine.checkSnapshot?.(whole.subarray(0, size));
  const newer = whole.slice();
  newer[6] = 2;
  expect(() => machine.checkSnapshot?.(newer)).toThrow(
    /version 2 is not known here, only 1: run one release on all members/,
  );
  expect(() => machine.checkSnapshot?.(bytes("something else"))).toThrow(/must begin with KVMAP/);
});
