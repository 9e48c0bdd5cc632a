import { afterEach, expect, test, vi } from "vitest";
import { Progress } from "./progress.ts";

const real = Object.getOwnPropertyDescriptor(process.stderr, "isTTY");
afterEach(() => {
  vi.restoreAllMocks();
  if (real === undefined) Reflect.deleteProperty(process.stderr, "isTTY");
  else Object.defineProperty(process.stderr, "isTTY", real);
});

/** What is drawn while four chunks of half a MiB come, so many milliseconds after each other. */
async function drawn(isTTY: boolean, total?: number, everyMs = 0): Promise<string> {
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
      yield new Uint8Array(2 ** 19).fill(i);
    }
  };
  const seen: (number | undefined)[] = [];
  for await (const chunk of new Progress("reading", total).through(chunks())) seen.push(chunk[0]);
  expect(seen).toEqual([0, 1, 2, 3]);
  return text;
}

test("a terminal sees a bar that fills up, on one line", async () => {
  const text = await drawn(true, 2 ** 21);
  expect(text).toMatch(/^\rreading \[#######\.{23}\] 25%, 0\.5 MiB\r/);
  expect(text.endsWith(`\rreading [${"#".repeat(30)}] 100%, 2.0 MiB\n`)).toBe(true);
  expect(text.match(/\n/g)).toHaveLength(1);
});

test("where nobody knows how much there is, only the bytes are counted", async () => {
  expect((await drawn(true)).split("\r").at(-1)).toBe("reading 2.0 MiB\n");
});

test("work that takes more than a second shows how fast it is", async () => {
  const lines = (await drawn(true, undefined, 500)).split("\r");
  expect(lines.slice(1)).toEqual([
    "reading 0.5 MiB",
    "reading 1.0 MiB, 1.0 MiB/s",
    "reading 1.5 MiB, 1.0 MiB/s",
    "reading 2.0 MiB, 1.0 MiB/s",
    "reading 2.0 MiB, 1.0 MiB/s\n",
  ]);
  const fast = await drawn(true, 2 ** 21, 600);
  expect(fast.endsWith("] 100%, 2.0 MiB, 0.8 MiB/s\n")).toBe(true);
});

test("a script sees nothing", async () => {
  expect(await drawn(false, 2 ** 21)).toBe("");
});
