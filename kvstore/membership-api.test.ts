import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ChangeOutcome, Conflict, MemberChange, MemberInfo, Refused } from "../server/member.ts";
import { problem, type Running, startKvServer } from "./testing.ts";

let server: Running;
const first: MemberInfo = { id: 1, peerUrl: "http://127.0.0.1:2380", role: "voter" };
const second: MemberInfo = { id: 2, peerUrl: "http://127.0.0.1:2480", role: "voter" };
const third: MemberInfo = { id: 3, peerUrl: "http://127.0.0.1:2580", role: "learner" };
const address = "http://127.0.0.1:2680";

beforeEach(async () => {
  server = await startKvServer();
  server.member.members = [first, second, third];
});
afterEach(() => server.close());

/** An object is sent as JSON; a string is sent as it is, but labelled JSON. */
function ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
  if (body === undefined) return fetch(server.url + path, { method, headers });
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return fetch(server.url + path, {
    method,
    body: text,
    headers: { "content-type": "application/json", ...headers },
  });
}

/** Every request that changes the members, and the changes that it asks for. */
const requests: [what: string, method: string, path: string, body: unknown, changes: MemberChange[]][] = [
  [
    "an added voter",
    "POST",
    "/_members",
    { id: 4, peerUrl: address },
    [{ kind: "add", id: 4, peerUrl: address, learner: false }],
  ],
  [
    "an added learner",
    "POST",
    "/_members",
    { id: 4, peerUrl: address, learner: true },
    [{ kind: "add", id: 4, peerUrl: address, learner: true }],
  ],
  ["another address", "PUT", "/_members/2", { peerUrl: address }, [{ kind: "update", id: 2, peerUrl: address }]],
  ["a promotion", "POST", "/_members/3/promote", undefined, [{ kind: "promote", id: 3 }]],
  ["a demotion", "POST", "/_members/2/demote", undefined, [{ kind: "demote", id: 2 }]],
  ["a removal", "DELETE", "/_members/2", undefined, [{ kind: "remove", id: 2 }]],
  [
    "all at once",
    "PATCH",
    "/_members",
    {
      changes: [
        { add: { id: 4, peerUrl: address, learner: true } },
        { promote: 3 },
        { demote: 2 },
        { update: { id: 5, peerUrl: "http://[::1]:2780" } },
        { remove: 1 },
      ],
    },
    [
      { kind: "add", id: 4, peerUrl: address, learner: true },
      { kind: "promote", id: 3 },
      { kind: "demote", id: 2 },
      { kind: "update", id: 5, peerUrl: "http://[::1]:2780" },
      { kind: "remove", id: 1 },
    ],
  ],
];

