// Requests to change the members as no well-meaning client sends them.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RawClient, type Running, startKvServer, statuses } from "./testing.ts";

let server: Running;
beforeEach(async () => {
  server = await startKvServer({ raftexampleApi: true });
});
afterEach(() => server.close());

/** The server must still serve other clients, and no earlier request may have reached the member. */
async function expectUnharmed(): Promise<void> {
  expect((await fetch(`${server.url}/_members`)).status).toBe(200);
  expect([server.member.changes, server.member.transferees, server.member.proposed]).toEqual([[], [], 0]);
  expect(server.logged).toEqual([]);
}

const head = (line: string, ...headers: string[]): string =>
  `${[`${line} HTTP/1.1`, "Host: h", ...headers].join("\r\n")}\r\n\r\n`;
const json = "Content-Type: application/json";
const body = '{"id":4,"peerUrl":"http://127.0.0.1:2680"}';
const sized = (text: string): string => `Content-Length: ${text.length}`;

describe("the body of a membership request", () => {
  test.each([
    ["that announces more than the limit", "POST /_members"],
    ["of a call of raftexample that announces more than the limit", "POST /4"],
  ])("%s is refused without waiting for it, and the connection is closed", async (_what, line) => {
    const client = await RawClient.connect(server.port);
    client.send(`${head(line, json, "Content-Length: 100000000")}{`);
    const answer = await client.closed();
    expect(statuses(answer)).toEqual([413]);
    expect(answer).toMatch(/connection: close[\s\S]*BODY_TOO_LARGE/i);
    await expectUnharmed();
  });

  test.each(["PATCH /_members", "PUT /_members/2", "POST /_leader", "POST /4", "DELETE /_members/2"])(
    "of unknown size ends at the limit: %s",
    async (line) => {
      const client = await RawClient.connect(server.port);
      client.send(head(line, json, "Transfer-Encoding: chunked"));
      const chunk = `3e8\r\n${" ".repeat(1000)}\r\n`;
      for (let i = 0; i < 100; i++) client.send(chunk);
      const answer = await client.closed();
      expect(statuses(answer)).toEqual([line.startsWith("DELETE") ? 400 : 413]); // a DELETE has no body at all
      await expectUnharmed();
    },
  );

  test("is accepted in chunks of one byte, and a chunked body of no bytes counts as none", async () => {
    const client = await RawClient.connect(server.port);
    const chunks = [...body].map((char) => `1\r\n${char}\r\n`).join("");
    client.send(`${head("POST /_members", json, "Transfer-Encoding: chunked")}${chunks}0\r\n\r\n`);
    client.send(`${head("DELETE /_members/4", "Transfer-Encoding: chunked", "Connection: close")}0\r\n\r\n`);
    expect(statuses(await client.closed())).toEqual([200, 200]);
    expect(server.member.changes.flat().map(({ kind }) => kind)).toEqual(["add", "remove"]);
  });

  test("is not asked for with 100 Continue when 415, 400 or 403 is the answer", async () => {
    for (const [request, status] of [
      [head("POST /_members", "Content-Type: text/plain", sized(body), "Expect: 100-continue"), 415],
      [head("PUT /_members/x", json, sized(body), "Expect: 100-continue"), 400],
      [head("POST /_leader", json, "Origin: http://evil", sized(body), "Expect: 100-continue"), 403],
      [head("DELETE /_members/2", sized(body), "Expect: 100-continue"), 400],
      [head("POST /_members", json, "Content-Length: 16385", "Expect: 100-continue"), 413],
    ] as const) {
      const client = await RawClient.connect(server.port);
      client.send(request);
      expect(statuses(await client.closed())).toEqual([status]);
    }
    await expectUnharmed();
  });

  test("is asked for with 100 Continue when it is needed", async () => {
    const client = await RawClient.connect(server.port);
    client.send(head("POST /_members", json, sized(body), "Expect: 100-continue"));
    await client.until(/HTTP\/1\.1 100 /);
    client.send(body);
    await client.until(/ 200 /);
  });

  test("changes nothing when its chunks are malformed", async () => {
    const client = await RawClient.connect(server.port);
    client.send(`${head("DELETE /4", "Transfer-Encoding: chunked")}zz\r\n`);
    expect(statuses(await client.closed())).toEqual([400]);
    await expectUnharmed();
  });

  test("changes nothing when it ends early", async () => {
    for (const leave of ["destroy", "resetAndDestroy", "end"] as const) {
      const client = await RawClient.connect(server.port);
      client.send(`${head("POST /_members", json, `Content-Length: ${body.length + 1}`)}${body}`);
      await fetch(`${server.url}/_status`); // by now the server has read the part
      client.socket[leave]();
      await client.closed();
    }
    await expectUnharmed();
  });
});

describe("a connection", () => {
  const refused: [what: string, request: string, status: number][] = [
    ["no JSON", `${head("POST /_members", json, sized("abc"))}abc`, 400],
    ["no content type", `${head("PATCH /_members", sized("abc"))}abc`, 415],
    ["a path that cannot be decoded", head("DELETE /_members/%zz"), 400],
    ["a path that is not UTF-8", head("DELETE /_members/%ff"), 400],
    ["a NUL for an id", head("DELETE /_members/%00"), 400],
    ["an id of ten thousand digits", head(`DELETE /_members/${"9".repeat(10_000)}`), 400],
    ["an id of ten thousand digits as in raftexample", head(`DELETE /${"9".repeat(10_000)}`), 400],
    ["dots in the path", head("DELETE /_members/../_members/2"), 400],
    ["two slashes", head("DELETE //_members/2"), 204],
    ["a method of nothing", head("PUT /_leader", sized("abc")).concat("abc"), 405],
    ["two content types", `${head("POST /_members", "Content-Type: text/plain", json, sized(body))}${body}`, 400],
    ["two origins", head("DELETE /_members/2", "Origin: http://h", "Origin: http://evil"), 403],
  ];

  test.each(refused)("serves on after %s", async (_what, request, status) => {
    const client = await RawClient.connect(server.port);
    client.send(`${request}${head("GET /_members", "Connection: close")}`);
    expect(statuses(await client.closed())).toEqual([status, 200]);
    expect(server.member.changes).toEqual([]);
    expect(server.logged).toEqual([]);
  });

  test("leaves other clients unharmed when it is cut while its change is made", async () => {
    let settle = (): void => undefined;
    const asked = new Promise<void>((resolve) => {
      server.member.nextChange = () => {
        resolve();
        return new Promise((s) => {
          settle = () => s({ kind: "applied" });
        });
      };
    });
    const client = await RawClient.connect(server.port);
    client.send(`${head("POST /_members", json, sized(body))}${body}`);
    await asked;
    client.socket.resetAndDestroy();
    await client.closed();
    await fetch(`${server.url}/_status`);
    settle();
    expect((await fetch(`${server.url}/_members`)).status).toBe(200);
    expect(server.logged).toEqual([]);
  });
});
