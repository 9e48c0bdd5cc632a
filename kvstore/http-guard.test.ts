// What must not reach a handler: one table for each check of http-guard.ts, sent as bytes.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isHostName } from "./host.ts";
import { RawClient, type Running, startKvServer, statuses } from "./testing.ts";

let server: Running;
beforeEach(async () => {
  server = await startKvServer({ raftexampleApi: true, allowedHosts: ["Kv.Example", "my_host"] });
  expect((await fetch(`${server.url}/k`, { method: "PUT", body: "v" })).status).toBe(204);
});
afterEach(() => server.close());

interface Answer {
  readonly status: number;
  readonly code: string | undefined;
  readonly closes: boolean;
}

/** The answer to the last of the lines' requests; each line ends as HTTP wants it. */
async function send(...lines: readonly string[]): Promise<Answer> {
  const client = await RawClient.connect(server.port);
  client.send(`${lines.join("\r\n")}\r\n\r\n`);
  client.socket.end();
  const [head = "", body = ""] = (await client.closed()).split("\r\n\r\n");
  const isJson = /^content-type: application\/json/im.test(head) && body !== "";
  const fields = isJson ? (JSON.parse(body) as Record<string, string>) : {};
  if (isJson && fields.code !== undefined) {
    expect([fields.message, fields.next]).toEqual([expect.stringMatching(/./), expect.stringMatching(/./)]);
    expect(head).toMatch(/^x-content-type-options: nosniff$/im);
  }
  return { status: statuses(head)[0] ?? 0, code: fields.code, closes: /^connection: close/im.test(head) };
}

/** Nothing has reached the member since the first PUT. */
function expectNothingDone(): void {
  const { proposed, reads, changes, transferees } = server.member;
  expect([proposed, reads, changes, transferees]).toEqual([1, 0, [], []]);
}

/** A request of each kind, with its first line and the headers it needs. */
const every: readonly (readonly string[])[] = [
  ["GET /k HTTP/1.1"],
  ["HEAD /k HTTP/1.1"],
  ["PUT /k HTTP/1.1", "Content-Length: 0"],
  ["POST /k HTTP/1.1", "Content-Length: 0"],
  ["DELETE /k HTTP/1.1"],
  ["OPTIONS /k HTTP/1.1"],
  ["PATCH /k HTTP/1.1"],
  ["POST /4 HTTP/1.1", "Content-Length: 0"],
  ["DELETE /4 HTTP/1.1"],
  ["GET /_status HTTP/1.1"],
  ["GET /_health HTTP/1.1"],
  ["GET /_members HTTP/1.1"],
  ["GET /_snapshot HTTP/1.1"],
  ["POST /_members HTTP/1.1", "Content-Length: 0"],
  ["DELETE /_members/1 HTTP/1.1"],
  ["POST /_leader HTTP/1.1", "Content-Length: 0"],
  ["GET /_ui/ HTTP/1.1"],
  ["GET /_none HTTP/1.1"],
];

