// Every client command against endpoints that answer as no member does, that hang, and that are members and refuse.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { exitCode } from "../command-line/exit-codes.ts";
import { type Running, startKvServer } from "../kvstore/testing.ts";
import { membersAnswer, nothing } from "./answers.ts";
import { getValue, putValue } from "./client.ts";
import { ask, ClientError, type Endpoints, jsonBody } from "./endpoints.ts";
import { changeMembers } from "./members.ts";
import { saveSnapshot } from "./snapshot-save.ts";
import { slow, startStranger, strangers } from "./strangers.ts";
import { inProcess } from "./testing.ts";

let good: Running;
let statusText: string;
let directory: string;
beforeAll(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), "readyloop-door-"));
});
afterAll(() => fs.rmSync(directory, { recursive: true }));
beforeEach(async () => {
  good = await startKvServer();
  good.member.members = [
    { id: 1, peerUrl: "http://127.0.0.1:2380", role: "voter" },
    { id: 2, peerUrl: "http://127.0.0.1:2480", role: "learner" },
  ];
  await fetch(`${good.url}/k`, { method: "PUT", body: "value" });
  statusText = await (await fetch(`${good.url}/_status`)).text();
});
afterEach(async () => {
  await good.close();
  expect(fs.readdirSync(directory)).toEqual([]);
});

const file = (): string => path.join(directory, "backup.snap");
const reads: readonly string[][] = [
  ["get", "k"],
  ["get", "k", "--stale"],
  ["members", "list"],
  ["members", "list", "--json"],
  ["snapshot", "save", "FILE"],
];
const writes: readonly string[][] = [
  ["put", "k", "v"],
  ["delete", "k"],
  ["members", "add", "3", "http://127.0.0.1:2580"],
  ["members", "promote", "2"],
  ["members", "demote", "1"],
  ["members", "remove", "2"],
  ["members", "move", "2", "http://127.0.0.1:2680"],
  ["transfer", "2"],
];

const run = (args: readonly string[], ...endpoints: string[]) =>
  inProcess(...args.map((arg) => (arg === "FILE" ? file() : arg)), `--endpoints=${endpoints.join(",")}`);
/** How many writes have come to the good member. */
const written = (): number => good.member.proposed + good.member.changes.length + good.member.transferees.length;

function expectShort(stderr: string, url: string): void {
  expect(stderr).toContain(url);
  expect(stderr.split("\n").length).toBeLessThanOrEqual(4);
  expect(stderr.length).toBeLessThan(600);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the very thing that must not be there
  expect(stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]|TypeError|undefined|arraybuffer/i);
}

/** What each command sends, without a command line around it, so that all may be asked at once. */
interface Sent {
  readonly isWrite: boolean;
  readonly send: (to: Endpoints) => Promise<unknown>;
}
const read = (send: Sent["send"]): Sent => ({ isWrite: false, send });
const write = (send: Sent["send"]): Sent => ({ isWrite: true, send });
const change = (method: "POST" | "PUT" | "DELETE", target: string, body?: object): Sent =>
  write((to) => changeMembers(to, { method, path: target, body: body && jsonBody(body) }));
const sent: Readonly<Record<string, Sent>> = {
  get: read((to) => getValue(to, "k")),
  "get --stale": read((to) => getValue(to, "k", true)),
  list: read((to) => ask(to, { method: "GET", path: "/_members", answer: membersAnswer })),
  put: write((to) => putValue(to, "k", Buffer.from("v"))),
  delete: write((to) => ask(to, { method: "DELETE", path: "/k", answer: nothing })),
  add: change("POST", "/_members", { id: 3, peerUrl: "http://127.0.0.1:2580" }),
  promote: change("POST", "/_members/2/promote"),
  demote: change("POST", "/_members/1/demote"),
  remove: change("DELETE", "/_members/2"),
  move: change("PUT", "/_members/2", { peerUrl: "http://127.0.0.1:2680" }),
  transfer: change("POST", "/_leader", { transferee: 2 }),
};
const save = read((to) => saveSnapshot({ ...to, file: file(), stale: false }));
const writesSent = Object.values(sent).filter(({ isWrite }) => isWrite).length;

/** What each of them rejects with. */
function failures(to: Endpoints): Promise<{ name: string; isWrite: boolean; error: ClientError }[]> {
  const all = Object.entries({ ...sent, save });
  return Promise.all(
    all.map(async ([name, { isWrite, send }]) => {
      const error = await send(to).then(
        () => new Error("it was answered"),
        (error: Error) => error,
      );
      expect([name, error]).toEqual([name, expect.any(ClientError)]);
      return { name, isWrite, error: error as ClientError };
    }),
  );
}

