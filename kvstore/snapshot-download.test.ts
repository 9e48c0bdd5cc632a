import { createHash } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { afterEach, beforeEach, expect, test } from "vitest";
import { KvMap } from "./map.ts";
import { problem, type Running, startKvServer } from "./testing.ts";

let server: Running;
beforeEach(async () => {
  server = await startKvServer();
});
afterEach(() => server.close());

const get = (query = "", init: RequestInit = {}): Promise<Response> => fetch(`${server.url}/_snapshot${query}`, init);
const put = async (key: string, value: string | Uint8Array<ArrayBuffer>): Promise<void> => {
  expect((await fetch(`${server.url}/${key}`, { method: "PUT", body: value })).status).toBe(204);
};

/** The parts of an answer whose checksum holds. */
async function parts(response: Response): Promise<{ head: Record<string, unknown>; map: KvMap }> {
  expect(response.status).toBe(200);
  const bytes = Buffer.from(await response.arrayBuffer());
  const end = bytes.length - 32;
  expect(bytes.subarray(end)).toEqual(createHash("sha256").update(bytes.subarray(0, end)).digest());
  const line = bytes.indexOf("\n");
  const map = new KvMap();
  await map.restore(
    (async function* () {
      yield bytes.subarray(line + 1, end);
    })(),
  );
  return { head: JSON.parse(bytes.toString("utf8", 0, line)), map };
}

test("GET /_snapshot answers with index, term and members, then the map, then a checksum over both", async () => {
  await put("a", "1");
  await put("b", new Uint8Array(300_000).fill(7));
  const { head, map } = await parts(await get());
  expect(head).toEqual({ index: 11, term: 5, members: server.member.members });
  expect(map.size).toBe(2);
  expect(Buffer.from(map.get("a") ?? []).toString()).toBe("1");
  expect(map.get("b")?.length).toBe(300_000);
});

test("GET /_snapshot waits until every write that was answered before has been applied here", async () => {
  let release = (): void => undefined;
  const waiting = new Promise<void>((resolve) => {
    server.member.nextRead = async () => {
      resolve();
      await new Promise<void>((done) => {
        release = done;
      });
      return { kind: "ready" };
    };
  });
  const answer = get();
  await waiting;
  await put("late", "but in it");
  release();
  expect((await parts(await answer)).map.get("late")).toBeDefined();
});

test("GET /_snapshot is refused by a member without a leader, which gives its own copy when asked for a stale one", async () => {
  await put("a", "1");
  server.member.nextRead = () => ({ kind: "refused", code: "NO_LEADER", message: "none" });
  expect(await problem(await get())).toEqual([503, "NO_LEADER"]);
  server.member.nextRead = () => ({ kind: "timeout", message: "late" });
  expect(await problem(await get())).toEqual([504, "READ_TIMEOUT"]);
  expect((await parts(await get("?consistency=stale"))).map.size).toBe(1);
  expect(await problem(await get("?consistency=maybe"))).toEqual([400, "BAD_CONSISTENCY"]);
});

test("GET /_snapshot sends one snapshot at a time, and the next one when the reader is done or gone", async () => {
  for (let i = 0; i < 40; i++) await put(`k${i}`, new Uint8Array(1_000_000)); // more than the sockets take
  const request = http.get(`${server.url}/_snapshot`);
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  await once(response, "readable");
  expect(await problem(await get())).toEqual([503, "SNAPSHOT_BUSY"]);
  response.destroy();
  let next = await get();
  while (next.status === 503) {
    await next.text();
    next = await get();
  }
  expect((await parts(next)).map.size).toBe(40);
  expect(server.logged).toEqual([expect.stringMatching(/was not sent to its end/)]);
});

test("HEAD /_snapshot answers without the body", async () => {
  const head = await get("", { method: "HEAD" });
  expect([head.status, await head.text()]).toEqual([200, ""]);
  expect((await parts(await get())).map.size).toBe(0);
});
