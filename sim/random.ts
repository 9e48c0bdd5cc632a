// Random numbers from one seed: xoshiro128**, its state filled by splitmix32 (Blackman and Vigna).
//
// Promises: the same seed and label give the same numbers, on every machine and in every version of Node: only 32-bit integer arithmetic.
// Each part of a simulation draws from a stream of its own, named by a label, so that a part which draws more or less than before leaves
// the others alone. That is what makes a failing run shrink: a fault can be taken out of it without changing what the network does.

export class Random {
  readonly #seed: number;
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number) {
    this.#seed = seed >>> 0;
    let state = this.#seed;
    const next = (): number => {
      state = (state + 0x9e3779b9) >>> 0;
      let z = state;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return (z ^ (z >>> 15)) >>> 0;
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next() | 1; // never all zero
  }

  /** A stream of its own: depends on this one's seed and the label, not on what was drawn. */
  fork(label: string): Random {
    let hash = this.#seed ^ 0x811c9dc5;
    for (let i = 0; i < label.length; i++) hash = Math.imul(hash ^ label.charCodeAt(i), 0x01000193);
    return new Random(hash);
  }

  /** 32 random bits as an integer in [0, 2^32). */
  bits(): number {
    const product = Math.imul(this.#b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const t = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** In [0, 1), with 32 bits. */
  real(): number {
    return this.bits() / 2 ** 32;
  }

  /** An integer in [0, n), for n up to 2^53. */
  below(n: number): number {
    if (n <= 2 ** 32) return Math.floor(this.real() * n);
    return Math.floor(((this.bits() & 0x1fffff) * 2 ** 32 + this.bits()) / (2 ** 53 / n));
  }

  /** An integer in [lo, hi). */
  between(lo: number, hi: number): number {
    return lo + this.below(hi - lo);
  }

  /** A real number in [lo, hi). */
  spread(lo: number, hi: number): number {
    return lo + this.real() * (hi - lo);
  }

  chance(probability: number): boolean {
    return this.real() < probability;
  }

  pick<T>(list: readonly T[]): T {
    if (list.length === 0) throw new Error("there is nothing to pick from");
    return list[this.below(list.length)] as T;
  }

  /** A shuffled copy. */
  shuffle<T>(list: readonly T[]): T[] {
    const copy = [...list];
    for (let i = copy.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [copy[i], copy[j]] = [copy[j] as T, copy[i] as T];
    }
    return copy;
  }
}
