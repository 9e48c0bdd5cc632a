// The npm scripts that test, as a person runs them: the verdict at the end, the exit code, operands that are wrong, and
// where they write.

import { execFile } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";

const root = path.join(import.meta.dirname, "..");
const temporary = fs.mkdtempSync(path.join(os.tmpdir(), "readyloop-tools-"));
afterAll(() => fs.rmSync(temporary, { recursive: true }));

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly last: string;
}

/** Runs the script; `plant` is the text of a module that is loaded before it. */
function run(script: string, args: readonly string[], plant?: string): Promise<Ran> {
  const preload = path.join(temporary, "plant.mts");
  if (plant !== undefined) fs.writeFileSync(preload, plant);
  const loaders = ["--import", "tsx", ...(plant === undefined ? [] : ["--import", preload])];
  const options = { cwd: root, env: { ...process.env, TMPDIR: temporary } };
  return new Promise((resolve) => {
    execFile(process.execPath, [...loaders, path.join(root, script), ...args], options, (error, out, err) => {
      const last = out.trimEnd().split("\n").at(-1) ?? "";
      resolve({ code: error === null ? 0 : Number(error.code), out, err, last });
    });
  });
}

const moduleUrl = (file: string): string => JSON.stringify(new URL(`../${file}`, import.meta.url).href);

function write(name: string, text: string): string {
  const file = path.join(temporary, name);
  fs.writeFileSync(file, text);
  return file;
}