describe("the members", () => {
  test("are the answer to GET /_members, with the leader's id, and without the rest of the status", async () => {
    const response = await ask("GET", "/_members");
    expect([response.status, await response.json()]).toEqual([200, { members: [first, second, third], leader: 1 }]);
    server.member.leader = 0;
    expect(await (await ask("GET", "/_members")).json()).toHaveProperty("leader", 0);
    expect((await ask("HEAD", "/_members")).status).toBe(200);
  });

  test.each(requests)(
    "are changed in one call: %s, answered with the members after it",
    async (_what, method, path, body, changes) => {
      const response = await ask(method, path, body);
      expect(response.status).toBe(200);
      expect(server.member.changes).toEqual([changes]);
      expect(await response.json()).toEqual({ members: server.member.members, leader: 1 });
      expect(server.member.members).not.toEqual([first, second, third]);
    },
  );

  test("are the answer to a change once it is applied, not before", async () => {
    let apply = (): void => undefined;
    const waiting = new Promise<void>((resolve) => {
      server.member.nextChange = () =>
        new Promise((settle) => {
          apply = () => settle({ kind: "applied" });
          resolve();
        });
    });
    let answered = false;
    const response = ask("DELETE", "/_members/2").then((r) => {
      answered = true;
      return r;
    });
    await waiting;
    await ask("GET", "/_members"); // another round trip, within which a hasty answer would have come
    expect(answered).toBe(false);
    server.member.members = [first, third];
    apply();
    expect(await (await response).json()).toEqual({ members: [first, third], leader: 1 });
  });

  test("have addresses in one spelling: the origin", async () => {
    for (const [given, origin] of [
      ["HTTP://LocalHost:2680/", "http://localhost:2680"],
      ["http://member-4:80", "http://member-4"],
      ["http://member-4", "http://member-4"],
      ["http://[0:0::1]:2680", "http://[::1]:2680"],
    ]) {
      expect((await ask("PUT", "/_members/3", { peerUrl: given })).status).toBe(200);
      expect(server.member.members[2]).toEqual({ ...third, peerUrl: origin });
    }
  });

  test("may have any id up to 2^53 - 1", async () => {
    const id = Number.MAX_SAFE_INTEGER;
    expect((await ask("POST", "/_members", { id, peerUrl: address })).status).toBe(200);
    expect((await ask("DELETE", `/_members/${id}`)).status).toBe(200);
    expect(server.member.changes.flat().map((change) => change.id)).toEqual([id, id]);
  });

  test("are changed by up to 64 changes at once", async () => {
    const changes = (count: number): object => ({
      changes: Array.from({ length: count }, (_, i) => ({ remove: i + 1 })),
    });
    expect((await ask("PATCH", "/_members", changes(64))).status).toBe(200);
    expect(server.member.changes[0]).toHaveLength(64);
    expect(await problem(await ask("PATCH", "/_members", changes(65)))).toEqual([400, "BAD_BODY"]);
  });
});

test("POST /_leader hands leadership over and answers with the members and the new leader", async () => {
  const response = await ask("POST", "/_leader", { transferee: 2 });
  expect([response.status, await response.json()]).toEqual([200, { members: [first, second, third], leader: 2 }]);
  expect(server.member.transferees).toEqual([2]);
});

describe("the outcome of a change", () => {
  const all = [...requests, ["a transfer", "POST", "/_leader", { transferee: 2 }, []] as const];

  const conflicts: Conflict["code"][] = [
    "INVALID_CHANGE",
    "CHANGE_PENDING",
    "ID_SPENT",
    "QUORUM_AT_RISK",
    "LEARNER_BEHIND",
    "TRANSFER_FAILED",
  ];
  test.each(conflicts)("is 409 for %s, with the reason and a way out", async (code) => {
    server.member.nextChange = () => ({ kind: "conflict", code, message: `because of ${code}`, next: "do this" });
    for (const [, method, path, body] of all) {
      const response = await ask(method, path, body);
      expect(response.status).toBe(409);
      expect(await response.json()).toEqual({ code, message: `because of ${code}`, next: "do this" });
    }
  });

  const refusals: [Refused["code"], number, string | null][] = [
    ["NO_LEADER", 503, "1"],
    ["TOO_MANY_WAITING", 503, "1"],
    ["STOPPING", 503, "1"],
    ["TOO_LARGE", 413, null],
  ];
  test.each(refusals)("becomes the HTTP answer: %s is %i", async (code, status, retryAfter) => {
    server.member.nextChange = () => ({ kind: "refused", code, message: `because of ${code}` });
    for (const [, method, path, body] of all) {
      const response = await ask(method, path, body);
      expect(response.headers.get("retry-after")).toBe(retryAfter);
      expect(await problem(response)).toEqual([status, code]);
    }
  });

  test("is 504 when the outcome is unknown, and says that the change may still happen", async () => {
    const unknown: ChangeOutcome = { kind: "unknown", message: "5 s passed" };
    server.member.nextChange = () => unknown;
    for (const [, method, path, body] of all) {
      const response = await ask(method, path, body);
      expect(await response.clone().text()).toMatch(/the change may still happen: 5 s passed.*GET \/_members/);
      expect(await problem(response)).toEqual([504, "OUTCOME_UNKNOWN"]);
    }
  });

  test("is 500 and a line in the log when the member throws an unforeseen error, and the server goes on", async () => {
    server.member.nextChange = () => Promise.reject(new Error("secret detail"));
    for (const [, method, path, body] of all) {
      const response = await ask(method, path, body);
      expect(await response.clone().text()).not.toMatch(/secret/);
      expect(await problem(response)).toEqual([500, "INTERNAL"]);
    }
    expect(server.logged).toHaveLength(all.length);
    server.member.leader = -1; // the change is applied, but the members cannot be told
    server.member.nextChange = undefined;
    expect(await problem(await ask("DELETE", "/_members/3"))).toEqual([500, "INTERNAL"]);
    server.member.leader = 1;
    expect((await ask("GET", "/_members")).status).toBe(200);
  });
});

