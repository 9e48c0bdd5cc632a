// The values of put and get, against the HTTP server, with a member in memory behind it.

import fs from "node:fs";
import { PassThrough, Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { exitCode } from "../command-line/exit-codes.ts";
import { type Running, startKvServer } from "../kvstore/testing.ts";
import { MAX_VALUE_BYTES } from "./answers.ts";
import { getValue, put, putValue, readValue, requireInput } from "./client.ts";
import { onTerminal } from "./testing.ts";

let server: Running;
beforeEach(async () => {
  server = await startKvServer({ maxValueBytes: MAX_VALUE_BYTES });
});
afterEach(() => server.close());

describe("the value of put KEY -", () => {
  test("readValue takes the bytes as they are, up to the largest value that a server takes", async () => {
    for (const bytes of [Buffer.alloc(0), Buffer.from([0, 255, 10, 13]), Buffer.alloc(MAX_VALUE_BYTES, 7)]) {
      const value = await readValue(Readable.from([bytes.subarray(0, 3), bytes.subarray(3)]));
      expect(Buffer.compare(value, bytes)).toBe(0);
    }
  });

  test("readValue refuses a larger value, also if the input never ends", async () => {
    const endless = new Readable({
      read() {
        this.push(Buffer.alloc(1024 * 1024));
      },
    });
    await expect(readValue(endless)).rejects.toMatchObject({
      name: "ClientError",
      exitCode: exitCode.usage,
      message:
        "standard input holds more than 33554432 bytes, the largest value that a server accepts; nothing was sent",
    });
    expect(endless.destroyed).toBe(true);
  });

  test("readValue fails when the input fails", async () => {
    const broken = new PassThrough();
    broken.write("half");
    const value = readValue(broken);
    broken.destroy(new Error("EIO: i/o error, read"));
    await expect(value).rejects.toThrow("EIO");
  });

  test("requireInput refuses a directory, and on Linux what node opens for a closed descriptor", () => {
    function check(path: string, mode: string): void {
      const fd = fs.openSync(path, mode);
      try {
        requireInput(fd);
      } finally {
        fs.closeSync(fd);
      }
    }
    check("/dev/null", "r");
    check("/dev/zero", "r+");
    check(import.meta.filename, "r");
    const refused = { name: "ClientError", exitCode: exitCode.usage };
    expect(() => check(import.meta.dirname, "r")).toThrow(
      expect.objectContaining({ ...refused, message: expect.stringMatching(/^standard input is a directory/) }),
    );
    if (process.platform !== "linux") return;
    expect(() => check("/dev/null", "r+")).toThrow(
      expect.objectContaining({ ...refused, message: expect.stringMatching(/^standard input is closed/) }),
    );
  });

  test("put says on a terminal what it waits for, and writes what is typed", async () => {
    let said = "";
    const spy = vi.spyOn(process.stderr, "write").mockImplementation((text) => {
      said += text;
      return true;
    });
    try {
      await onTerminal("typed\n", () => put({ key: "k", value: "-", endpoints: [server.url] }));
    } finally {
      spy.mockRestore();
    }
    expect(said).toBe("reading the value from the terminal: end it with Ctrl-D\n");
    expect(await getValue({ endpoints: [server.url] }, "k")).toEqual(Buffer.from("typed\n"));
  });
});

test("putValue and getValue carry the largest value, byte for byte", async () => {
  const to = { endpoints: [server.url] };
  const bytes = Buffer.alloc(MAX_VALUE_BYTES, Buffer.from([1, 2, 3, 254, 255, 0, 10]));
  await putValue(to, "k", bytes);
  expect(Buffer.compare(await getValue(to, "k"), bytes)).toBe(0);
});
