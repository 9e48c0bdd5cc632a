import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { ProposeOutcome } from "../server/member.ts";
import { RawClient, type Running, startKvServer, statuses } from "./testing.ts";

let server: Running;
beforeEach(async () => {
  server = await startKvServer({ maxValueBytes: 1000 });
});
afterEach(() => server.close());

const get = "GET /k?consistency=stale HTTP/1.1\r\nHost: h\r\n";

/** The server must still serve other clients, and no byte of the earlier requests may have reached the log. */
async function expectUnharmed(): Promise<void> {
  expect((await fetch(`${server.url}/_status`)).status).toBe(200);
  expect(server.member.proposed).toBe(0);
}

describe("createKvServer, given input that is not HTTP or not allowed,", () => {
  const put = "PUT /k HTTP/1.1\r\nHost: h\r\n";
  const cases: [string, string, number][] = [
    ["no HTTP at all", "hello\r\n\r\n", 400],
    ["bytes of a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400],
    ["an unknown method", "FROB /k HTTP/1.1\r\nHost: h\r\n\r\n", 400],
    ["a method in lower case", "put /k HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 400],
    ["an unknown version", "GET /k HTTP/9.9\r\nHost: h\r\n\r\n", 400],
    ["the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
    ["a path without a slash", "GET k HTTP/1.1\r\nHost: h\r\n\r\n", 400],
    ["a space in the path", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400],
    ["a byte outside ASCII in the path", "GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", 400],
    ["a NUL in the path", "GET /a\0b HTTP/1.1\r\nHost: h\r\n\r\n", 400],
    ["no Host", "GET /k HTTP/1.1\r\n\r\n", 400],
    ["a header without a colon", "GET /k HTTP/1.1\r\nHost h\r\n\r\n", 400],
    ["a space before a header's colon", `${put}Content-Length : 3\r\n\r\nabc`, 400],
    ["a folded first header", "PUT /k HTTP/1.1\r\n Host: h\r\nContent-Length: 3\r\n\r\nabc", 400],
    ["a NUL in a header", `${put}X: a\0b\r\nContent-Length: 3\r\n\r\nabc`, 400],
    ["a bare line feed between chunks", `${put}Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n`, 400],
    ["a Content-Length that is no number", `${put}Content-Length: abc\r\n\r\nabc`, 400],
    ["a negative Content-Length", `${put}Content-Length: -1\r\n\r\nabc`, 400],
    ["a signed Content-Length", `${put}Content-Length: +3\r\n\r\nabc`, 400],
    ["a Content-Length beyond 64 bits", `${put}Content-Length: 99999999999999999999999\r\n\r\nabc`, 400],
    ["two Content-Lengths", `${put}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`, 400],
    [
      "Content-Length and chunks at once",
      `${put}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    ["a transfer encoding other than chunked", `${put}Transfer-Encoding: gzip\r\n\r\nabc`, 400],
    ["chunked, but not as the last encoding", `${put}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`, 400],
    ["chunked, and something else before", `${put}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 400],
    ["an encoding without a name", `${put}Transfer-Encoding: \r\n\r\n`, 400],
    [
      "two encodings",
      `${put}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${get}\r\n`,
      400,
    ],
    ["a version that is none of its own", "PUT /k HTTP/2.0\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 400],
    ["no version, and lines without carriage returns", "PUT /k\nHost: h\r\nContent-Length: 0\r\n\r\n", 400],
    ["a chunk size that is no number", `${put}Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n`, 400],
    ["a chunk longer than it says", `${put}Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n`, 400],
    ["a chunk size beyond 64 bits", `${put}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\nabc`, 400],
    [
      "a DELETE whose body goes wrong",
      "DELETE /k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
      400,
    ],
    ["headers over the limit", `GET /k HTTP/1.1\r\nHost: h\r\nX: ${"x".repeat(20_000)}\r\n\r\n`, 431],
    ["a path over the limit on headers", `GET /${"a".repeat(20_000)} HTTP/1.1\r\nHost: h\r\n\r\n`, 431],
    ["chunk extensions without end", `${put}Transfer-Encoding: chunked\r\n\r\n1;${"x".repeat(40_000)}`, 413],
    ["an expectation that the server does not meet", `${put}Expect: miracles\r\nContent-Length: 3\r\n\r\nabc`, 417],
    ["a body over the limit", `${put}Content-Length: 1001\r\nConnection: close\r\n\r\n${"x".repeat(1001)}`, 413],
    ["a body beyond all measure", `${put}Content-Length: 9007199254740993\r\n\r\nx`, 413],
  ];

  test.each(cases)("refuses it: %s", async (_what, input, status) => {
    const client = await RawClient.connect(server.port);
    client.send(input);
    if (status === 417) client.socket.end();
    const answer = await client.closed();
    expect(statuses(answer)).toEqual([status]);
    await expectUnharmed();
  });

  test("says in JSON what was wrong, and closes the connection", async () => {
    const client = await RawClient.connect(server.port);
    client.send("hello\r\n\r\n");
    const [head, body] = (await client.closed()).split("\r\n\r\n") as [string, string];
    expect(head).toMatch(/connection: close/i);
    expect(JSON.parse(body)).toEqual({
      code: "BAD_REQUEST",
      message: expect.stringMatching(/not a valid HTTP request/),
      next: expect.stringMatching(/./),
    });
  });

  test("closes the connection without an answer on CONNECT", async () => {
    const client = await RawClient.connect(server.port);
    client.send("CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n");
    expect(await client.closed()).toBe("");
    await expectUnharmed();
  });

  test("takes an Upgrade as an ordinary request", async () => {
    const client = await RawClient.connect(server.port);
    client.send(`${get}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`);
    await client.until(/ 404 /);
  });

  test("does not let the refusal take the place of the answer that an earlier request waits for", async () => {
    let settle: (outcome: ProposeOutcome) => void = () => undefined;
    const proposed = new Promise<void>((resolve) => {
      server.member.nextWrite = () => {
        resolve();
        return new Promise((s) => {
          settle = s;
        });
      };
    });
    const client = await RawClient.connect(server.port);
    client.send("PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nv");
    await proposed;
    client.send("garbage\r\n\r\n");
    expect(await client.closed()).toBe(""); // a 400 would say that the put was refused, but it was not
    settle({ kind: "applied", index: 1, result: undefined });
    expect((await fetch(`${server.url}/_status`)).status).toBe(200);
  });
});

describe("a connection", () => {
  const errors: [string, string, RegExp][] = [
    ["a bad key", "PUT /%zz HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", / 400 /],
    ["a reserved name", "PUT /_x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", / 400 /],
    ["bad JSON", "POST /k HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", / 400 /],
    ["a missing key", "GET /none HTTP/1.1\r\nHost: h\r\n\r\n", / 404 /],
    ["a method that is not allowed", "PATCH /k HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", / 405 /],
    [
      "a body a little over the limit",
      `PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 1500\r\n\r\n${"x".repeat(1500)}`,
      / 413 /,
    ],
  ];

  test.each(errors)("serves on after %s", async (_what, input, answer) => {
    const client = await RawClient.connect(server.port);
    client.send(input);
    await client.until(answer);
    client.send(`${get}\r\n`);
    await client.until(/HTTP\/1\.1 [\s\S]*HTTP\/1\.1 404 /);
    expect(client.received).not.toMatch(/connection: close/i);
  });

  test("answers requests that were sent all at once in their order, though the first takes longest", async () => {
    const proposed = new Promise<() => void>((resolve) => {
      server.member.nextWrite = () =>
        new Promise((settle) => resolve(() => settle({ kind: "applied", index: 1, result: undefined })));
    });
    server.member.nextRead = async () => {
      (await proposed)();
      return { kind: "ready" };
    };
    const client = await RawClient.connect(server.port);
    const put = "PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nv";
    const patch = "PATCH /k HTTP/1.1\r\nHost: h\r\n\r\n";
    client.send(`${put}${get}\r\n${patch}GET /k HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`);
    expect(statuses(await client.closed())).toEqual([204, 404, 405, 404]);
  });

  test("gets 429 after its answers when it asks too much at once, and other connections do not wait for the rest", async () => {
    const client = await RawClient.connect(server.port);
    client.send(`${get}\r\n`.repeat(1000));
    const found = statuses(await client.closed());
    expect(found.length).toBeGreaterThan(64);
    expect(found.length).toBeLessThan(1000);
    expect(new Set(found.slice(0, -1))).toEqual(new Set([404]));
    expect(found.at(-1)).toBe(429);
    await expectUnharmed();
  });

  test("closes after a body of unknown size over the limit, and the answer arrives although the client still sends", async () => {
    const client = await RawClient.connect(server.port);
    client.send("PUT /k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    const chunk = `3e8\r\n${"x".repeat(1000)}\r\n`;
    for (let i = 0; i < 1000; i++) client.send(chunk);
    expect(await client.until(/ 413 [\s\S]*\}\n/)).toMatch(/connection: close/i);
    expect(statuses(await client.closed())).toEqual([413]);
    await expectUnharmed();
  });

  test("closes after a body that announced too much, without waiting for it", async () => {
    const client = await RawClient.connect(server.port);
    client.send("PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\nx");
    expect(await client.closed()).toMatch(/ 413 [\s\S]*connection: close[\s\S]*VALUE_TOO_LARGE/i);
  });

  test("takes a body in chunks of one byte", async () => {
    const client = await RawClient.connect(server.port);
    client.send(
      `PUT /k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n${"1\r\nx\r\n".repeat(1000)}0\r\n\r\n`,
    );
    await client.until(/ 204 /);
    expect(server.member.map.get("k")?.length).toBe(1000);
  });

  test("speaks HTTP/1.0 too", async () => {
    const client = await RawClient.connect(server.port);
    client.send("GET /k HTTP/1.0\r\nExpect: 100-continue\r\n\r\n");
    expect(statuses(await client.closed())).toEqual([404]);
  });
});

describe("a client that asks before it sends its body", () => {
  const ask = (path: string, size: number): string =>
    `PUT ${path} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: ${size}\r\n\r\n`;

  test("gets 100 Continue", async () => {
    const client = await RawClient.connect(server.port);
    client.send(ask("/k", 1));
    await client.until(/HTTP\/1\.1 100 /);
    client.send("v");
    await client.until(/ 204 /);
  });

  test("behind another request gets 100 Continue before its own answer and not in the middle of the other", async () => {
    const first = "PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nv";
    const whole = await RawClient.connect(server.port);
    whole.send(`${first}${ask("/k", 1).replace("PUT", "POST")}v`);
    expect(await whole.until(/BAD_JSON.*\n/)).not.toMatch(/ 400 [\s\S]* 100 /);
    const waiting = await RawClient.connect(server.port);
    waiting.send(`${first}${ask("/k", 1)}`);
    await waiting.until(/ 204 [\s\S]*HTTP\/1\.1 100 /);
    waiting.send("w");
    await waiting.until(/ 100 [\s\S]* 204 /);
  });

  test("is refused at once if the body is too large or the key is bad, and the connection ends", async () => {
    for (const [request, status] of [
      [ask("/k", 1001), 413],
      [ask("/%zz", 3), 400],
    ] as const) {
      const client = await RawClient.connect(server.port);
      client.send(request);
      const answer = await client.closed();
      expect(answer).toMatch(/connection: close/i);
      expect(answer).not.toMatch(/ 100 /);
      expect(statuses(answer)).toEqual([status]);
    }
    await expectUnharmed();
  });

  test("gets its answer at once if the body is not needed, and the connection ends, so that the body is not taken for a request", async () => {
    await fetch(`${server.url}/k`, { method: "PUT", body: "v" });
    const client = await RawClient.connect(server.port);
    client.send(`${get}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n`);
    const answer = await client.closed();
    expect(statuses(answer)).toEqual([200]);
    expect(answer).toMatch(/connection: close/i);
  });
});

describe("a client that goes away", () => {
  test("in its headers or its body leaves nothing behind", async () => {
    for (const part of [
      "PUT /k HT",
      "PUT /k HTTP/1.1\r\nHost: h\r\n",
      "PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc",
    ]) {
      for (const leave of ["destroy", "resetAndDestroy", "end"] as const) {
        const client = await RawClient.connect(server.port);
        client.send(part);
        await fetch(`${server.url}/_status`); // by now the server has read the part
        client.socket[leave]();
        await client.closed();
      }
    }
    await expectUnharmed();
  });

  test("while its request is carried out changes nothing for others", async () => {
    for (const leave of ["destroy", "resetAndDestroy"] as const) {
      let settle: () => void = () => undefined;
      const proposed = new Promise<void>((resolve) => {
        server.member.nextWrite = () => {
          resolve();
          return new Promise((s) => {
            settle = () => s({ kind: "applied", index: 1, result: undefined });
          });
        };
      });
      const client = await RawClient.connect(server.port);
      client.send(`PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nv${get}\r\n`);
      await proposed;
      client.socket[leave]();
      await client.closed();
      await fetch(`${server.url}/_status`);
      settle();
      expect((await fetch(`${server.url}/_status`)).status).toBe(200);
    }
    expect(server.logged).toEqual([]);
  });

  test("in the middle of a large answer changes nothing for others", async () => {
    await server.close();
    server = await startKvServer();
    await fetch(`${server.url}/k`, { method: "PUT", body: "x".repeat(1_500_000) });
    const client = await RawClient.connect(server.port);
    client.send(`${get}\r\n`);
    await client.until(/ 200 /);
    client.socket.resetAndDestroy();
    expect((await fetch(`${server.url}/k`)).status).toBe(200);
  });
});

describe("the limits of createKvServer", () => {
  test("end slow headers and slow bodies with 408", async () => {
    await server.close();
    server = await startKvServer({ headersTimeoutMs: 50, requestTimeoutMs: 60 });
    for (const part of ["GET /k HTTP/1.1\r\nHo", "PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc"]) {
      const client = await RawClient.connect(server.port);
      client.send(part);
      expect(await client.closed()).toMatch(/ 408 [\s\S]*REQUEST_TIMEOUT/);
    }
    await expectUnharmed();
  });

  test("do not end a request that has arrived and waits for its commit", async () => {
    await server.close();
    server = await startKvServer({ headersTimeoutMs: 20, requestTimeoutMs: 30 });
    let slowIsClosed: Promise<string> = Promise.resolve("");
    server.member.nextWrite = async () => {
      const slow = await RawClient.connect(server.port); // comes later, and is cut while this one waits
      slow.send("PUT /k HT");
      slowIsClosed = slow.closed();
      await slowIsClosed;
      return { kind: "applied", index: 1, result: undefined };
    };
    expect((await fetch(`${server.url}/k`, { method: "PUT", body: "v" })).status).toBe(204);
    expect(statuses(await slowIsClosed)).toEqual([408]);
  });

  test("close connections on which no byte moves, between requests and in an answer that the client does not read", async () => {
    await server.close();
    server = await startKvServer({ keepAliveTimeoutMs: 30, idleTimeoutMs: 60 });
    const idle = await RawClient.connect(server.port);
    idle.send(`${get}\r\n`);
    expect(statuses(await idle.closed())).toEqual([404]);
    await fetch(`${server.url}/k`, { method: "PUT", body: "x".repeat(1_500_000) });
    const deaf = await RawClient.connect(server.port);
    deaf.send(`HEAD ${get.slice(4)}\r\n`);
    await deaf.until(/ 200 /); // the server has the connection
    deaf.socket.pause();
    const requests = 20;
    deaf.send(`${get}\r\n`.repeat(requests)); // far more than the buffers of two sockets hold
    await vi.waitFor(async () => expect(await server.connections()).toBe(0), { timeout: 50_000 });
    deaf.socket.resume();
    expect((await deaf.closed()).length).toBeLessThan(requests * 1_500_000);
  });

  test("close connections beyond the maximum, log that once, and keep the connections that are there", async () => {
    await server.close();
    server = await startKvServer({ maxConnections: 2 });
    const kept = [await RawClient.connect(server.port), await RawClient.connect(server.port)];
    for (let i = 0; i < 3; i++) expect(await (await RawClient.connect(server.port)).closed()).toBe("");
    for (const client of kept) {
      client.send(`${get}Connection: close\r\n\r\n`);
      expect(statuses(await client.closed())).toEqual([404]);
    }
    expect(server.logged).toHaveLength(1);
    expect(server.logged[0]).toMatch(/maxConnections/);
  });
});
