import { expect, test } from "vitest";
import { type Config, resolveConfig } from "./config.ts";
import { MemoryStorage } from "./storage.ts";
import { noLimit } from "./types.ts";

const good: Config = { id: 1, electionTick: 10, heartbeatTick: 1, storage: new MemoryStorage(), maxInflightMsgs: 16 };

test.each<[string, Partial<Config>, RegExp]>([
  ["an id of 0", { id: 0 }, /cannot use none as id/],
  ["the id of a local thread", { id: -1 }, /cannot use local target as id/],
  ["an id beyond 2^53", { id: 2 ** 53 }, /not an integer/],
  ["no heartbeat", { heartbeatTick: 0 }, /heartbeat tick must be greater than 0/],
  ["an election timeout that is no longer than the heartbeat", { electionTick: 1 }, /greater than heartbeat tick/],
  ["no window", { maxInflightMsgs: 0 }, /max inflight messages must be greater than 0/],
  ["a window smaller than a message", { maxSizePerMsg: 10, maxInflightBytes: 9 }, />= max message size/],
  ["leases without a check of the quorum", { readOnlyOption: "leaseBased" }, /CheckQuorum must be enabled/],
])("%s is refused", (_what, bad, reason) => {
  expect(() => resolveConfig({ ...good, ...bad })).toThrow(reason);
});

test("what is not given has upstream's default", () => {
  expect(resolveConfig(good)).toMatchObject({
    applied: 0,
    asyncStorageWrites: false,
    maxSizePerMsg: 0,
    maxCommittedSizePerReady: 0,
    maxUncommittedEntriesSize: noLimit,
    maxInflightBytes: noLimit,
    checkQuorum: false,
    preVote: false,
    readOnlyOption: "safe",
  });
  expect(resolveConfig({ ...good, maxSizePerMsg: 7 }).maxCommittedSizePerReady).toBe(7);
});
