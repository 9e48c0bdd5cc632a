// The log file of a member of start-cluster: appended to, and bounded.
//
// The member writes the file itself, by a descriptor that it inherits, so that its last lines are there however start-cluster ended. A file
// that has grown past a limit is copied over <file>.1, and cut: a member's logs take at most twice the limit and what ten seconds add.
// Lines logged between the copy and the cut are lost. A file that cannot be written stops no member.

import fs from "node:fs";

const maxBytes = 8 * 1024 * 1024;
const checkMs = 10_000;
const tailBytes = 16 * 1024;

export class MemberLog {
  readonly path: string;
  /** Where this run's lines begin. */
  private from = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(path: string) {
    this.path = path;
  }

  /** A descriptor to append with, which the caller closes. */
  open(): number {
    this.cut();
    const fd = fs.openSync(this.path, "a");
    this.from = fs.fstatSync(fd).size;
    this.timer ??= setInterval(() => this.cut(), checkMs).unref();
    return fd;
  }

  close(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  /** Appends a line of the member's standard error. */
  append(line: string): void {
    try {
      fs.appendFileSync(this.path, `${line}\n`);
    } catch {
      // The disk is full: start-cluster has the line too.
    }
  }

  /** The last lines of this run. */
  lastLines(count: number): string[] {
    try {
      const fd = fs.openSync(this.path, "r");
      try {
        const { size } = fs.fstatSync(fd);
        const from = Math.max(size - tailBytes, this.from <= size ? this.from : 0);
        const bytes = Buffer.alloc(size - from);
        const read = fs.readSync(fd, bytes, 0, bytes.length, from);
        const lines = bytes.toString("utf8", 0, read).split("\n");
        return lines.filter((line) => line.trim() !== "").slice(-count);
      } finally {
        fs.closeSync(fd);
      }
    } catch {
      return [];
    }
  }

  private cut(): void {
    try {
      if (fs.statSync(this.path).size <= maxBytes) return;
    } catch {
      return; // there is none yet
    }
    try {
      fs.copyFileSync(this.path, `${this.path}.1`);
    } catch {
      // No room for a copy: all the more must the file be cut.
    }
    try {
      fs.truncateSync(this.path);
      this.from = 0;
    } catch {
      // Tried again at the next check.
    }
  }
}
