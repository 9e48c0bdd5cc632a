// A thread of `npm run sim -- --seeds=N` and of `npm run sim:mutants`: runs the seeds that it is sent, one at a time.

import { parentPort } from "node:worker_threads";
import { mutants } from "./mutants.ts";
import { simulate } from "./simulation.ts";
import { type Job, summaryOf } from "./summary.ts";

const port = parentPort;
if (port === null) throw new Error("this file is run as a thread by run.ts");
port.on("message", (job: Job) => {
  const mutation = mutants.find(({ name }) => name === job.mutant)?.mutation;
  void simulate({ ...job, mutation }).then((result) => port.postMessage(summaryOf(result)));
});
