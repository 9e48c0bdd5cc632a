// Where log lines go: a file descriptor whose failure costs log lines and nothing else.
//
// Promises: write() never throws and never waits, whether the disk for logs is full, the reader of a pipe has ended, or a reader or a
// terminal takes nothing more. Lines wait, up to a bound, while the descriptor takes nothing (EAGAIN). Past the bound, and on any other
// error, whole lines are lost and counted; once lines can be written again, one line says how many were lost, before any new one. A line
// written in part is always completed first, so that a reader never gets two lines as one. write() writes at once what the descriptor
// takes: so the last line before process.exit() gets out.
//
// Leaves out: a regular file on a disk that hangs, and outside Linux a terminal that was stopped with Ctrl-S. Both block the process.

import fs from "node:fs";
import tty from "node:tty";

export interface LogOutputOptions {
  /** The line, with its newline, that says how many lines were lost, and the system's code. */
  readonly notice: (lines: number, code: string) => string;
  /** How many bytes may wait. */
  readonly maxWaiting?: number;
}

export interface Lost {
  readonly lines: number;
  /** The system's code of the last failure, such as ENOSPC. */
  readonly code: string;
}

const retryMs = 50;
const retryAfterFailureMs = 1000;
const pauseMs = 5;

export class LogOutput {
  private readonly fd: number;
  private readonly options: LogOutputOptions;
  private readonly maxWaiting: number;
  private readonly waiting: Buffer[] = [];
  private waitingBytes = 0;
  /** The first waiting line was written in part. */
  private isTorn = false;
  /** Lost since the last notice. */
  private unreported = 0;
  private total = 0;
  private lostTo = "";
  /** Of the last write; undefined if it was whole. */
  private failure: string | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(fd: number, options: LogOutputOptions) {
    this.fd = fd;
    this.options = options;
    this.maxWaiting = options.maxWaiting ?? 1024 * 1024;
  }

  /** Undefined if no line was ever lost. */
  get lost(): Lost | undefined {
    return this.total === 0 ? undefined : { lines: this.total, code: this.lostTo };
  }

  /** Takes one line, with its newline. */
  write(line: string): void {
    const isClear = this.settle();
    if (!isClear && (this.unreported > 0 || this.waitingBytes + line.length > this.maxWaiting)) this.lose(1);
    else this.add(Buffer.from(line));
    this.retryLater();
  }

  /** Writes the waiting lines, for at most `ms`. It blocks: only for the end of the process. */
  flush(ms: number): void {
    const until = performance.now() + ms;
    while (!this.settle() && this.failure === "EAGAIN" && performance.now() < until) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs);
    }
  }

  /** Writes the waiting lines, then the notice if one is due. Returns whether nothing is left to write. */
  private settle(): boolean {
    for (let first = this.waiting[0]; first !== undefined; first = this.waiting[0]) {
      const rest = this.put(first);
      this.isTorn ||= rest.length < first.length;
      this.waitingBytes -= first.length - rest.length;
      if (rest.length > 0) {
        this.waiting[0] = rest;
        if (this.failure !== "EAGAIN") this.loseWaiting();
        return false;
      }
      this.waiting.shift();
      this.isTorn = false;
    }
    if (this.unreported === 0) return true;
    const lines = this.unreported;
    const notice = Buffer.from(this.options.notice(lines, this.lostTo));
    const rest = this.put(notice);
    if (rest.length === notice.length) return false;
    this.unreported = 0;
    this.keep(rest, true);
    return rest.length === 0;
  }

  /** Writes a line, or lets it wait behind those that do. */
  private add(line: Buffer): void {
    if (this.waiting.length > 0) return this.keep(line, false);
    const rest = this.put(line);
    const isTorn = rest.length < line.length;
    if (isTorn || this.failure === "EAGAIN") this.keep(rest, isTorn);
    else this.lose(1);
  }

  private keep(rest: Buffer, isTorn: boolean): void {
    if (rest.length === 0) return;
    if (this.waiting.length === 0) this.isTorn = isTorn;
    this.waiting.push(rest);
    this.waitingBytes += rest.length;
  }

  private loseWaiting(): void {
    const lines = this.waiting.splice(this.isTorn ? 1 : 0);
    this.waitingBytes = this.waiting[0]?.length ?? 0;
    this.lose(lines.length);
  }

  private lose(lines: number): void {
    this.unreported += lines;
    this.total += lines;
    this.lostTo = this.failure ?? "EAGAIN";
  }

  /** Writes as much as the descriptor takes now; returns the rest. */
  private put(bytes: Buffer): Buffer {
    let at = 0;
    this.failure = undefined;
    try {
      while (at < bytes.length) {
        const written = fs.writeSync(this.fd, bytes, at);
        if (written === 0) throw Object.assign(new Error("nothing was written"), { code: "EIO" });
        at += written;
      }
    } catch (error) {
      this.failure = (error as NodeJS.ErrnoException).code ?? "UNKNOWN";
    }
    return bytes.subarray(at);
  }

  /** Writes the waiting lines and the notice also if no new line comes. */
  private retryLater(): void {
    const isWaiting = this.waiting.length > 0;
    if (this.timer !== undefined || (!isWaiting && this.unreported === 0)) return;
    const retry = (): void => {
      this.timer = undefined;
      this.settle();
      this.retryLater();
    };
    this.timer = setTimeout(retry, this.failure === "EAGAIN" ? retryMs : retryAfterFailureMs);
    this.timer.unref();
  }
}

/**
 * A descriptor of this process's standard output (1) or standard error (2) on which a write fails with EAGAIN where it would have to wait.
 * For a pipe and a terminal Linux gives one of our own, which other processes on the same pipe cannot make wait again.
 */
export function withoutWaiting(fd: 1 | 2): number {
  const stats = fs.fstatSync(fd);
  if (stats.isFIFO() || tty.isatty(fd)) {
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = fs.constants;
    try {
      return fs.openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
    } catch {
      // Not Linux, another user's terminal, or a pipe without a reader: as for a socket.
    }
  }
  // Node sets a pipe or a socket to non-blocking when it makes the stream.
  if (!stats.isFile()) void (fd === 1 ? process.stdout : process.stderr);
  return fd;
}
