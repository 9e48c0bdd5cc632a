import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ProposeOutcome, ReadOutcome, Refused } from "../server/member.ts";
import { problem, RawClient, type Running, startKvServer } from "./testing.ts";

type Body = NonNullable<RequestInit["body"]>;

let server: Running;
beforeEach(async () => {
  server = await startKvServer();
});
afterEach(() => server.close());

const ask = (path: string, init: RequestInit = {}): Promise<Response> => fetch(server.url + path, init);
const put = (path: string, body: Body): Promise<Response> => ask(path, { method: "PUT", body });
const json = { accept: "application/json" };

describe("a key", () => {
  test("is written with PUT, read with GET and removed with DELETE", async () => {
    const written = await put("/my-key", "some value");
    expect([written.status, await written.text()]).toEqual([204, ""]);
    const read = await ask("/my-key");
    expect([read.status, await read.text()]).toEqual([200, "some value"]);
    expect(read.headers.get("content-type")).toBe("application/octet-stream");
    expect(read.headers.get("content-length")).toBe("10");
    expect((await ask("/my-key", { method: "DELETE" })).status).toBe(204);
    expect(await problem(await ask("/my-key"))).toEqual([404, "NOT_FOUND"]);
    expect((await ask("/my-key", { method: "DELETE" })).status).toBe(204);
  });

  test("holds any bytes, none at all, and as many as the limit allows", async () => {
    for (const body of [Uint8Array.from({ length: 256 }, (_, i) => i), new Uint8Array(0), new Uint8Array(1_572_864)]) {
      expect((await put("/k", body)).status).toBe(204);
      expect(Buffer.from(await (await ask("/k")).arrayBuffer()).equals(body)).toBe(true);
    }
  });

  test("takes a value that comes in many pieces", async () => {
    const pieces = Array.from({ length: 50 }, (_, i) => new Uint8Array(1000 + i).fill(i));
    const body = ReadableStream.from(pieces) as unknown as Body;
    expect((await ask("/k", { method: "PUT", body, duplex: "half" } as RequestInit)).status).toBe(204);
    expect(Buffer.from(server.member.map.get("k") ?? [])).toEqual(Buffer.concat(pieces));
  });

  test("has the same answer to HEAD as to GET, without the body", async () => {
    await put("/k", "12345");
    const head = await ask("/k", { method: "HEAD" });
    expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, "5", ""]);
    const missing = await ask("/none", { method: "HEAD" });
    expect([missing.status, await missing.text()]).toEqual([404, ""]);
  });

  test("has the methods that the Allow header lists, and no others", async () => {
    const response = await ask("/k", { method: "PATCH", body: "x" });
    expect(response.headers.get("allow")).toBe("GET, HEAD, PUT, POST, DELETE");
    expect(await problem(response)).toEqual([405, "METHOD_NOT_ALLOWED"]);
    expect((await ask("/k", { method: "OPTIONS" })).status).toBe(405);
  });

  test("does not include the query", async () => {
    await put("/k?", "v");
    expect(server.member.map.get("k")).toEqual(Uint8Array.from([118]));
    expect(await problem(await put("/?", "v"))).toEqual([400, "BAD_KEY"]);
  });

  test("carries headers that keep a browser from showing it as a page: nosniff and sandbox, as JSON too", async () => {
    await put("/k", "<script>alert(1)</script>");
    for (const init of [{}, { method: "HEAD" }, { headers: json }]) {
      const { headers } = await ask("/k", init);
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("content-security-policy")).toBe("sandbox");
      expect(headers.get("cache-control")).toBe("no-store");
    }
    for (const path of ["/none", "/_status", "/_members", "/_health", "/_snapshot", "/_none"]) {
      expect((await ask(path)).headers.get("x-content-type-options")).toBe("nosniff");
    }
  });
});

