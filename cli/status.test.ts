// status: the rows, the last line and the exit code, for what the endpoints may come to.

import { afterEach, expect, test } from "vitest";
import { exitCode } from "../command-line/exit-codes.ts";
import { type Running, startKvServer } from "../kvstore/testing.ts";
import type { MemberStatus, PeerProgress, Warning } from "../server/member.ts";
import { withoutUnused } from "./status.ts";
import { type Stranger, slow, startStranger, strangers } from "./strangers.ts";
import { inProcess } from "./testing.ts";

const running: (Running | Stranger)[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.close()));
});

const members = [1, 2, 3].map((id) => ({ id, peerUrl: `http://127.0.0.1:${2280 + 100 * id}`, role: "voter" as const }));

/** An endpoint that answers with this status. */
async function member(status: Partial<MemberStatus>, warnings: readonly Warning[] = []): Promise<string> {
  const server = await startKvServer({ warnings: () => warnings });
  const own = { ...server.member.status(), role: "follower" as const, members, ...status, progress: status.progress };
  server.member.status = () => own;
  running.push(server);
  return server.url;
}

async function stranger(way: keyof typeof strangers): Promise<string> {
  const one = await startStranger(strangers[way] ?? slow[way]!, "http://127.0.0.1:1");
  running.push(one);
  return one.url;
}

async function nobody(): Promise<string> {
  const server = await startKvServer();
  await server.close();
  return server.url;
}

const peer = (id: number, recentActive: boolean): PeerProgress => ({
  id,
  match: 10 + id,
  next: 20,
  state: "replicate",
  recentActive,
  inflight: 0,
});

async function show(...args: string[]) {
  const { code, stdout, stderr } = await inProcess("status", ...args);
  expect(stderr).toBe("");
  return {
    code,
    lines: stdout
      .split("\n")
      .slice(0, -1)
      .map((line) => line.replace(/ {2,}/g, " | ")),
  };
}
const status = (...urls: string[]) => show(`--endpoints=${urls.join(",")}`);
const header = "ID | ENDPOINT | ROLE | TERM | LEADER | COMMIT | APPLIED | SNAPSHOT";

test("status shows a row for each member in the order of their ids, and who leads", async () => {
  const third = await member({ id: 3, leader: 2, term: 7 });
  const first = await member({ id: 1, leader: 2, term: 7, applied: 9 });
  const second = await member({
    id: 2,
    leader: 2,
    term: 7,
    role: "leader",
    progress: [1, 2, 3].map((id) => peer(id, true)),
  });
  const { code, lines } = await status(third, first, second);
  expect(lines).toEqual([
    header,
    `1 | ${first} | follower | 7 | 2 | 12 | 9 | 10`,
    `2 | ${second} | leader | 7 | 2 | 12 | 11 | 10`,
    `3 | ${third} | follower | 7 | 2 | 12 | 11 | 10`,
    "member 2 leads term 7; 3 of 3 voters reached",
  ]);
  expect(code).toBe(0);
});

test("status shows members without an endpoint, with what the leader knows of them", async () => {
  const leader = await member({
    id: 2,
    leader: 2,
    role: "leader",
    progress: [peer(1, true), peer(2, true), peer(3, false)],
  });
  const { code, lines } = await status(leader);
  expect(lines).toEqual([
    header,
    "1 | - | voter | no endpoint answers as this member (peer URL http://127.0.0.1:2380; the leader hears it, match 11)",
    `2 | ${leader} | leader | 5 | 2 | 12 | 11 | 10`,
    "3 | - | voter | no endpoint answers as this member (peer URL http://127.0.0.1:2580; the leader does not hear it, match 13)",
    "member 2 leads term 5; 2 of 3 voters reached (1 of them by other members)",
  ]);
  expect(code).toBe(0);
});

test("status counts a leader as reached if a member that answers follows it", async () => {
  const { code, lines } = await status(await member({ id: 1, leader: 2 }));
  expect(lines.at(-1)).toBe("member 2 leads term 5; 2 of 3 voters reached (1 of them by other members)");
  expect(code).toBe(0);
});

test("status ends with 1 without a majority of the voters", async () => {
  const leader = await member({
    id: 2,
    leader: 2,
    role: "leader",
    progress: [peer(1, false), peer(2, true), peer(3, false)],
  });
  const { code, lines } = await status(leader, await nobody());
  expect(lines.at(-1)).toBe("member 2 leads term 5; 1 of 3 voters reached, and a majority is 2");
  expect(code).toBe(exitCode.failed);
});