describe("an endpoint that is not a member", () => {
  test.each(Object.keys(strangers))("ask passes over it, and fails with noAnswer without another: %s", async (way) => {
    const stranger = await startStranger(strangers[way]!, good.url);
    const before = written();
    for (const { name, error } of await failures({ endpoints: [stranger.url], timeoutMs: 60_000 })) {
      expect([name, error.exitCode]).toEqual([name, exitCode.noAnswer]);
      expectShort(error.message, stranger.url);
    }
    expect(written()).toBe(before);
    const to = { endpoints: [stranger.url, good.url], timeoutMs: 60_000 };
    await Promise.all(Object.values(sent).map(({ send }) => send(to)));
    expect(written()).toBe(before + writesSent);
    await stranger.close();
  });

  test.each(Object.keys(strangers))(
    "ask leaves a write's outcome open once a member's status stood before it: %s",
    async (way) => {
      const stranger = await startStranger(strangers[way]!, good.url, statusText);
      const before = written();
      const to = { endpoints: [stranger.url, good.url], timeoutMs: 60_000 };
      for (const { name, isWrite, error } of await failures({ ...to, endpoints: [stranger.url] })) {
        expect([name, error.exitCode]).toEqual([name, isWrite ? exitCode.unknown : exitCode.noAnswer]);
        expectShort(error.message, stranger.url);
        if (isWrite) expect(error.message).toContain("the request may have been carried out");
      }
      for (const { isWrite, send } of Object.values(sent)) {
        if (isWrite) await expect(send(to)).rejects.toMatchObject({ exitCode: exitCode.unknown });
        else await send(to);
      }
      expect(written()).toBe(before);
      await stranger.close();
    },
  );

  test.each(["a 301 to a member", "a 307 to a member", "a login page with 200", "a 502 of a proxy"])(
    "every command fails with 5 and prints nothing else, and with a member behind it does its work: %s",
    async (way) => {
      const stranger = await startStranger(strangers[way]!, good.url);
      const before = written();
      for (const args of [...reads, ...writes]) {
        const { code, stdout, stderr } = await run(args, stranger.url);
        expect({ args, code, stdout }).toEqual({ args, code: exitCode.noAnswer, stdout: "" });
        expect(stderr).toMatch(/^readyloop: /);
        expectShort(stderr, stranger.url);
      }
      expect(written()).toBe(before);
      for (const args of [...reads, ...writes]) {
        const { code, stderr } = await run(args, stranger.url, good.url);
        expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: "" });
        fs.rmSync(file(), { force: true });
      }
      expect(written()).toBe(before + writes.length);
      await stranger.close();
    },
  );
});

