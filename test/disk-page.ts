// Writes doc/disk.md: the two pages that head wal/index.ts and snap/index.ts, put together. After a change of one run
//
//     npm run disk-page
//
// and disk-page.test.ts fails until that is done: what is promised of the disk stands in one place only.

import fs from "node:fs";
import path from "node:path";

const root = path.join(import.meta.dirname, "..");
export const page = path.join(root, "doc", "disk.md");

/** The comment that heads a file, without its slashes. */
function headOf(file: string): string {
  const lines = fs.readFileSync(path.join(root, file), "utf8").split("\n");
  const end = lines.findIndex((line) => !line.startsWith("//"));
  return lines
    .slice(0, end)
    .map((line) => line.replace(/^\/\/ ?/, ""))
    .join("\n");
}

export function render(): string {
  const part = (title: string, file: string): string =>
    `## ${title}\n\nFrom [${file}](../${file}).\n\n\`\`\`text\n${headOf(file)}\n\`\`\`\n`;
  return [
    "<!-- Written by npm run disk-page, from the heads of the two files that it names. -->\n",
    "# On disk\n",
    "What a member writes down, byte for byte; what it assumes of the disk; and what it does at each step, so that a crash at any point loses",
    "nothing that was acknowledged. `npx tsx main.ts wal dump --data-dir=data/1` shows a log, `wal verify` checks one, and",
    "[When something is lost](recovery.md) says what to do about a log that does not pass.\n",
    part("The log", "wal/index.ts"),
    part("Snapshots", "snap/index.ts"),
    "Next: [When something is lost](recovery.md), what a cluster survives and what needs a hand.\n",
  ].join("\n");
}

if (process.argv[1] === import.meta.filename) fs.writeFileSync(page, render());
