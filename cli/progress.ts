// A progress bar for work that takes a while: on standard error, and on a terminal only, so that a script sees nothing of it. Where nobody
// knows how much there is, the bytes and how fast they come show at least that something does.

const width = 30;
const pauseMs = 100;

export class Progress {
  private readonly what: string;
  /** Undefined if nobody knows how much there is. */
  private readonly total: number | undefined;
  private readonly shown = process.stderr.isTTY === true;
  private done = 0;
  private drawnAt = Number.NEGATIVE_INFINITY;
  private drawnWidth = 0;
  private readonly beganAt = performance.now();

  /** `total` is in bytes. */
  constructor(what: string, total?: number) {
    this.what = what;
    this.total = total;
  }

  add(bytes: number): void {
    this.done += bytes;
    if (!this.shown || performance.now() - this.drawnAt < pauseMs) return;
    this.drawnAt = performance.now();
    this.draw();
  }

  /** The chunks as they come, counted. The bar stays, at its end, when they have come to theirs. */
  async *through(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
    try {
      for await (const chunk of chunks) {
        yield chunk;
        this.add(chunk.length);
      }
    } finally {
      if (this.shown) {
        this.draw();
        process.stderr.write("\n");
      }
    }
  }

  private draw(): void {
    const mebibytes = this.done / 2 ** 20;
    const part = this.total === undefined ? undefined : Math.min(1, this.done / Math.max(1, this.total));
    const bar = part === undefined ? "" : `[${"#".repeat(Math.floor(part * width)).padEnd(width, ".")}] `;
    const percent = part === undefined ? "" : `${Math.floor(part * 100)}%, `;
    const seconds = (performance.now() - this.beganAt) / 1000;
    const rate = seconds < 1 ? "" : `, ${(mebibytes / seconds).toFixed(1)} MiB/s`;
    const text = `${this.what} ${bar}${percent}${mebibytes.toFixed(1)} MiB${rate}`;
    process.stderr.write(`\r${text.padEnd(this.drawnWidth)}`);
    this.drawnWidth = text.length;
  }
}
