// A progress bar for work that takes a while: on standard error, and on a terminal only, so that a script sees nothing of it. Where the
// total is not known, the bytes and how fast they come show that the work goes on.
//
// Promise: the last thing shown is how the work ended. Only work that ended well shows 100 %, or "done" where the total is not known,
// however many bytes it took; work that failed, or that was given up, shows how far it came, and "stopped".

const width = 30;
const pauseMs = 100;

export class Progress {
  private readonly what: string;
  private readonly total: number | undefined;
  private readonly shown = process.stderr.isTTY === true;
  private done = 0;
  private drawnAt = Number.NEGATIVE_INFINITY;
  private drawnWidth = 0;
  private readonly beganAt = performance.now();

  /** `total` is in bytes: about how many `through` will count. */
  constructor(what: string, total?: number) {
    this.what = what;
    this.total = total;
  }

  /** The work that is shown; the bar stays, with how it ended, on a line of its own. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    let end: "done" | "stopped" = "stopped";
    try {
      const result = await work();
      end = "done";
      return result;
    } finally {
      if (this.shown) {
        this.draw(end);
        process.stderr.write("\n");
      }
    }
  }

  /** The chunks as they come, counted. */
  async *through(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
    for await (const chunk of chunks) {
      yield chunk;
      this.add(chunk.length);
    }
  }

  private add(bytes: number): void {
    this.done += bytes;
    if (!this.shown || performance.now() - this.drawnAt < pauseMs) return;
    this.drawnAt = performance.now();
    this.draw();
  }

  private draw(end?: "done" | "stopped"): void {
    const mebibytes = this.done / 2 ** 20;
    const seconds = (performance.now() - this.beganAt) / 1000;
    const rate = seconds < 1 ? "" : `, ${(mebibytes / seconds).toFixed(1)} MiB/s`;
    const isPlain = end === undefined || (end === "done" && this.total !== undefined); // there 100 % says it
    const text = `${this.what} ${this.bar(end === "done")}${mebibytes.toFixed(1)} MiB${rate}${isPlain ? "" : `, ${end}`}`;
    process.stderr.write(`\r${text.padEnd(this.drawnWidth)}`);
    this.drawnWidth = text.length;
  }

  /** Short of its end until the work has ended: what was read may still prove to be damaged. */
  private bar(complete: boolean): string {
    if (this.total === undefined) return "";
    const part = complete ? 1 : Math.min(0.99, this.done / Math.max(1, this.total));
    // Not Math.floor(part * 100) alone: 0.29 * 100 is less than 29.
    const percent = Math.floor(part * 100 + 1e-9);
    return `[${"#".repeat(Math.floor(part * width)).padEnd(width, ".")}] ${percent}%, `;
  }
}
