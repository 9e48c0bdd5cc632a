import { expect, test } from "vitest";
import { hostNames } from "./host-names.ts";

test("hostNames takes names with commas between them, in any case", () => {
  expect(hostNames.read("KV.example,kv,my_host", "--allowed-hosts")).toEqual(["kv.example", "kv", "my_host"]);
});

test.each(["a:2379", "*.example", ".example", "example.", "http://a", "a b", "[::1]", "u@a", "k\u00f6ln"])(
  "hostNames refuses what is no host name: %s",
  (value) => {
    expect(() => hostNames.read(value, "--allowed-hosts")).toThrow(
      /is no host name; write names without port or wildcard/,
    );
  },
);