describe("the JSON form of a value", () => {
  const post = (body: Body): Promise<Response> => ask("/k", { method: "POST", body });

  test("serves to write, read and delete", async () => {
    expect(await (await post('{"value":"caf\\u00e9 \\ud83d\\ude00"}')).json()).toEqual({ success: true });
    expect(await (await ask("/k")).text()).toBe("café 😀");
    const read = await ask("/k", { headers: { accept: "text/plain, application/json;q=0.9" } });
    expect(read.headers.get("content-type")).toBe("application/json");
    expect(await read.json()).toEqual({ value: "café 😀" });
    expect(await (await ask("/k", { method: "DELETE", headers: json })).json()).toEqual({ success: true });
    expect(await problem(await ask("/k", { headers: json }))).toEqual([404, "NOT_FOUND"]);
  });

  test("is not sent to a client that asks for a similar media type: the request is refused before the read", async () => {
    await put("/k", "v");
    for (const accept of ["application/json-seq", "application/jsonp", "text/html", "application/json;q=0"]) {
      expect(await problem(await ask("/k", { headers: { accept } }))).toEqual([406, "NOT_ACCEPTABLE"]);
      expect((await ask("/k", { method: "HEAD", headers: { accept } })).status).toBe(406);
    }
    expect(server.member.reads).toBe(0);
    expect(await (await ask("/k", { headers: { accept: "application/json-seq, */*;q=0.1" } })).text()).toBe("v");
  });

  test("is refused where it would corrupt the value, or gives way to the bytes if the client accepts them", async () => {
    await put("/k", Uint8Array.of(0xff, 0xfe));
    expect(await problem(await ask("/k", { headers: json }))).toEqual([406, "NOT_TEXT"]);
    expect((await ask("/k", { headers: json, method: "HEAD" })).status).toBe(406);
    const bytes = await ask("/k", { headers: { accept: "application/json, text/plain, */*" } });
    expect(bytes.headers.get("content-type")).toBe("application/octet-stream");
    expect(new Uint8Array(await bytes.arrayBuffer())).toEqual(Uint8Array.of(0xff, 0xfe));
  });

  test("is the answer to a DELETE that prefers it; a DELETE that accepts no form of a value gets no content", async () => {
    const remove = async (accept: string): Promise<number> =>
      (await ask("/k", { method: "DELETE", headers: { accept } })).status;
    expect(await remove("application/json;q=0.1")).toBe(200);
    for (const accept of ["*/*", "application/json;q=0.1, */*", "application/json;q=0", "text/html"]) {
      expect(await remove(accept)).toBe(204);
    }
  });

  test("keeps a byte order mark in the value", async () => {
    await put("/k", "\ufeffv");
    expect(await (await ask("/k", { headers: json })).json()).toEqual({ value: "\ufeffv" });
  });

  test.each([
    ["nothing", ""],
    ["no JSON", "{value"],
    ["no object", '"value"'],
    ["null", "null"],
    ["no value", '{"val":"x"}'],
    ["a number for a value", '{"value":1}'],
    ["half of a surrogate pair", '{"value":"\\ud800"}'],
    ["bytes that are not UTF-8", Uint8Array.of(0x22, 0xff, 0x22)],
    ["brackets a million deep", "[".repeat(1_000_000)],
    ["lists a million deep", `${"[".repeat(1_000_000)}${"]".repeat(1_000_000)}`],
    ["another member beside the value", '{"value":"x","ttl":5}'],
    ["another member in front of the value", '{"prevExist":false,"value":"x"}'],
    ["a member of an object's own making", '{"value":"x","__proto__":{}}'],
    ["the value under another object's name", '{"__proto__":{"value":"x"}}'],
    ["the value in other letters", '{"Value":"x"}'],
    ["the value in a list", '[{"value":"x"}]'],
    ["two values", '{"value":"a","value":"b"}'],
    ["two values of one text", '{"value":"a","value":"a"}'],
    ["two values, one name escaped", '{"value":"a","\\u0076alue":"b"}'],
  ])("is refused with 400 when a POST holds %s", async (_what, body) => {
    expect(await problem(await post(body))).toEqual([400, "BAD_JSON"]);
    expect(server.member.proposed).toBe(0);
  });
});

describe("a value over the limit", () => {
  test("is refused with 413, by PUT and by POST, also where escapes hide its size or make it seem larger", async () => {
    const small = await startKvServer({ maxValueBytes: 10 });
    const send = async (method: string, body: string): Promise<number> =>
      (await fetch(`${small.url}/k`, { method, body })).status;
    expect(await send("PUT", "1234567890")).toBe(204);
    expect(await send("PUT", "12345678901")).toBe(413);
    expect(await send("POST", JSON.stringify({ value: "1234567890" }))).toBe(200);
    expect(await send("POST", `{"value":"${"\\u0041".repeat(10)}"}`)).toBe(200);
    expect(await send("POST", JSON.stringify({ value: "12345678901" }))).toBe(413);
    expect(await send("POST", JSON.stringify({ value: "é".repeat(6) }))).toBe(413);
    expect(small.member.proposed).toBe(3);
    await small.close();
  });
});

