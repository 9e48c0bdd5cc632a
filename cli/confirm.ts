// Asking before something is done that cannot be undone.
//
// Only a terminal is asked. A script has nobody who reads the question, so there the flag that says yes must be given: silence is not consent.

import { createInterface } from "node:readline/promises";
import { UsageError } from "../command-line/kinds.ts";

/**
 * Whether the answer to the question is one of those that count as yes. Throws UsageError without a terminal; `flag` is what to give then.
 */
export async function confirm(question: string, yes: readonly string[], flag: string): Promise<boolean> {
  const { stdin, stderr } = process;
  if (stdin.isTTY !== true) {
    throw new UsageError(`this asks first, and there is no terminal to ask on: give ${flag} if you mean it`);
  }
  const lines = createInterface({ input: stdin, output: stderr });
  const closed = new AbortController();
  lines.once("close", () => closed.abort()); // the end of the input: nobody will answer
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
