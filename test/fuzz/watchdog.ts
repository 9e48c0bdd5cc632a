// Ends a run that hangs: after an input that sends a decoder into an endless loop the main thread cannot report it.
//
// A second thread looks at a counter. If it has stood still for too long, the thread writes the seed to standard error
// by itself, for the streams of the process are served by the main thread, and ends the process. Its line is the
// verdict of the run, with the command that runs that input again.

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
  const { target, files, patienceMs } = workerData;
  const input = seed < 0 ? "--input=" + files[-seed - 1] : "--seed=" + (seed >>> 0) + " --inputs=1";
  writeSync(1, "FAILED: " + target + ": an input takes more than " + patienceMs / 1000 + " s: it hangs; " +
    "replay with: npm run fuzz -- --target=" + target + " " + input + "\\n");
  process.kill(process.pid, "SIGKILL");
}, workerData.patienceMs);
`;

export class Watchdog {
  readonly #shared = new Int32Array(new SharedArrayBuffer(4));
  readonly #worker: Worker;

  /** `files` are the inputs of the corpus: pat(-i - 1) stands for number i. */
  constructor(target: string, files: readonly string[]) {
    const workerData = { shared: this.#shared.buffer, patienceMs, target, files };
    this.#worker = new Worker(watcher, { eval: true, workerData });
    this.#worker.unref();
  }

  /** The input of this seed begins, or of this file of the corpus. */
  pat(seed: number): void {
    Atomics.store(this.#shared, 0, seed | 0);
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}
