/** The stratified plan ([SAM-20] to [SAM-25]): every window has of each stratum what its mass says, to within one. */

import { Philox } from "./philox.js";
import { StratumCells, slotsOf, windowOptions } from "./window.js";

/** @typedef {import("./independent.js").Strata} Strata */
/** @typedef {import("./independent.js").Drawn} Drawn */

const PHASE = 2;

/** How many cells each stratum has given up to a position: exact, for any position. */
export class Quotas {
  #masses;
  #phases;
  #bits;

  /**
   * @param {Philox} philox
   * @param {readonly bigint[]} masses
   * @param {number} bits
   */
  constructor(philox, masses, bits) {
    this.#masses = masses;
    this.#bits = BigInt(bits);
    const shift = BigInt(64 - bits);
    this.#phases = masses.map((_, c) => philox.u64(PHASE, 0n, c) >> shift);
  }

  /** @param {bigint} x */
  #at(x) {
    return this.#masses.map((q, c) => (x * q + this.#phases[c]) >> this.#bits);
  }

  /** @param {bigint} x */
  #total(x) {
    let total = 0n;
    for (let c = 0; c < this.#masses.length; c++) total += (x * this.#masses[c] + this.#phases[c]) >> this.#bits;
    return total;
  }

  /**
   * A_c(t) of all strata ([SAM-21]).
   *
   * @param {bigint} t
   * @returns {bigint[]}
   */
  before(t) {
    const k = BigInt(this.#masses.length);
    let low = t > k ? t - k : 0n; // N(low) <= t
    let high = t + k; // N(high) > t
    while (high - low > 1n) {
      const middle = (low + high) >> 1n;
      if (this.#total(middle) <= t) low = middle;
      else high = middle;
    }
    const found = this.#at(low);
    let more = t - found.reduce((a, b) => a + b, 0n);
    const next = this.#at(low + 1n);
    for (let c = 0; more > 0n; c++) {
      if (next[c] > found[c]) {
        found[c] += 1n;
        more -= 1n;
      }
    }
    return found;
  }
}

/** Windows of the plan; the last one is kept. */
export class Stratified {
  #strata;
  #philox;
  #options;
  #quotas;
  #number = -1n;
  /** @type {Drawn} */
  #window = { stratum: new Int32Array(0), cell: new Float64Array(0) };

  /**
   * @param {Strata} strata
   * @param {number | bigint | string} seed
   * @param {Partial<import("./window.js").WindowOptions>} [options]
   */
  constructor(strata, seed, options) {
    this.#strata = strata;
    this.#philox = new Philox(seed);
    this.#options = windowOptions(options);
    this.#quotas = new Quotas(this.#philox, strata.masses, strata.bits);
  }

  /**
   * @param {readonly bigint[]} positions
   * @returns {Drawn}
   */
  draw(positions) {
    const size = BigInt(this.#options.window);
    const found = { stratum: new Int32Array(positions.length), cell: new Float64Array(positions.length) };
    positions.forEach((t, i) => {
      this.#turnTo(t / size);
      const u = Number(t % size);
      found.stratum[i] = this.#window.stratum[u];
      found.cell[i] = this.#window.cell[u];
    });
    return found;
  }

  /** @param {bigint} number */
  #turnTo(number) {
    if (number === this.#number) return;
    const { window, block } = this.#options;
    const start = number * BigInt(window);
    const before = this.#quotas.before(start);
    const after = this.#quotas.before(start + BigInt(window));
    const stratum = new Int32Array(window);
    const cell = new Float64Array(window);
    let slot = 0;
    before.forEach((p, c) => {
      const count = Number(after[c] - p);
      if (count === 0) return;
      const own = cell.subarray(slot, slot + count);
      new StratumCells(this.#philox, c, this.#strata.counts[c], block).run(p, count, (i, k) => {
        own[i] = k;
      });
      own.sort(); // neighbours side by side: [SAM-22]
      stratum.fill(c, slot, slot + count);
      slot += count;
    });
    const slots = slotsOf(this.#philox, number, window, this.#options);
    this.#window = { stratum: slots.map((s) => stratum[s]), cell: Float64Array.from(slots, (s) => cell[s]) };
    this.#number = number;
  }
}
