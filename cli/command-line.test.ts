// The command line: bad flags, and the client commands against a real member.

import { execFile } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { exitCode } from "../command-line/exit-codes.ts";
import { readyloop, TestCluster } from "../test/cluster.ts";
import { root } from "./index.ts";
import { inProcess } from "./testing.ts";

/** A URL where nothing listens. */
async function deadUrl(): Promise<string> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, "close");
  return `http://127.0.0.1:${port}`;
}

describe("a flag that is wrong gives one clear line and exit code 2", () => {
  const start = ["start-server", "--id=1", "--peers=http://localhost:2380"];
  test.each<[string, string[], RegExp]>([
    ["no command", [], /Which command/],
    ["a command misspelt", ["strat-server"], /no command "strat-server"\. Did you mean start-server\?/],
    ["a command that is not near any", ["ls"], /no command "ls"\. There are: start-server, .*, wal, completion$/m],
    ["a command of another program", ["set", "k", "v"], /no command "set"\. There are: /],
    ["a command misspelt, with --help", ["stauts", "--help"], /Did you mean status\?/],
    ["no command of a group", ["wal"], /Which command\? For example: readyloop wal dump --data-dir=data\/1/],
    ["an unknown command of a group", ["snapshot", "stauts"], /Did you mean snapshot status\?/],
    [
      "a flag before the command",
      ["--endpoints=http://a:1", "get", "k"],
      /the command comes first, before "--endpoints"/,
    ],
    ["an unknown flag", [...start, "--clinet-port=1"], /no flag --clinet-port\. Did you mean --client-port\?/],
    ["--version of a command", ["status", "--version"], /no flag --version/],
    ["--version twice", ["--version", "--version"], /--version stands alone/],
    ["--version with a value", ["--version=true"], /--version stands alone/],
    ["--help with a value", ["status", "--help=false"], /--help takes no value/],
    ["a help that is none", ["status", "--hlep"], /no flag --hlep\. Did you mean --help\?/],
    ["a dash that is no flag", ["put", "-k", "v"], /no flag -k: write -- before arguments/],
    ["no id", ["start-server", "--peers=http://localhost:2380"], /start-server: --id is missing/],
    ["neither id nor peers", ["start-server"], /start-server: --id and --peers are missing/],
    ["two ports that are one", [...start, "--client-port=2380"], /--client-port and --peer-port are both 2380/],
    [
      "ports that meet in a later member",
      ["start-cluster", "--client-port=2580"],
      /--client-port=2580 and --peer-port=2380/,
    ],
    ["a range that is empty", ["wal", "dump", "--data-dir=x", "--from=5", "--to=3"], /--from=5 is beyond --to=3/],
    [
      "a restored member that the peers lack",
      ["snapshot", "restore", "f", "--data-dir=x", "--id=2", "--peers=http://a:1"],
      /--id=2 is not in --peers/,
    ],
    ["an id of 0", ["start-server", "--id=0", "--peers=http://localhost:2380"], /--id must be an integer from 1/],
    ["an id beyond 2^53", ["start-server", "--id=9007199254740993", "--peers=http://localhost:2380"], /--id must be/],
    [
      "an id that the peers lack",
      ["start-server", "--id=2", "--peers=http://localhost:2380"],
      /--id=2 is not in --peers/,
    ],
    ["no peers", ["start-server", "--id=1"], /peers/],
    ["a peer that is no URL", ["start-server", "--id=1", "--peers=localhost"], /not a URL/],
    ["a peer URL with a path", ["start-server", "--id=1", "--peers=http://localhost:2380/x"], /http:\/\/host:port/],
    ["a peer twice", ["start-server", "--id=1", "--peers=http://a:1,http://a:1"], /twice/],
    ["half of the peers with ids", ["start-server", "--id=1", "--peers=1=http://a:1,http://b:1"], /either all/],
    ["a port beyond 65535", [...start, "--client-port=70000"], /--client-port must be/],
    ["a port that is no number", [...start, "--peer-port=http"], /--peer-port must be/],
    ["a tick of 0", [...start, "--tick-ms=0"], /--tick-ms must be/],
    ["a log level that does not exist", [...start, "--log-level=loud"], /log-level/],
    ["a flag without its value", [...start, "--data-dir"], /data-dir/],
    ["a cluster of none", ["start-cluster", "--size=0"], /--size must be/],
    ["an endpoint that is no URL", ["get", "k", "--endpoints=nowhere"], /not a URL/],
    ["put without a value", ["put", "k"], /put: <value> is missing/],
    ["put with nothing", ["put"], /put: <key> and <value> are missing/],
    ["a key that is too long", ["delete", "k".repeat(4097)], /<key> has 4097 bytes; a key has at most 4096/],
    ["a value with a line break", ["get", "k", "--endpoints=a\nb"], /"a\\nb" is not a URL/],
  ])("%s", async (_what, args, message) => {
    const { code, stderr, stdout } = await inProcess(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr.split("\n")[0]).toMatch(/^readyloop: /);
  });

  test("the environment sets flags too, is overruled by the command line, and is no error to a command without the flag", async () => {
    vi.stubEnv("READYLOOP_CLIENT_PORT", "http");
    vi.stubEnv("READYLOOP_ID", "7");
    try {
      expect((await inProcess(...start)).stderr).toMatch(/READYLOOP_CLIENT_PORT \(--client-port\) must be/);
      const { code, stderr } = await inProcess("start-server", "--client-port=0", "--peers=http://localhost:2380");
      expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/--id=7 is not in --peers/) });
      expect((await inProcess("get", "k", "--endpoints=nowhere")).stderr).toMatch(/not a URL/);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  test("the process ends with that code", async () => {
    const { code, stderr } = await readyloop("start-server", "--id=0", "--peers=http://localhost:2380");
    expect(code).toBe(2);
    expect(stderr).toMatch(/^readyloop: --id must be an integer from 1/);
  });
});