describe("an endpoint that hangs", () => {
  test("ask passes over it before it has seen more than a request for its status", async () => {
    await Promise.all(
      Object.entries(slow).map(async ([way, behaviour]) => {
        const stranger = await startStranger(behaviour, good.url);
        for (const { name, error } of await failures({ endpoints: [stranger.url], timeoutMs: 1000 })) {
          expect([way, name, error.exitCode]).toEqual([way, name, exitCode.noAnswer]);
          if (way !== "a value that stalls") expect(error.message).toMatch(/ {2}http:.*: hung: .*within 0\.2 s$/);
        }
        await stranger.close();
      }),
    );
    expect(written()).toBe(1);
  });

  test("ask passes over it, and the next endpoint does what was asked", async () => {
    const hung = await startStranger(slow["no answer at all"]!, good.url);
    const to = { endpoints: [hung.url, good.url], timeoutMs: 5000 };
    await Promise.all(Object.values(sent).map(({ send }) => send(to)));
    expect(written()).toBe(1 + writesSent);
    await hung.close();
  });

  test("ask reports an unknown outcome of a write to an endpoint whose status was good, and sends a read to the next endpoint", async () => {
    await Promise.all(
      Object.entries(slow).map(async ([way, behaviour]) => {
        const stranger = await startStranger(behaviour, good.url, statusText);
        const [value, failed] = await Promise.all([
          getValue({ endpoints: [stranger.url, good.url], timeoutMs: 2500 }, "k"),
          failures({ endpoints: [stranger.url], timeoutMs: 2500 }),
        ]);
        for (const { name, isWrite, error } of failed) {
          const code = isWrite ? exitCode.unknown : exitCode.noAnswer;
          expect([way, name, error.exitCode]).toEqual([way, name, code]);
          expect(error.message).toMatch(/hung: .*within 2\.5 s|the answer is not a member's: /);
        }
        expect(String(value)).toBe("value");
        await stranger.close();
      }),
    );
    expect(written()).toBe(1);
  });
});

describe("a member that refuses", () => {
  test("NOT_FOUND is exit code 3, and one line that names the key", async () => {
    for (const key of ["none", "..", ".", "a/../b", "ümläut \u001b[2J", "%2e%2e"]) {
      const { code, stdout, stderr } = await run(["get", key], good.url);
      expect({ key, code, stdout }).toEqual({ key, code: exitCode.absent, stdout: "" });
      expect(stderr).toBe(`readyloop: there is no key ${JSON.stringify(key)}\n`);
    }
  });

  test("a refusal by every member is exit code 4, also if other endpoints did not answer", async () => {
    good.member.nextWrite = () => ({ kind: "refused", code: "NO_LEADER", message: "none" });
    good.member.nextRead = () => ({ kind: "timeout", message: "5 s passed" });
    const gone = await startKvServer();
    await gone.close();
    const other = await startKvServer();
    other.member.nextWrite = good.member.nextWrite;
    other.member.nextRead = good.member.nextRead;
    const stranger = await startStranger(strangers["a login page with 200"]!, good.url);
    for (const args of [
      ["put", "k", "v"],
      ["delete", "k"],
      ["get", "k"],
      ["snapshot", "save", "FILE"],
    ]) {
      const { code, stderr } = await run(args, gone.url, good.url, stranger.url, other.url);
      expect({ args, code }).toEqual({ args, code: exitCode.refused });
      expect(stderr).toMatch(/^readyloop: no member could do it\n( {2}http:.*\n){4} {2}What to do: .*\n$/);
    }
    await stranger.close();
    await other.close();
  });

  test.each([
    ["put", () => ({ kind: "unknown", message: "5 s passed" }), exitCode.unknown],
    ["put", () => Promise.reject(new Error("inside")), exitCode.unknown],
    ["put", () => ({ kind: "refused", code: "TOO_LARGE", message: "too large" }), exitCode.refused],
  ] as const)("is not asked elsewhere: %s", async (_name, outcome, code) => {
    good.member.nextWrite = outcome as typeof good.member.nextWrite;
    const other = await startKvServer();
    expect(await run(["put", "k", "v"], good.url, other.url)).toMatchObject({ code });
    expect(other.member.proposed).toBe(0);
    await other.close();
  });

  test("is shown escaped, so that its text cannot drive the terminal, and cut to a readable length", async () => {
    good.member.nextChange = () => ({
      kind: "conflict",
      code: "INVALID_CHANGE",
      message: `\u001b[2J\u202e${"long ".repeat(10_000)}`,
      next: "\r\nreadyloop: done\u0007",
    });
    const { code, stderr } = await run(["members", "remove", "2"], good.url);
    expect(code).toBe(exitCode.refused);
    expect(stderr.length).toBeLessThan(1200);
    expect(stderr).toMatch(/409 INVALID_CHANGE: \\u\{1b\}\[2J\\u\{202e\}long long/);
    expect(stderr).toMatch(/\.\.\.\n {2}What to do: readyloop: done\\u\{7\}\n$/);
  });
});

test("a key is sent unchanged: .. and %2e%2e are keys like any other", async () => {
  for (const key of ["..", ".", "a/../b", "%2e%2e", "a?b#c", "ü"]) {
    expect(await run(["put", key, `the value of ${key}`], good.url)).toMatchObject({ code: 0 });
    expect(await run(["get", key], good.url)).toMatchObject({ code: 0, stdout: `the value of ${key}` });
  }
});

test("a port that fetch refuses is a port like any other", async () => {
  const { stderr, code } = await run(["get", "k"], "http://127.0.0.1:6000");
  expect([code, stderr]).toEqual([exitCode.noAnswer, expect.not.stringMatching(/bad port/)]);
});

test("a member is reached at an IPv6 address too", async () => {
  const { port } = new URL(good.url);
  const { stderr, code } = await run(["get", "k"], `http://[::1]:${port}`, `http://[::ffff:127.0.0.1]:${port}`);
  expect([code, stderr]).toEqual([0, ""]);
});