describe("a wrong operand", () => {
  const missing = path.join(temporary, "missing");
  test.each([
    ["test/conformance/run.ts", [missing], /^npm run conformance: \S+missing: there is no such file\n$/],
    ["test/conformance/run.ts", [], /^npm run conformance: no script to run: name a script or a directory.*\n$/],
    ["test/conformance/run.ts", ["--show", missing], /^npm run conformance: \S+missing: there is no such file\n$/],
    ["test/conformance/run.ts", ["/dev/null"], /^npm run conformance: \/dev\/null: there is no step in it\n$/],
    [
      "test/conformance/run.ts",
      ["--rewrite", "/dev/null"],
      /^npm run conformance: \/dev\/null: there is no step in it\n$/,
    ],
    ["test/fuzz/run.ts", ["--target=wal", `--input=${missing}`], /^npm run fuzz: \S+missing: there is no such file\n$/],
    ["test/fuzz/run.ts", [`--input=${missing}`], /^npm run fuzz: --input needs one --target\n$/],
    ["test/fuzz/run.ts", ["--target=nope"], /^npm run fuzz: there is no target nope: choose from raftpb, .*\n$/],
    ["sim/linearizability/run.ts", [missing], /^npm run check-history: \S+missing: there is no such file\n$/],
    ["sim/run.ts", ["--member=2"], /^npm run sim: --member goes with --trace, which prints the lines\n$/],
    ["sim/run.ts", ["--seeds=3", "--trace"], /^npm run sim: --trace is for one run, --seed=N, and not for --seeds\n$/],
    ["sim/run.ts", ["--only=nope"], /^npm run sim: --only: there is no fault "nope": there are partition, .*\n$/],
    ["sim/run-mutants.ts", ["--only=nope"], /^npm run sim:mutants: no bug has nope in its name.*\n$/],
    ["sim/explorer/run.ts", ["--world=nope"], /^npm run sim:explore: no world's name contains "nope": see --list\n$/],
    ["test/chaos/run.ts", ["--mutant=nope"], /^npm run chaos: --mutant=nope: there is no such mutant; there are .*\n$/],
    ["bench/wal.ts", [`--dir=${missing}`], /^npm run bench:wal: \S+missing: ENOENT.*\n$/],
  ])("%s %j is refused in one line, with exit code 2", async (script, args, line) => {
    const { code, out, err } = await run(script, args);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(line);
  });
});

describe("npm run sim", () => {
  const short = ["--ticks=40", "--only=crash"];

  test("ends with OK where all held, for one seed and for many", async () => {
    const one = await run("sim/run.ts", ["--seed=3", ...short]);
    expect([one.code, one.last]).toEqual([0, "OK: seed 3 held all that must hold"]);
    const many = await run("sim/run.ts", ["--seeds=2", "--jobs=1", ...short]);
    expect([many.code, many.last]).toEqual([0, "OK: 2 seeds held all that must hold"]);
  });

  test("ends with FAILED and the command that replays the run", async () => {
    const plant = `
      const { Invariants } = await import(${moduleUrl("sim/invariants.ts")});
      Invariants.prototype.sent = () => { throw new Error("planted,\\nin two lines"); };`;
    const { code, last } = await run("sim/run.ts", ["--seed=3", ...short], plant);
    expect(code).toBe(1);
    expect(last).toMatch(
      /^FAILED: seed 3 at \d+ ms: planted, in two lines; replay with: npm run sim -- --seed=3 --ticks=40 --only=crash$/,
    );
  });

  test("--trace --member prints the lines of one member, and says so if there is none", async () => {
    const all = await run("sim/run.ts", ["--seed=3", "--trace", ...short]);
    const linesOf = (who: string, { out }: Ran): string[] =>
      out.split("\n").filter((line) => new RegExp(`^ *\\d+\\.\\d{3} ${who}: `).test(line));
    const one = await run("sim/run.ts", ["--seed=3", "--trace", "--member=2", ...short]);
    expect(linesOf("2", one).length).toBeGreaterThan(10);
    expect(linesOf("2", one)).toEqual(linesOf("2", all));
    expect(linesOf("\\w+", one)).toEqual(linesOf("2", one));
    const none = await run("sim/run.ts", ["--seed=3", "--trace", "--member=99", ...short]);
    expect(linesOf("\\w+", none)).toEqual([]);
    expect(none.out).toMatch(/\nthere is no member 99 in this run: it has the members 1, 2, 3.*\nOK: /);
  });

  test("--only=none is a run without faults, as --minimize may find it", async () => {
    const { code, out } = await run("sim/run.ts", ["--seed=3", "--ticks=20", "--only=none"]);
    expect(code).toBe(0);
    expect(out).toContain("; no faults\n");
  });
});

test("npm run sim:mutants ends with OK if all were found, else with FAILED and a command for the others", async () => {
  const found = await run("sim/run-mutants.ts", ["--only=a vote is sent", "--seeds=30", "--jobs=1"]);
  expect([found.code, found.last]).toEqual([0, "OK: 1 of 1 planted bugs were found"]);
  const missed = await run("sim/run-mutants.ts", ["--only=a read id", "--seeds=1", "--ticks=5", "--jobs=1"]);
  expect(missed.code).toBe(1);
  expect(missed.last).toBe(
    "FAILED: not found in 1 seeds: a read id is used again; replay with: npm run sim:mutants -- '--only=a read id is used again' --seeds=1 --ticks=5",
  );
});

test("npm run sim:explore ends with OK, or with FAILED for a world that was given up", async () => {
  const givenUp = await run("sim/explorer/run.ts", ["--world=two candidates", "--max-states=50"]);
  expect(givenUp.code).toBe(1);
  expect(givenUp.last).toMatch(
    /^FAILED: two candidates was given up after [\d,]+ states; replay with: npm run sim:explore -- '--world=two candidates' --max-states=50$/,
  );
  const allowed = await run("sim/explorer/run.ts", ["--world=two candidates", "--max-states=50", "--allow-incomplete"]);
  expect([allowed.code, allowed.last]).toEqual([
    0,
    "OK: 0 of 1 worlds are as they should be, the others were given up",
  ]);
});

describe("npm run fuzz", () => {
  const failing = (target: string, file: string): string => `
    const { ${target} } = await import(${moduleUrl(file)});
    ${target}.open = async () => ({ run: () => { throw new Error("planted"); }, close: async () => {} });`;

  test("ends with OK, and keeps nothing", async () => {
    const { code, last } = await run("test/fuzz/run.ts", ["--target=codecs", "--inputs=20", "--seed=1"]);
    expect([code, last]).toEqual([0, "OK: no input did what it must not"]);
  });

  test("ends with FAILED, keeps the input outside of the work tree, and promises a decoder's replay", async () => {
    const corpus = path.join(root, "test/fuzz/corpus");
    const before = fs.readdirSync(corpus, { recursive: true });
    const plant = failing("codecsTarget", "test/fuzz/codecs.ts");
    const { code, out, last } = await run("test/fuzz/run.ts", ["--target=codecs", "--inputs=1", "--seed=7"], plant);
    expect(code).toBe(1);
    expect(last).toMatch(
      /^FAILED: codecs: planted.*; replay with: npm run fuzz -- --target=codecs --input=test\/fuzz\/corpus\/codecs\/\S+\.bin$/,
    );
    const kept = /kept as (\S+),/.exec(out)?.[1] as string;
    expect(kept.startsWith(temporary)).toBe(true);
    expect(fs.existsSync(kept)).toBe(true);
    expect(fs.readdirSync(corpus, { recursive: true })).toEqual(before);

    const again = await run("test/fuzz/run.ts", ["--target=codecs", `--input=${kept}`], plant);
    expect([again.code, again.last]).toEqual([
      1,
      `FAILED: codecs: planted; replay with: npm run fuzz -- --target=codecs --input=${kept}`,
    ]);
  });

  test("says that a port's failure depends on time; --keep-in names the directory of its input", async () => {
    const plant = failing("attackTarget", "test/fuzz/attack.ts");
    const args = ["--target=attack", "--inputs=1", "--seed=7", `--keep-in=${path.join(temporary, "kept")}`];
    const { code, last } = await run(
      "test/fuzz/run.ts",
      args,
      plant.replace("run:", "draw: () => new Uint8Array(5), run:"),
    );
    expect(code).toBe(1);
    expect(last).toMatch(
      /^FAILED: attack: planted; replay with: npm run fuzz -- --target=attack --seed=7 --inputs=1 \(it depends on time, .*\)$/,
    );
    expect(fs.readdirSync(path.join(temporary, "kept", "attack"))).toEqual(["failed-seed-7.bin"]);
  });
});

describe("npm run conformance", () => {
  const script = `# What a single voter does.

# It campaigns, and its own vote is enough.
add-nodes 1 voters=(1) index=2
----
wrong
`;

  test("ends with OK, or with FAILED and the script to run again", async () => {
    const good = await run("test/conformance/run.ts", ["raft/testdata/election-single-voter-wins-alone.txt"]);
    expect([good.code, good.last]).toEqual([0, "OK: 1 passed, 0 failed"]);
    const file = write("differs.txt", script);
    const bad = await run("test/conformance/run.ts", [file]);
    expect([bad.code, bad.last]).toEqual([
      1,
      `FAILED: 0 passed, 1 failed; the first: ${file}; replay with: npm run conformance -- ${file}`,
    ]);
  });

  test("--rewrite writes the named scripts, and none at all if one is no script or has an unknown command", async () => {
    const directory = path.join(temporary, "scripts");
    fs.mkdirSync(directory);
    const outside = write("outside.txt", script);
    const good = path.join(directory, "good.txt");
    fs.writeFileSync(good, script);
    fs.symlinkSync(outside, path.join(directory, "link.txt"));
    const strange = write("strange.txt", `${script}\nno-such-command 1\n----\nok\n`);
    for (const also of [strange, write("prose.md", "# Prose\n\nSome text\nand more.\n")]) {
      const { code, last, out } = await run("test/conformance/run.ts", ["--rewrite", directory, also]);
      expect(code).toBe(1);
      expect(out).toMatch(/there is no command (no-such-command|Some)/);
      expect(last).toMatch(/^FAILED: 1 passed, 1 failed, and nothing was written; the first: .*; replay with: /);
      expect(fs.readFileSync(good, "utf8")).toBe(script);
    }
    const { code, last } = await run("test/conformance/run.ts", ["--rewrite", directory]);
    expect([code, last]).toEqual([0, "OK: 1 scripts were run, 1 of them written anew"]);
    expect(fs.readFileSync(good, "utf8")).toContain("----\nINFO 1 switched");
    expect(fs.readFileSync(outside, "utf8")).toBe(script);
    expect((await run("test/conformance/run.ts", [good])).code).toBe(0);
  });

  test("--show plays a script: comments without their mark, the command, its output, without escape sequences in a pipe", async () => {
    const file = "raft/testdata/election-single-voter-wins-alone.txt";
    const { code, out, last } = await run("test/conformance/run.ts", ["--show", file]);
    expect(code).toBe(0);
    expect(last).toMatch(/^OK: \d+ steps, each as recorded$/);
    const source = fs.readFileSync(path.join(root, file), "utf8");
    const comments = source.split("\n").filter((line) => line.startsWith("# "));
    expect(comments.length).toBeGreaterThan(1);
    for (const comment of comments)
      expect(out).toContain(`\n${comment.slice(2)}`.slice(out.startsWith(comment.slice(2)) ? 1 : 0));
    expect(out).toMatch(/\n> campaign 1\n {4}INFO 1 is starting a new election/);
    expect(out).not.toContain("\u001b");
  });

  test("--show ends at the first step that differs, with the difference", async () => {
    const file = write("differs.txt", script);
    const { code, out, last } = await run("test/conformance/run.ts", ["--show", file]);
    expect(code).toBe(1);
    expect(out).toContain("What a single voter does.\n\nIt campaigns, and its own vote is enough.\n\n> add-nodes");
    expect(out).toMatch(/\n {4}- wrong\n/);
    expect(last).toBe(
      `FAILED: ${file}, line 4: the output is not the recorded one; replay with: npm run conformance -- ${file}`,
    );
  });
});

test("npm run facts -- --check and npm run check-history end with a verdict, and benchmarks keep their data elsewhere", async () => {
  const facts = await run("test/conformance/facts.ts", ["--check"]);
  expect([facts.code, facts.last]).toEqual([0, "OK: doc/conformance.md is what the tests say"]);
  const history = await run("sim/linearizability/run.ts", [write("empty.jsonl", "")]);
  expect([history.code, history.out]).toEqual([2, ""]);
  const bench = await run("bench/wal.ts", ["--entries=10", "--rounds=1"]);
  expect([bench.code, bench.last]).toEqual([0, "OK: measured"]);
  const [data] = /(?<=^data: ).*/.exec(bench.out) as RegExpExecArray;
  expect(data.startsWith(temporary)).toBe(true);
  expect(fs.existsSync(data)).toBe(false);
});