describe("help", () => {
  test("--help shows every command, how the environment sets a flag, and all exit codes", async () => {
    const { code, stdout } = await readyloop("--help");
    expect(code).toBe(0);
    for (const { name } of root.commands) expect(stdout).toContain(`npx tsx main.ts ${name}`);
    expect(stdout).toContain("READYLOOP_CLIENT_PORT");
    for (const number of Object.values(exitCode)) expect(stdout).toMatch(new RegExp(`^ {2}${number} {2}\\w`, "m"));
  });

  test.each([
    ["get", "k", "--help"],
    ["members", "add", "--help"],
    ["members", "--help"],
    ["snapshot", "save", "--help"],
  ])("%s %s %s lists all exit codes, since a member is asked", async (...args) => {
    const { code, stdout, stderr } = await inProcess(...args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const number of Object.values(exitCode)) expect(stdout).toMatch(new RegExp(`^ {2}${number} {2}\\w`, "m"));
  });

  test.each([[["start-server", "--id", "--help"]], [["wal", "verify", "--help"]], [["recover", "--help", "--id=x"]]])(
    "%j lists the three exit codes of a command that asks no member, and nothing is read",
    async (args) => {
      const { code, stdout, stderr } = await inProcess(...args);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout.match(/^ {2}\d {2}\w/gm)).toEqual(["  0  d", "  1  f", "  2  t"]);
      expect(stdout).toMatch(/--id |--data-dir /);
    },
  );

  test("--version prints the version of the package", async () => {
    const { version } = JSON.parse(await fs.readFile(new URL("../package.json", import.meta.url), "utf8"));
    expect(await inProcess("--version")).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
  });

  test("completion completes commands, flags and their values in bash", async () => {
    const script = `
      readyloop() { ${process.execPath} --import tsx main.ts "$@"; }
      source <(readyloop completion)
      complete_words() {
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
        _readyloop_yargs_completions
        echo "\${COMPREPLY[*]}"
      }
      complete_words readyloop st
      complete_words readyloop wal ""
      complete_words readyloop wal dump --t
      complete_words readyloop start-server --id=1 --log-format ""`;
    const cwd = path.resolve(import.meta.dirname, "..");
    const { stdout, stderr } = await promisify(execFile)("bash", ["-c", script], {
      cwd,
      env: { ...process.env, SHELL: "/bin/bash", READYLOOP_ID: "no number" },
    });
    expect(stderr).toBe("");
    expect(stdout.trimEnd().split("\n")).toEqual([
      "start-server start-cluster status",
      "dump verify repair",
      "--to --type",
      "auto pretty json",
    ]);
  });
});