describe("a path of the membership API", () => {
  test.each([
    "0",
    "-1",
    "+4",
    "4.0",
    "04",
    "0x4",
    "1e3",
    "four",
    "%20",
    "9007199254740992",
    "4%2Fpromote",
    "%zz",
    "%ff",
  ])("that names no member is refused: /_members/%s", async (id) => {
    for (const [method, path, body] of [
      ["DELETE", `/_members/${id}`, undefined],
      ["PUT", `/_members/${id}`, { peerUrl: address }],
      ["POST", `/_members/${id}/promote`, undefined],
      ["POST", `/_members/${id}/demote`, undefined],
    ] as const) {
      expect(await problem(await ask(method, path, body))).toEqual([400, "BAD_MEMBER_ID"]);
    }
    expect(server.member.changes).toEqual([]);
    expect(server.logged).toEqual([]);
  });

  test.each([
    ["/_members", "GET, HEAD, POST, PATCH", ["PUT", "DELETE", "OPTIONS"]],
    ["/_members/4", "PUT, DELETE", ["GET", "HEAD", "POST", "PATCH", "OPTIONS"]],
    ["/_members/4/promote", "POST", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"]],
    ["/_members/4/demote", "POST", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"]],
    ["/_leader", "POST", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"]],
  ] as const)("has the methods that Allow tells, and no others: %s, %s", async (path, allowed, others) => {
    for (const method of others) {
      const response = await ask(method, path);
      expect([response.status, response.headers.get("allow")]).toEqual([405, allowed]);
      if (method !== "HEAD") expect(await problem(response)).toEqual([405, "METHOD_NOT_ALLOWED"]);
    }
    expect(server.member.changes).toEqual([]);
  });

  test("is refused when it is almost one of these", async () => {
    for (const path of [
      "/_members/",
      "/_MEMBERS",
      "/_members/4/",
      "/_members/4/Promote",
      "/_members/4/5",
      "/_leader/2",
      "/%5Fmembers",
    ]) {
      expect(await problem(await ask("POST", path, { id: 4, peerUrl: address }))).toEqual([400, "RESERVED_NAME"]);
    }
    expect(server.member.changes).toEqual([]);
  });

  test("is in the list of names, with an example of its body", async () => {
    const { names } = (await (await ask("GET", "/_help")).json()) as { names: string[] };
    for (const [, method, path] of requests) {
      expect(names.join("\n")).toMatch(new RegExp(`^${method} ${path.replace(/\d/, ":id")} \\(`, "m"));
    }
    expect(names).toContain('POST /_leader (hand leadership over: {"transferee":2})');
  });
});

describe("a page in a browser", () => {
  test("can neither see nor change the members if its origin is foreign", async () => {
    for (const origin of ["http://evil.example", "null", "http://127.0.0.1:1", `${server.url}.evil.example`]) {
      for (const [, method, path, body] of requests) {
        expect(await problem(await ask(method, path, body, { origin }))).toEqual([403, "FOREIGN_ORIGIN"]);
      }
      expect(await problem(await ask("GET", "/_members", undefined, { origin }))).toEqual([403, "FOREIGN_ORIGIN"]);
    }
    expect(server.member.changes).toEqual([]);
  });

  test("can do both if this server's own address served it", async () => {
    expect((await ask("POST", "/_members/3/promote", undefined, { origin: server.url })).status).toBe(200);
  });
});
