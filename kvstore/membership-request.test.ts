import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { problem, type Running, startKvServer } from "./testing.ts";

let server: Running;
const address = "http://127.0.0.1:2680";

beforeEach(async () => {
  server = await startKvServer();
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

describe("the body of a membership request", () => {
  const member = { id: 4, peerUrl: address };
  const post = "POST /_members";
  const patch = "PATCH /_members";
  const put = "PUT /_members/3";
  const leader = "POST /_leader";
  const cases: [what: string, request: string, body: unknown, message: RegExp][] = [
    ["nothing", post, "", /the body is empty/],
    ["no JSON", post, "{id:4}", /not JSON/],
    ["a list", post, [member], /add must be an object with id, peerUrl, learner, not \[/],
    ["null", post, "null", /must be an object .* not null/],
    ["a string", leader, '"2"', /must be an object with transferee, not \\"2/],
    [
      "an unknown field",
      post,
      { ...member, lerner: true },
      /unknown field \\"lerner\\"; known are id, peerUrl, learner/,
    ],
    ["an unknown field among changes", patch, { changes: [{ remove: 3 }], force: true }, /unknown field \\"force\\"/],
    ["a field of another request", put, { id: 3, peerUrl: address }, /unknown field \\"id\\"; known are peerUrl/],
    ["__proto__", post, '{"__proto__":{"id":4},"peerUrl":"http://h:1"}', /unknown field \\"__proto__\\"/],
    ["no id", post, { peerUrl: address }, /id is missing/],
    ["an id that is a string", post, { ...member, id: "4" }, /id must be an id.* not \\"4\\"/],
    ["an id of 0", post, { ...member, id: 0 }, /integer from 1 .* not 0/],
    ["a negative id", post, { ...member, id: -4 }, /integer from 1 .* not -4/],
    ["a fraction", post, { ...member, id: 4.5 }, /not 4.5/],
    ["an id that a double rounds", post, '{"id":9007199254740993,"peerUrl":"http://h:1"}', /to 9007199254740991/],
    ["null for an id", leader, { transferee: null }, /transferee must be an id.* not null/],
    ["no transferee", leader, {}, /transferee is missing/],
    ["an object for an id", leader, { transferee: { id: 2 } }, /transferee must be an id/],
    ["no address", post, { id: 4 }, /peerUrl is missing/],
    ["no address in a PUT", put, {}, /peerUrl is missing/],
    ["a number for an address", put, { peerUrl: 2680 }, /http:\/\/host:port/],
    ["an address without a scheme", put, { peerUrl: "127.0.0.1:2680" }, /http:\/\/host:port/],
    ["https", put, { peerUrl: "https://127.0.0.1:2680" }, /http:\/\/host:port/],
    ["a path in the address", put, { peerUrl: `${address}/raft` }, /http:\/\/host:port/],
    ["a query in the address", put, { peerUrl: `${address}/?a=1` }, /http:\/\/host:port/],
    ["a fragment in the address", put, { peerUrl: `${address}#a` }, /http:\/\/host:port/],
    ["a user in the address", put, { peerUrl: "http://me@h:2680" }, /http:\/\/host:port/],
    ["a password in the address", put, { peerUrl: "http://:secret@h:2680" }, /http:\/\/host:port/],
    ["a blank before the address", put, { peerUrl: ` ${address}` }, /http:\/\/host:port/],
    ["a line break in the address", put, { peerUrl: `${address}\n` }, /http:\/\/host:port/],
    ["an address without slashes", put, { peerUrl: "http:127.0.0.1:2680" }, /http:\/\/host:port/],
    ["backslashes in the address", put, { peerUrl: "http:\\\\127.0.0.1:2680" }, /http:\/\/host:port/],
    ["an empty query in the address", put, { peerUrl: `${address}?` }, /http:\/\/host:port/],
    ["a port that begins with 0", put, { peerUrl: "http://127.0.0.1:02680" }, /http:\/\/host:port/],
    ["port 0", put, { peerUrl: "http://127.0.0.1:0" }, /http:\/\/host:port/],
    ["a port beyond 65535", put, { peerUrl: "http://127.0.0.1:65536" }, /http:\/\/host:port/],
    ["an address without a host", put, { peerUrl: "http://:2680" }, /http:\/\/host:port/],
    ["a learner that is no boolean", post, { ...member, learner: "no" }, /learner must be true or false/],
    ["null for learner", post, { ...member, learner: null }, /learner must be true or false, not null/],
    ["no list of changes", patch, { changes: { remove: 3 } }, /changes must be a list/],
    ["no changes", patch, {}, /changes must be a list, not nothing/],
    ["an empty list of changes", patch, { changes: [] }, /empty list/],
    ["a change of no kind", patch, { changes: [{ remove: 3 }, {}] }, /changes\[1\]: a change has exactly one of/],
    ["a change of two kinds", patch, { changes: [{ remove: 3, demote: 2 }] }, /exactly one of add, update, remove/],
    ["a change that does not exist", patch, { changes: [{ replace: 3 }] }, /unknown field \\"replace\\"/],
    ["a change that is a word", patch, { changes: ["remove 3"] }, /changes\[0\]: change must be an object/],
    ["a bad id in a change", patch, { changes: [{ promote: "3" }] }, /changes\[0\]: promote must be an id/],
    [
      "a bad address in a change",
      patch,
      { changes: [{ add: { id: 4, peerUrl: "x" } }] },
      /changes\[0\]: \\"x\\" is no peer URL/,
    ],
    ["no address in an update", patch, { changes: [{ update: { id: 4 } }] }, /changes\[0\]: peerUrl is missing/],
    ["no id in an update", patch, { changes: [{ update: { peerUrl: address } }] }, /changes\[0\]: id is missing/],
    ["a learner in an update", patch, { changes: [{ update: { ...member, learner: true } }] }, /field \\"learner\\"/],
    [
      "one member twice",
      patch,
      { changes: [{ promote: 3 }, { demote: 3 }] },
      /changes\[1\]: member 3 is changed twice/,
    ],
    ["one member added and removed", patch, { changes: [{ add: member }, { remove: 4 }] }, /member 4 is changed twice/],
    ["brackets eight thousand deep", post, "[".repeat(8000), /not JSON/],
    ["a name of ten thousand letters", post, { [`x${"y".repeat(10_000)}`]: 1 }, /unknown field \\"xy{40,60}\.\.\./],
  ];

  test.each(cases)("is refused with 400, what was wrong and an example: %s", async (_what, request, body, message) => {
    const [method, path] = request.split(" ") as [string, string];
    const response = await ask(method, path, body);
    const text = await response.clone().text();
    expect(text).toMatch(message);
    expect(text).toMatch(/"next":"send for example \{/);
    expect(await problem(response)).toEqual([400, "BAD_BODY"]);
    expect([server.member.changes, server.member.transferees]).toEqual([[], []]);
  });

  test("is refused if it is not UTF-8", async () => {
    const body = Uint8Array.of(0x22, 0xff, 0x22);
    const headers = { "content-type": "application/json" };
    const response = await fetch(`${server.url}/_members`, { method: "POST", body, headers });
    expect(await response.clone().text()).toMatch(/not UTF-8/);
    expect(await problem(response)).toEqual([400, "BAD_BODY"]);
  });

  test("is accepted if it is the example that a refusal shows", async () => {
    for (const [method, path] of [
      ["POST", "/_members"],
      ["PATCH", "/_members"],
      ["PUT", "/_members/4"],
      ["POST", "/_leader"],
    ] as const) {
      const { next } = (await (await ask(method, path, "{}")).json()) as { next: string };
      expect((await ask(method, path, next.slice(next.indexOf("{")))).status).toBe(200);
    }
    expect(server.member.changes).toHaveLength(3);
    expect(server.member.transferees).toEqual([2]);
  });

  test("is 415 unless it is called application/json, which no form of a page can send", async () => {
    for (const [method, path, body] of [
      ["POST", "/_members", member],
      ["PUT", "/_members/3", { peerUrl: address }],
      ["PATCH", "/_members", { changes: [{ remove: 3 }] }],
      ["POST", "/_leader", { transferee: 2 }],
    ] as const) {
      for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "text/json", ""]) {
        const response = await ask(method, path, body, { "content-type": type });
        expect(await response.clone().text()).toMatch(/-H 'content-type: application\/json' and a body such as \{/);
        expect(await problem(response)).toEqual([415, "NOT_JSON"]);
      }
    }
    expect(await problem(await ask("POST", "/_members"))).toEqual([415, "NOT_JSON"]);
    expect([server.member.changes, server.member.transferees]).toEqual([[], []]);
    for (const type of ["application/json; charset=utf-8", "Application/JSON"]) {
      expect((await ask("POST", "/_leader", { transferee: 2 }, { "content-type": type })).status).toBe(200);
    }
  });

  test("is refused where the path says everything", async () => {
    for (const [method, path] of [
      ["DELETE", "/_members/3"],
      ["POST", "/_members/3/promote"],
      ["POST", "/_members/3/demote"],
    ] as const) {
      expect(await problem(await ask(method, path, { id: 5 }))).toEqual([400, "UNEXPECTED_BODY"]);
    }
    expect(server.member.changes).toEqual([]);
  });

  test("may have 16 KiB and no more", async () => {
    const padded = (size: number): string => `{"transferee":2${" ".repeat(size - 16)}}`;
    expect((await ask("POST", "/_leader", padded(16_384))).status).toBe(200);
    expect(await problem(await ask("POST", "/_leader", padded(16_385)))).toEqual([413, "BODY_TOO_LARGE"]);
    expect(server.member.transferees).toEqual([2]);
  });
});