describe("the outcome of a member", () => {
  const refused = (code: Refused["code"]): Refused => ({ kind: "refused", code, message: `because of ${code}` });
  const cases: [Refused["code"], number, string | null][] = [
    ["NO_LEADER", 503, "1"],
    ["TOO_MANY_WAITING", 503, "1"],
    ["STOPPING", 503, "1"],
    ["TOO_LARGE", 413, null],
  ];

  test.each(cases)("becomes the HTTP answer: %s is %i", async (code, status, retryAfter) => {
    server.member.nextWrite = () => refused(code);
    server.member.nextRead = () => refused(code);
    for (const init of [
      { method: "PUT", body: "v" },
      { method: "POST", body: '{"value":"v"}' },
      { method: "DELETE" },
      {},
    ]) {
      const response = await ask("/k", init);
      expect(response.headers.get("retry-after")).toBe(retryAfter);
      expect(await problem(response)).toEqual([status, code]);
    }
    expect(server.member.map.size).toBe(0);
  });

  test("after a deadline is 504, which says that a write's outcome is unknown and that a read changed nothing", async () => {
    const unknown: ProposeOutcome = { kind: "unknown", message: "5 s passed" };
    const timeout: ReadOutcome = { kind: "timeout", message: "5 s passed" };
    server.member.nextWrite = () => unknown;
    server.member.nextRead = () => timeout;
    const write = await put("/k", "v");
    expect(await write.clone().text()).toMatch(/outcome is unknown, the write may still happen: 5 s passed/);
    expect(await problem(write)).toEqual([504, "OUTCOME_UNKNOWN"]);
    const read = await ask("/k");
    expect(await read.clone().text()).toMatch(/nothing has changed/);
    expect(await problem(read)).toEqual([504, "READ_TIMEOUT"]);
  });

  test("is awaited: PUT answers once the command is applied, not before", async () => {
    let apply = (): void => undefined;
    const waiting = new Promise<void>((resolve) => {
      server.member.nextWrite = () =>
        new Promise((settle) => {
          apply = () => settle({ kind: "applied", index: 1, result: undefined });
          resolve();
        });
    });
    let answered = false;
    const response = put("/k", "v").then((r) => {
      answered = true;
      return r;
    });
    await waiting;
    await ask("/_status"); // another round trip, within which a hasty answer would have come
    expect(answered).toBe(false);
    apply();
    expect((await response).status).toBe(204);
  });

  test("is 500 and a line in the log when the member throws an unforeseen error, and the server goes on", async () => {
    server.member.nextWrite = () => Promise.reject(new Error("secret detail"));
    server.member.nextRead = () => Promise.reject(new Error("secret detail"));
    for (const response of [await put("/k", "v"), await ask("/k")]) {
      expect(await response.clone().text()).not.toMatch(/secret/);
      expect(await problem(response)).toEqual([500, "INTERNAL"]);
    }
    expect(server.logged.length).toBe(2);
    expect((await ask("/k?consistency=stale")).status).toBe(404);
  });

  test("is an error, not a success, when a committed command cannot be decoded", async () => {
    server.member.corrupt = () => Uint8Array.of(9, 9, 9, 9);
    expect(await problem(await put("/k", "v"))).toEqual([500, "COMMAND_NOT_APPLIED"]);
  });
});

describe("a read", () => {
  test("waits for the read index, unless a stale one is asked for by name", async () => {
    await put("/k", "v");
    expect((await ask("/k")).status).toBe(200);
    expect((await ask("/k?consistency=linearizable")).status).toBe(200);
    expect(server.member.reads).toBe(2);
    server.member.nextRead = () => ({ kind: "refused", code: "NO_LEADER", message: "none" });
    expect((await ask("/k")).status).toBe(503);
    expect(await (await ask("/k?consistency=stale")).text()).toBe("v");
    expect(server.member.reads).toBe(3);
  });

  test.each([
    "?consistency=",
    "?consistency=eventual",
    "?consistency=stale&consistency=linearizable",
    "?consistency=STALE",
  ])("with %s is refused", async (query) => {
    expect(await problem(await ask(`/k${query}`))).toEqual([400, "BAD_CONSISTENCY"]);
  });

  test("sees what was applied while it waited", async () => {
    server.member.nextRead = async () => {
      await put("/k", "new");
      return { kind: "ready" };
    };
    expect(await (await ask("/k")).text()).toBe("new");
  });
});

