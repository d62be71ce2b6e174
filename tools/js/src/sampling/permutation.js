/** Permutations that a seed names ([SAM-1], [SAM-3] to [SAM-5]): any element of one without the others. */

/** @typedef {import("./philox.js").Philox} Philox */

const LISTED = 256;
const ROUNDS = 8;

/**
 * The permutation pi of n that (seed, d, i, j) names.
 *
 * @param {Philox} philox
 * @param {number} n
 * @param {number} d
 * @param {bigint} i
 * @param {number} j
 * @returns {(k: number) => number}
 */
export function permutation(philox, n, d, i, j) {
  return n <= LISTED ? listed(philox, n, d, i, j) : network(philox, n, d, i, j);
}

/**
 * @param {Philox} philox
 * @param {number} n
 * @param {number} d
 * @param {bigint} i
 * @param {number} j
 */
function listed(philox, n, d, i, j) {
  const out = Array.from({ length: n }, (_, x) => x);
  let words = /** @type {Uint32Array} */ (new Uint32Array(0));
  for (let x = n - 1, m = 0; x > 0; x--, m++) {
    if (m % 4 === 0) words = philox.wordsAt(d + 256 * (m / 4), i, j);
    const y = Math.floor((words[m % 4] * (x + 1)) / 2 ** 32); // exact: below 2^32 x 256
    [out[x], out[y]] = [out[y], out[x]];
  }
  return (/** @type {number} */ k) => out[k];
}

/**
 * An unbalanced Feistel network over the bits of n - 1, walked until it is below n.
 *
 * @param {Philox} philox
 * @param {number} n
 * @param {number} d
 * @param {bigint} i
 * @param {number} j
 */
function network(philox, n, d, i, j) {
  const bits = BigInt(n - 1).toString(2).length;
  const low = 2 ** Math.ceil(bits / 2);
  const high = 2 ** Math.floor(bits / 2);
  const keys = new Uint32Array(ROUNDS);
  keys.set(philox.wordsAt(d, i, j), 0);
  keys.set(philox.wordsAt(d + 256, i, j), 4);
  const [lowMask, highMask] = [low - 1, high - 1];
  return (/** @type {number} */ k) => {
    let found = k;
    do {
      let left = Math.floor(found / low);
      let right = found % low;
      for (let r = 0; r < ROUNDS; r += 2) {
        left ^= fmix32(right ^ keys[r]) & highMask;
        right ^= fmix32(left ^ keys[r + 1]) & lowMask;
      }
      found = left * low + right;
    } while (found >= n);
    return found;
  };
}

/** @param {number} h */
function fmix32(h) {
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}
