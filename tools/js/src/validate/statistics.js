/** Level 3 of statistics: of each gene and source of a part ([SRC-8]), and the sums of a source's record ([SRC-11]). */

/** @typedef {import("../part.js").Part} Part */
/** @typedef {import("./findings.js").Findings} Findings */
/** @typedef {import("./sources.js").FoundSource} FoundSource */

const TOO_LARGE = -3n;
const LIMIT = 2 ** 53;
/** Values below it are counted, larger ones listed. */
const BINS = 16;
/** Pairs of a source and a gene that are followed. */
const MOST = 2 ** 24;

export class Statistics {
  #part;
  #findings;
  #nGenes;
  #cells;
  #sums;
  #squares;
  #bins;
  /** @type {Map<number, number[]>} */
  #large = new Map();
  #followed;
  #nonzero;
  #totals;

  /**
   * @param {Part} part
   * @param {Findings} findings
   */
  constructor(part, findings) {
    const { n, n_genes: nGenes } = part.entry.sources;
    this.#followed = n * nGenes <= MOST;
    if (!this.#followed)
      findings.leave("SRC-8", `${n} sources of ${nGenes} genes are more than this validator follows`);
    const size = this.#followed ? n * nGenes : 0;
    this.#part = part;
    this.#findings = findings;
    this.#nGenes = nGenes;
    this.#cells = new Float64Array(size);
    this.#sums = new Float64Array(size);
    this.#squares = new Float64Array(size);
    this.#bins = new Uint32Array(size * BINS);
    this.#nonzero = new Float64Array(n);
    this.#totals = new Float64Array(n);
  }

  /**
   * @param {number} source in the part
   * @param {number} gene
   * @param {number} value above 0
   */
  add(source, gene, value) {
    this.#nonzero[source]++;
    this.#totals[source] += value;
    if (!this.#followed) return;
    const at = source * this.#nGenes + gene;
    this.#cells[at]++;
    this.#sums[at] += value;
    this.#squares[at] += value * value;
    if (value < BINS) {
      this.#bins[at * BINS + value]++;
      return;
    }
    const list = this.#large.get(at);
    if (list) list.push(value);
    else this.#large.set(at, [value]);
  }

  /** @param {number} at */
  #median(at) {
    let left = Math.floor((this.#cells[at] - 1) / 2);
    if (left < 0) return 0;
    for (let value = 1; value < BINS; value++) {
      const n = this.#bins[at * BINS + value];
      if (left < n) return value;
      left -= n;
    }
    return (this.#large.get(at) ?? []).sort((a, b) => a - b)[left];
  }

  /** @param {FoundSource[]} sources */
  async compare(sources) {
    const { first, n } = this.#part.entry.sources;
    sources.forEach(({ record }, s) => {
      const where = `source ${first + s}`;
      if (record.n_nonzero !== this.#nonzero[s])
        this.#findings.add("SRC-11", where, `n_nonzero is ${record.n_nonzero}, found ${this.#nonzero[s]}`);
      if (record.total !== this.#totals[s])
        this.#findings.add("SRC-11", where, `total is ${record.total}, found ${this.#totals[s]}`);
    });
    if (!this.#followed) return;
    const { path } = this.#part.stats;
    for (let s = 0; s < n; s++) {
      const stated = await this.#findings.guard(path, () =>
        this.#part.stats.read([
          [0, 4],
          [s, s + 1],
          [0, this.#nGenes],
        ]),
      );
      if (stated !== undefined) this.#compareSource(s, stated, path);
    }
  }

  /**
   * @param {number} s
   * @param {BigInt64Array} stated
   * @param {string} path
   */
  #compareSource(s, stated, path) {
    const { first } = this.#part.entry.sources;
    for (let gene = 0; gene < this.#nGenes; gene++) {
      const at = s * this.#nGenes + gene;
      const found = [this.#cells[at], this.#sums[at], this.#squares[at], this.#median(at)];
      found.forEach((value, k) => {
        const own = stated[k * this.#nGenes + gene];
        if (Number(own) === value) return;
        // sums of squares that binary64 does not hold exactly: -3, or the number to within what was lost here
        const near = k === 2 && value >= LIMIT && (own === TOO_LARGE || Math.abs(Number(own) - value) <= value * 1e-9);
        if (!near)
          this.#findings.add(
            "SRC-8",
            path,
            `statistic ${k} of source ${first + s} and gene ${gene} is ${own}, found ${value}`,
          );
      });
    }
  }
}
