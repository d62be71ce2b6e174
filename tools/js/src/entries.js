/** Entries of a cell: pairs of a gene delta and a count ([CNT-1] to [CNT-7]). */

import { broken } from "./errors.js";

/** A gap, and what a count of more than one entry is made of. */
export const FULL = 65535;
const TOO_LARGE = 2 ** 53;

/**
 * Decode a cell.
 *
 * @param {Uint16Array} deltas
 * @param {Uint16Array} counts
 * @param {number} nGenes genes of the part
 * @param {string} where
 * @returns {{genes: Int32Array, counts: Float64Array}} genes ascending, each once; counts above 0
 */
export function decodeCell(deltas, counts, nGenes, where) {
  const genes = new Int32Array(deltas.length);
  const values = new Float64Array(deltas.length);
  let n = 0;
  let gene = 0;
  for (let i = 0; i < deltas.length; i++) {
    const delta = deltas[i];
    const count = counts[i];
    if (delta === FULL && count === FULL) {
      throw broken(
        "CNT-6",
        `${where}: holds the fill value among its entries: a chunk or a file is lost`,
        "lost-chunk",
      );
    }
    if ((delta === FULL) !== (count === 0)) {
      throw broken(
        "CNT-4",
        `${where}: the entry (${delta}, ${count}), expected the count 0 with the delta 65535 and with no other`,
      );
    }
    gene += delta;
    if (gene >= nGenes) throw broken("CNT-5", `${where}: reaches gene ${gene} of ${nGenes}`);
    if (count === 0) continue;
    if (n === 0 || genes[n - 1] !== gene) genes[n++] = gene;
    values[n - 1] += count;
    if (values[n - 1] >= TOO_LARGE) throw broken("CNT-5", `${where}: the value of gene ${gene} is not below 2^53`);
  }
  return { genes: genes.slice(0, n), counts: values.slice(0, n) };
}
