/** Independent draws ([SAM-10]). */

import { Philox } from "./philox.js";

/**
 * What draws need of a table.
 *
 * @typedef {object} Strata
 * @property {number} n strata
 * @property {number} bits B
 * @property {readonly number[] | Float64Array} counts cells of each
 * @property {readonly bigint[]} masses
 * @property {Float64Array} threshold
 * @property {Int32Array} alias
 *
 * @typedef {object} Drawn strata and numbers of cells in them
 * @property {Int32Array} stratum
 * @property {Float64Array} cell
 */

const DRAW = 1;

/**
 * Draws of some positions of the stream.
 *
 * @param {Strata} strata
 * @param {number | bigint | string} seed
 * @param {readonly bigint[]} positions
 * @returns {Drawn}
 */
export function independent(strata, seed, positions) {
  const philox = new Philox(seed);
  const found = { stratum: new Int32Array(positions.length), cell: new Float64Array(positions.length) };
  const shift = 64 - strata.bits;
  positions.forEach((t, i) => {
    const [w0, w1, w2, w3] = philox.wordsAt(DRAW, t, 0);
    const j = strata.n === 1 ? 0 : w0 >>> shift;
    const c = w1 < strata.threshold[j] ? j : strata.alias[j];
    found.stratum[i] = c;
    found.cell[i] = Number(((BigInt(w2) | (BigInt(w3) << 32n)) * BigInt(strata.counts[c])) >> 64n);
  });
  return found;
}
