// Log lines on descriptors that fail: real pipes and /dev/full, and a disk that becomes full and has room again.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { LogOutput } from "./log-output.ts";

const notice = (lines: number, code: string): string => `lost ${lines} (${code})\n`;
const { O_RDONLY, O_WRONLY, O_NONBLOCK } = fs.constants;

let directory: string;
beforeEach(() => {
  // An output that still retries must not write to the next test's descriptor.
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  directory = fs.mkdtempSync(path.join(os.tmpdir(), "readyloop-log-"));
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  fs.rmSync(directory, { recursive: true });
});

/** A pipe whose ends do not wait. */
function makePipe(): { reader: number; writer: number; read: () => string } {
  const name = path.join(directory, "pipe");
  execFileSync("mkfifo", [name]);
  const reader = fs.openSync(name, O_RDONLY | O_NONBLOCK);
  const writer = fs.openSync(name, O_WRONLY | O_NONBLOCK);
  const read = (): string => {
    const parts: Buffer[] = [];
    for (const chunk = Buffer.alloc(65_536); ; ) {
      try {
        const size = fs.readSync(reader, chunk);
        if (size === 0) break;
        parts.push(Buffer.from(chunk.subarray(0, size)));
      } catch {
        break; // empty
      }
    }
    return Buffer.concat(parts).toString();
  };
  return { reader, writer, read };
}

const lineOf = (i: number, size = 100): string => `${String(i).padEnd(size - 1, ".")}\n`;

describe("LogOutput on a pipe", () => {
  test("writes a line at once, so that it is out before process.exit()", () => {
    const { reader, writer, read } = makePipe();
    new LogOutput(writer, { notice }).write("fatal: the disk failed\n");
    expect(read()).toBe("fatal: the disk failed\n");
    fs.closeSync(reader);
    fs.closeSync(writer);
  });

  test("loses lines of a pipe that is never read past the bound, counts them, and flush() gives up in time", () => {
    const { reader, writer } = makePipe();
    const output = new LogOutput(writer, { notice, maxWaiting: 10_000 });
    for (let i = 0; i < 3000; i++) output.write(lineOf(i));
    // 64 KiB fit into the pipe and 10,000 bytes wait: the rest of 300,000 bytes is lost.
    expect(output.lost?.code).toBe("EAGAIN");
    expect(output.lost?.lines).toBeGreaterThan(2000);
    expect(output.lost?.lines).toBeLessThan(3000);
    const before = performance.now();
    output.flush(50);
    expect(performance.now() - before).toBeLessThan(10_000);
    fs.closeSync(reader);
    fs.closeSync(writer);
  });

  test("writes the waiting lines, then one line about the lost ones, once the pipe is read again", () => {
    const { reader, writer, read } = makePipe();
    const output = new LogOutput(writer, { notice, maxWaiting: 10_000 });
    for (let i = 0; i < 3000; i++) output.write(lineOf(i));
    const lost = output.lost?.lines as number;
    let text = read();
    output.write("afterwards\n");
    text += read();
    const lines = text.split("\n").slice(0, -1);
    const kept = 3000 - lost;
    expect(lines.slice(0, kept)).toEqual(Array.from({ length: kept }, (_, i) => lineOf(i).trimEnd()));
    expect(lines.slice(kept)).toEqual([`lost ${lost} (EAGAIN)`, "afterwards"]);
    expect(output.lost?.lines).toBe(lost);
    fs.closeSync(reader);
    fs.closeSync(writer);
  });

  test("writes the waiting lines by itself when the pipe is read and no new line comes", () => {
    const { reader, writer, read } = makePipe();
    const output = new LogOutput(writer, { notice });
    for (let i = 0; i < 1000; i++) output.write(lineOf(i));
    let text = read();
    vi.advanceTimersByTime(1000);
    text += read();
    expect(text).toContain("\n999.");
    expect(output.lost).toBeUndefined();
    fs.closeSync(reader);
    fs.closeSync(writer);
  });

  test("passes on whole a line that is larger than the pipe and the bound", () => {
    const { reader, writer, read } = makePipe();
    const output = new LogOutput(writer, { notice, maxWaiting: 1000 });
    const large = lineOf(1, 300_000);
    output.write(large);
    output.write("behind it\n"); // past the bound
    let text = "";
    for (let i = 0; i < 20; i++) {
      text += read();
      vi.advanceTimersByTime(1000);
    }
    expect(text).toBe(`${large}lost 1 (EAGAIN)\n`);
    fs.closeSync(reader);
    fs.closeSync(writer);
  });

  test("flush() writes the waiting lines when the reader reads meanwhile", () => {
    const { reader, writer, read } = makePipe();
    const output = new LogOutput(writer, { notice });
    for (let i = 0; i < 1000; i++) output.write(lineOf(i));
    let text = read();
    output.flush(10_000);
    text += read();
    expect(text).toContain("\n999.");
    fs.closeSync(reader);
    fs.closeSync(writer);
  });

  test("counts every line once the reader has ended, and throws nothing", () => {
    const { reader, writer } = makePipe();
    const output = new LogOutput(writer, { notice });
    fs.closeSync(reader);
    for (let i = 0; i < 10; i++) output.write(lineOf(i));
    expect(output.lost).toEqual({ lines: 10, code: "EPIPE" });
    output.flush(10_000);
    fs.closeSync(writer);
  });

  test("counts lines that waited when the reader ends", () => {
    const { reader, writer } = makePipe();
    const output = new LogOutput(writer, { notice });
    for (let i = 0; i < 1000; i++) output.write(lineOf(i));
    expect(output.lost).toBeUndefined();
    fs.closeSync(reader);
    output.write("one more\n");
    expect(output.lost?.code).toBe("EPIPE");
    expect(output.lost?.lines).toBeGreaterThan(300);
    fs.closeSync(writer);
  });
});

