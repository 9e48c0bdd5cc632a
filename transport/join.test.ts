// The question of one who joins, put to real peer ports and to servers that are none.

import { createServer, type OutgoingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { askCluster, askToJoin, type ClusterAnswer, type JoinOutcome, type Rejection } from "./index.ts";
import { clusterId, Member } from "./test-support.ts";

const members = [
  { id: 2, url: "http://127.0.0.1:2380" },
  { id: 4, url: "http://127.0.0.1:2680" },
];

/** A member that answers one who joins with the members, or with this rejection. */
async function member(rejection?: Rejection): Promise<Member> {
  const b = (await new Member(2).listen()).start();
  b.admit = () => rejection;
  b.addresses = () => members;
  return b;
}

/** A server that is no member and answers everything alike. */
async function other(status: number, body: string, headers: OutgoingHttpHeaders = {}): Promise<string> {
  const server = createServer((_request, response) => response.writeHead(status, headers).end(body));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const ask = (...urls: string[]): Promise<JoinOutcome> => askToJoin({ urls, id: 4, incarnation: 99, timeoutMs: 5000 });

/** The CRC-32 of "78". */
const sumOf78 = "f9dc0a55";

const nobody = "http://127.0.0.1:1";
const unknown: Rejection = { kind: "unknown", message: "member 4 is not known here" };

describe("one who asks to join", () => {
  test("learns the cluster and its members, and says who it is", async () => {
    const b = await member();
    expect(await ask(b.url)).toEqual({ kind: "joined", clusterId, members });
    expect(b.asking).toEqual([[4, 99]]);
  });

  test("asks one after the other until one knows", async () => {
    const starting = await new Member(3).listen();
    const urls = [nobody, starting.url, (await member(unknown)).url, await other(200, "hello")];
    expect(await ask(...urls, `${(await member()).url}/`)).toEqual({ kind: "joined", clusterId, members });
  });

  test.each([
    ["removed", "member 4 was removed"],
    ["lost-data", "member 4 has other data"],
  ] as const)("and is refused as %s asks no other member", async (kind, message) => {
    const [b, c] = [await member({ kind, message }), await member()];
    expect(await ask(b.url, c.url)).toEqual({ kind, message, url: b.url });
    expect(c.asking).toEqual([]);
  });

  test("and is not known to any that answers gets the advice to be added first", async () => {
    const b = await member(unknown);
    expect(await ask(nobody, await other(200, "hello"), b.url)).toEqual({
      kind: "not-a-member",
      url: b.url,
      message: unknown.message,
    });
  });

  test("under the id of the member that it asks learns that the id is taken", async () => {
    const b = await member();
    const outcome = await askToJoin({ urls: [b.url], id: 2, incarnation: 99, timeoutMs: 5000 });
    expect(outcome).toMatchObject({ kind: "lost-data", message: expect.stringMatching(/choose an id that is free/) });
  });

  test("and reaches no member learns why, address by address", async () => {
    const starting = await new Member(3).listen();
    const empty = await member();
    empty.addresses = () => [];
    expect(await ask(nobody, starting.url, empty.url)).toEqual({
      kind: "unreachable",
      failures: [
        { url: nobody, reason: expect.stringContaining("ECONNREFUSED") },
        { url: starting.url, reason: "HTTP status 503: member 3 is starting; try again" },
        { url: empty.url, reason: expect.stringContaining("does not know the members yet") },
      ],
    });
    expect(await ask()).toEqual({ kind: "unreachable", failures: [] });
  });

  test("does not wait longer than its limit, nor once it is called off", async () => {
    const server = createServer(() => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const question = { urls: [url], id: 4, incarnation: 0 };
    expect(await askToJoin({ ...question, timeoutMs: 20 })).toEqual({
      kind: "unreachable",
      failures: [{ url, reason: "no answer within 20 ms" }],
    });
    const controller = new AbortController();
    server.once("request", () => controller.abort());
    const off = { kind: "unreachable", failures: [{ url, reason: "it was called off" }] };
    expect(await askToJoin({ ...question, timeoutMs: 3_600_000, signal: controller.signal })).toEqual(off);
    expect(await askToJoin({ ...question, timeoutMs: 3_600_000, signal: controller.signal })).toEqual(off);
  });

  test("with an address that cannot be one throws", async () => {
    await expect(ask("127.0.0.1:2380")).rejects.toMatchObject({ code: "BAD_PEER_URL" });
  });
});

const answer = (set: object): string => JSON.stringify({ clusterId: 7, members, ...set });

test.each<[string, number, string, RegExp]>([
  ["no JSON", 200, "hello", /not JSON/],
  ["no object", 200, "null", /no object/],
  ["no cluster", 200, answer({ clusterId: undefined }), /cluster id/],
  ["a cluster id above 2^53", 200, answer({ clusterId: 2 ** 53 }), /cluster id/],
  ["no members", 200, answer({ members: undefined }), /without members/],
  ["an empty list", 200, answer({ members: [] }), /without members/],
  ["a member without an id", 200, answer({ members: [{ url: nobody }] }), /list of members/],
  ["a member with id 0", 200, answer({ members: [{ id: 0, url: nobody }] }), /list of members/],
  ["a member with a URL of another kind", 200, answer({ members: [{ id: 1, url: "file:///etc/passwd" }] }), /file:/],
  ["a member that is null", 200, answer({ members: [null] }), /null in its list/],
  ["a member twice", 200, answer({ members: [members[0], members[0]] }), /list of members/],
  ["another status", 404, "nothing here\u001b[2J", /^HTTP status 404: nothing here\?\[2J$/],
  ["another version", 412, "protocol version 1 offered", /412: protocol version 1/],
])("an answer with %s is malformed", async (_what, status, body, message) => {
  const url = await other(status, body);
  expect(await ask(nobody, url)).toEqual({ kind: "malformed", url, message: expect.stringMatching(message) });
});

test("an answer that is too large is not read to its end", async () => {
  const url = await other(200, answer({ members, padding: "x".repeat(1_000_000) }));
  expect(await ask(url)).toEqual({
    kind: "unreachable",
    failures: [{ url, reason: "a body of more than 65536 bytes" }],
  });
});

describe("askCluster", () => {
  const asks = (...urls: string[]): Promise<ClusterAnswer[]> => askCluster({ urls, clusterId, timeoutMs: 5000 });

  test("tells members of the same cluster and of another one apart, even if they would refuse the asker", async () => {
    const same = await member({ kind: "removed", message: "member 4 was removed" });
    const another = (await new Member(3).listen({}, { clusterId: 2 ** 52 - 1 })).start();
    expect(await asks(same.url, another.url)).toEqual([
      { kind: "same-cluster", url: same.url },
      { kind: "another-cluster", url: another.url, clusterId: 2 ** 52 - 1 },
    ]);
    expect(same.asking).toEqual([]);
    expect(same.logged("refused")).toBeUndefined();
  });

  test("is answered by a member that is still starting", async () => {
    const starting = await new Member(3).listen({}, { clusterId: 78 });
    expect(await asks(starting.url)).toEqual([{ kind: "another-cluster", url: starting.url, clusterId: 78 }]);
  });

  test("reports an address where nothing listens, and one where no member does", async () => {
    const url = await other(200, "hello");
    expect(await asks(nobody, `${url}/`)).toEqual([
      { kind: "no-answer", url: nobody, reason: expect.stringContaining("ECONNREFUSED") },
      { kind: "no-member", url, reason: "HTTP status 200, and no member's cluster id" },
    ]);
  });

  // An id counts only with its CRC-32.
  test.each([
    ["no checksum", { "x-readyloop-cluster": "78" }],
    ["a digit that was changed on the way", { "x-readyloop-cluster": "79", "x-readyloop-cluster-checksum": sumOf78 }],
    ["an id of 0", { "x-readyloop-cluster": "0", "x-readyloop-cluster-checksum": "f4dbdf21" }],
    ["two ids", { "x-readyloop-cluster": ["78", "78"], "x-readyloop-cluster-checksum": sumOf78 }],
  ])("does not take an answer with %s for that of a member", async (_what, headers) => {
    const url = await other(412, "no", headers);
    expect(await asks(url)).toMatchObject([{ kind: "no-member", url }]);
  });

  test("asks all at once: silent members cost one time limit, and the answers of the others count", async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => {
      silent.closeAllConnections();
      silent.close();
    });
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const b = await member();
    const controller = new AbortController();
    let waiting = 0;
    silent.on("request", () => {
      waiting++;
      if (waiting === 20) controller.abort();
    });
    const urls = [...Array.from({ length: 20 }, () => url), b.url];
    const answers = await askCluster({ urls, clusterId, timeoutMs: 3_600_000, signal: controller.signal });
    expect(answers.slice(0, 20).every(({ kind }) => kind === "no-answer")).toBe(true);
    expect(await askCluster({ urls: [url], clusterId, timeoutMs: 20 })).toEqual([
      { kind: "no-answer", url, reason: "no answer within 20 ms" },
    ]);
  });

  test("rejects an address that cannot be one", async () => {
    await expect(asks("127.0.0.1:2380")).rejects.toMatchObject({ code: "BAD_PEER_URL" });
  });
});
