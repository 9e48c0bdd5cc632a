// Requests that ask for what the server does not do: one table for headers, one for parameters, one for bodies, each on
// every request that changes something.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RawClient, type Running, startKvServer } from "./testing.ts";

let server: Running;
beforeEach(async () => {
  server = await startKvServer({ raftexampleApi: true });
});
afterEach(() => server.close());

interface Answer {
  readonly status: number;
  readonly code: string | undefined;
  readonly message: string | undefined;
  readonly head: string;
}

/** Sends the text and reads the last answer. */
async function sendText(text: string): Promise<Answer> {
  const client = await RawClient.connect(server.port);
  client.send(text);
  client.socket.end();
  const [head = "", body = ""] = (await client.closed()).split("\r\n\r\n");
  const fields = body.startsWith("{") ? (JSON.parse(body) as Record<string, string>) : {};
  if (fields.code !== undefined) expect(fields.next).toMatch(/./);
  return { status: Number(head.slice(9, 12)), code: fields.code, message: fields.message, head };
}

function send(line: string, headers: readonly string[], body?: string): Promise<Answer> {
  const length = body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
  return sendText(`${[`${line} HTTP/1.1`, "Host: h", ...headers, ...length].join("\r\n")}\r\n\r\n${body ?? ""}`);
}

const json = "Content-Type: application/json";
const peerUrl = "http://127.0.0.1:2680";
/** Each request that changes something; as written here, the server carries it out. */
const writes: [line: string, headers: string[], body: string | undefined][] = [
  ["PUT /k", [], "v"],
  ["POST /k", [], '{"value":"v"}'],
  ["DELETE /k", [], undefined],
  ["POST /4", [], peerUrl],
  ["DELETE /4", [], undefined],
  ["POST /_members", [json], `{"id":4,"peerUrl":"${peerUrl}"}`],
  ["PATCH /_members", [json], '{"changes":[{"remove":3}]}'],
  ["PUT /_members/2", [json], `{"peerUrl":"${peerUrl}"}`],
  ["DELETE /_members/2", [], undefined],
  ["POST /_members/2/promote", [], undefined],
  ["POST /_members/2/demote", [], undefined],
  ["POST /_leader", [json], '{"transferee":2}'],
];
const reads = ["GET /k", "HEAD /k", "GET /_status", "GET /_health", "GET /_members", "GET /_snapshot"];

function expectNothingDone(): void {
  const { proposed, changes, transferees } = server.member;
  expect([proposed, changes, transferees]).toEqual([0, [], []]);
}

const writesThatReach = (): number => {
  const { proposed, changes, transferees } = server.member;
  return proposed + changes.length + transferees.length;
};

test("the writes of these tests are carried out without the extra demand", async () => {
  for (const [i, [line, headers, body]] of writes.entries()) {
    const { status } = await send(line, headers, body);
    expect([line, status]).toEqual([line, status === 204 ? 204 : 200]);
    expect(writesThatReach()).toBe(i + 1);
  }
});

const condition = [501, "CONDITION_NOT_SUPPORTED"] as const;
const part = [400, "PARTIAL_WRITE"] as const;
const encoding = [415, "CONTENT_ENCODING_NOT_SUPPORTED"] as const;
const digest = [501, "DIGEST_NOT_SUPPORTED"] as const;
const idempotency = [501, "IDEMPOTENCY_NOT_SUPPORTED"] as const;
const date = "Mon, 01 Jan 1990 00:00:00 GMT";

const refused: [header: string, status: number, code: string][] = [
  ['If-Match: "v1"', ...condition],
  ["If-Match: *", ...condition],
  ["If-None-Match: *", ...condition],
  ["If-None-Match:", ...condition],
  ["iF-nONE-mATCH: *", ...condition],
  ['If-None-Match: "a"\r\nIf-None-Match: "b"', ...condition],
  [`If-Modified-Since: ${date}`, ...condition],
  ["If-Modified-Since: no date", ...condition],
  [`If-Unmodified-Since: ${date}`, ...condition],
  [`If-Unmodified-Since: ${date}\r\nIf-Unmodified-Since: ${date}`, ...condition],
  ['If-Range: "v1"', ...condition],
  ['If-Schedule-Tag-Match: "v1"', ...condition],
  ["If: (<urn:uuid:1>)", ...condition],
  ["Lock-Token: <urn:uuid:1>", ...condition],
  ["Overwrite: F", ...condition],
  ["Content-Range: bytes 5-9/10", ...part],
  ["Content-Range:", ...part],
  ["Range: bytes=0-4", ...part],
  ["Upload-Offset: 5", ...part],
  ["Upload-Complete: ?0", ...part],
  ["Content-Encoding: gzip", ...encoding],
  ["content-encoding: GZIP", ...encoding],
  ["Content-Encoding: br, identity", ...encoding],
  ["Content-Encoding: identity, gzip", ...encoding],
  ["Content-Encoding: identity, identity", ...encoding],
  ["Content-Encoding: identity\r\nContent-Encoding: gzip", ...encoding],
  ["Content-Encoding: aws-chunked", ...encoding],
  ["Content-Encoding:", ...encoding],
  ["Content-Encoding: ,", ...encoding],
  ["Content-Transfer-Encoding: base64", ...encoding],
  ["Content-MD5: XUFAKrxLKna5cZ2REBfFkg==", ...digest],
  ["Content-Digest: sha-256=:AAAA:", ...digest],
  ["Repr-Digest: sha-256=:AAAA:", ...digest],
  ["Digest: SHA-256=AAAA", ...digest],
  ['Idempotency-Key: "1"', ...idempotency],
  ["idempotency-key:", ...idempotency],
  ["Idempotency-Key: 1\r\nIdempotency-Key: 2", ...idempotency],
  ["X-Idempotency-Key: 1", ...idempotency],
  ["Repeatability-Request-ID: 1", ...idempotency],
  ["X-HTTP-Method-Override: GET", 501, "METHOD_OVERRIDE_NOT_SUPPORTED"],
];

