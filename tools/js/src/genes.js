/** The gene index: ids, symbols, organisms; and what the sources measured and found of a gene. */

import { asNumbers, each } from "./zarr.js";

/** @typedef {import("./store.js").Store} Store */

/**
 * @typedef {object} GeneOfSource
 * @property {number} source over the store
 * @property {boolean} measured
 * @property {number} cells with a value above 0
 * @property {number} sum of values
 * @property {number} median lower median of the values above 0
 */

export class Genes {
  #store;
  /** @type {Promise<Int32Array> | undefined} */
  #taxa;

  /** @param {Store} store */
  constructor(store) {
    const { genes } = store.manifest;
    this.#store = store;
    this.entry = genes;
    this.length = genes.n;
    this.id = store.strings(genes.id);
    this.symbol = store.strings(genes.symbol);
    this.biotype = store.strings(genes.biotype);
  }

  /** NCBI taxon of each gene. @returns {Promise<Int32Array>} */
  taxa() {
    this.#taxa ??= this.#store.array(this.entry.taxon).all();
    return this.#taxa;
  }

  /**
   * What each source of the store says of a gene: one read of two numbers a source, whatever the number of cells.
   *
   * @param {number} gene
   * @returns {Promise<GeneOfSource[]>}
   */
  async bySource(gene) {
    const found = /** @type {GeneOfSource[]} */ ([]);
    for (const part of this.#store.parts) {
      const { first, n, n_genes: nGenes } = part.entry.sources;
      await each(
        n,
        async (s) => {
          let [flag, cells, sum, median] = [0, 0, 0, 0];
          // a gene that was appended after the part was written is one that its sources did not measure
          if (gene < nGenes) {
            [flag] = await part.measured.read([
              [s, s + 1],
              [gene, gene + 1],
            ]);
            const stats = await part.stats.read([
              [0, 4],
              [s, s + 1],
              [gene, gene + 1],
            ]);
            [cells, sum, , median] = [...asNumbers(stats, part.stats.path)];
          }
          found[first + s] = { source: first + s, measured: flag === 1, cells, sum, median };
        },
        4,
      );
    }
    return found;
  }
}
