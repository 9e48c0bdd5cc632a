// Makes an input that fails smaller, as long as it fails in the same way: stretches of it are left out, half of it
// first, single bytes last.
//
// Short stretches are tried at every offset and in every length: formats that state lengths forgive no other cut than
// that of a whole part. Tries are bounded, for one of a port opens a server each time. What is left is not the smallest
// that there is, but near enough to be read.

import { asError, type Failure, replay, type Target } from "./target.ts";

const shortBytes = 64;

/** Failures of one kind have the same text but for the numbers in it. */
export const kindOf = ({ message }: Error): string => message.replace(/\d+/g, "0");

/** The failure with an input that is no longer, and often much shorter. */
export async function shrink(
  target: Target,
  corpus: readonly Uint8Array[],
  failure: Failure,
  maxTries: number,
): Promise<Failure> {
  let smallest = failure;
  let tries = 0;
  const attempt = async (input: Uint8Array): Promise<boolean> => {
    tries++;
    const error = await replay(target, corpus, input).then(() => undefined, asError);
    if (error === undefined || kindOf(error) !== kindOf(failure.error)) return false;
    smallest = { ...failure, input, error };
    return true;
  };
  for (const size of sizesFor(failure.input.length)) {
    const stride = size > shortBytes ? size >> 2 : 1;
    for (let at = 0; at < smallest.input.length && tries < maxTries; ) {
      const { input } = smallest;
      const without = Uint8Array.from([...input.subarray(0, at), ...input.subarray(at + size)]);
      if (!(await attempt(without))) at += stride;
    }
  }
  return smallest;
}

/** Half of the length, a quarter, and so on, then every short one. */
function sizesFor(length: number): number[] {
  const sizes: number[] = [];
  for (let size = length >> 1; size > shortBytes; size >>= 1) sizes.push(size);
  for (let size = Math.min(length, shortBytes); size > 0; size--) sizes.push(size);
  return sizes;
}
