// The pages of this project against the project: what a page names must be there.
//
// A link that is relative leads to a file, and its anchor to a heading. A path such as `room/file.ts` names a file, in
// text, in a code block or in a picture, from the root or from the folder of the page. `npm run NAME` names a script of
// package.json. The pages of doc/ are in the order of doc/README.md, and each ends with a link to the next.
//
// Leaves out: links to the web, and whether a page is right.

import fs from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import packageJson from "../package.json" with { type: "json" };

const root = path.resolve(import.meta.dirname, "..");
const notOurs = /^(\.|node_modules$|coverage$|data$)/;
/** The text of doc/conformance.md, whose links are from there. */
const template = "test/conformance/conformance.md";
const widestLine = 180;
const readmeLines = 200;

/** All pages, as paths from the root. */
function pages(folder = ""): string[] {
  return fs.readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    if (notOurs.test(entry.name)) return [];
    const name = path.posix.join(folder, entry.name);
    if (entry.isDirectory()) return pages(name);
    return name.endsWith(".md") && name !== template ? [name] : [];
  });
}

const read = (page: string): string => fs.readFileSync(path.join(root, page), "utf8");
const exists = (file: string): boolean => fs.existsSync(path.join(root, file));
const folderOf = (page: string): string => path.posix.dirname(page);

/** Without its code blocks and pictures. */
const proseOf = (text: string): string => text.replace(/^(`{3,})[^\n]*\n.*?^\1$/gms, "");

/** The anchors of a page, as GitHub makes them of its headings. */
function anchorsOf(text: string): Set<string> {
  const seen = new Map<string, number>();
  const headings = [...proseOf(text).matchAll(/^#{1,6} +(.+?) *$/gm)].map(([, heading]) => heading as string);
  const anchors = headings.map((heading) => {
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const anchor = plain.replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");
    const times = seen.get(anchor) ?? 0;
    seen.set(anchor, times + 1);
    return times === 0 ? anchor : `${anchor}-${times}`;
  });
  return new Set(anchors);
}

/** The targets of a page's links. */
const linksOf = (text: string): string[] =>
  [...proseOf(text).matchAll(/\]\(([^()\s]+)\)/g)].map(([, target]) => target as string);

function brokenLinks(page: string, text: string): string[] {
  return linksOf(text).filter((target) => {
    if (/^[a-z]+:/.test(target)) return false;
    const [file = "", anchor] = target.split("#");
    const linked = file === "" ? page : path.posix.join(folderOf(page), file);
    if (linked !== page && !exists(linked)) return true;
    return anchor !== undefined && !anchorsOf(linked === page ? text : read(linked)).has(anchor);
  });
}

/** Paths of source files in a page that lead nowhere. */
function missingFiles(page: string, text: string): string[] {
  const named = [...text.matchAll(/(?<![\w./:@-])(?:\.\.?\/)*[\w-]+(?:\/[\w.-]+)*\/[\w.-]*\w\.ts\b/g)].map(
    ([name]) => name,
  );
  return named.filter((name) => ![name, path.posix.join(folderOf(page), name)].some(exists));
}

/** Paths of source files in the prose of a page that are not links. */
const unlinkedFiles = (text: string): string[] =>
  [...proseOf(text).matchAll(/(?<!\[)`([\w-]+(?:\/[\w.-]+)*\/[\w.-]*\w\.ts)`(?!\]\()/g)].map(
    ([, name]) => name as string,
  );

const missingScripts = (text: string): string[] =>
  [...text.matchAll(/\bnpm run ([\w:-]*\w)/g)]
    .map(([, name]) => name as string)
    .filter((name) => !(name in packageJson.scripts));

/** A row of a table is one line, and so is a link whose target is long. */
const tooWide = (text: string): string[] =>
  text.split("\n").filter((line) => line.length > widestLine && !line.startsWith("|") && line.includes(" "));

describe.each(pages())("%s", (page) => {
  const text = read(page);

  test("links to files and headings that exist", () => {
    expect(brokenLinks(page, text)).toEqual([]);
  });

  test("names source files and npm scripts that exist", () => {
    expect(missingFiles(page, text)).toEqual([]);
    expect(missingScripts(text)).toEqual([]);
  });

  test(`has no line wider than ${widestLine} columns`, () => {
    expect(tooWide(text)).toEqual([]);
  });
});

describe("the pages of doc/", () => {
  const guide = read("doc/README.md");
  const order = [...new Set(linksOf(guide.split("\n## All pages\n")[1] ?? ""))].filter((target) =>
    /^[\w-]+\.md$/.test(target),
  );

  test("are all in the order of doc/README.md", () => {
    const all = pages("doc").map((page) => path.posix.basename(page));
    expect(["README.md", ...order].toSorted()).toEqual(all.toSorted());
  });

  test("end with a link to the next page, but for the last", () => {
    const ends = order.slice(0, -1).map((page) => linksOf(read(`doc/${page}`).trimEnd().split("\n").at(-1) as string));
    expect(ends).toEqual(order.slice(1).map((next) => [next]));
  });

  test("link to the source files that their text names", () => {
    const found = ["README.md", ...order.map((page) => `doc/${page}`)].flatMap((page) => unlinkedFiles(read(page)));
    expect(found).toEqual([]);
  });
});

test(`README.md has at most ${readmeLines} lines`, () => {
  expect(read("README.md").trimEnd().split("\n").length).toBeLessThanOrEqual(readmeLines);
});

describe("these checks", () => {
  const page = "doc/sample.md";
  const text = [
    "# A page",
    "## What it `says`, and what not",
    "## Twice",
    "## Twice",
    "[there](../main.ts) [gone](../raft/gone.ts) [web](https://example.com/gone) [self](#twice-1) [no heading](#twice-2)",
    "[heading](#what-it-says-and-what-not) [elsewhere](glossary.md#glossary) [not there](glossary.md#gone)",
    "`raft/log.ts` [`raft/raft.ts`](../raft/raft.ts) `wal/gone.ts` npm run sim, npm run gone",
    "```mermaid",
    'a["server/gone.ts"] --> b["raft/log.ts"]',
    "```",
    "word ".repeat(40),
  ].join("\n");

  test("find a link to a file or a heading that is not there", () => {
    expect(brokenLinks(page, text)).toEqual(["../raft/gone.ts", "#twice-2", "glossary.md#gone"]);
  });

  test("find a source file that is not there, in text, in a link and in a picture", () => {
    expect(missingFiles(page, text)).toEqual(["../raft/gone.ts", "wal/gone.ts", "server/gone.ts"]);
  });

  test("find a source file that is named without a link", () => {
    expect(unlinkedFiles(text)).toEqual(["raft/log.ts", "wal/gone.ts"]);
  });

  test("find an npm script that is not there", () => {
    expect(missingScripts(text)).toEqual(["gone"]);
  });

  test("find a line that is too wide", () => {
    expect(tooWide(text)).toEqual(["word ".repeat(40)]);
  });
});