describe("LogOutput on a disk", () => {
  test.runIf(fs.existsSync("/dev/full"))("counts the lines that /dev/full does not take, and ends at once", () => {
    const fd = fs.openSync("/dev/full", "w");
    const output = new LogOutput(fd, { notice });
    for (let i = 0; i < 10; i++) output.write(lineOf(i));
    output.flush(60_000);
    expect(output.lost).toEqual({ lines: 10, code: "ENOSPC" });
    fs.closeSync(fd);
  });

  /** A file on a disk that takes so many bytes more. */
  function makeDisk(): { output: LogOutput; room: (bytes: number) => void; text: () => string } {
    let left = 0;
    const file = path.join(directory, "log");
    const fd = fs.openSync(file, "a");
    const real = fs.writeSync;
    vi.spyOn(fs, "writeSync").mockImplementation(((_fd: number, bytes: Buffer, at: number) => {
      if (left === 0) throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
      const written = real(fd, bytes, at, Math.min(left, bytes.length - at));
      left -= written;
      return written;
    }) as typeof fs.writeSync);
    const text = (): string => fs.readFileSync(file, "utf8");
    return {
      output: new LogOutput(fd, { notice }),
      room: (bytes) => {
        left = bytes;
      },
      text,
    };
  }

  test("completes the line that was cut short, reports the lost ones, and goes on when there is room again", () => {
    const { output, room, text } = makeDisk();
    room(13);
    for (const line of ["first line\n", "second line\n", "third line\n", "fourth line\n"]) output.write(line);
    expect(text()).toBe("first line\nse");
    room(1000);
    output.write("fifth line\n");
    expect(text()).toBe("first line\nsecond line\nlost 2 (ENOSPC)\nfifth line\n");
    expect(output.lost).toEqual({ lines: 2, code: "ENOSPC" });
  });

  test("completes a notice that was cut short", () => {
    const { output, room, text } = makeDisk();
    output.write("first line\n");
    room(4);
    output.write("second line\n");
    expect(text()).toBe("lost");
    room(1000);
    output.write("third line\n");
    expect(text()).toBe("lost 1 (ENOSPC)\nsecond line\nthird line\n");
    expect(output.lost).toEqual({ lines: 1, code: "ENOSPC" });
  });

  test("reports the lost lines when there is room again and no new line comes", () => {
    const { output, room, text } = makeDisk();
    output.write("first line\n");
    room(1000);
    vi.advanceTimersByTime(5000);
    expect(text()).toBe("lost 1 (ENOSPC)\n");
  });
});
