// doc/conformance.md, the list of facts and the names of the tests say the same.

import fs from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { areas, page, proofs, render, root } from "./facts.ts";
import { provedByScripts, withoutTest } from "./facts-parts.ts";

const names = areas.flatMap((area) => Object.keys(area.facts));
const found = proofs();

describe("the facts of etcd-raft's Go tests", () => {
  test("are 258, each listed once", () => {
    expect(names).toHaveLength(258);
    expect(new Set(names).size).toBe(258);
  });

  test("are proved by a test that names the Go test, or by scripts, or have a reason why not", () => {
    const other = new Set([...Object.keys(provedByScripts), ...Object.keys(withoutTest)]);
    expect(names.filter((name) => !found.has(name) && !other.has(name))).toEqual([]);
  });

  test("have one of these only: what has a test needs no reason", () => {
    const both = Object.keys(withoutTest).filter((name) => found.has(name) || provedByScripts[name] !== undefined);
    expect(both).toEqual([]);
  });

  test("are named in brackets as they are listed, without a misspelling", () => {
    const listed = new Set(names);
    const unknown = [...found.keys(), ...Object.keys(provedByScripts), ...Object.keys(withoutTest)];
    expect(unknown.filter((name) => !listed.has(name))).toEqual([]);
  });

  test("that scripts prove have scripts", () => {
    for (const folder of Object.values(provedByScripts)) {
      const scripts = fs.readdirSync(path.join(root, folder)).filter((file) => file.endsWith(".txt"));
      expect(scripts.length).toBeGreaterThan(0);
    }
  });
});

describe("doc/conformance.md", () => {
  test("is what npm run facts writes", () => {
    expect(fs.readFileSync(page, "utf8")).toBe(render());
  });

  test("links to files that exist", () => {
    const targets = [...render().matchAll(/\]\(\.\.\/([^)]+)\)/g)].map(([, target]) => target as string);
    expect(targets.length).toBeGreaterThan(200);
    expect([...new Set(targets)].filter((target) => !fs.existsSync(path.join(root, target)))).toEqual([]);
  });
});
