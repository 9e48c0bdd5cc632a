import { afterEach, expect, test, vi } from "vitest";
import { Progress } from "./progress.ts";

const real = Object.getOwnPropertyDescriptor(process.stderr, "isTTY");
afterEach(() => {
  vi.restoreAllMocks();
  if (real === undefined) Reflect.deleteProperty(process.stderr, "isTTY");
  else Object.defineProperty(process.stderr, "isTTY", real);
});

/** What is drawn while four chunks of half a MiB come. */
async function drawn(isTTY: boolean, total?: number): Promise<string> {
  Object.defineProperty(process.stderr, "isTTY", { value: isTTY, configurable: true });
  let text = "";
  vi.spyOn(process.stderr, "write").mockImplementation((piece) => {
    text += piece;
    return true;
  });
  const chunks = async function* () {
    for (let i = 0; i < 4; i++) yield new Uint8Array(2 ** 19).fill(i);
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

test("a script sees nothing", async () => {
  expect(await drawn(false, 2 ** 21)).toBe("");
});
