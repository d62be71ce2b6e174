/** Masses of strata from weights, and at a temperature ([TAB-2], [TAB-5]); the alias table of masses ([TAB-4]). */

import { power, quotient, sum } from "./exact.js";

const LEAST = 2 ** -1022;
const TWO_32 = 2n ** 32n;

/**
 * Bits of the masses of K strata: B = 32 + ceil(log2 K).
 *
 * @param {number} k
 */
export function bitsOf(k) {
  return 32 + (k === 1 ? 0 : (k - 1).toString(2).length);
}

/**
 * Masses from weights ([TAB-2]).
 *
 * @param {readonly number[]} weights finite, not below 0, one above 0
 * @returns {bigint[]}
 */
export function massesOf(weights) {
  const bits = bitsOf(weights.length);
  let e = 0;
  const largest = weights.reduce((a, b) => Math.max(a, b), 0);
  while (2 ** e <= largest) e++;
  while (2 ** (e - 1) > largest) e--;
  // in two steps where 2^-e alone would be too large; these are exact
  const scaled = weights.map((w) => (e < -1000 ? w * 2 ** 1000 * 2 ** (-e - 1000) : w * 2 ** -e));
  const total = sum(scaled);
  const masses = scaled.map((v, c) => {
    const q = BigInt(Math.floor((v / total) * 2 ** bits));
    return q === 0n && weights[c] > 0 ? 1n : q;
  });
  let rest = 2n ** BigInt(bits);
  let most = 0;
  masses.forEach((q, c) => {
    rest -= q;
    if (q > masses[most]) most = c;
  });
  masses[most] += rest;
  return masses;
}

/**
 * Masses at a temperature ([TAB-5]): above 1 flattens.
 *
 * @param {readonly bigint[]} masses
 * @param {number} temperature
 * @returns {bigint[]}
 */
export function atTemperature(masses, temperature) {
  if (!(temperature > 0) || !Number.isFinite(temperature))
    throw new RangeError(`the temperature ${temperature} is not above 0`);
  if (temperature === 1) return [...masses];
  const largest = masses.reduce((a, b) => (a > b ? a : b));
  const found = /** @type {Map<bigint, number>} */ (new Map([[0n, 0]]));
  const weights = masses.map((q) => {
    let w = found.get(q);
    if (w === undefined) {
      w = Math.max(power(quotient(q, largest), 1 / temperature), LEAST);
      found.set(q, w);
    }
    return w;
  });
  return massesOf(weights);
}

/**
 * Alias table of masses ([TAB-4]).
 *
 * @param {readonly bigint[]} masses that sum to 2^B
 * @returns {{threshold: Float64Array, alias: Int32Array}}
 */
export function aliasOf(masses) {
  const m = 2 ** (bitsOf(masses.length) - 32);
  const rest = Array.from({ length: m }, (_, j) => masses[j] ?? 0n);
  const threshold = new Float64Array(m).fill(2 ** 32);
  const alias = Int32Array.from({ length: m }, (_, j) => j);
  const below = /** @type {number[]} */ ([]);
  const above = /** @type {number[]} */ ([]);
  for (let j = m - 1; j >= 0; j--) {
    if (rest[j] < TWO_32) below.push(j);
    else if (rest[j] > TWO_32) above.push(j);
  }
  for (let s = below.pop(); s !== undefined; s = below.pop()) {
    const l = above[above.length - 1];
    threshold[s] = Number(rest[s]);
    alias[s] = l;
    rest[l] -= TWO_32 - rest[s];
    if (rest[l] < TWO_32) below.push(/** @type {number} */ (above.pop()));
    else if (rest[l] === TWO_32) above.pop();
  }
  return { threshold, alias };
}
