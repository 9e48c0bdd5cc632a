import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import type { Rejection } from "./contract.ts";
import {
  checkHandshake,
  checkJoiner,
  handshakeHeaders,
  type Refusal,
  refuseRequest,
  rejectionIn,
} from "./handshake.ts";
import { headers } from "./test-support.ts";

/** Knows 1 and 3, the latter with incarnation 5; 6 was removed. */
function admit(id: number, incarnation: number): Rejection | undefined {
  if (id === 6) return { kind: "removed", message: "member 6 was removed" };
  if (id === 3 && incarnation !== 5)
    return { kind: "lost-data", message: `member 3 is not incarnation ${incarnation}` };
  return id === 1 || id === 3 ? undefined : { kind: "unknown", message: `member ${id} is not known to member 2` };
}
const asked = { id: 2, clusterId: 77, admit };
const check = (set: Record<string, string>) => checkHandshake(headers(set), asked);

describe("a handshake", () => {
  test("of a known peer gives its id", () => {
    expect(check({})).toBe(1);
    expect(check({ "x-readyloop-from": "3", "x-readyloop-incarnation": "5" })).toBe(3);
  });

  test("is written by handshakeHeaders as checkHandshake reads it", () => {
    const clusterId = 2 ** 52 - 1;
    const said: unknown[] = [];
    const listening = { id: 2, clusterId, admit: (...args: unknown[]) => void said.push(args) };
    for (const address of [undefined, { url: "http://c:2380", since: 2 ** 53 - 1 }]) {
      const written = handshakeHeaders({ clusterId, from: 3, incarnation: 5, to: 2, address });
      expect(checkHandshake(written, listening)).toBe(3);
      expect(said.pop()).toEqual([3, 5, address]);
    }
  });

  test.each([
    ["another version", { "x-readyloop-version": "1" }, 412, "protocol version 1 offered, this member speaks 2"],
    ["another cluster", { "x-readyloop-cluster": "78" }, 412, "cluster 78 offered, this member belongs to cluster 77"],
    ["another receiver", { "x-readyloop-to": "3" }, 421, "looking for member 3, this is member 2"],
    ["this node as its sender", { "x-readyloop-from": "2" }, 409, "member 2 called itself"],
    ["a zero sender", { "x-readyloop-from": "0" }, 400, "x-readyloop-from"],
    ["a negative sender", { "x-readyloop-from": "-1" }, 400, "x-readyloop-from"],
    ["the id of a storage thread", { "x-readyloop-from": "18446744073709551615" }, 400, "x-readyloop-from"],
    ["a sender that a double cannot hold", { "x-readyloop-from": "9007199254740993" }, 400, "x-readyloop-from"],
    ["two senders", { "x-readyloop-from": "1, 3" }, 400, "x-readyloop-from"],
    ["a receiver in hexadecimal", { "x-readyloop-to": "0x2" }, 400, "x-readyloop-to"],
    ["an incarnation that is no number", { "x-readyloop-incarnation": "00" }, 400, "x-readyloop-incarnation"],
    ["an incarnation above 2^53", { "x-readyloop-incarnation": "9007199254740993" }, 400, "x-readyloop-incarnation"],
    ["an address without its index", { "x-readyloop-address": "http://c:2380" }, 400, "x-readyloop-address"],
    ["an address that is no origin", { "x-readyloop-address": "7 http://c/x" }, 400, "x-readyloop-address"],
    ["an index above 2^53", { "x-readyloop-address": "9007199254740993 http://c:1" }, 400, "x-readyloop-address"],
    ["an empty cluster", { "x-readyloop-cluster": "" }, 400, "x-readyloop-cluster"],
    ["a version that is no number", { "x-readyloop-version": "one" }, 400, "x-readyloop-version"],
  ])("with %s is refused", (_what, set, status, reason) => {
    expect(check(set)).toEqual({ status, reason: expect.stringContaining(reason) });
  });

  test.each(Object.keys(headers()))("without %s is refused", (name) => {
    const { [name]: _left, ...rest } = headers();
    expect(checkHandshake(rest, asked)).toEqual({ status: 400, reason: expect.stringContaining(name) });
  });

  test.each(["0", undefined])("with the incarnation %s is that of an unknown one", (incarnation) => {
    const set: Record<string, string> = incarnation === undefined ? {} : { "x-readyloop-incarnation": incarnation };
    expect(check({ "x-readyloop-from": "3", ...set })).toMatchObject({ reason: "member 3 is not incarnation 0" });
  });

  test.each([
    ["4", 403, "unknown", "member 4 is not known to member 2"],
    ["6", 410, "removed", "member 6 was removed"],
    ["3", 409, "lost-data", "member 3 is not incarnation 0"],
  ])("of a member %s that the handler rejects is refused with %d", (from, status, rejection, reason) => {
    expect(check({ "x-readyloop-from": from })).toEqual({ status, rejection, reason });
  });
});

