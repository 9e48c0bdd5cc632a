// Ends a run that hangs: an input that sends a decoder into an endless loop leaves nobody on the main thread to say so.
//
// A second thread looks at a counter. If it has stood still for too long, the thread writes the seed to standard error by itself, for the
// streams of the process are served by the main thread, and ends the process.

import { Worker } from "node:worker_threads";

const patienceMs = 60_000;

const watcher = `
const { workerData } = require("node:worker_threads");
const { writeSync } = require("node:fs");
const shared = new Int32Array(workerData.shared);
let last = -1;
setInterval(() => {
  const seed = Atomics.load(shared, 0);
  if (seed !== last) { last = seed; return; }
  writeSync(2, "\\nthe input of seed " + (seed >>> 0) + " takes more than " + workerData.patienceMs / 1000 + " s: it hangs\\n");
  process.kill(process.pid, "SIGKILL");
}, workerData.patienceMs);
`;

export class Watchdog {
  private readonly shared = new Int32Array(new SharedArrayBuffer(4));
  private readonly worker: Worker;

  constructor() {
    this.worker = new Worker(watcher, { eval: true, workerData: { shared: this.shared.buffer, patienceMs } });
    this.worker.unref();
  }

  /** The input of this seed begins. */
  pat(seed: number): void {
    Atomics.store(this.shared, 0, seed | 0);
  }

  async close(): Promise<void> {
    await this.worker.terminate();
  }
}
