// The command line: bad flags, and the client commands against a real member.

import { once } from "node:events";
import net from "node:net";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { inProcess } from "../cli/testing.ts";
import { readyloop, TestCluster } from "./cluster.ts";

/** A URL where nobody listens. */
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
    ["an unknown command", ["strat-server"], /strat-server|Did you mean/],
    ["an unknown flag", [...start, "--clinet-port=1"], /clinet/],
    ["no id", ["start-server", "--peers=http://localhost:2380"], /id/],
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
    ["put without a value", ["put", "k"], /value|Not enough/],
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
      expect((await inProcess(...start)).stderr).toMatch(/--client-port must be/);
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

  test("--help shows every command and an example", async () => {
    const { code, stdout } = await readyloop("--help");
    expect(code).toBe(0);
    for (const word of [
      "start-server",
      "start-cluster",
      "put",
      "members",
      "transfer",
      "wal",
      "READYLOOP_CLIENT_PORT",
    ]) {
      expect(stdout).toContain(word);
    }
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
    expect(absent.code).toBe(1);
    expect(absent.stderr).toContain("there is no key");
  });

  test("status prints a table with a row for each endpoint, reached or not", async () => {
    const { code, stdout } = await readyloop("status", endpoints);
    expect(code).toBe(0);
    const [head, gone, alive] = stdout.split("\n");
    expect(head).toMatch(/ENDPOINT +ID +ROLE +TERM +LEADER +COMMIT +APPLIED +SNAPSHOT +MEMBERS/);
    expect(gone).toContain("not reached");
    expect(alive).toMatch(/ 1 +leader .* 1 voters/);
  });

  test("a command that no endpoint can carry out fails with exit code 1 and says why", async () => {
    const { code, stderr } = await readyloop("get", "k", `--endpoints=${dead}`);
    expect(code).toBe(1);
    expect(stderr).toMatch(/no member could do it[\s\S]*ECONNREFUSED/);
  });
});