describe("a header", () => {
  test.each(refused)(
    "refuses each write of which it asks what is not done: %j is %i %s",
    async (header, status, code) => {
      for (const [line, headers, body] of writes) {
        const answer = await send(line, [header, ...headers], body);
        expect([line, answer.status, answer.code]).toEqual([line, status, code]);
        expect(answer.message?.toLowerCase()).toContain(header.slice(0, header.indexOf(":")).toLowerCase());
      }
      expectNothingDone();
    },
  );

  test.each(refused.filter(([header]) => header.includes(" ") && !header.startsWith("X-HTTP")))(
    "refuses a write as a trailer too: %j",
    async (header, status, code) => {
      for (const [line, headers, body = ""] of writes) {
        const chunk = body === "" ? "" : `${body.length.toString(16)}\r\n${body}\r\n`;
        const head = [`${line} HTTP/1.1`, "Host: h", ...headers, "Transfer-Encoding: chunked", "Trailer: x"];
        const answer = await sendText(`${head.join("\r\n")}\r\n\r\n${chunk}0\r\n${header}\r\n\r\n`);
        expect([line, answer.status, answer.code]).toEqual([line, status, code]);
      }
      expectNothingDone();
    },
  );

  test("that asks for an encoding gets an answer that names the accepted one", async () => {
    const { head } = await send("PUT /k", ["Content-Encoding: gzip"], "v");
    expect(head).toMatch(/^accept-encoding: identity$/im);
  });

  test("that only states a fact, or may be ignored, refuses nothing", async () => {
    const harmless = [
      "Content-Encoding: Identity",
      "Content-Transfer-Encoding: binary",
      "Overwrite: T",
      "Upload-Complete: ?1",
      "Prefer: respond-async, handling=strict",
      "Accept-Encoding: gzip",
      "TE: trailers",
      "Upgrade: h2c",
      "Ifx: 1",
      "X-If: 1",
      "Cookie: a=b",
      "Authorization: Basic eDp5",
      "Want-Content-Digest: sha-256=1",
    ];
    for (const [i, [line, headers, body]] of writes.entries()) {
      const { status } = await send(line, [...harmless, ...headers], body);
      expect([line, status < 300]).toEqual([line, true]);
      expect(writesThatReach()).toBe(i + 1);
    }
  });

  test.each(refused.filter(([header]) => !header.startsWith("X-HTTP")))("of a read is ignored: %j", async (header) => {
    await send("PUT /k", [], "v");
    for (const line of reads) expect([line, (await send(line, [header])).status]).toEqual([line, 200]);
  });

  test.each(["multipart/form-data; boundary=x", "Multipart/Form-Data", "multipart/byteranges; boundary=x"])(
    "that calls the body %s is 415: the wrapping would be stored with the value",
    async (type) => {
      for (const line of ["PUT /k", "POST /k", "POST /4"]) {
        const answer = await send(line, [`Content-Type: ${type}`], "--x\r\n\r\nv\r\n--x--");
        expect([answer.status, answer.code]).toEqual([415, "MULTIPART_NOT_SUPPORTED"]);
      }
      expectNothingDone();
    },
  );

  test("that gives a second type to the body is 400, since node:http drops it", async () => {
    for (const [line, headers, body] of writes) {
      const types = ["Content-Type: text/plain", "content-type: multipart/form-data"];
      const answer = await send(line, [...types, ...headers], body);
      expect([answer.status, answer.code]).toEqual([400, "BAD_CONTENT_TYPE"]);
    }
    expectNothingDone();
  });
});

