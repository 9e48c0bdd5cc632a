// doc/conformance.md: what conformance with etcd-io/raft means here, and fact by fact where it is proved.
//
//     npm run facts              writes doc/conformance.md
//     npm run facts -- --check   fails if the file is not what would be written
//
// A test proves a fact by naming the Go test at the end of its own name, in brackets: "... [TestLeaderCycle]". The
// names are read from the source of the tests, not from a run, so that this is quick, and the same on every machine.
// facts.test.ts holds the page, the list of facts and the tests together: none may be missing, none unknown.

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { readFlags, yesFlag } from "../../command-line/script-flags.ts";
import { failed, npmRun, passed } from "../../command-line/verdict.ts";
import { partAreas, provedByScripts, withoutTest } from "./facts-parts.ts";
import { type Area, raftAreas } from "./facts-raft.ts";

export const root = path.resolve(import.meta.dirname, "../..");
export const page = path.join(root, "doc/conformance.md");
export const areas: readonly Area[] = [...raftAreas, ...partAreas];

/** Go names in brackets at the end of a string: the end of a test's name, or of a row that becomes one. */
const brackets = /\[((?:[a-z]+\.)?Test\w+(?:, (?:[a-z]+\.)?Test\w+)*)\]["`]/g;

/** For each Go test that a test of ours names: the files of those tests, relative to the root, in order. */
export function proofs(): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const room of ["raft", "test"]) {
    const files = fs.readdirSync(path.join(root, room), { recursive: true, encoding: "utf8" });
    for (const name of files.filter((file) => file.endsWith(".test.ts")).sort()) {
      const file = `${room}/${name.split(path.sep).join("/")}`;
      const source = fs.readFileSync(path.join(root, file), "utf8");
      for (const [, names] of source.matchAll(brackets)) {
        for (const goTest of (names as string).split(", ")) {
          const already = found.get(goTest) ?? [];
          if (!already.includes(file)) found.set(goTest, [...already, file]);
        }
      }
    }
  }
  return found;
}

const link = (file: string): string => `[${file}](../${file})`;

/** Where the fact is proved, as Markdown; undefined if it is not and there is no reason given. */
function proof(goTest: string, found: Map<string, string[]>): string | undefined {
  const files = found.get(goTest);
  if (files !== undefined) return files.map(link).join(", ");
  const scripts = provedByScripts[goTest];
  if (scripts !== undefined) return `the scripts of ${link(scripts)}`;
  const reason = withoutTest[goTest];
  return reason === undefined ? undefined : `*no test:* ${reason}`;
}

function table(area: Area, found: Map<string, string[]>): string {
  const rows = Object.entries(area.facts).map(([goTest, fact]) => {
    return `| ${fact} | \`${goTest}\` | ${proof(goTest, found) ?? "**not proved**"} |`;
  });
  return [
    `### ${area.title}`,
    "",
    `Go: ${area.file}`,
    "",
    "| fact | Go test | proved in |",
    "| --- | --- | --- |",
    ...rows,
  ].join("\n");
}

/** The whole page. */
export function render(): string {
  const found = proofs();
  const names = areas.flatMap((area) => Object.keys(area.facts));
  const proved = names.filter((goTest) => found.has(goTest) || provedByScripts[goTest] !== undefined);
  const count =
    `${proved.length} of the ${names.length} facts are proved by tests here; ` +
    `${names.length - proved.length} have no counterpart, and say why.`;
  const text = fs.readFileSync(path.join(import.meta.dirname, "conformance.md"), "utf8");
  return `${text.trimEnd()}\n\n${count}\n\n${areas.map((area) => table(area, found)).join("\n\n")}\n`;
}

function main(): number {
  const { check } = readFlags({
    name: "facts",
    does: "Writes doc/conformance.md: fact by fact, where conformance with etcd-io/raft is proved.",
    flags: { check: yesFlag("write nothing; fail if the file is not what would be written") },
  });
  const text = render();
  const name = path.relative(root, page);
  if (!check) {
    fs.writeFileSync(page, text);
    return passed(`wrote ${name}`);
  }
  if (fs.existsSync(page) && fs.readFileSync(page, "utf8") === text) return passed(`${name} is what the tests say`);
  return failed(`${name} is not what the tests say; npm run facts writes it anew`, npmRun("facts", "--check"));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) process.exitCode = main();