describe("the Host of a request", () => {
  test.each([
    ["none", []],
    ["two that differ", ["Host: localhost", "Host: evil.example"]],
    ["two of one text", ["Host: localhost", "Host: localhost"]],
    ["two in odd case", ["hOST: localhost", "HosT: localhost"]],
    ["an empty one beside a sound one", ["Host: localhost", "Host:"]],
  ])("is given exactly once, else makeGuard refuses every request with 400 BAD_HOST: %s", async (_what, hosts) => {
    for (const [line, ...more] of every) {
      const answer = await send(line as string, ...hosts, ...more);
      expect([line, answer.status, answer.closes]).toEqual([line, 400, true]);
      if (!line?.startsWith("HEAD")) expect(answer.code).toBe("BAD_HOST");
    }
    expectNothingDone();
  });

  test.each([
    ["nothing", ""],
    ["a port alone", ":2379"],
    ["userinfo", "user@localhost"],
    ["userinfo that looks like a host", "localhost:2379@evil.example"],
    ["a path", "localhost/k"],
    ["a query", "localhost?k"],
    ["a URL", "http://localhost"],
    ["a space", "local host"],
    ["a list", "localhost, localhost:1"],
    ["a port over 65535", "localhost:65536"],
    ["a port with a sign", "localhost:+80"],
    ["port 0", "localhost:0"],
    ["a port that is no number", "localhost:http"],
    ["two ports", "localhost:1:2"],
    ["an IPv6 address without brackets", "::1"],
    ["brackets without an end", "[::1"],
    ["brackets around a name", "[localhost]"],
    ["brackets around an IPv4 address", "[127.0.0.1]"],
    ["an IPv6 address of nine groups", "[1:2:3:4:5:6:7:8:9]"],
    ["an IPv6 address with a zone", "[fe80::1%25eth0]"],
    ["a future address", "[v1.x]"],
    ["bytes outside ASCII", "k\xc3\xb6ln"],
  ])("is a host and a port, else 400 BAD_HOST: %s", async (_what, host) => {
    expect(await send("GET /k HTTP/1.1", `Host: ${host}`)).toEqual({ status: 400, code: "BAD_HOST", closes: true });
    expectNothingDone();
  });

  test.each([
    "evil.example",
    "evil.example:2379",
    "localhost.",
    "localhost.evil.example",
    "a.localhost",
    "localhosts",
    "xlocalhost",
    "kv.example.",
    "a.kv.example",
    "127.0.0.1.evil.example",
    "127.0.0.1.",
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "127.0.0.256",
    "%6cocalhost",
    "*",
  ])("is an address or a name of this server, else every request is 421 MISDIRECTED: %s", async (host) => {
    for (const [line, ...more] of every) {
      const answer = await send(line as string, `Host: ${host}`, ...more);
      expect([line, answer.status]).toEqual([line, 421]);
      if (!line?.startsWith("HEAD")) expect(answer.code).toBe("MISDIRECTED");
    }
    expectNothingDone();
  });

  test.each([
    "localhost",
    "LocalHost:1",
    "localhost:65535",
    "localhost:",
    "127.0.0.1",
    "127.0.0.1:2379",
    "192.0.2.1:80",
    "[::1]",
    "[::1]:2379",
    "[2001:DB8::1]:1",
    "[::ffff:127.0.0.1]",
    "kv.example",
    "KV.EXAMPLE:2379",
    "my_host:1",
  ])("is taken by makeGuard: %s", async (host) => {
    expect((await send("GET /k HTTP/1.1", `Host: ${host}`)).status).toBe(200);
  });

  test("may be missing from HTTP/1.0, which may also have one, but not two, and not a foreign one", async () => {
    expect((await send("GET /k HTTP/1.0")).status).toBe(200);
    expect((await send("GET /k HTTP/1.0", "Host: localhost")).status).toBe(200);
    expect((await send("GET /k HTTP/1.0", "Host: evil.example")).code).toBe("MISDIRECTED");
    expect((await send("GET /k HTTP/1.0", "Host: localhost", "Host: localhost")).code).toBe("BAD_HOST");
  });

  test("is that of the target if the target has one; the header then does not count, but must be there", async () => {
    const target = (url: string, ...headers: string[]): Promise<Answer> => send(`GET ${url} HTTP/1.1`, ...headers);
    expect((await target("http://evil.example/k", "Host: localhost")).code).toBe("MISDIRECTED");
    expect((await target("http://localhost:1/k", "Host: evil.example")).status).toBe(200);
    expect((await target("http://localhost/k")).code).toBe("BAD_HOST");
    expect((await target("http://user@localhost/k", "Host: localhost")).code).toBe("BAD_HOST");
    expect((await target("http:///k", "Host: localhost")).code).toBe("BAD_HOST");
    expect((await target("https://localhost/k", "Host: localhost")).code).toBe("MISDIRECTED");
    expect((await target("ftp://localhost/k", "Host: localhost")).code).toBe("BAD_KEY");
  });

  test("does not end the connection when it is foreign", async () => {
    const client = await RawClient.connect(server.port);
    client.send("PUT /k HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1\r\n\r\nx");
    client.send("GET /k?consistency=stale HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    expect(await client.closed()).toMatch(/ 421 [\s\S]* 200 [\s\S]*\r\n\r\nv$/);
    expect(server.member.proposed).toBe(1);
  });
});

test("isHostName takes names as DNS has them, and nothing with a port, a wildcard, or a dot at an end", () => {
  for (const name of ["a", "localhost", "kv.example", "my_host", "a-b.c1", "xn--kln-sna.example", "192.0.2.1"]) {
    expect([name, isHostName(name)]).toEqual([name, true]);
  }
  const none = [
    "",
    ".",
    ".a",
    "a.",
    "a..b",
    "*",
    "*.a",
    "a:1",
    "[::1]",
    "::1",
    "-a",
    "a-",
    "a b",
    "a/b",
    "u@a",
    "k\xf6ln",
  ];
  for (const name of [...none, "a".repeat(64), `${"a.".repeat(127)}a`]) {
    expect([name, isHostName(name)]).toEqual([name, false]);
  }
});

describe("a web page of another origin", () => {
  const host = "Host: localhost:2379";
  const foreign: [what: string, ...headers: string[]][] = [
    ["another name", "Origin: http://evil.example"],
    ["another port", "Origin: http://localhost:2380"],
    ["the default port", "Origin: http://localhost"],
    ["another scheme", "Origin: https://localhost:2379"],
    ["another spelling of the address", "Origin: http://127.0.0.1:2379"],
    ["a name that begins alike", "Origin: http://localhost:2379.evil.example"],
    ["a path", "Origin: http://localhost:2379/"],
    ["null", "Origin: null"],
    ["nothing", "Origin:"],
    ["two origins in one line", "Origin: http://localhost:2379 http://evil.example"],
    ["two origins", "Origin: http://localhost:2379", "Origin: http://evil.example"],
    ["cross-site", "Sec-Fetch-Site: cross-site"],
    ["same-site, as another port of localhost is", "Sec-Fetch-Site: same-site"],
    ["a site that no browser says", "Sec-Fetch-Site: Same-Origin"],
    ["no site", "Sec-Fetch-Site:"],
    ["two sites", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"],
    ["cross-site in odd case, and its own origin", "sEC-fETCH-sITE: cross-site", "Origin: http://localhost:2379"],
    ["a foreign origin that claims to be the same site", "Origin: http://evil.example", "Sec-Fetch-Site: same-origin"],
    ["a frame", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"],
    ["a script", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script"],
  ];

  test.each(foreign)("gets 403 FOREIGN_ORIGIN on all but a read of a key: %s", async (_what, ...headers) => {
    for (const [line = "", ...more] of every) {
      const answer = await send(line, host, ...more, ...headers);
      const isRead = /^(GET|HEAD) \/k /.test(line);
      expect([line, answer.status]).toEqual([line, isRead ? 200 : 403]);
      if (!isRead) expect(answer.code).toBe("FOREIGN_ORIGIN");
    }
    expect([server.member.proposed, server.member.changes]).toEqual([1, []]);
  });

  test.each([
    ["says nothing of where it comes from"],
    ["says its own origin", "Origin: http://localhost:2379"],
    ["is of its own origin", "Sec-Fetch-Site: same-origin"],
    ["was typed by the user", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"],
    ["says both", "Origin: http://localhost:2379", "Sec-Fetch-Site: same-origin"],
  ])("is not what makeGuard takes a request for that %s", async (_what, ...headers) => {
    expect((await send("DELETE /k HTTP/1.1", host, ...headers)).status).toBe(204);
    expect((await send("GET /_status HTTP/1.1", host, ...headers)).status).toBe(200);
  });

  test("may not be known by a Host in other letters or with the default port", async () => {
    expect((await send("DELETE /k HTTP/1.1", "Host: LOCALHOST:80", "Origin: http://localhost")).status).toBe(204);
    expect((await send("DELETE /k HTTP/1.1", "Host: localhost:", "Origin: http://localhost")).status).toBe(204);
    expect((await send("DELETE /k HTTP/1.0", "Origin: http://localhost")).status).toBe(403); // no Host: nothing is its own
  });

  test("may lead its user to a page under /_ui/, and nowhere else", async () => {
    const follow = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"];
    expect((await send("GET /_ui/ HTTP/1.1", host, ...follow)).status).toBe(404); // no page is there yet
    expect((await send("GET /_ui/a?b HTTP/1.1", host, ...follow.slice(0, 2))).status).toBe(404);
    for (const line of ["GET /_ui", "GET /_UI/", "GET /_uix/", "POST /_ui/", "HEAD /_ui/", "GET /_status", "POST /k"]) {
      const answer = await send(`${line} HTTP/1.1`, host, "Content-Length: 0", ...follow);
      expect([line, answer.status]).toEqual([line, 403]);
    }
  });
});

describe("the form of a request", () => {
  test("HTTP/1.0 has no transfer encodings", async () => {
    const answer = await send("PUT /k HTTP/1.0", "Host: localhost", "Transfer-Encoding: chunked", "", "0");
    expect([answer.status, answer.closes]).toEqual([400, true]);
    expectNothingDone();
  });

  test.each([
    "100-continue, miracles",
    "miracles, 100-continue",
    "x=100-continue",
    "100-continue; miracles",
    "100-continue, 100-continue",
  ])("an expectation that node:http would take for 100-continue is 417: %s", async (expectation) => {
    const answer = await send("PUT /k HTTP/1.1", "Host: localhost", `Expect: ${expectation}`, "Content-Length: 0");
    expect(answer).toEqual({ status: 417, code: "UNKNOWN_EXPECTATION", closes: true });
    expectNothingDone();
  });

  test.each(["X-HTTP-Method-Override", "x-http-method", "X-METHOD-OVERRIDE"])(
    "a second method is 501, on a read too, which would be answered with a value: %s",
    async (header) => {
      for (const [line, ...more] of every) {
        const answer = await send(line as string, "Host: localhost", `${header}: DELETE`, ...more);
        expect([line, answer.status]).toEqual([line, 501]);
      }
      expectNothingDone();
    },
  );

  test("headers beyond the thousandth count like the first", async () => {
    const many = Array.from({ length: 2500 }, () => "a:");
    const put = ["PUT /k HTTP/1.1", "Host: localhost", "Content-Length: 0", ...many];
    expect((await send(...put)).status).toBe(204);
    expect((await send(...put, "If-Match: x")).code).toBe("CONDITION_NOT_SUPPORTED");
    expect((await send(...put, "Host: localhost")).code).toBe("BAD_HOST");
  });
});

test("a request with several faults gets the first one in this order: form, host, origin, resource, demand, body", async () => {
  const faults: [code: string, ...headers: string[]][] = [
    ["BAD_HOST", "Host: localhost", "Host: localhost"],
    ["MISDIRECTED", "Host: evil.example"],
    ["FOREIGN_ORIGIN", "Host: localhost", "Origin: null"],
  ];
  const rest = ["Idempotency-Key: 1", "Content-Length: 9999999"];
  for (const [code, ...headers] of faults) {
    const known = faults.slice(faults.findIndex((one) => one[0] === code) + 1).flatMap(([, , ...more]) => more);
    expect((await send("PUT /%zz?x=1 HTTP/1.1", ...headers, ...known, ...rest)).code).toBe(code);
  }
  expect((await send("PUT /%zz?x=1 HTTP/1.1", "Host: localhost", ...rest)).code).toBe("BAD_KEY");
  expect((await send("PUT /k?x=1 HTTP/1.1", "Host: localhost", ...rest)).code).toBe("UNKNOWN_PARAMETER");
  expect((await send("PUT /k HTTP/1.1", "Host: localhost", ...rest)).code).toBe("IDEMPOTENCY_NOT_SUPPORTED");
  expect((await send("PUT /k HTTP/1.1", "Host: localhost", "Content-Length: 9999999")).code).toBe("VALUE_TOO_LARGE");
  expectNothingDone();
});
