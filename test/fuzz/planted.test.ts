// The fuzzer finds what is wrong: bugs planted behind the targets, each found within some hundred inputs.

import http from "node:http";
import { describe, expect, test, vi } from "vitest";
import { createKvServer } from "../../kvstore/index.ts";
import { type MakeServer, makeHttpTarget } from "./http.ts";
import { httpFiles } from "./http-inputs.ts";
import { lieFiles, makeLiesTarget } from "./lies.ts";
import { walFiles } from "./make-logs.ts";
import { makeDoorTarget } from "./peer.ts";
import { doorFiles } from "./peer-inputs.ts";
import { shrink } from "./shrink.ts";
import { type Failure, fuzz, type Report, replay, type Target } from "./target.ts";
import { walTarget } from "./wal.ts";

// The log's checksums are all 0 here, when they are written and when they are read: nothing that is damaged shows.
vi.mock("../../disk/crc32c.ts", () => ({ crc32c: () => 0, crc32cCombine: () => 0 }));

const find = (target: Target, files: Readonly<Record<string, Uint8Array>>, inputs: number): Promise<Report> =>
  fuzz(target, Object.values(files), { seed: 1, inputs, maxFailures: 1 });

const found = ({ failures }: Report): string => failures[0]?.error.message ?? "nothing";

describe("a log that looks at no checksum", () => {
  test("is found within 200 inputs", async () => {
    expect(found(await find(walTarget, await walFiles(), 200))).toMatch(/a record that was never written/);
  });
});

describe("a client port", () => {
  /** The same handlers behind another server. */
  const behind =
    (make: (listener: http.RequestListener) => http.Server): MakeServer =>
    (options) => {
      const [listener] = createKvServer(options).listeners("request") as [http.RequestListener];
      return make(listener);
    };

  test("that takes a length and chunks at once for one request is found within 2000 inputs", async () => {
    const lenient = behind((listener) => http.createServer({ insecureHTTPParser: true }, listener));
    expect(found(await find(makeHttpTarget(lenient), httpFiles(), 2000))).toMatch(/no request has plainly asked for/);
  });

  /** A client port that does not see some headers: those checks are as good as gone. */
  const blindTo = (name: RegExp): MakeServer =>
    behind((listener) =>
      http.createServer((req, res) => {
        for (const header of Object.keys(req.headers)) if (name.test(header)) delete req.headers[header];
        listener(req, res);
      }),
    );

  test.each([
    ["conditions", /^if/],
    ["parts of values", /^content-range$/],
    ["encodings", /^content-encoding$/],
    ["idempotency keys", /idempotency/],
    ["origins", /^origin$/],
    ["sites", /^sec-fetch-site$/],
    ["other methods", /override/],
  ])("that does not look at %s is found within 4000 inputs", async (_what, name) => {
    expect(found(await find(makeHttpTarget(blindTo(name)), httpFiles(), 4000))).toMatch(
      /no request has plainly asked for/,
    );
  });

  test("that takes a parameter for none is found within 2000 inputs", async () => {
    const deaf = behind((listener) =>
      http.createServer((req, res) => {
        req.url = req.url?.replace(/\?.*/, "");
        listener(req, res);
      }),
    );
    expect(found(await find(makeHttpTarget(deaf), httpFiles(), 2000))).toMatch(/no request has plainly asked for/);
  });

  test("that answers to no name but localhost is found within 500 inputs", async () => {
    const strict: MakeServer = ({ allowedHosts: _, ...options }) => createKvServer(options);
    expect(found(await find(makeHttpTarget(strict), httpFiles(), 500))).toMatch(/answered 421 without cause/);
  });

  test("that answers to every name is found within 2000 inputs", async () => {
    const lenient: MakeServer = (options) =>
      createKvServer({
        ...options,
        allowedHosts: [...(options.allowedHosts ?? []), "evil", "other", "evil.example", "h."],
      });
    expect(found(await find(makeHttpTarget(lenient), httpFiles(), 2000))).toMatch(/no request has plainly asked for/);
  });

  test("that fails inside on some key is found within 2000 inputs", async () => {
    const failing = behind((listener) =>
      http.createServer((req, res) => {
        if (req.url?.includes("%5F")) res.writeHead(500).end();
        else listener(req, res);
      }),
    );
    expect(found(await find(makeHttpTarget(failing), httpFiles(), 2000))).toMatch(/answered 500/);
  });

  test("that sends a header too many is found within 500 inputs", async () => {
    const split = behind((listener) =>
      http.createServer((req, res) => {
        if (req.method === "PATCH") req.socket.write("HTTP/1.1 200 OK\r\nX y\r\ncontent-length: 0\r\n\r\n");
        listener(req, res);
      }),
    );
    expect(found(await find(makeHttpTarget(split), httpFiles(), 500))).toMatch(/a header "X y"/);
  });
});

describe("a peer port that does not ask whose data a member has", () => {
  test("is found within 500 inputs", async () => {
    const open = makeDoorTarget(({ server }) => Object.assign(server.inbox, { admit: () => undefined }));
    expect(found(await find(open, doorFiles(), 500))).toMatch(/let in as member 3/);
  });
});

describe("a member that believes a heartbeat whatever it commits", () => {
  const target = makeLiesTarget(() => undefined);

  test("is found within 1000 inputs", async () => {
    expect(found(await find(target, lieFiles(), 1000))).toMatch(/tocommit\(.*out of range/);
  });

  test("is shown by an input that is cut down to what matters", async () => {
    const corpus = Object.values(lieFiles());
    const { failures } = await fuzz(target, corpus, { seed: 1, inputs: 1000, maxFailures: 1 });
    const [failure] = failures as [Failure];
    const { input, error } = await shrink(target, corpus, failure, 10_000);
    expect(input.length).toBeLessThan(failure.input.length);
    expect(error.message).toMatch(/tocommit/);
    await expect(replay(target, corpus, input)).rejects.toThrow(/tocommit/);
  });
});