describe("the client commands", () => {
  let cluster: TestCluster;
  let dead: string;
  let endpoints: string;
  beforeAll(async () => {
    cluster = await TestCluster.start(1);
    // The first endpoint is dead: each command goes on to the next.
    dead = await deadUrl();
    endpoints = `--endpoints=${dead},${cluster.member(1).clientUrl}`;
  });
  afterAll(() => cluster.stop());

  test("put, get and delete", async () => {
    expect(await readyloop("put", "a key/with ümläut", "a value", endpoints)).toMatchObject({ code: 0, stderr: "" });
    expect(await readyloop("get", "a key/with ümläut", endpoints)).toMatchObject({ code: 0, stdout: "a value" });
    expect(await readyloop("delete", "a key/with ümläut", endpoints)).toMatchObject({ code: 0 });
    const absent = await readyloop("get", "a key/with ümläut", endpoints);
    expect(absent.code).toBe(3);
    expect(absent.stderr).toContain("there is no key");
  });

  test("put takes arguments that begin with a dash after --, and numbers as they are typed", async () => {
    const stored: [string[], string, string][] = [
      [["put", endpoints, "--", "-k", "-v"], "-k", "-v"],
      [["put", "--", "--help", endpoints], "--help", endpoints],
      [["put", "007", "1e3", endpoints], "007", "1e3"],
      [["put", "empty", "", endpoints], "empty", ""],
    ];
    for (const [args, key, value] of stored) {
      vi.stubEnv("READYLOOP_ENDPOINTS", endpoints.slice("--endpoints=".length).replaceAll("http://", ""));
      try {
        expect(await inProcess(...args)).toEqual({ code: 0, stdout: "", stderr: "" });
      } finally {
        vi.unstubAllEnvs();
      }
      const response = await cluster.member(1).fetch(`/${encodeURIComponent(key)}`);
      expect([response.status, await response.text()]).toEqual([200, value]);
    }
  });

  test("status prints a row for each member and each endpoint that did not answer, then who leads", async () => {
    const { code, stdout } = await readyloop("status", endpoints);
    expect(code).toBe(0);
    // The test's forwarder maps the peer port, which the member warns of.
    const [head, alive, gone, warning, verdict] = stdout.split("\n");
    expect(warning).toMatch(/^warning: member 1: ADDRESS_DIFFERS: /);
    expect(head).toMatch(/^ID +ENDPOINT +ROLE +TERM +LEADER +COMMIT +APPLIED +SNAPSHOT$/);
    expect(alive).toMatch(/^1 +http:.* leader +\d+ +1 +\d+ +\d+ +\d+$/);
    expect(gone).toMatch(new RegExp(`^- +${dead} +not reached \\(ECONNREFUSED\\)$`));
    expect(verdict).toMatch(/^member 1 leads term \d+; 1 of 1 voters reached$/);
  });

  test("a command that no endpoint answers ends with exit code 5 and says what each endpoint said", async () => {
    const { code, stderr } = await readyloop("get", "k", `--endpoints=${dead}`);
    expect(code).toBe(5);
    expect(stderr).toMatch(/no endpoint answers as a member does\n {2}http:.*: not reached \(ECONNREFUSED\)\n$/);
  });
});
