import os from "node:os";
import pino from "pino";
import { expect, test } from "vitest";
import { type Given, givenAddress, OwnAddress } from "./own-address.ts";

const names: Readonly<Record<string, readonly string[]>> = {
  localhost: ["::1", "127.0.0.1"],
  "a.test": ["10.0.0.1"],
  "six.test": ["2001:db8:0:0::1"],
  "mapped.test": ["::ffff:127.0.0.1"],
};

const resolve = async (name: string): Promise<readonly string[]> => {
  const found = names[name];
  if (found === undefined) throw new Error(`ENOTFOUND ${name}`);
  return found;
};

const lines: string[] = [];
const log = pino({ level: "warn" }, { write: (line) => void lines.push((JSON.parse(line) as { msg: string }).msg) });

function make(host: string, port = 2380, given?: Given): OwnAddress {
  lines.length = 0;
  return new OwnAddress({ id: 1, host, port }, given, log, resolve);
}

async function judge(host: string, url: string): Promise<string | undefined> {
  const own = make(host);
  await own.look(url);
  await own.look(url);
  const [warning] = own.warnings();
  expect(lines).toEqual(warning === undefined ? [] : [warning.message]);
  expect(warning?.code ?? "ADDRESS_DIFFERS").toBe("ADDRESS_DIFFERS");
  return warning?.message;
}

const ownIp = Object.values(os.networkInterfaces()).flatMap((all) => all ?? [])[0]?.address ?? "127.0.0.1";
const shown = ownIp.includes(":") ? `[${ownIp}]` : ownIp;

test.each([
  ["127.0.0.1", "http://127.0.0.1:2380"],
  ["127.0.0.1", "http://localhost:2380"],
  ["localhost", "http://127.0.0.1:2380"],
  ["localhost", "http://[::1]:2380"],
  ["0:0:0:0:0:0:0:1", "http://[::1]:2380"],
  ["2001:db8::1", "http://six.test:2380"],
  ["127.0.0.1", "http://mapped.test:2380"],
  ["LOCALHOST", "http://localhost:2380"],
  ["0.0.0.0", `http://${shown}:2380`],
  ["::", `http://${shown}:2380`],
])("OwnAddress says nothing when --host=%s is reached at %s", async (host, url) => {
  expect(await judge(host, url)).toBeUndefined();
});

test.each([
  [
    "another port",
    "127.0.0.1",
    "http://127.0.0.1:2381",
    /at http:\/\/127.0.0.1:2381, .* 127.0.0.1:2380: the ports differ/,
  ],
  ["no port, which is 80", "127.0.0.1", "http://127.0.0.1", /the ports differ/],
  ["another address", "127.0.0.1", "http://10.0.0.1:2380", /10.0.0.1 is no address that it listens on/],
  ["a name of another address", "127.0.0.1", "http://a.test:2380", /a.test is 10.0.0.1, no address that it listens on/],
  ["another machine's address and a wildcard", "0.0.0.0", "http://192.0.2.7:2380", /192.0.2.7 is no address/],
  ["another port and a wildcard", "::", "http://a.test:2381", /listens on \[::\]:2380: the ports differ/],
  ["a name that does not resolve", "127.0.0.1", "http://gone.test:2380", /the name gone.test does not resolve here/],
])("OwnAddress warns of %s, once, with both addresses and the ways on", async (_what, host, url, text) => {
  const message = await judge(host, url);
  expect(message).toMatch(text);
  expect(message).toContain(url);
  expect(message).toMatch(/readyloop members move 1 http:\/\/(127.0.0.1|HOST):2380; .*--peers-moved/);
});

test("OwnAddress warns again when the address in the log changes, and not when it stays equal", async () => {
  const own = make("127.0.0.1");
  await own.look("http://127.0.0.1:1");
  expect(own.warnings()).toHaveLength(1);
  await own.look("http://127.0.0.1:2380");
  expect(own.warnings()).toEqual([]);
  await own.look("http://127.0.0.1:1");
  expect(own.warnings()).toHaveLength(1);
  expect(lines).toHaveLength(2);
});

test("OwnAddress ignores a slow answer about an earlier address", async () => {
  const own = make("127.0.0.1");
  const slow = own.look("http://a.test:2380"); // waits for its name
  await own.look("http://127.0.0.1:2380");
  await slow;
  expect([own.warnings(), lines]).toEqual([[], []]);
});

test("OwnAddress gives up on a name that is not resolved in time", async () => {
  const own = new OwnAddress({ id: 1, host: "127.0.0.1", port: 2380 }, undefined, log, () => new Promise(() => {}));
  await own.look("http://slow.test:2380");
  expect(own.warnings()[0]?.message).toContain("slow.test does not resolve");
});

test("OwnAddress judges the address in --peers until the log has one, or for a move another one", async () => {
  const url = "http://127.0.0.1:2380";
  const first = make("127.0.0.1", 1, { url, isMove: false });
  await first.look(undefined);
  expect(first.warnings()[0]?.message).toMatch(/^--peers has member 1 at http:\/\/127.0.0.1:2380,/);
  expect(first.warnings()[0]?.message).not.toContain("--peers-moved"); // it has never been anywhere else
  await first.look("http://127.0.0.1:1");
  expect(first.warnings()).toEqual([]);
  const moved = make("127.0.0.1", 2380, { url, isMove: true });
  for (const inLog of [undefined, "http://127.0.0.1:7", "http://127.0.0.1:7", url]) await moved.look(inLog);
  expect(lines).toEqual([]);
  await moved.look("http://127.0.0.1:8");
  expect(moved.warnings()[0]?.message).toMatch(/^the log has member 1 at http:\/\/127.0.0.1:8,/);
});

test("givenAddress is the address in --peers of a new or moved member, and undefined for any other", () => {
  const list = [{ id: 1, url: "http://a.test:1" }];
  expect(givenAddress(1, { how: "start", list }, true)).toEqual({ url: "http://a.test:1", isMove: false });
  expect(givenAddress(1, { how: "join", list }, true)).toEqual({ url: "http://a.test:1", isMove: false });
  expect(givenAddress(1, { how: "moved", list }, false)).toEqual({ url: "http://a.test:1", isMove: true });
  expect(givenAddress(1, { how: "start", list }, false)).toBeUndefined();
  expect(givenAddress(2, { how: "join", list }, true)).toBeUndefined();
});
