// Colours for the terminal, and what differs between two outputs.
//
// Promise: no escape sequence leaves the process where standard output is no terminal with colours, or NO_COLOR is set.

const codes = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39] } as const;

export function paint(style: keyof typeof codes, text: string): string {
  if (process.stdout.isTTY !== true || !process.stdout.hasColors()) return text;
  const [on, off] = codes[style];
  return `\x1b[${on}m${text}\x1b[${off}m`;
}

/** The lines that differ, with two equal ones before them. */
export function diff(expected: string, actual: string): string {
  const before = expected.split("\n");
  const after = actual.split("\n");
  const at = before.findIndex((line, i) => line !== after[i]);
  const first = at < 0 ? before.length : at;
  const same = before.slice(Math.max(0, first - 2), first).map((line) => `      ${line}`);
  const gone = before.slice(first, first + 5).map((line) => paint("red", `    - ${line}`));
  const come = after.slice(first, first + 5).map((line) => paint("green", `    + ${line}`));
  return [...same, ...gone, ...come].join("\n");
}
