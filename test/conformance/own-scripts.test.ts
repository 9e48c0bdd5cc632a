// The lessons of raft/testdata/: each script gives its output word for word, and the index beside them is complete.
//
// The scripts are run as the conformance runner runs them, one test for each, so that a failure names the lesson that
// no longer holds. What makes a script a lesson is checked as far as a test can: it is listed, named and introduced.

import fs from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { runScript } from "./script.ts";

const directory = path.resolve(import.meta.dirname, "../../raft/testdata");
const scripts = fs
  .readdirSync(directory, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".txt"))
  .map((file) => file.split(path.sep).join("/"))
  .sort();
const read = (file: string): string => fs.readFileSync(path.join(directory, file), "utf8");

describe("the output of each script is what the core does", () => {
  test.each(scripts)("%s", (file) => {
    const { failure, steps, passed } = runScript(path.join(directory, file), read(file));
    expect(failure).toBeUndefined();
    expect(steps).toBeGreaterThan(0);
    expect(passed).toBe(steps);
  });
});

describe("the scripts are a course", () => {
  test("there are at least 60 of them, figures 7 and 8 of the Raft paper among them", () => {
    expect(scripts.length).toBeGreaterThanOrEqual(60);
    expect(scripts.filter((file) => file.startsWith("figure7-")).length).toBeGreaterThanOrEqual(6);
    expect(scripts.filter((file) => file.startsWith("figure8-")).length).toBeGreaterThanOrEqual(2);
  });

  test("each is listed in the README exactly once, and nothing else is", () => {
    const listed = [...read("README.md").matchAll(/^\| \[[^\]]+\]\(([^)]+\.txt)\)/gm)].map((match) => match[1]);
    expect(listed.sort()).toEqual(scripts);
  });

  test("each is named area-situation-outcome, and begins by saying what it shows and where that comes from", () => {
    const misnamed = scripts.filter((file) => !/^[a-z0-9]+(-[a-z0-9]+){2,}\.txt$/.test(path.basename(file)));
    expect(misnamed).toEqual([]);
    const head = (file: string): string => read(file).match(/^(?:#.*\n)+/)?.[0] ?? "";
    expect(scripts.filter((file) => !/paper|thesis|etcd-raft/i.test(head(file)))).toEqual([]);
  });
});
