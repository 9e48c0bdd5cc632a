// The append messages that a leader has sent to one follower and that are not acknowledged yet: a sliding window,
// limited by count and by bytes.
//
// A message is known by the index of its last entry; indexes are added in ascending order. The byte limit is soft: the
// message that crosses it is let through, the next is not.
//
// Ports tracker/inflights.go. A ring buffer that doubles as needed up to the limit, because a process may hold many
// idle groups.

interface Inflight {
  readonly index: number;
  readonly bytes: number;
}

export class Inflights {
  start = 0;
  items = 0;
  bytes = 0;
  buffer: Inflight[] = [];
  readonly size: number;
  readonly maxBytes: number;

  /** At most `size` messages; at most `maxBytes` payload bytes, 0 for no limit. */
  constructor(size: number, maxBytes: number) {
    this.size = size;
    this.maxBytes = maxBytes;
  }

  clone(): Inflights {
    const copy = new Inflights(this.size, this.maxBytes);
    copy.start = this.start;
    copy.items = this.items;
    copy.bytes = this.bytes;
    copy.buffer = this.buffer.slice();
    return copy;
  }

  /**
   * Adds a message whose last entry has the given index. Throws if the window is full: the caller asks full() first.
   */
  add(index: number, bytes: number): void {
    if (this.full()) throw new Error("cannot add into a Full inflights");
    let next = this.start + this.items;
    if (next >= this.size) next -= this.size;
    // While the buffer is still growing the window does not wrap, so the next slot is at most one past its end.
    this.buffer[next] = { index, bytes };
    this.items++;
    this.bytes += bytes;
  }

  /** Frees all messages whose index is at most `to`. */
  freeLE(to: number): void {
    while (this.items > 0) {
      const first = this.buffer[this.start] as Inflight;
      if (to < first.index) return;
      this.items--;
      this.bytes -= first.bytes;
      if (++this.start >= this.size) this.start = 0;
    }
    // Empty: start over, so that the buffer does not grow for nothing.
    this.start = 0;
  }

  full(): boolean {
    return this.items === this.size || (this.maxBytes !== 0 && this.bytes >= this.maxBytes);
  }

  count(): number {
    return this.items;
  }

  reset(): void {
    this.start = 0;
    this.items = 0;
    this.bytes = 0;
  }
}
