import { afterEach, expect, test, vi } from "vitest";
import { Progress } from "./progress.ts";

const real = Object.getOwnPropertyDescriptor(process.stderr, "isTTY");
afterEach(() => {
  vi.restoreAllMocks();
  if (real === undefined) Reflect.deleteProperty(process.stderr, "isTTY");
  else Object.defineProperty(process.stderr, "isTTY", real);
});

const half = 2 ** 19;

/** What is drawn while four chunks of half a MiB come, so many milliseconds after each other. The work fails after `failAt` of them. */
async function drawn(isTTY: boolean, total?: number, everyMs = 0, failAt = Number.POSITIVE_INFINITY): Promise<string> {
  let now = 1000;
  vi.spyOn(performance, "now").mockImplementation(() => now);
  Object.defineProperty(process.stderr, "isTTY", { value: isTTY, configurable: true });
  let text = "";
  vi.spyOn(process.stderr, "write").mockImplementation((piece) => {
    text += piece;
    return true;
  });
  const chunks = async function* () {
    for (let i = 0; i < 4; i++) {
      now += everyMs;
      yield new Uint8Array(half).fill(i);
    }
  };
  const progress = new Progress("reading", total);
  const seen: (number | undefined)[] = [];
  const work = progress.during(async () => {
    for await (const chunk of progress.through(chunks())) seen.push(chunk[0]);
    if (failAt <= 4) throw new Error("it fails");
    return "the result";
  });
  if (failAt <= 4) await expect(work).rejects.toThrow("it fails");
  else expect(await work).toBe("the result");
  expect(seen).toEqual([0, 1, 2, 3]);
  return text;
}

test("a terminal sees a bar that fills up, on one line", async () => {
  const text = await drawn(true, 2 ** 21);
  expect(text).toMatch(/^\rreading \[#######\.{23}\] 25%, 0\.5 MiB\r/);
  expect(text.endsWith(`\rreading [${"#".repeat(30)}] 100%, 2.0 MiB\n`)).toBe(true);
  expect(text.match(/\n/g)).toHaveLength(1);
});

test("Progress shows 100% for work that ended well, though it took fewer bytes than the total, or more, or none", async () => {
  for (const total of [4 * half + 1, 4 * half + 500_000, half, 3 * half, 1, 0]) {
    const text = await drawn(true, total, 200);
    expect(text.endsWith(`\rreading [${"#".repeat(30)}] 100%, 2.0 MiB\n`), `${total}: ${text}`).toBe(true);
    expect(text.match(/100%/g), `${total}: not before its end`).toHaveLength(1);
    expect(text.match(/#{30}/g)).toHaveLength(1);
  }
});

test("Progress never shows 100% for work that failed, though all its bytes came", async () => {
  for (const total of [4 * half, half, 0]) {
    const text = await drawn(true, total, 200, 4);
    expect(text).toMatch(/\] 99%, 2\.0 MiB, stopped\n$/);
    expect(text).not.toMatch(/100%|#{30}/);
  }
  expect(await drawn(true, undefined, 0, 4)).toMatch(/\rreading 2\.0 MiB, stopped\n$/);
});

test("Progress counts the bytes where the total is not known, and marks the end", async () => {
  expect((await drawn(true)).split("\r").at(-1)).toBe("reading 2.0 MiB, done\n");
});

test("Progress shows each hundredth as it is, for each number of hundredths", async () => {
  let now = 1000;
  vi.spyOn(performance, "now").mockImplementation(() => (now += 101));
  Object.defineProperty(process.stderr, "isTTY", { value: true, configurable: true });
  let text = "";
  vi.spyOn(process.stderr, "write").mockImplementation((piece) => {
    text += piece;
    return true;
  });
  const progress = new Progress("reading", 100);
  await progress.during(async () => {
    const chunks = async function* () {
      for (let i = 0; i < 100; i++) yield new Uint8Array(1);
    };
    for await (const _ of progress.through(chunks()));
  });
  const shown = [...text.matchAll(/ (\d+)%/g)].map(([, percent]) => Number(percent));
  expect(shown).toEqual([...Array.from({ length: 99 }, (_, i) => i + 1), 99, 100]);
});

test("work that takes more than a second shows how fast it is", async () => {
  const lines = (await drawn(true, undefined, 500)).split("\r");
  expect(lines.slice(1)).toEqual([
    "reading 0.5 MiB",
    "reading 1.0 MiB, 1.0 MiB/s",
    "reading 1.5 MiB, 1.0 MiB/s",
    "reading 2.0 MiB, 1.0 MiB/s",
    "reading 2.0 MiB, 1.0 MiB/s, done\n",
  ]);
  const fast = await drawn(true, 2 ** 21, 600);
  expect(fast.endsWith("] 100%, 2.0 MiB, 0.8 MiB/s\n")).toBe(true);
});

test("a script sees nothing", async () => {
  expect(await drawn(false, 2 ** 21)).toBe("");
});