describe("the names of the server", () => {
  test("include /_status, the member's status", async () => {
    const response = await ask("/_status");
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual(server.member.status());
    server.member.leader = 2;
    expect(await (await ask("/_status")).json()).not.toHaveProperty("progress");
  });

  test("include /_health: 200 on a leader and on a member that knows one, else 503 with the reason", async () => {
    expect(await (await ask("/_health")).json()).toEqual({ health: true, check: "member 1 leads term 5" });
    server.member.leader = 2;
    expect(await (await ask("/_health")).json()).toEqual({
      health: true,
      check: "member 1 follows member 2 at term 5",
    });
    server.member.leader = 0;
    const response = await ask("/_health");
    expect(await response.clone().json()).toHaveProperty("health", false);
    expect(await problem(response)).toEqual([503, "NO_LEADER"]);
  });

  test("include /_health, which on a member of another cluster names that reason and does not advise to wait", async () => {
    const message = "member 1 belongs to cluster 7, and all others to cluster 8";
    server.member.warnings = [{ code: "OTHER_CLUSTER", message }];
    expect((await ask("/_health")).status).toBe(200); // it knows a leader all the same
    server.member.leader = 0;
    const response = await ask("/_health");
    expect(response.status).toBe(503);
    expect(JSON.stringify(await response.json())).toMatch(new RegExp(`(?!.*election).*${message}`));
  });

  test("answer HEAD too, and 405 to what would change them", async () => {
    expect((await ask("/_status", { method: "HEAD" })).status).toBe(200);
    for (const method of ["PUT", "POST", "DELETE", "PATCH"]) {
      const response = await ask("/_health", { method });
      expect(response.headers.get("allow")).toBe("GET, HEAD");
      expect(await problem(response)).toEqual([405, "METHOD_NOT_ALLOWED"]);
    }
  });

  test("are listed in the answer to an unknown one, which cannot be written", async () => {
    for (const path of ["/_nothing", "/_", "/_STATUS", "/_status/"]) {
      const response = await ask(path);
      expect(((await response.clone().json()) as { names: string[] }).names.join()).toMatch(/\/_status .*\/_health /);
      expect(await problem(response)).toEqual([404, "RESERVED_NAME"]);
    }
    for (const path of ["/_nothing", "/%5Fnothing", "/%5f"]) {
      expect(await problem(await put(path, "v"))).toEqual([400, "RESERVED_NAME"]);
    }
    expect(server.member.proposed).toBe(0);
  });

  test("answer 500 if the member fails, and go on", async () => {
    server.member.leader = -1;
    expect(await problem(await ask("/_status"))).toEqual([500, "INTERNAL"]);
    server.member.leader = 1;
    expect((await ask("/_status")).status).toBe(200);
  });
});

describe("a path", () => {
  const sendRaw = async (requestTarget: string): Promise<string> => {
    const client = await RawClient.connect(server.port);
    client.send(`PUT ${requestTarget} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nConnection: close\r\n\r\nv`);
    return client.closed();
  };

  test.each([
    ["/a//b", "a//b"],
    ["//a", "/a"],
    ["/../x", "../x"],
    ["/a/./b/../c", "a/./b/../c"],
    ["/a/", "a/"],
    ["/a%2Fb", "a/b"],
    ["/a%252Fb", "a%2Fb"],
    ["/a%00b", "a\0b"],
    ["/a+b", "a+b"],
    ["/a%20b", "a b"],
    ["/%3Fa%23", "?a#"],
    ["/a?", "a"],
    ["/%F0%9F%98%80", "😀"],
    ["/%EF%BB%BFa", "\ufeffa"],
    ["/a_b", "a_b"],
    ["//_status", "/_status"],
    ["http://127.0.0.1:1/a//b", "a//b"],
    ["HTTP://LOCALHOST/a//b", "a//b"],
  ])("%j is taken as it was sent", async (target, key) => {
    expect(await sendRaw(target)).toMatch(/^HTTP\/1\.1 204 /);
    expect(server.member.map.get(key)).toEqual(Uint8Array.of(118));
    expect(server.member.map.size).toBe(1);
  });

  test.each([
    ["/", "no key"],
    ["http://localhost:1", "no key in an absolute target"],
    ["http://localhost?a", "no path in an absolute target"],
    ["*", "no path"],
    ["/%zz", "no hexadecimal digits"],
    ["/a%", "an escape cut short"],
    ["/a%4", "an escape cut short by one"],
    ["/%ff", "a byte that never stands in UTF-8"],
    ["/%C0%AF", "an overlong slash"],
    ["/%ED%A0%80", "half of a surrogate pair"],
    ["/a#b", "a fragment"],
  ])("%j is refused with 400: %s", async (target) => {
    const answer = await sendRaw(target);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toMatch(/"code":"BAD_KEY"/);
    expect(server.member.proposed).toBe(0);
  });

  test("holds a key of up to 4096 bytes of UTF-8, whatever its escapes take", async () => {
    expect(await sendRaw(`/${"%61".repeat(4096)}`)).toMatch(/^HTTP\/1\.1 204 /);
    expect(server.member.map.get("a".repeat(4096))).toBeDefined();
    expect(await sendRaw(`/${"a".repeat(4097)}`)).toMatch(/^HTTP\/1\.1 400 [\s\S]*4097 bytes/);
    expect(await sendRaw(`/${"%C3%A9".repeat(2049)}`)).toMatch(/^HTTP\/1\.1 400 [\s\S]*4098 bytes/);
  });
});
