import { describe, expect, test } from "vitest";
import { checkHandshake, checkJoiner, handshakeHeaders, rejectionIn } from "./handshake.ts";
import type { Rejection } from "./options.ts";
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

  test("is written as it is read", () => {
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

describe("the question of one who joins", () => {
  const { "x-readyloop-cluster": _cluster, "x-readyloop-to": _to, ...joiner } = headers();

  test("needs neither the cluster's id nor the receiver's", () => {
    expect(checkJoiner(joiner, asked)).toBe(1);
  });

  test("is refused for the same reasons as a handshake", () => {
    expect(checkJoiner({ ...joiner, "x-readyloop-version": "1" }, asked)).toMatchObject({ status: 412 });
    expect(checkJoiner({ ...joiner, "x-readyloop-from": "x" }, asked)).toMatchObject({ status: 400 });
    expect(checkJoiner({ ...joiner, "x-readyloop-from": "6" }, asked)).toMatchObject({ rejection: "removed" });
  });

  test("by one who says it is the member that it asks, is refused as a wiped member is", () => {
    expect(checkJoiner({ ...joiner, "x-readyloop-from": "2" }, asked)).toMatchObject({ rejection: "lost-data" });
  });
});

describe("a refusal", () => {
  const header = (rejection: string) => ({ "x-readyloop-rejection": rejection });

  test("is a rejection if its status and its header say the same one", () => {
    expect(rejectionIn(410, header("removed"), "gone")).toEqual({ kind: "removed", message: "gone" });
    expect(rejectionIn(409, header("lost-data"), "")?.kind).toBe("lost-data");
    expect(rejectionIn(403, header("unknown"), "")?.kind).toBe("unknown");
  });

  test("is none otherwise: whatever listens there may answer 410", () => {
    expect(rejectionIn(410, {}, "gone")).toBeUndefined();
    expect(rejectionIn(200, header("removed"), "gone")).toBeUndefined();
    expect(rejectionIn(409, header("removed"), "gone")).toBeUndefined();
    expect(rejectionIn(410, header("constructor"), "gone")).toBeUndefined();
  });
});
