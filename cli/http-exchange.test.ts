// The deadlines of an exchange: what extends them and what does not. What endpoints may do wrong: endpoints.test.ts.

import { once } from "node:events";
import http, { type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import { afterEach, expect, test } from "vitest";
import { exchange } from "./http-exchange.ts";

let server: http.Server | undefined;
afterEach(() => {
  server?.close();
  server?.closeAllConnections();
});

async function serve(handle: (res: ServerResponse) => void): Promise<string> {
  server = http.createServer((req, res) => {
    req.resume();
    handle(res);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Writes so many pieces, one every `everyMs`. */
function drip(res: ServerResponse, pieces: number, bytes: number, everyMs: number): void {
  let left = pieces;
  const timer = setInterval(() => {
    res.write(Buffer.alloc(bytes, 1));
    left--;
    if (left === 0) res.end();
    if (left === 0 || res.destroyed) clearInterval(timer);
  }, everyMs);
}

const get = { method: "GET", path: "/" } as const;
const connections = async (): Promise<number> => {
  await setImmediate(); // or the loop that waits would let no socket close
  return promisify((server as http.Server).getConnections.bind(server))();
};

test("a body that takes longer than the deadline arrives as a whole while 64 KiB a second come", async () => {
  const url = await serve((res) => drip(res, 12, 64 * 1024, 100));
  const body = await exchange(url, get, 1000, (head) => head.whole(2 ** 20));
  expect(body.length).toBe(12 * 64 * 1024);
});

test("a body that comes slower than that is cut off at the deadline", async () => {
  const url = await serve((res) => drip(res, 10_000, 1, 10));
  const beganAt = performance.now();
  await expect(exchange(url, get, 500, (head) => head.whole(2 ** 20))).rejects.toMatchObject({
    message: "hung: the rest of its answer did not come within 0.5 s",
    sent: true,
  });
  expect(performance.now() - beganAt).toBeGreaterThan(450);
});

test("a stream may take longer than the deadline, and its reader too: only silence ends it", async () => {
  const url = await serve((res) => drip(res, 30, 1, 50));
  let size = 0;
  await exchange(url, get, 1000, async (head) => {
    for await (const chunk of head.stream()) {
      if (size === 0) await new Promise((resolve) => setTimeout(resolve, 1200)); // a slow disk
      size += chunk.length;
    }
  });
  expect(size).toBe(30);
  const silent = await serve((res) => res.write("beginning"));
  const read = async (): Promise<void> =>
    exchange(silent, get, 300, async (head) => {
      for await (const chunk of head.stream()) size += chunk.length;
    });
  await expect(read()).rejects.toMatchObject({ message: expect.stringMatching(/^hung: the rest/), sent: true });
});

test("an exchange leaves no connection behind, whether its answer was read, failed to be read, or was ignored", async () => {
  const url = await serve((res) => res.write("an answer without an end"));
  await exchange(url, get, 60_000, async ({ status }) => expect(status).toBe(200));
  await expect(exchange(url, get, 60_000, (head) => head.whole(3))).rejects.toThrow("larger than 3 bytes");
  await expect(exchange(url, get, 100, (head) => head.whole(1000))).rejects.toThrow("hung");
  await expect(
    exchange(url, get, 60_000, async () => {
      throw new Error("the reader's own");
    }),
  ).rejects.toThrow("the reader's own");
  while ((await connections()) > 0);
});

test("an error says whether the endpoint may have seen the request", async () => {
  const url = await serve((res) => res.destroy());
  const put = { method: "PUT", path: "/k", body: { bytes: Buffer.from("v"), contentType: "text/plain" } } as const;
  await expect(exchange(url, put, 60_000, async () => 1)).rejects.toMatchObject({ sent: true });
  const closed = once(server as http.Server, "close");
  server?.close();
  await closed;
  await expect(exchange(url, put, 60_000, async () => 1)).rejects.toMatchObject({
    message: "not reached (ECONNREFUSED)",
    sent: false,
  });
});
