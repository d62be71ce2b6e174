/**
 * Philox-4x32-10 (Salmon and others, 2011), a counter-based generator: words are a function of a key and a counter, so any
 * position of any stream is reached at once. Numbers of 32 bits, products by halves: no BigInt in the inner loop.
 */

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;
const ROUNDS = 10;
const TWO_32 = 2 ** 32;

/**
 * High 32 bits of a product of two words.
 *
 * @param {number} a
 * @param {number} b
 */
function high(a, b) {
  const [al, ah, bl, bh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const one = ah * bl + ((al * bl) >>> 16);
  const two = al * bh + (one & 0xffff);
  return (ah * bh + (one >>> 16) + (two >>> 16)) >>> 0;
}

/**
 * A seed: an integer from 0 to 2^64 - 1.
 *
 * @param {number | bigint | string} seed
 * @returns {bigint}
 */
export function seedOf(seed) {
  if (typeof seed === "number" && !Number.isSafeInteger(seed))
    throw new RangeError(`the seed ${seed} is no exact integer`);
  const found = BigInt(seed);
  if (found < 0n || found >= 2n ** 64n) throw new RangeError(`the seed ${seed} is not from 0 to 2^64 - 1`);
  return found;
}

/** `P(d, i, j)` of a seed: the numbers of the conventions. */
export class Philox {
  #k0;
  #k1;
  #words = new Uint32Array(4);

  /** @param {number | bigint | string} seed */
  constructor(seed) {
    this.seed = seedOf(seed);
    this.#k0 = Number(this.seed & 0xffffffffn);
    this.#k1 = Number(this.seed >> 32n);
  }

  /**
   * @param {number} d the domain
   * @param {number} i a non-negative safe integer
   * @param {number} j below 2^32
   * @returns {Uint32Array} four words; the next call overwrites them
   */
  words(d, i, j) {
    return this.block(i >>> 0, Math.floor(i / TWO_32), j, d);
  }

  /**
   * The same for an i of up to 64 bits.
   *
   * @param {number} d
   * @param {bigint} i
   * @param {number} j
   */
  wordsAt(d, i, j) {
    return this.block(Number(i & 0xffffffffn), Number(i >> 32n), j, d);
  }

  /**
   * A block of the generator itself.
   *
   * @param {number} c0
   * @param {number} c1
   * @param {number} c2
   * @param {number} c3
   */
  block(c0, c1, c2, c3) {
    let k0 = this.#k0;
    let k1 = this.#k1;
    for (let round = 0; round < ROUNDS; round++) {
      const h0 = high(M0, c0);
      const h1 = high(M1, c2);
      const l0 = Math.imul(M0, c0);
      const l1 = Math.imul(M1, c2);
      c0 = (h1 ^ c1 ^ k0) >>> 0;
      c1 = l1 >>> 0;
      c2 = (h0 ^ c3 ^ k1) >>> 0;
      c3 = l0 >>> 0;
      k0 = (k0 + W0) >>> 0;
      k1 = (k1 + W1) >>> 0;
    }
    const words = this.#words;
    words[0] = c0;
    words[1] = c1;
    words[2] = c2;
    words[3] = c3;
    return words;
  }

  /**
   * `u64` of P(d, i, j): the first two words as one number.
   *
   * @param {number} d
   * @param {bigint} i
   * @param {number} j
   * @returns {bigint}
   */
  u64(d, i, j) {
    const words = this.wordsAt(d, i, j);
    return BigInt(words[0]) | (BigInt(words[1]) << 32n);
  }
}
