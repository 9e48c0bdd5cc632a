// Lines above a prompt, on a terminal that is small enough for what is typed to take several rows.

import { createInterface } from "node:readline";
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { Screen } from "./screen.ts";

const columns = 20;
const sequence = `${String.fromCharCode(27)}\\[(\\d*)([A-Z])`;
const tokens = new RegExp(`${sequence}|[\\s\\S]`, "g");
const wholeSequence = new RegExp(`^${sequence}$`);

/** What a terminal shows after these bytes: text, CR, LF, and readline's sequences to move and to clear. */
function shown(bytes: string): string[] {
  const rows: string[] = [""];
  let [row, column] = [0, 0];
  for (const [token] of bytes.matchAll(tokens)) {
    const [, count = "", letter] = wholeSequence.exec(token) ?? [];
    if (letter === "A") row -= Number(count || 1);
    else if (letter === "C") column += Number(count || 1);
    else if (letter === "D") column -= Number(count || 1);
    else if (letter === "G") column = Number(count || 1) - 1;
    else if (letter === "J") rows.splice(row, rows.length, (rows[row] ?? "").slice(0, column));
    else if (token === "\r") column = 0;
    else if (token === "\n") [row, column] = [row + 1, 0];
    else {
      if (column === columns) [row, column] = [row + 1, 0];
      rows[row] = (rows[row] ?? "").padEnd(column).slice(0, column) + token + (rows[row] ?? "").slice(column + 1);
      column++;
    }
    rows[row] ??= "";
  }
  return rows;
}

test.each([
  ["nothing", "", ["> "]],
  ["a word", "put k v", ["> put k v"]],
  [
    "three rows",
    "put k abcdefghijklmnopqrstuvwxyz0123456789",
    ["> put k abcdefghijkl", "mnopqrstuvwxyz012345", "6789"],
  ],
])("Screen.say prints above the prompt and keeps what was typed: %s", (_what, typed, prompt) => {
  const terminal = Object.assign(new PassThrough(), { isTTY: true, columns }) as unknown as NodeJS.WriteStream;
  let bytes = "";
  terminal.on("data", (chunk) => {
    bytes += chunk;
  });
  const input = new PassThrough();
  const lines = createInterface({ input, output: terminal, terminal: true, prompt: "> " });
  const screen = new Screen(terminal);
  screen.say("before");
  screen.showPrompt(lines);
  input.write(typed);
  screen.say("member 2 has ended");
  screen.say("and again");
  expect(shown(bytes)).toEqual(["before", "member 2 has ended", "and again", ...prompt]);
  input.write("\r");
  screen.hidePrompt();
  screen.say("done");
  expect(shown(bytes).slice(-2)[0]).toBe("done");
  lines.close();
});
