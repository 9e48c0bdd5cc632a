// Plays one script: each comment, its command, what the nodes answer, and a pause.
//
// Promises: on a terminal it goes on with Enter and ends with q, Ctrl-C or Ctrl-D; without one all is printed at once.
// What is printed is what the core does now: it ends at the first step that differs from the output that is recorded in
// the script, and shows how.

import { createInterface } from "node:readline/promises";
import type { Step } from "./datadriven.ts";
import { endLine } from "./datadriven.ts";
import { diff, paint } from "./paint.ts";
import { openScript } from "./script.ts";

/** How far it came: `wrong` is the step that gave other output. */
export interface Shown {
  readonly steps: number;
  readonly seen: number;
  readonly wrong: Step | undefined;
}

/** Asks for Enter; false if it is to end here. */
type Pause = (done: number, all: number) => Promise<boolean>;

const isProse = (line: string): boolean => line.trim() === "" || line.trim().startsWith("#");
const isSubtest = (line: string): boolean => /^\s*subtest\b/.test(line);

/** Comments as text: without their mark. */
function prose(lines: readonly string[]): string {
  const text = lines.map((line) => {
    if (isSubtest(line)) return paint("dim", line.trim());
    return line.trim().replace(/^#+ ?/, "");
  });
  return text.join("\n").trim();
}

/** What to print of a step: its comments, then the command as it is written, with its input. */
function introduction({ layout }: Step): string {
  const at = layout.findIndex((line) => !isProse(line) && !isSubtest(line));
  const comments = prose(layout.slice(0, at));
  const [command = "", ...input] = layout.slice(at).map((line) => line.trimEnd());
  const lines = [paint("bold", `> ${command}`), ...input.filter((line) => line !== "").map((line) => `  ${line}`)];
  return `${comments === "" ? "" : `${comments}\n\n`}${lines.join("\n")}`;
}

const indented = (text: string): string =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => (line === "" ? "" : paint("dim", `    ${line}`)))
    .join("\n");

export async function showScript(file: string, text: string, say: (text: string) => void): Promise<Shown> {
  const { script, run } = openScript(file, text, { mustKnow: false });
  const all = script.steps.length;
  const { pause, close } = keyboard(say);
  try {
    for (const [i, step] of script.steps.entries()) {
      say(`${introduction(step)}`);
      const actual = endLine(run(step));
      if (actual !== step.expected) {
        say(`${diff(step.expected, actual)}\n`);
        return { steps: all, seen: i, wrong: step };
      }
      say(`${indented(actual)}\n`);
      if (i + 1 < all && !(await pause(i + 1, all))) return { steps: all, seen: i + 1, wrong: undefined };
    }
    const rest = prose(script.tail);
    if (rest !== "") say(`${rest}\n`);
    return { steps: all, seen: all, wrong: undefined };
  } finally {
    close();
  }
}

/** Enter between two steps, where there is a person; otherwise no pause. */
function keyboard(say: (text: string) => void): { readonly pause: Pause; readonly close: () => void } {
  if (!process.stdin.isTTY || !process.stdout.isTTY) return { pause: async () => true, close: () => undefined };
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  const closed = new Promise<undefined>((resolve) => {
    lines.once("close", () => resolve(undefined));
  });
  const pause: Pause = async (done, all) => {
    const question = lines.question(paint("dim", `[${done} of ${all}] Enter: next, q: end `));
    const answer = await Promise.race([question.catch(() => undefined), closed]);
    if (answer === undefined) say("");
    else process.stdout.write("\x1b[1A\x1b[2K"); // the question gives way to the next step
    return answer !== undefined && answer.trim().toLowerCase() !== "q";
  };
  return { pause, close: () => lines.close() };
}
