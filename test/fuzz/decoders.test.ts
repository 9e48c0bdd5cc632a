// The decoders, given inputs that have broken them before, sound inputs, and some hundred new ones. For more: npm run
// fuzz.

import { describe, expect, test } from "vitest";
import { readCorpus, soundOf } from "./corpus.ts";
import { fuzz, replayAll } from "./target.ts";
import { decoderTargets } from "./targets.ts";

const seed = 20_260_801;
const inputs = 150; // for each: a thousand and more over all

describe.each(decoderTargets)("$name: $about", (target) => {
  const files = readCorpus(target.name);
  const corpus = soundOf(files);

  test("come to no fault on any file of the corpus", async () => {
    expect(files.length).toBeGreaterThan(2);
    const failures = await replayAll(
      target,
      corpus,
      files.map(({ bytes }) => bytes),
    );
    expect(failures.map((failure) => `${files[failure.seed]?.name}: ${failure.error.message}`)).toEqual([]);
  });

  test("come to no fault on inputs from a seed, some of which they take and some of which they refuse", async () => {
    console.log(`${target.name}: seed ${seed}, ${inputs} inputs`);
    const { failures, outcomes } = await fuzz(target, corpus, { seed, inputs });
    expect(failures.map((failure) => `seed ${failure.seed}: ${failure.error.message}`)).toEqual([]);
    expect(outcomes.size).toBeGreaterThan(1);
  });
});

test("the same seed gives the same outcomes", async () => {
  for (const target of decoderTargets) {
    const corpus = soundOf(readCorpus(target.name));
    const runs = [await fuzz(target, corpus, { seed, inputs: 30 }), await fuzz(target, corpus, { seed, inputs: 30 })];
    expect(runs[0]?.outcomes).toEqual(runs[1]?.outcomes);
  }
});

test("an input of a run is the first of a run from its own seed", async () => {
  for (const target of decoderTargets) {
    const corpus = soundOf(readCorpus(target.name));
    const inputsOf = async (from: number, count: number): Promise<string[]> => {
      const seen: string[] = [];
      const watched = {
        ...target,
        open: async () => {
          const session = await target.open(corpus);
          const run = (input: Uint8Array): string => {
            seen.push(Buffer.from(input).toString("hex"));
            return "seen";
          };
          return Object.assign(session, { run });
        },
      };
      await fuzz(watched, corpus, { seed: from, inputs: count });
      return seen;
    };
    expect(await inputsOf(seed + 7, 1)).toEqual((await inputsOf(seed, 8)).slice(7));
  }
});
