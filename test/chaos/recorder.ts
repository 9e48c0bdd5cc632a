// The history of what the clients did: in memory for the checker, and as JSON lines in a file for a person who looks
// into a failure.
//
// Each operation is written when it ends; one that never does, since the run ends first, is written by close(), as
// unknown: what it did may have been seen by others. Also keeps the longest time in which no operation was
// acknowledged, which is what users call an outage.

import { once } from "node:events";
import fs from "node:fs";
import { formatOperation } from "../../sim/linearizability/history.ts";
import type { MapOperation } from "../../sim/linearizability/model.ts";
import type { Outcome } from "../../sim/linearizability/specification.ts";

export type Kind = MapOperation["op"];

export class Recorder {
  readonly file: string;
  readonly operations: MapOperation[] = [];
  readonly counts = { ok: 0, fail: 0, unknown: 0 };
  readonly #stream: fs.WriteStream;
  readonly #open = new Set<MapOperation>();
  readonly #began = process.hrtime.bigint();
  #watchers: { readonly target: number; readonly call: () => void }[] = [];
  #lastOkMs = 0;
  #longestGapMs = 0;

  constructor(file: string) {
    this.file = file;
    this.#stream = fs.createWriteStream(file);
  }

  /** Nanoseconds since the start. */
  now(): number {
    return Number(process.hrtime.bigint() - this.#began);
  }

  /** An operation that is about to be sent. The returned function tells its end, and what a get found. */
  begin(client: number, op: Kind, key: string, value: string | undefined): (o: Outcome, found?: string) => void {
    const begun: MapOperation = { client, op, key, value, call: this.now(), return: undefined, outcome: "unknown" };
    this.#open.add(begun);
    return (outcome, found) => {
      this.#open.delete(begun);
      this.#add({ ...begun, value: op === "get" ? found : value, return: this.now(), outcome });
    };
  }

  #add(operation: MapOperation): void {
    this.operations.push(operation);
    this.#stream.write(formatOperation(operation));
    this.counts[operation.outcome]++;
    if (operation.outcome !== "ok") return;
    const nowMs = this.now() / 1e6;
    this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - this.#lastOkMs);
    this.#lastOkMs = nowMs;
    const due = this.#watchers.filter(({ target }) => this.counts.ok >= target);
    if (due.length === 0) return;
    this.#watchers = this.#watchers.filter((watcher) => !due.includes(watcher));
    for (const { call } of due) call();
  }

  /**
   * Resolves to true when so many more operations are acknowledged, and to false after `ms`: under faults there may be
   * none.
   */
  moreOk(count: number, ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms, false);
      const call = (): void => {
        clearTimeout(timer);
        resolve(true);
      };
      this.#watchers.push({ target: this.counts.ok + count, call });
    });
  }

  /** The clients rest from here to startGap: that is no outage. */
  startGap(): void {
    this.#lastOkMs = this.now() / 1e6;
  }

  /** The longest time without an acknowledgement since the last call. */
  takeLongestGapMs(): number {
    const longest = this.#longestGapMs;
    this.#longestGapMs = 0;
    return longest;
  }

  /** Nothing more is recorded. Resolves when the file is complete. */
  async close(): Promise<void> {
    for (const operation of this.#open) this.#add(operation);
    this.#open.clear();
    this.#stream.end();
    await once(this.#stream, "finish");
  }
}