test("status ends with 1 without a leader, also if one member still names one of an earlier term", async () => {
  const first = await member({ id: 1, leader: 0, role: "pre-candidate" });
  const third = await member({ id: 3, leader: 0, term: 6, role: "candidate" });
  for (const urls of [
    [first, third],
    [first, third, await member({ id: 2, leader: 2, role: "leader", progress: [] })],
  ]) {
    const { code, lines } = await status(...urls);
    expect(lines.at(-1)).toBe(`no leader is known; ${urls.length} of 3 voters reached`);
    expect(code).toBe(exitCode.failed);
  }
});

test("status names the leader of the highest term while a deposed leader still answers", async () => {
  const first = await member({ id: 1, leader: 1, term: 4 });
  const second = await member({ id: 2, leader: 2, term: 5, role: "leader", progress: [] });
  const third = await member({ id: 3, leader: 2, term: 5 });
  expect((await status(first, second, third)).lines.at(-1)).toBe("member 2 leads term 5; 3 of 3 voters reached");
});

test("status calls a learner a learner, and does not count it as a voter", async () => {
  const list = [members[0]!, { ...members[1]!, role: "learner" as const }];
  const first = await member({ id: 1, leader: 1, role: "leader", members: list, progress: [] });
  const second = await member({ id: 2, leader: 1, members: list });
  const { code, lines } = await status(first, second);
  expect(lines[2]).toBe(`2 | ${second} | learner | 5 | 1 | 12 | 11 | 10`);
  expect(lines.at(-1)).toBe("member 1 leads term 5; 1 of 1 voters reached");
  expect(code).toBe(0);
  expect((await status(second)).lines.at(-1)).toBe(
    "member 1 leads term 5; 1 of 1 voters reached (1 of them by other members)",
  );
});

test("status shows the members as known to the member that has applied the most", async () => {
  const old = await member({ id: 1, leader: 1, applied: 3, members: [...members, { ...members[0]!, id: 4 }] });
  const removed = await member({ id: 4, leader: 1, applied: 2, role: "removed", members: [] });
  const now = await member({ id: 2, leader: 1, applied: 11 });
  const { lines } = await status(old, removed, now, await member({ id: 3, leader: 1 }));
  expect(lines.map((line) => line.split(" | ")[0])).toEqual([
    "ID",
    "1",
    "2",
    "3",
    "4",
    expect.stringContaining("3 of 3"),
  ]);
  expect(lines[4]).toMatch(/ removed /);
});

test("status shows an endpoint that answers as no member, and one that hangs, and asks all at once", async () => {
  const first = await member({ id: 1, leader: 1, role: "leader", members: [members[0]!], progress: [] });
  const [login, moved, hung, gone] = [
    await stranger("a login page with 200"),
    await stranger("a 301 to a member"),
    await stranger("no answer at all"),
    await nobody(),
  ];
  const { code, lines } = await show("--timeout-ms=5000", `--endpoints=${[login, hung, first, moved, gone].join(",")}`);
  expect(lines).toEqual([
    header,
    `1 | ${first} | leader | 5 | 1 | 12 | 11 | 10`,
    `- | ${login} | the answer is not a member's: 200 text/html, not application/json`,
    `- | ${hung} | hung: no answer within 1 s`,
    `- | ${moved} | the answer is not a member's: it redirects (301 to http://127.0.0.1:1/_status), and a member never does`,
    `- | ${gone} | not reached (ECONNREFUSED)`,
    "member 1 leads term 5; 1 of 1 voters reached",
  ]);
  expect(code).toBe(0);
});

test("status ends with 5 when no member answers, and shows why for each endpoint", async () => {
  const [gone, login] = [await nobody(), await stranger("a login page with 200")];
  const { code, lines } = await status(gone, login);
  expect(lines.slice(1)).toEqual([
    `- | ${gone} | not reached (ECONNREFUSED)`,
    `- | ${login} | the answer is not a member's: 200 text/html, not application/json`,
    "no endpoint answers as a member does",
  ]);
  expect(code).toBe(exitCode.noAnswer);
});

test("status shows each member's warnings, fit for a terminal", async () => {
  const list = [members[0]!];
  const warnings = [
    { code: "LOG_LINES_LOST", message: "3 log lines were lost\n: make room" },
    { code: "OTHER", message: "\u001b[2Jcleared" },
  ];
  const url = await member({ id: 1, leader: 1, role: "leader", members: list, progress: [] }, warnings);
  const { code, lines } = await status(url);
  expect(lines.slice(2)).toEqual([
    "warning: member 1: LOG_LINES_LOST: 3 log lines were lost : make room",
    "warning: member 1: OTHER: \\u{1b}[2Jcleared",
    "member 1 leads term 5; 1 of 1 voters reached",
  ]);
  expect(code).toBe(0);
});

