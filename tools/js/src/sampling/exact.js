/**
 * Binary64 numbers by their exact values: sums, quotients and powers rounded once. `Math.pow` and a sum in a loop round as
 * the machine and the order have it, and masses are to be the same everywhere.
 */

const view = new DataView(new ArrayBuffer(8));

/**
 * A finite number above or equal to 0 as m x 2^e.
 *
 * @param {number} value
 * @returns {[bigint, number]}
 */
export function parts(value) {
  view.setFloat64(0, value);
  const high = view.getUint32(0);
  const exponent = (high >>> 20) & 0x7ff;
  const fraction = (BigInt(high & 0xfffff) << 32n) | BigInt(view.getUint32(4));
  return exponent === 0 ? [fraction, -1074] : [fraction | (1n << 52n), exponent - 1075];
}

/** @param {bigint} n */
const bitLength = (n) =>
  n === 0n ? 0 : n.toString(16).length * 4 - (Math.clz32(parseInt(n.toString(16)[0], 16)) - 28);

/**
 * The binary64 nearest to (m + a rest) x 2^e, ties to even; the rest is below one unit of m.
 *
 * @param {bigint} m
 * @param {number} e
 * @param {boolean} rest whether there is one
 */
export function rounded(m, e, rest) {
  if (m === 0n) return 0;
  let drop = bitLength(m) - 53;
  if (e + drop < -1074) drop = -1074 - e;
  if (drop <= 0) return Number(m) * 2 ** e;
  const shift = BigInt(drop);
  let kept = m >> shift;
  const lost = m & ((1n << shift) - 1n);
  const half = 1n << (shift - 1n);
  if (lost > half || (lost === half && (rest || (kept & 1n) === 1n))) kept += 1n;
  const power = e + drop;
  // two steps: 2^power alone can be below the smallest number, or above the largest
  const step = Math.max(power, -1022);
  return Number(kept) * 2 ** step * 2 ** (power - step);
}

/**
 * The binary64 number nearest to the exact sum, ties to even, whatever the order.
 *
 * @param {Iterable<number>} values finite, not below 0
 */
export function sum(values) {
  const byExponent = /** @type {Map<number, bigint>} */ (new Map());
  for (const value of values) {
    const [m, e] = parts(value);
    byExponent.set(e, (byExponent.get(e) ?? 0n) + m);
  }
  const lowest = Math.min(...byExponent.keys());
  let total = 0n;
  for (const [e, m] of byExponent) total += m << BigInt(e - lowest);
  return byExponent.size === 0 ? 0 : rounded(total, lowest, false);
}

/**
 * a / b of two integers above 0, rounded once.
 *
 * @param {bigint} a
 * @param {bigint} b
 */
export function quotient(a, b) {
  const shift = Math.max(0, 56 + bitLength(b) - bitLength(a));
  const scaled = a << BigInt(shift);
  return rounded(scaled / b, -shift, scaled % b !== 0n);
}

const PRECISION = 240n;
const ONE = 1n << PRECISION;

/**
 * The logarithm of a number of at least 1 and below 2, in units of 2^-240.
 *
 * @param {bigint} x in these units
 */
function logarithm(x) {
  // ln x = 2 artanh((x - 1) / (x + 1))
  const t = ((x - ONE) << PRECISION) / (x + ONE);
  const square = (t * t) >> PRECISION;
  let total = 0n;
  for (let power = t, k = 1n; power !== 0n; power = (power * square) >> PRECISION, k += 2n) total += power / k;
  return 2n * total;
}

const LN_2 = 2n * logarithm(ONE + ONE / 2n) - logarithm(ONE + ONE / 8n); // 2 = (3/2)^2 / (9/8)

/**
 * x to the power of y, rounded once; for 0 < x <= 1 and y > 0.
 *
 * @param {number} x
 * @param {number} y
 */
export function power(x, y) {
  if (x === 1) return 1;
  const [m, e] = parts(x);
  if (Number.isInteger(y) && y <= 16) return rounded(m ** BigInt(y), e * y, false); // exact products can be ties
  const bits = bitLength(m);
  const exponent = e + bits - 1;
  const [ym, ye] = parts(y);
  const log = logarithm((m << PRECISION) >> BigInt(bits - 1)) + BigInt(exponent) * LN_2; // below 0
  const product = ye >= 0 ? (log * ym) << BigInt(ye) : (log * ym) >> BigInt(-ye);
  const twos = product / LN_2 - 1n; // x^y = 2^twos e^r
  if (twos < -1100n) return 0;
  let r = product - twos * LN_2;
  const halvings = 8n;
  r >>= halvings;
  let result = ONE;
  for (let term = r, k = 2n; term !== 0n; term = (term * r) / (k * ONE), k += 1n) result += term;
  for (let i = 0n; i < halvings; i++) result = (result * result) >> PRECISION;
  // cut to 2^-160: what is left of an exact result's error is gone, so that a tie is seen as one
  const cut = 80n;
  result = (result + (1n << (cut - 1n))) >> cut;
  return rounded(result, Number(twos) - Number(PRECISION - cut), false);
}
