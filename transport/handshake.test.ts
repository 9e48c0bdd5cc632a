import { describe, expect, test } from "vitest";
import { checkHandshake, handshakeHeaders } from "./handshake.ts";
import { headers } from "./test-support.ts";

const asked = { id: 2, clusterId: 77, isPeer: (id: number) => id === 1 || id === 3 };
const check = (set: Record<string, string>, path = "/raft") => checkHandshake(path, headers(set), asked);

describe("a handshake", () => {
  test("of a known peer gives its id", () => {
    expect(check({})).toBe(1);
    expect(check({ "x-readyloop-from": "3" })).toBe(3);
  });

  test("is written as it is read", () => {
    const clusterId = 2 ** 52 - 1;
    const written = handshakeHeaders({ clusterId, from: 1, to: 2 });
    expect(checkHandshake("/raft", written, { ...asked, clusterId })).toBe(1);
  });

  test.each([
    ["another version", { "x-readyloop-version": "2" }, 412, "protocol version 2 offered, this member speaks 1"],
    ["another cluster", { "x-readyloop-cluster": "78" }, 412, "cluster 78 offered, this member belongs to cluster 77"],
    ["another receiver", { "x-readyloop-to": "3" }, 421, "looking for member 3, this is member 2"],
    ["this node as its sender", { "x-readyloop-from": "2" }, 409, "member 2 called itself"],
    ["a stranger as its sender", { "x-readyloop-from": "4" }, 403, "member 4 is not known to member 2"],
    ["a zero sender", { "x-readyloop-from": "0" }, 400, "x-readyloop-from"],
    ["a negative sender", { "x-readyloop-from": "-1" }, 400, "x-readyloop-from"],
    ["the id of a storage thread", { "x-readyloop-from": "18446744073709551615" }, 400, "x-readyloop-from"],
    ["a sender that a double cannot hold", { "x-readyloop-from": "9007199254740993" }, 400, "x-readyloop-from"],
    ["two senders", { "x-readyloop-from": "1, 3" }, 400, "x-readyloop-from"],
    ["a receiver in hexadecimal", { "x-readyloop-to": "0x2" }, 400, "x-readyloop-to"],
    ["an empty cluster", { "x-readyloop-cluster": "" }, 400, "x-readyloop-cluster"],
    ["a version that is no number", { "x-readyloop-version": "one" }, 400, "x-readyloop-version"],
  ])("with %s is refused", (_what, set, status, reason) => {
    expect(check(set)).toEqual({ status, reason: expect.stringContaining(reason) });
  });

  test.each(Object.keys(headers()))("without %s is refused", (name) => {
    const { [name]: _left, ...rest } = headers();
    expect(checkHandshake("/raft", rest, asked)).toEqual({ status: 400, reason: expect.stringContaining(name) });
  });

  test("on another path is refused", () => {
    expect(check({}, "/raft/stream")).toEqual({ status: 404, reason: "peers connect to /raft" });
  });
});
