// The states of a cluster that have been seen, each once, in the order in which they were found.
//
// A state is a short list of whole numbers below 2^32. All of it is kept and compared, so that two different states are never taken for one: the
// probability of an unseen collision is not small, it is zero. A state costs 4 bytes a number and some 16 bytes more: the numbers lie in
// large blocks, found through a table with open addressing.

const blockWords = 1 << 20;
const maxLoad = 0.6;

export class StateSet {
  size = 0;
  #blocks: Uint32Array[] = [];
  #usedWords = 0;
  /** Where the words of each state begin; its length stands in the first of them. */
  #starts = new Float64Array(1 << 12);
  /** The number of a state plus one, or 0. */
  #table = new Uint32Array(1 << 13);

  /** Adds the first `length` words. The number of the state, and whether it is new. */
  add(words: Uint32Array, length: number): { number: number; isNew: boolean } {
    if (this.size > this.#table.length * maxLoad) this.#grow();
    const mask = this.#table.length - 1;
    let slot = hash(words, length) & mask;
    for (;;) {
      const entry = this.#table[slot] as number;
      if (entry === 0) break;
      if (this.equals(entry - 1, words, length)) return { number: entry - 1, isNew: false };
      slot = (slot + 1) & mask;
    }
    const number = this.size++;
    this.#table[slot] = number + 1;
    this.#keep(number, words, length);
    return { number, isNew: true };
  }

  /** Copies the words of a state; returns how many there are. */
  read(number: number, into: Uint32Array): number {
    const { block, at, length } = this.#find(number);
    for (let i = 0; i < length; i++) into[i] = block[at + i] as number;
    return length;
  }

  /** Whether all words from `from` on are in the state, from there on too, in the same order. */
  contains(number: number, words: Uint32Array, length: number, from: number): boolean {
    const found = this.#find(number);
    const end = found.at + found.length;
    let at = found.at + from;
    if (length - from > end - at) return false;
    for (let i = from; i < length; i++, at++) {
      while (at < end && found.block[at] !== words[i]) at++;
      if (at >= end) return false;
    }
    return true;
  }

  /** Whether all words of the state from `from` on are among these, in the same order. */
  isWithin(number: number, words: Uint32Array, length: number, from: number): boolean {
    const found = this.#find(number);
    const end = found.at + found.length;
    let i = from;
    if (found.length > length) return false;
    for (let at = found.at + from; at < end; at++, i++) {
      while (i < length && words[i] !== found.block[at]) i++;
      if (i >= length) return false;
    }
    return true;
  }

  #find(number: number): { block: Uint32Array; at: number; length: number } {
    const start = this.#starts[number] as number;
    const block = this.#blocks[Math.floor(start / blockWords)] as Uint32Array;
    const at = start % blockWords;
    return { block, at: at + 1, length: block[at] as number };
  }

  /** Whether these are the words of the state. */
  equals(number: number, words: Uint32Array, length: number): boolean {
    const found = this.#find(number);
    if (found.length !== length) return false;
    for (let i = 0; i < length; i++) if (found.block[found.at + i] !== words[i]) return false;
    return true;
  }

  #keep(number: number, words: Uint32Array, length: number): void {
    if (length + 1 > blockWords) throw new Error(`a state of ${length} words is larger than a block`);
    // A state does not cross the border of two blocks.
    if ((this.#usedWords % blockWords) + length + 1 > blockWords) {
      this.#usedWords = Math.ceil(this.#usedWords / blockWords) * blockWords;
    }
    const blockAt = Math.floor(this.#usedWords / blockWords);
    if (blockAt === this.#blocks.length) this.#blocks.push(new Uint32Array(blockWords));
    const block = this.#blocks[blockAt] as Uint32Array;
    const at = this.#usedWords % blockWords;
    block[at] = length;
    for (let i = 0; i < length; i++) block[at + 1 + i] = words[i] as number;
    if (number === this.#starts.length) {
      const larger = new Float64Array(this.#starts.length * 2);
      larger.set(this.#starts);
      this.#starts = larger;
    }
    this.#starts[number] = this.#usedWords;
    this.#usedWords += length + 1;
  }

  #grow(): void {
    this.#table = new Uint32Array(this.#table.length * 2);
    const mask = this.#table.length - 1;
    for (let number = 0; number < this.size; number++) {
      const { block, at, length } = this.#find(number);
      let slot = hash(block.subarray(at, at + length), length) & mask;
      while (this.#table[slot] !== 0) slot = (slot + 1) & mask;
      this.#table[slot] = number + 1;
    }
  }
}

/** Only for speed: where to begin to look. */
function hash(words: Uint32Array, length: number): number {
  let h = length;
  for (let i = 0; i < length; i++) {
    h = Math.imul(h ^ (words[i] as number), 0x9e3779b1);
    h ^= h >>> 15;
  }
  h = Math.imul(h ^ (h >>> 13), 0x85ebca6b);
  return (h ^ (h >>> 16)) >>> 0;
}
