import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { problem, type Running, startKvServer } from "./testing.ts";

const address = "http://127.0.0.1:42379";
let server: Running;
beforeEach(async () => {
  server = await startKvServer({ raftexampleApi: true });
});
afterEach(() => server.close());

const ask = (
  method: string,
  path: string,
  body?: string | Uint8Array,
  headers?: Record<string, string>,
): Promise<Response> =>
  fetch(server.url + path, {
    method,
    ...(body === undefined ? {} : { body: body as string }),
    ...(headers === undefined ? {} : { headers }),
  });

describe("with --raftexample-api,", () => {
  test("POST of an id with a peer URL adds a voter, DELETE removes it: 204, once applied", async () => {
    const added = await ask("POST", "/4", address);
    expect([added.status, await added.text()]).toEqual([204, ""]);
    expect(server.member.members[1]).toEqual({ id: 4, peerUrl: address, role: "voter" });
    const removed = await ask("DELETE", "/4");
    expect([removed.status, await removed.text()]).toEqual([204, ""]);
    expect(server.member.changes).toEqual([
      [{ kind: "add", id: 4, peerUrl: address, learner: false }],
      [{ kind: "remove", id: 4 }],
    ]);
    expect(server.member.proposed).toBe(0);
  });

  test("the body is accepted under any type, with a line break behind it, and reduced to its origin", async () => {
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/json"]) {
      expect((await ask("POST", "/4", `${address}/\n`, { "content-type": type })).status).toBe(204);
    }
    expect(server.member.changes.flat()).toEqual(
      Array(3).fill({ kind: "add", id: 4, peerUrl: address, learner: false }),
    );
  });

  test("a change that is not carried out is no success", async () => {
    server.member.nextChange = () => ({ kind: "conflict", code: "ID_SPENT", message: "4 was removed", next: "use 5" });
    expect(await problem(await ask("POST", "/4", address))).toEqual([409, "ID_SPENT"]);
    server.member.nextChange = () => ({ kind: "refused", code: "NO_LEADER", message: "none" });
    expect(await problem(await ask("DELETE", "/4"))).toEqual([503, "NO_LEADER"]);
    server.member.nextChange = () => ({ kind: "unknown", message: "5 s passed" });
    expect(await problem(await ask("DELETE", "/4"))).toEqual([504, "OUTCOME_UNKNOWN"]);
    server.member.nextChange = () => Promise.reject(new Error("secret"));
    expect(await problem(await ask("DELETE", "/4"))).toEqual([500, "INTERNAL"]);
  });

  test.each([
    ["nothing", ""],
    ["no URL", "127.0.0.1:42379"],
    ["https", "https://127.0.0.1:42379"],
    ["a path", "http://127.0.0.1:42379/raft"],
    ["JSON", '{"peerUrl":"http://127.0.0.1:42379"}'],
    ["bytes that are not UTF-8", Uint8Array.of(0xff, 0xfe)],
  ])("a body that is no peer URL is refused, with an example: %s", async (_what, body) => {
    const response = await ask("POST", "/4", body);
    expect(await response.clone().text()).toMatch(/send for example http:\/\/127/);
    expect(await problem(response)).toEqual([400, "BAD_BODY"]);
    expect([server.member.changes, server.member.proposed]).toEqual([[], 0]);
  });

  test("a body longer than any URL is refused, and an id beyond 2^53", async () => {
    expect(await problem(await ask("POST", "/4", "x".repeat(1025)))).toEqual([413, "BODY_TOO_LARGE"]);
    expect(await problem(await ask("POST", "/9007199254740992", address))).toEqual([400, "BAD_MEMBER_ID"]);
    expect(await problem(await ask("DELETE", "/99999999999999999999"))).toEqual([400, "BAD_MEMBER_ID"]);
    expect([server.member.changes, server.member.proposed]).toEqual([[], 0]);
  });

  test("a page of another origin cannot make them", async () => {
    const origin = { origin: "http://evil.example", "content-type": "text/plain" };
    expect(await problem(await ask("POST", "/4", address, origin))).toEqual([403, "FOREIGN_ORIGIN"]);
    expect(await problem(await ask("DELETE", "/4", undefined, origin))).toEqual([403, "FOREIGN_ORIGIN"]);
    expect(server.member.changes).toEqual([]);
  });

  test("a number is a key as ever for PUT and GET, and all other names are for POST and DELETE too", async () => {
    expect((await ask("PUT", "/4", "v")).status).toBe(204);
    expect(await (await ask("GET", "/4")).text()).toBe("v");
    for (const key of ["k4", "04", "0", "-4", "4.0", "4/5", "0x4"]) {
      expect((await ask("POST", `/${key}`, '{"value":"v"}')).status).toBe(200);
      expect(await (await ask("GET", `/${key}`)).text()).toBe("v");
      expect((await ask("DELETE", `/${key}`)).status).toBe(204);
    }
    expect(await problem(await ask("POST", "/%zz", address))).toEqual([400, "BAD_KEY"]);
    expect(server.member.changes).toEqual([]);
    expect(server.member.map.size).toBe(1);
  });

  test("an id counts however it is escaped, and with an empty query", async () => {
    expect((await ask("POST", "/%34?", address)).status).toBe(204);
    expect((await ask("DELETE", "/4?")).status).toBe(204);
    expect(server.member.changes.flat().map(({ kind, id }) => [kind, id])).toEqual([
      ["add", 4],
      ["remove", 4],
    ]);
  });
});

test("without --raftexample-api a number is a key like any other", async () => {
  await server.close();
  server = await startKvServer();
  expect((await ask("POST", "/4", '{"value":"v"}')).status).toBe(200);
  expect(await problem(await ask("POST", "/4", address))).toEqual([400, "BAD_JSON"]);
  expect((await ask("DELETE", "/4")).status).toBe(204);
  expect(server.member.changes).toEqual([]);
});
