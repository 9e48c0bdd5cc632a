// The loop of CRC-32C over long runs of bytes, as a WebAssembly module of some 250 bytes that is put together here.
//
// In JavaScript each byte costs a handful of checks: is it within the array, has the array been taken away. The second
// kind cannot be optimised away once any array in the process has been, and that happens as soon as an ES module
// imports a CommonJS one. So the same look-ups take a third of the time here. The table lies at the beginning of the
// module's only page of memory, the bytes behind it: copying them there costs a twentieth of what is gained.
//
// The function, with `look(k, byte)` for the byte's number in the table's k-th part:
//
//     do {
//       low = load64(at) ^ c
//       high = load64(at + 8)
//       c = look(0, high's 8th byte) ^ ... ^ look(7, high's 1st) ^ look(8, low's 8th) ^ ... ^ look(15, low's 1st)
//       at += 16
//     } while (at < end)
//
// The look-ups that wait for the last step's c come last: the others go on meanwhile.
//
// Where a process may not make machine code (node --jitless, a policy without wasm-unsafe-eval), there is no such loop,
// and crc32c.ts does without.

/** What of it is used here: the types of Node do not know it. */
declare const WebAssembly:
  | {
      readonly Module: new (bytes: Uint8Array) => object;
      readonly Instance: new (module: object) => { readonly exports: Exports };
      readonly CompileError: new () => Error;
    }
  | undefined;

interface Exports {
  readonly m: { readonly buffer: ArrayBuffer };
  f(at: number, end: number, register: number): number;
}

const PAGE_BYTES = 65536;
const I32 = 0x7f;
const I64 = 0x7e;

/** The numbers of the locals; the first three are the parameters. */
const at = 0;
const end = 1;
const c = 2;
const low = 3;
const high = 4;

const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const i32 = (n: number): number[] => [0x41, ...signed(n)];
const i64 = (n: number): number[] => [0x42, ...signed(n)];
const loadI64 = (offset: number): number[] => [0x29, 3, ...unsigned(offset)];
const xorI32 = 0x73;
const xorI64 = 0x85;

/** LEB128. */
function unsigned(n: number): number[] {
  return n < 128 ? [n] : [(n & 0x7f) | 0x80, ...unsigned(n >>> 7)];
}

/** LEB128 of a number that is not negative: its last byte must not look like a minus. */
function signed(n: number): number[] {
  return n < 64 ? [n] : [(n & 0x7f) | 0x80, ...signed(n >>> 7)];
}

/**
 * table[k * 256 + byte `n` of `word`]: the byte is brought to bits 2 to 9, which makes it an offset of 4-byte numbers.
 */
function look(k: number, word: number, n: number): number[] {
  const shifted = n === 0 ? [...get(word), ...i64(2), 0x86] : [...get(word), ...i64(8 * n - 2), 0x88];
  return [...shifted, 0xa7, ...i32(0x3fc), 0x71, 0x28, 2, ...unsigned(k * 1024)]; // wrap, and, i32.load
}

function body(): number[] {
  const looks: number[] = [];
  for (let k = 0; k < 16; k++) {
    looks.push(...look(k, k < 8 ? high : low, 7 - (k % 8)));
    if (k > 0) looks.push(xorI32);
  }
  const step = [
    ...[...get(at), ...loadI64(0), ...get(c), 0xad, xorI64, ...set(low)], // 0xad: to 64 bits
    ...[...get(at), ...loadI64(8), ...set(high)],
    ...[...looks, ...set(c)],
    ...[...get(at), ...i32(16), 0x6a, 0x22, at], // add, keep and go on with it
    ...[...get(end), 0x49, 0x0d, 0], // less than; then once more
  ];
  return [1, 2, I64, 0x03, 0x40, ...step, 0x0b, ...get(c), 0x0b]; // two locals; loop ... end; end
}

const section = (id: number, content: number[]): number[] => [id, ...unsigned(content.length), ...content];

function moduleBytes(): Uint8Array<ArrayBuffer> {
  const code = body();
  return Uint8Array.of(
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 3, I32, I32, I32, 1, I32]), // a function type
    ...section(3, [1, 0]), // a function of it
    ...section(5, [1, 1, 1, 1]), // a memory of one page, for good
    ...section(7, [2, 1, 0x6d, 2, 0, 1, 0x66, 0, 0]), // exports: m, f
    ...section(10, [1, ...unsigned(code.length), ...code]),
  );
}

export interface Loop {
  /** Where the bytes have to be. */
  readonly room: Uint8Array;
  /** The register after the first `size` bytes of the room: a multiple of 16, and not 0. */
  run(size: number, register: number): number;
}

/**
 * `table` has 16 parts of 256: the k-th tells what a byte does to the register after k more zero bytes have passed.
 * Undefined where WebAssembly is not to be had.
 */
export function makeLoop(table: Int32Array): Loop | undefined {
  const made = instantiate();
  if (made === undefined) return undefined;
  const { m, f } = made;
  const { buffer } = m;
  const view = new DataView(buffer);
  for (const [i, n] of table.entries()) view.setInt32(4 * i, n, true);
  const start = 4 * table.length;
  return {
    room: new Uint8Array(buffer, start, PAGE_BYTES - start),
    run: (size, register) => f(start, start + size, register),
  };
}

function instantiate(): Exports | undefined {
  if (typeof WebAssembly === "undefined") return undefined;
  try {
    return new WebAssembly.Instance(new WebAssembly.Module(moduleBytes())).exports;
  } catch (error) {
    if (error instanceof WebAssembly.CompileError) return undefined; // the policy forbids it
    throw error;
  }
}
