// Makes a failing run smaller: fewer faults, less time, for as long as it still fails.
//
// Each fault draws from a stream of its own, so taking one away leaves the others where they were, at least until the
// cluster goes another way. A smaller run may fail of something else than the larger one did; that is a failure all the
// same.

import type { FaultName } from "./plan.ts";
import { type RunOptions, type RunResult, simulate } from "./simulation.ts";

type Job = Omit<RunOptions, "ticks" | "trace"> & { readonly ticks: number };

export interface Smallest {
  readonly job: Job;
  readonly result: RunResult;
}

/** Undefined if the run does not fail. `tell` is called with each smaller run that was found. */
export async function minimize(
  job: Job,
  tell: (found: Smallest) => void = () => undefined,
): Promise<Smallest | undefined> {
  const fails = async (smaller: Job | undefined): Promise<Smallest | undefined> => {
    if (smaller === undefined) return undefined;
    const result = await simulate(smaller);
    return result.error === undefined ? undefined : { job: smaller, result };
  };
  let best = await fails(job);
  if (best === undefined) return undefined;
  const keep = (found: Smallest | undefined): boolean => {
    if (found === undefined) return false;
    best = found;
    tell(found);
    return true;
  };
  keep(await fails(shortened(best, job)));
  for (let again = true; again; ) {
    again = false;
    for (const name of best.result.plan.faults) {
      const only: FaultName[] = best.result.plan.faults.filter((other) => other !== name);
      if (keep(await fails({ ...best.job, only }))) again = true;
    }
    if (keep(await fails(shortened(best, best.job)))) again = true;
  }
  return best;
}

/**
 * Ends when the failure showed, or three quarters of the way there if it ends there already; undefined if that is no
 * shorter.
 */
function shortened({ result }: Smallest, job: Job): Job | undefined {
  const failedAt = Math.ceil(result.simulatedMs / result.plan.settings.tickMs);
  const ticks = failedAt < job.ticks ? failedAt : Math.floor(job.ticks * 0.75);
  return ticks > 0 && ticks < job.ticks ? { ...job, ticks } : undefined;
}