describe("a query parameter", () => {
  test.each([
    "prevExist=false",
    "ttl=5",
    "leese=3",
    "cas=7",
    "x",
    "=",
    "=x",
    "a%20b=1",
    "%zz",
    "consistency=stale&x=1",
    "x=1&consistency=stale",
    "Consistency=stale",
    "consistency%20=stale",
    "%20consistency=stale",
    "consistency;stale",
    "_method=DELETE",
    "#fragment",
    "?",
    "?consistency=stale",
    "?&consistency=stale",
  ])("that is unknown is 400 UNKNOWN_PARAMETER on every request: ?%s", async (query) => {
    for (const [line, headers, body] of writes) {
      const answer = await send(`${line}?${query}`, headers, body);
      expect([line, answer.status, answer.code]).toEqual([line, 400, "UNKNOWN_PARAMETER"]);
    }
    for (const line of reads) {
      const answer = await send(`${line}?${query}`, []);
      expect([line, answer.status]).toEqual([line, 400]);
      if (!line.startsWith("HEAD")) expect(answer.code).toBe("UNKNOWN_PARAMETER");
    }
    expectNothingDone();
    expect(server.member.reads).toBe(0);
  });

  test("consistency is a parameter of reads of keys and of the snapshot, and of no other request", async () => {
    await send("PUT /k", [], "v");
    for (const value of ["stale", "linearizable"]) {
      for (const [line, headers, body] of writes) {
        const answer = await send(`${line}?consistency=${value}`, headers, body);
        expect([line, answer.status, answer.code]).toEqual([line, 400, "UNKNOWN_PARAMETER"]);
      }
      for (const line of reads) {
        const takes = /\/(k|_snapshot)$/.test(line);
        expect([line, (await send(`${line}?consistency=${value}`, [])).status]).toEqual([line, takes ? 200 : 400]);
      }
    }
    expect(writesThatReach()).toBe(1);
  });

  test("given twice is 400 BAD_CONSISTENCY, also where both say the same", async () => {
    for (const query of ["consistency=stale&consistency=stale", "consistency=stale&consistency=linearizable"]) {
      for (const line of ["GET /k", "GET /_snapshot"]) {
        expect((await send(`${line}?${query}`, [])).code).toBe("BAD_CONSISTENCY");
      }
    }
  });

  test("is absent where the query is empty", async () => {
    for (const [i, [line, headers, body]] of writes.entries()) {
      expect((await send(`${line}?`, headers, body)).status).toBeLessThan(300);
      expect(writesThatReach()).toBe(i + 1);
    }
    await send("PUT /k", [], "v");
    for (const line of reads) expect([line, (await send(`${line}?&`, [])).status]).toEqual([line, 200]);
  });

  test("is named in the answer, cut to a readable length", async () => {
    const { message } = await send(`PUT /k?${"x".repeat(5000)}=1`, [], "v");
    expect(message).toMatch(/"x{60}\.\.\."/);
  });
});

describe("a body", () => {
  test("that a write needs must be announced, else 411 LENGTH_REQUIRED; a write that has none by design is carried out", async () => {
    let carriedOut = 0;
    for (const [line, headers, body] of writes) {
      const answer = await send(line, headers);
      const expected = body === undefined ? answer.status : 411;
      expect([line, answer.status]).toEqual([line, expected]);
      if (body === undefined) carriedOut++;
      else expect(answer.code).toBe("LENGTH_REQUIRED");
      expect(writesThatReach()).toBe(carriedOut);
    }
    expect(carriedOut).toBe(5);
  });

  test("is not missing when it is empty, or in chunks", async () => {
    expect((await send("PUT /a", [], "")).status).toBe(204);
    const chunked = "PUT /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    expect((await sendText(`${chunked}0\r\n\r\n`)).status).toBe(204);
    expect((await sendText(`${chunked}1\r\nv\r\n0\r\nX: y\r\n\r\n`)).status).toBe(204);
    expect((await sendText("PUT /c HTTP/1.0\r\n\r\n")).code).toBe("LENGTH_REQUIRED");
    expect([server.member.map.get("a")?.length, server.member.map.get("b")?.length]).toEqual([0, 1]);
    expect(server.member.map.get("c")).toBeUndefined();
  });

  test("that no handler reads is 400 UNEXPECTED_BODY: it may hold a condition", async () => {
    for (const [line, headers, body] of writes) {
      if (body !== undefined) continue;
      const announced = await send(line, headers, '{"prevValue":"x"}');
      const head = `${line} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n`;
      const inChunks = await sendText(`${head}2\r\n{}\r\n0\r\n\r\n`);
      for (const answer of [announced, inChunks]) {
        expect([line, answer.status, answer.code]).toEqual([line, 400, "UNEXPECTED_BODY"]);
      }
    }
    expectNothingDone();
  });

  test.each([
    ["POST /_members", `{"id":4,"peerUrl":"${peerUrl}","lerner":true}`],
    ["POST /_members", `{"id":4,"id":5,"peerUrl":"${peerUrl}"}`],
    ["POST /_members", `{"id":4,"peerUrl":"${peerUrl}","peerUr\\u006c":"${peerUrl}"}`],
    ["PATCH /_members", '{"changes":[{"remove":3,"remove":4}]}'],
    ["PATCH /_members", '{"changes":[{"remove":3}],"changes":[{"remove":4}]}'],
    ["PUT /_members/2", `{"peerUrl":"${peerUrl}","id":3}`],
    ["POST /_leader", '{"transferee":2,"force":true}'],
    ["POST /_leader", '{"transferee":2,"transferee":3}'],
  ])("with a member that is unknown, or there twice, is 400 BAD_BODY: %s %s", async (line, body) => {
    expect((await send(line, [json], body)).code).toBe("BAD_BODY");
    expectNothingDone();
  });
});
