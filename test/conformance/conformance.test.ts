// The scripts that etcd-io/raft specifies itself with, where a checkout of them lies beside this one; and the runner
// itself.

import fs from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { runScript } from "./script.ts";

const directory = path.resolve(import.meta.dirname, "../../../shared/conformance/etcd-raft");
const scripts = fs.existsSync(directory)
  ? fs.readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".txt"))
  : [];

describe.skipIf(scripts.length === 0)("etcd-raft's own scripts pass unmodified", () => {
  test.each(scripts)("%s", (file) => {
    const { failure } = runScript(file, fs.readFileSync(path.join(directory, file), "utf8"));
    expect(failure).toBeUndefined();
  });
});

describe("the runner", () => {
  const script = [
    "# A comment stays where it is.",
    "add-nodes 1 voters=(1) index=2",
    "----",
    "wrong",
    "",
    "campaign 1",
    "----",
    "----",
    "also",
    "",
    "wrong",
    "----",
    "----",
    "",
  ].join("\n");

  test("fails at the first difference", () => {
    const { failure, passed } = runScript("x.txt", script);
    expect(passed).toBe(0);
    expect(failure).toMatchObject({ kind: "difference", step: { name: "add-nodes", expected: "wrong\n" } });
  });

  test("rewrites a script with the actual output, keeping its comments, and then it passes", () => {
    const { rewritten } = runScript("x.txt", script, true);
    expect(rewritten).toMatch(
      /^# A comment stays where it is\.\nadd-nodes 1 voters=\(1\) index=2\n----\nINFO 1 switched/,
    );
    expect(runScript("x.txt", rewritten ?? "").failure).toBeUndefined();
  });

  test("a script with no known command fails rather than passes", () => {
    expect(runScript("x.txt", "no-such-command\n----\nok\n").failure).toMatchObject({ actual: "unknown command\n" });
  });
});
