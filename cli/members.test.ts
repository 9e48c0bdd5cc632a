// members and transfer against the HTTP server, with a member in memory behind it.

import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Running, startKvServer } from "../kvstore/testing.ts";
import type { MemberInfo } from "../server/member.ts";
import { inProcess } from "./testing.ts";

let server: Running;
const first: MemberInfo = { id: 1, peerUrl: "http://127.0.0.1:2380", role: "voter" };
const second: MemberInfo = { id: 2, peerUrl: "http://127.0.0.1:2480", role: "voter" };
const third: MemberInfo = { id: 3, peerUrl: "http://127.0.0.1:2580", role: "learner" };

beforeEach(async () => {
  server = await startKvServer();
  server.member.members = [first, second, third];
});
afterEach(() => server.close());

/** Runs one command; rejects with what it writes to standard error if it fails. */
async function command(...args: string[]): Promise<{ code: number; stdout: string }> {
  const { code, stdout, stderr } = await inProcess(...args);
  if (code !== 0) throw new Error(stderr);
  return { code, stdout };
}

const here = (): string => `--endpoints=${server.url}`;
const rows = (stdout: string): string[] => stdout.split("\n").map((line) => line.replace(/ {2,}/g, " | "));

describe("members list", () => {
  test("prints a row for each member, and marks the leader", async () => {
    server.member.leader = 2;
    const { code, stdout } = await command("members", "list", here());
    expect(code).toBe(0);
    expect(stdout).toBe(
      [
        "ID  PEER URL               ROLE     LEADER",
        "1   http://127.0.0.1:2380  voter",
        "2   http://127.0.0.1:2480  voter    leader",
        "3   http://127.0.0.1:2580  learner",
        "",
      ].join("\n"),
    );
  });

  test("says when no leader is known", async () => {
    server.member.leader = 0;
    expect((await command("members", "list", here())).stdout).toMatch(/\nno leader is known\n$/);
  });

  test("prints the answer itself with --json, on one line", async () => {
    const { stdout } = await command("members", "list", "--json", here());
    expect(stdout.split("\n")).toHaveLength(2);
    expect(JSON.parse(stdout)).toEqual({ members: [first, second, third], leader: 1 });
  });
});

describe("a change", () => {
  test("is made, and the members after it are printed: add, which tells how to start the new one", async () => {
    const { code, stdout } = await command("members", "add", "4", "http://127.0.0.1:2680/", "--learner", here());
    expect(code).toBe(0);
    expect(server.member.changes).toEqual([[{ kind: "add", id: 4, peerUrl: "http://127.0.0.1:2680", learner: true }]]);
    expect(rows(stdout)).toContain("4 | http://127.0.0.1:2680 | learner");
    expect(stdout).toMatch(/start-server --join --id=4 --peer-port=2680 .*--peers=1=http:\/\/127\.0\.0\.1:2380,2=http/);
    await command("members", "add", "5", "http://127.0.0.1:2780", here());
    expect(server.member.changes[1]).toEqual([
      { kind: "add", id: 5, peerUrl: "http://127.0.0.1:2780", learner: false },
    ]);
  });

  test.each([
    ["promote", ["3"], { kind: "promote", id: 3 }, "3 | http://127.0.0.1:2580 | voter"],
    ["demote", ["2"], { kind: "demote", id: 2 }, "2 | http://127.0.0.1:2480 | learner"],
    [
      "move",
      ["3", "http://member-3:80"],
      { kind: "update", id: 3, peerUrl: "http://member-3" },
      "3 | http://member-3 | learner",
    ],
  ])("is made, and the members after it are printed: %s", async (name, args, change, row) => {
    const { code, stdout } = await command("members", name, ...args, here());
    expect(code).toBe(0);
    expect(server.member.changes).toEqual([[change]]);
    expect(rows(stdout)).toContain(row);
  });

  test("is made, and the members after it are printed: remove", async () => {
    const { code, stdout } = await command("members", "remove", "2", here());
    expect(code).toBe(0);
    expect(server.member.changes).toEqual([[{ kind: "remove", id: 2 }]]);
    expect(stdout).not.toMatch(/2480/);
  });

  test("of the leader is made: transfer", async () => {
    const { code, stdout } = await command("transfer", "2", here());
    expect(code).toBe(0);
    expect(server.member.transferees).toEqual([2]);
    expect(rows(stdout)).toContain("2 | http://127.0.0.1:2480 | voter | leader");
  });
});

const changes = [
  ["members", "add", "4", "http://127.0.0.1:2680"],
  ["members", "promote", "3"],
  ["members", "demote", "2"],
  ["members", "remove", "2"],
  ["members", "move", "2", "http://127.0.0.1:2680"],
  ["transfer", "2"],
];

