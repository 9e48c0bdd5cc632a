// What is fuzzed, and the loop that does it.
//
// A target is a decoder or a port together with its oracle: what must be true of every answer. An input that the oracle
// finds fault with makes run() throw; everything else has an outcome, a word for the table: "accepted", or what it was
// refused with.
//
// Promises: input number i of a run from seed S is drawn from seed S + i, the target and the files of its corpus that
// the generator made, and nothing else. So `--seed S+i --inputs 1` gives it again, and adding a file for an input that
// failed changes no other input.
//
// Several inputs may be under way at a time where a port needs it to be quick (`lanes`). When one of them fails, all of
// them are tried again alone: what one input did may have been found while another one ran.

import { Random } from "../../sim/random.ts";
import { usedBytes } from "./memory.ts";
import { mutate } from "./mutate.ts";

/** One opened target. */
export interface Session {
  /** Makes an input. Without it an input is a mutation of the corpus. */
  readonly draw?: (random: Random) => Uint8Array;
  /** The outcome in a word. Throws if the oracle has found a fault. */
  run(input: Uint8Array): string | Promise<string>;
  /** Checks what can be checked at the end only, and ends it. Throws if the oracle has found a fault. */
  close(): Promise<void>;
}

export interface Target {
  readonly name: string;
  readonly about: string;
  /** Inputs that are under way at a time. */
  readonly lanes: number;
  /** What the generator put into the corpus: sound inputs. */
  open(corpus: readonly Uint8Array[]): Promise<Session>;
}

export interface Failure {
  readonly seed: number;
  readonly input: Uint8Array;
  readonly error: Error;
  /**
   * It showed only when the target was closed, or not when the input ran alone: the input by itself may not show it.
   */
  readonly isOfTheRun?: true;
}

export interface Report {
  readonly target: string;
  inputs: number;
  readonly outcomes: Map<string, number>;
  readonly failures: Failure[];
  ms: number;
  /** Memory in use after the last input, less that after the first tenth of them; 0 if it was not measured. */
  growthBytes: number;
}

export interface FuzzOptions {
  readonly seed: number;
  readonly inputs: number;
  /** Stops after so many failures; 10 unless given. */
  readonly maxFailures?: number;
  /** Measure what stays in memory, which takes some collections of garbage. */
  readonly measure?: boolean;
  /** Told of each input before it runs: the seed, and how many there were. */
  readonly watch?: (seed: number, done: number) => void;
}

/** Opens the target, runs that many inputs from the seed on, and closes it. */
export async function fuzz(
  target: Target,
  corpus: readonly Uint8Array[],
  { seed, inputs, maxFailures = 10, measure = false, watch }: FuzzOptions,
): Promise<Report> {
  const report: Report = { target: target.name, inputs: 0, outcomes: new Map(), failures: [], ms: 0, growthBytes: 0 };
  const began = performance.now();
  let session = await target.open(corpus);
  let usedAtFirst: number | undefined;
  const draw = (i: number): Uint8Array => {
    const random = new Random(seed + i);
    return session.draw?.(random) ?? mutate(random, corpus);
  };
  for (let i = 0; i < inputs && report.failures.length < maxFailures; ) {
    const count = Math.min(target.lanes, inputs - i);
    watch?.(seed + i, i);
    if (measure && i >= inputs / 10) usedAtFirst ??= usedBytes();
    const batch = Array.from({ length: count }, (_, lane) => ({ seed: seed + i + lane, input: draw(i + lane) }));
    const failed: Failure[] = [];
    const one = async ({ seed: own, input }: { seed: number; input: Uint8Array }): Promise<void> => {
      try {
        const outcome = await session.run(input);
        report.outcomes.set(outcome, (report.outcomes.get(outcome) ?? 0) + 1);
      } catch (error) {
        failed.push({ seed: own, input, error: asError(error) });
      }
    };
    await Promise.all(batch.map(one));
    i += count;
    report.inputs += count;
    if (failed.length === 0) continue;
    // What has failed may have left it in any state.
    await session.close().catch(() => undefined);
    const alone = target.lanes === 1 ? [] : await thoseThatFailAlone(target, corpus, batch);
    report.failures.push(...(alone.length > 0 ? alone : target.lanes === 1 ? failed : failed.map(ofTheRun)));
    session = await target.open(corpus);
  }
  if (usedAtFirst !== undefined) report.growthBytes = usedBytes() - usedAtFirst;
  await session.close().catch((error) => {
    report.failures.push(ofTheRun({ seed, input: new Uint8Array(0), error: asError(error) }));
  });
  report.ms = performance.now() - began;
  return report;
}

const ofTheRun = (failure: Failure): Failure => ({ ...failure, isOfTheRun: true });

async function thoseThatFailAlone(
  target: Target,
  corpus: readonly Uint8Array[],
  batch: readonly Omit<Failure, "error">[],
): Promise<readonly Failure[]> {
  const inputs = batch.map(({ input }) => input);
  const failures = await replayAll(target, corpus, inputs);
  return failures.map((failure) => ({ ...failure, seed: batch[failure.seed]?.seed ?? 0 }));
}

/** Runs one input by itself and returns its outcome. Throws if the oracle finds a fault. */
export async function replay(target: Target, corpus: readonly Uint8Array[], input: Uint8Array): Promise<string> {
  const session = await target.open(corpus);
  try {
    return await session.run(input);
  } finally {
    await session.close();
  }
}

/** Runs the inputs behind each other, and returns what failed with the number of the input in place of a seed. */
export async function replayAll(
  target: Target,
  corpus: readonly Uint8Array[],
  inputs: readonly Uint8Array[],
  watch: (i: number) => void = () => {},
): Promise<Failure[]> {
  const failures: Failure[] = [];
  let session = await target.open(corpus);
  for (const [i, input] of inputs.entries()) {
    watch(i);
    try {
      await session.run(input);
    } catch (error) {
      failures.push({ seed: i, input, error: asError(error) });
      await session.close().catch(() => undefined);
      session = await target.open(corpus);
    }
  }
  await session.close();
  return failures;
}

export const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

/** The oracle has found a fault. */
export class Fault extends Error {
  override readonly name = "Fault";
}

export function expect(condition: boolean, fault: string): asserts condition {
  if (!condition) throw new Fault(fault);
}
