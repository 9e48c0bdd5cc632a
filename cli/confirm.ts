// Asking before something is done that cannot be undone.
//
// It asks only on a terminal. A script cannot read the question, so it must give the flag that says yes: silence is not consent.

import { createInterface } from "node:readline/promises";
import { UsageError } from "../command-line/kinds.ts";

/**
 * Whether the answer to the question is one of `yes`. Throws UsageError without a terminal; the error names `flag`.
 */
export async function confirm(question: string, yes: readonly string[], flag: string): Promise<boolean> {
  const { stdin, stderr } = process;
  if (stdin.isTTY !== true) {
    throw new UsageError(`this needs a confirmation, and there is no terminal to ask on: give ${flag} to confirm`);
  }
  const lines = createInterface({ input: stdin, output: stderr });
  const closed = new AbortController();
  lines.once("close", () => closed.abort()); // the input ended: no answer will come
  try {
    const answer = await lines.question(question, { signal: closed.signal });
    return yes.includes(answer.trim().toLowerCase());
  } catch (error) {
    if ((error as Error).name === "AbortError") return false;
    throw error;
  } finally {
    lines.close();
  }
}