describe("a change that is not made", () => {
  test.each(changes)("fails with the reason and what to do: %s %s", async (...args) => {
    server.member.nextChange = () => ({
      kind: "conflict",
      code: "QUORUM_AT_RISK",
      message: "2 of 3 voters would be out of reach",
      next: "start member 3 first",
    });
    await expect(command(...args, here())).rejects.toThrow(
      `${server.url}: 409 QUORUM_AT_RISK: 2 of 3 voters would be out of reach\n  What to do: start member 3 first`,
    );
  });

  test.each(changes)("because its outcome is unknown is not tried on another member: %s %s", async (...args) => {
    server.member.nextChange = () => ({ kind: "unknown", message: "5 s passed" });
    await expect(
      command(...args, `--endpoints=${server.url},${server.url.replace("127.0.0.1", "localhost")}`),
    ).rejects.toThrow(/504 OUTCOME_UNKNOWN.*5 s passed/);
    expect(server.member.changes.length + server.member.transferees.length).toBe(1);
  });

  test("because the connection broke may have been made, and is not tried on another member", async () => {
    server.member.nextChange = async () => {
      await server.close();
      return { kind: "applied" };
    };
    const other = await startKvServer();
    await expect(command("members", "remove", "2", `--endpoints=${server.url},${other.url}`)).rejects.toThrow(
      /the connection broke .*; the request may have been carried out/,
    );
    expect(other.member.changes).toEqual([]);
    server = other;
  });

  test("because a member refuses it, or cannot be reached, is tried on the next", async () => {
    const other = await startKvServer();
    other.member.nextChange = () => ({ kind: "refused", code: "NO_LEADER", message: "none is known" });
    const gone = await startKvServer();
    await gone.close();
    const { code } = await command("members", "remove", "2", `--endpoints=${gone.url},${other.url},${server.url}`);
    expect([code, other.member.changes.length, server.member.changes.length]).toEqual([0, 1, 1]);
    await expect(command("members", "remove", "2", `--endpoints=${gone.url},${other.url}`)).rejects.toThrow(
      /no member could do it\n {2}.*ECONNREFUSED\)\n {2}.*503 NO_LEADER: none is known\n {2}What to do: /,
    );
    await other.close();
  });
});

describe("what is not well written", () => {
  test.each<[string[], RegExp]>([
    [["members"], /Which command\? For example: readyloop members list/],
    [["members", "show"], /no command "members show"\. There are: list, add/],
    [["members", "add", "4"], /<url> is missing/],
    [["members", "remove"], /members remove: <id> is missing/],
    [["members", "remove", "0"], /<id> must be an integer from 1 to 9007199254740991, not "0"/],
    [["members", "remove", "four"], /not "four"/],
    [["members", "remove", "1e3"], /not "1e3"/],
    [["members", "promote", "9007199254740992"], /not "9007199254740992"/],
    [["members", "add", "4", "127.0.0.1:2680"], /http:\/\/host:port|not a URL/],
    [["members", "move", "4", "https://a:1"], /http:\/\/host:port/],
    [["members", "list", "--endpoints=nowhere"], /not a URL/],
    [["members", "list", "--jsn"], /there is no flag --jsn. Did you mean --json\?/],
    [["transfer"], /transfer: <id> is missing/],
    [["transfer", "x"], /not "x"/],
  ])("is refused before any member is asked: %j", async (args, message) => {
    await expect(command(...args)).rejects.toThrow(message);
    expect(server.member.changes).toEqual([]);
  });
});

test("a server that has no such path is no member", async () => {
  const stranger = http.createServer((_req, res) => res.writeHead(404).end("no such page")).listen(0, "127.0.0.1");
  await once(stranger, "listening");
  const { port } = stranger.address() as AddressInfo;
  await expect(command("members", "list", `--endpoints=http://127.0.0.1:${port}`)).rejects.toThrow(
    /nothing was done: no endpoint answers as a member does\n {2}.*the answer is not a member's: 404 without a Content-Type/,
  );
  stranger.close();
  stranger.closeAllConnections();
});

test("--help tells each command, with examples and how to replace a member", async () => {
  const { stdout } = await command("members", "--help");
  for (const name of ["list", "add <id> <url>", "promote <id>", "demote <id>", "remove <id>", "move <id> <url>"]) {
    expect(stdout).toContain(`readyloop members ${name}`);
  }
  expect(stdout).toMatch(/Examples:[\s\S]*To replace a member/);
});

test("the environment names the endpoints too", async () => {
  vi.stubEnv("READYLOOP_ENDPOINTS", server.url);
  try {
    expect((await command("members", "list")).stdout).toMatch(/^1 .*2380/m);
    await command("transfer", "3");
    expect(server.member.transferees).toEqual([3]);
  } finally {
    vi.unstubAllEnvs();
  }
});