describe("the question of a joining member", () => {
  const { "x-readyloop-cluster": _cluster, "x-readyloop-to": _to, ...joiner } = headers();

  test("needs neither the cluster's id nor the receiver's", () => {
    expect(checkJoiner(joiner, asked)).toBe(1);
  });

  test("is refused for the same reasons as a handshake", () => {
    expect(checkJoiner({ ...joiner, "x-readyloop-version": "1" }, asked)).toMatchObject({ status: 412 });
    expect(checkJoiner({ ...joiner, "x-readyloop-from": "x" }, asked)).toMatchObject({ status: 400 });
    expect(checkJoiner({ ...joiner, "x-readyloop-from": "6" }, asked)).toMatchObject({ rejection: "removed" });
  });

  test("is refused as a wiped member's if it names the id of the member that it asks", () => {
    expect(checkJoiner({ ...joiner, "x-readyloop-from": "2" }, asked)).toMatchObject({ rejection: "lost-data" });
  });
});

/** What a refused peer reads, on a real connection. */
async function answerOf(refusal: Refusal): Promise<{ answered: Record<string, string>; said: string }> {
  const server = createServer((_request, response) => refuseRequest(response, refusal));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const said = (await response.text()).trim();
  server.close();
  return { answered: Object.fromEntries(response.headers), said };
}

describe("a refusal", () => {
  const header = (rejection: string) => ({ "x-readyloop-rejection": rejection });

  test("is a rejection if its status and its header say the same one", () => {
    expect(rejectionIn(410, header("removed"), "gone")).toEqual({ kind: "removed", message: "gone" });
    expect(rejectionIn(409, header("lost-data"), "")?.kind).toBe("lost-data");
    expect(rejectionIn(403, header("unknown"), "")?.kind).toBe("unknown");
  });

  test("for good names the remaining members, as far as that fits and arrives whole", async () => {
    const urls = [1, 5, 2 ** 53 - 1].map((id) => ({ id, url: id === 5 ? "" : `http://10.0.0.${id % 10}:2380` }));
    const long = Array.from({ length: 200 }, (_, i) => ({ id: i + 1, url: `http://${"x".repeat(60)}:2380` }));
    for (const [members, whole] of [
      [urls, true],
      [[{ id: 7, url: "" }], true],
      [long, false],
    ] as const) {
      const remaining = { asOf: 2 ** 53 - 1, members };
      const refusal = checkHandshake(headers(), {
        ...asked,
        admit: () => ({ kind: "removed", message: "gone", remaining }),
      });
      const { answered, said } = await answerOf(refusal as Refusal);
      const read = rejectionIn(410, answered, said);
      expect(read).toEqual({ kind: "removed", message: "gone", ...(whole ? { remaining } : {}) });
      answered["x-readyloop-remaining"] = "7 1=http://10.0.0.2:2380";
      expect(rejectionIn(410, answered, said)?.remaining).toEqual(
        whole ? undefined : { asOf: 7, members: [{ id: 1, url: "http://10.0.0.2:2380" }] },
      );
    }
  });

  test.each(["", "x", "0 1=http://a:1", "7", "7 ", "7 0=http://a:1", "7 1=a 1=b c", "7  1=http://a:1"])(
    "that names those who are left as %j names none",
    (text) => {
      const said = { ...header("removed"), "x-readyloop-remaining": text };
      expect(rejectionIn(410, said, "gone")).toEqual({ kind: "removed", message: "gone" });
    },
  );

  test("leaves out a committed address that cannot be one", async () => {
    const members = ["http://h\u20ac:1/x", "http://a\r\nX: 1", "http://b c", "ftp://d", "http://e:1"].map((url, i) => ({
      id: i + 1,
      url,
    }));
    const { answered } = await answerOf({
      status: 410,
      reason: "gone",
      rejection: "removed",
      remaining: { asOf: 7, members },
    });
    expect(answered["x-readyloop-remaining"]).toBe("7 1= 2= 3= 4= 5=http://e:1");
  });

  test("is no rejection otherwise: any server may answer 410", () => {
    expect(rejectionIn(410, {}, "gone")).toBeUndefined();
    expect(rejectionIn(200, header("removed"), "gone")).toBeUndefined();
    expect(rejectionIn(409, header("removed"), "gone")).toBeUndefined();
    expect(rejectionIn(410, header("constructor"), "gone")).toBeUndefined();
  });
});