test("status says that endpoints are of different clusters, and ends with 1", async () => {
  const list = [members[0]!];
  const one = await member({ id: 1, leader: 1, role: "leader", members: list, progress: [] });
  const other = await member({ id: 1, clusterId: 78, leader: 1, role: "leader", members: list, progress: [] });
  const { code, lines } = await status(other, one);
  expect(lines.slice(1)).toEqual([
    `1 | ${one} | leader | 5 | 1 | 12 | 11 | 10`,
    `1 | ${other} | leader | 5 | 1 | 12 | 11 | 10`,
    `note: the endpoints are members of different clusters: ${one} of cluster 77; ${other} of cluster 78`,
    "cluster 77: member 1 leads term 5; 1 of 1 voters reached",
    "cluster 78: member 1 leads term 5; 1 of 1 voters reached",
  ]);
  expect(code).toBe(exitCode.failed);
});

test("status says that two endpoints are the same member", async () => {
  const leads = { id: 1, leader: 1, role: "leader", members: [members[0]!], progress: [] } as const;
  const urls = [await member(leads), await member(leads)];
  const { code, lines } = await status(...urls);
  expect(lines.at(-2)).toMatch(
    `note: ${urls.join(" and ")} are both member 1 of cluster 77: one process under two names`,
  );
  expect(lines.at(-1)).toBe("member 1 leads term 5; 1 of 1 voters reached");
  expect(code).toBe(0);
});

test("status --json prints the same facts as one document on one line", async () => {
  const warnings = [{ code: "W", message: "\u009b2J \u001b[2J and \u202e" }];
  const first = await member({ id: 2, leader: 2, role: "leader", progress: [peer(1, false), peer(3, true)] }, warnings);
  const gone = await nobody();
  const { stdout, code } = await inProcess("status", "--json", `--endpoints=${first},${gone}`);
  expect(stdout).toMatch(/^[ -~]+\n$/);
  const position = { term: null, leader: null, commit: null, applied: null, snapshot: null };
  const silent = { clusterId: 77, endpoint: null, role: "voter", ...position, warnings: [] };
  expect(JSON.parse(stdout)).toEqual({
    healthy: true,
    leader: 2,
    term: 5,
    voters: 3,
    votersAnswering: 1,
    votersReached: 2,
    members: [
      { ...silent, id: 1, peerUrl: "http://127.0.0.1:2380", match: 11, heardByLeader: false },
      {
        ...{
          id: 2,
          clusterId: 77,
          endpoint: first,
          peerUrl: "http://127.0.0.1:2480",
          role: "leader",
          term: 5,
          leader: 2,
        },
        ...{ commit: 12, match: null, applied: 11, snapshot: 10, heardByLeader: null, warnings },
      },
      { ...silent, id: 3, peerUrl: "http://127.0.0.1:2580", match: 13, heardByLeader: true },
    ],
    unanswered: [{ endpoint: gone, reason: "not reached (ECONNREFUSED)" }],
    notes: [],
  });
  expect(code).toBe(0);
  const none = await inProcess("status", "--json", `--endpoints=${gone}`);
  expect(JSON.parse(none.stdout)).toMatchObject({ healthy: false, leader: 0, members: [], unanswered: [{}] });
  expect(none.code).toBe(exitCode.noAnswer);
});

test("status hides an endpoint of the default list where nothing listens, while every member answers", () => {
  const none = { kind: "none", sent: false, message: "not reached (ECONNREFUSED)" } as const;
  const unused = { endpoint: "http://127.0.0.1:2479", outcome: none };
  const login = { endpoint: "http://127.0.0.1:2579", outcome: { ...none, sent: true, message: "it redirects" } };
  const row = { id: 1, clusterId: 77, endpoint: "http://127.0.0.1:2379", peerUrl: "", role: "leader" } as const;
  const position = { term: 5, leader: 1, commit: 1, applied: 1, snapshot: 0, match: null, heardByLeader: null };
  const answers = { ...row, ...position, warnings: [] };
  expect(withoutUnused([unused, login], [{ rows: [answers] }])).toEqual([login]);
  const missing = { ...answers, id: 2, endpoint: null };
  expect(withoutUnused([unused, login], [{ rows: [answers, missing] }])).toEqual([unused, login]);
  expect(withoutUnused([unused, login], [])).toEqual([unused, login]);
});
