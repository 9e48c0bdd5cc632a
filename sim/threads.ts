// Threads that run seeds, each one at a time.
//
// worker.ts is bundled for them once. That is for speed: what tsx makes of the sources tells each inner function its name whenever it is
// made, and a thread that does without runs a fifth more seeds. The runs are the same, event for event.

import { Worker } from "node:worker_threads";
import { build } from "esbuild";
import type { Job, Summary } from "./summary.ts";

export class Threads {
  readonly #workers: Worker[];
  readonly #idle: Worker[];
  readonly #waiting: ((worker: Worker) => void)[] = [];

  static async start(count: number): Promise<Threads> {
    const { outputFiles } = await build({
      entryPoints: [new URL("./worker.ts", import.meta.url).pathname],
      bundle: true,
      platform: "node",
      target: "node20",
      write: false,
      logLevel: "error",
    });
    const code = outputFiles[0]?.text ?? "";
    return new Threads(Array.from({ length: count }, () => new Worker(code, { eval: true })));
  }

  private constructor(workers: Worker[]) {
    this.#workers = workers;
    this.#idle = [...workers];
  }

  /** Runs the job on the next thread that has nothing to do. Rejects if the thread itself fails. */
  async run(job: Job): Promise<Summary> {
    const worker = this.#idle.pop() ?? (await new Promise<Worker>((resolve) => this.#waiting.push(resolve)));
    try {
      return await new Promise<Summary>((resolve, reject) => {
        worker.once("error", reject);
        worker.once("message", resolve);
        worker.postMessage(job);
      });
    } finally {
      worker.removeAllListeners("error").removeAllListeners("message");
      const next = this.#waiting.shift();
      if (next === undefined) this.#idle.push(worker);
      else next(worker);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}
