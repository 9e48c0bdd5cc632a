// For tests: the command line in this process, since twenty processes would take a minute.

import { PassThrough } from "node:stream";
import { vi } from "vitest";
import { main } from "./index.ts";

/** Runs one command; what it writes is kept. */
export async function inProcess(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const written = { stdout: "", stderr: "" };
  const spies = (["stdout", "stderr"] as const).map((stream) =>
    vi.spyOn(process[stream], "write").mockImplementation((text) => {
      written[stream] += text;
      return true;
    }),
  );
  try {
    return { code: await main(args), ...written };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

/** As if this were typed on a terminal while `work` runs, and then nothing more. */
export async function onTerminal<T>(typed: string, work: () => Promise<T>): Promise<T> {
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  stdin.end(typed);
  const real = Object.getOwnPropertyDescriptor(process, "stdin") as PropertyDescriptor;
  Object.defineProperty(process, "stdin", { value: stdin, configurable: true });
  try {
    return await work();
  } finally {
    Object.defineProperty(process, "stdin", real);
  }
}
