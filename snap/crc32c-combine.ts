// The checksum of two byte strings joined, from the checksums of each: no byte is looked at again.
//
// A snapshot's checksum covers a head with the size of the data, which is known only when the data has passed. So the data is
// checksummed as it passes, the head afterwards, and the two are combined. The other way would be to read the file a second time:
// that costs a pass, and it would vouch for whatever the disk gave back instead of for what the source gave.
//
// A CRC is the remainder of the bytes, taken as a polynomial over bits, on division by a fixed one. To append n bytes is to
// multiply what came before by x^(8n) and to add the rest; adding is xor, and the inversions before and after cancel out. The
// power is found by squaring, in as many steps as n has bits. Bit 31 of a register is the coefficient of x^0.

const POLYNOMIAL = 0x82f63b78;
const ONE = 0x80000000;
const ONE_BYTE = 0x00800000; // x^8

/** crc32cCombine(crc32c(a), crc32c(b), b.length) is crc32c of a followed by b. An unsigned 32-bit number. */
export function crc32cCombine(first: number, second: number, secondSize: number): number {
  let shift = ONE;
  let power = ONE_BYTE;
  for (let n = secondSize; n > 0; n = Math.floor(n / 2)) {
    if (n % 2 === 1) shift = product(shift, power);
    power = product(power, power);
  }
  return (product(first, shift) ^ second) >>> 0;
}

/** Product of two polynomials, modulo the one of the checksum. */
function product(a: number, b: number): number {
  let sum = 0;
  let shifted = b; // b times x^0, x^1, ...
  for (let mask = ONE; mask !== 0; mask >>>= 1) {
    if ((a & mask) !== 0) sum ^= shifted;
    shifted = shifted & 1 ? (shifted >>> 1) ^ POLYNOMIAL : shifted >>> 1;
  }
  return sum;
}
