/** Windows: the options of a plan, the cell of a slot ([SAM-23]) and the slot of a position ([SAM-24], [SAM-25]). */

import { StoreError } from "../errors.js";
import { permutation } from "./permutation.js";

/** @typedef {import("./philox.js").Philox} Philox */
/** @typedef {{window: number, lanes: number, block: number}} WindowOptions */

const BLOCKS = 3;
const ROTATION = 5;
const WINDOW = 6;

export const DEFAULTS = Object.freeze({ window: 65536, lanes: 8, block: 64 });

/**
 * Options with defaults, checked.
 *
 * @param {Partial<WindowOptions>} [options]
 * @returns {WindowOptions}
 */
export function windowOptions(options = {}) {
  const { window, lanes, block } = { ...DEFAULTS, ...options };
  const whole = [window, lanes, block].every((n) => Number.isSafeInteger(n) && n > 0);
  if (!whole || window % (lanes * block) !== 0) {
    throw new StoreError(
      "bad-window",
      `block ${block} times lanes ${lanes} does not divide the window ${window} [SAM-20]`,
    );
  }
  return { window, lanes, block };
}

/**
 * Cells of one stratum, for the p-th time that it is asked for one ([SAM-23]). It remembers the epoch that it is in: a
 * window asks for neighbours.
 */
export class StratumCells {
  #philox;
  #stratum;
  #n;
  #block;
  #blocks;
  #epoch = -1n;
  #rotation = 0;
  /** @type {(k: number) => number} */
  #order = (k) => k;

  /**
   * @param {Philox} philox
   * @param {number} stratum
   * @param {number} n its cells
   * @param {number} block
   */
  constructor(philox, stratum, n, block) {
    this.#philox = philox;
    this.#stratum = stratum;
    this.#n = n;
    this.#block = block;
    this.#blocks = Math.floor(n / block);
  }

  /**
   * Numbers of the cells for p, p + 1, ...
   *
   * @param {bigint} p
   * @param {number} count
   * @param {(i: number, cell: number) => void} take
   */
  run(p, count, take) {
    const n = this.#n;
    let epoch = p / BigInt(n);
    let within = Number(p % BigInt(n));
    for (let i = 0; i < count; i++) {
      if (epoch !== this.#epoch) this.#begin(epoch);
      take(i, this.#cell(within));
      if (++within === n) {
        within = 0;
        epoch += 1n;
      }
    }
  }

  /** @param {bigint} epoch */
  #begin(epoch) {
    this.#epoch = epoch;
    this.#rotation = Number((this.#philox.u64(ROTATION, epoch, this.#stratum) * BigInt(this.#n)) >> 64n);
    this.#order = permutation(this.#philox, this.#blocks, BLOCKS, epoch, this.#stratum);
  }

  /** @param {number} within */
  #cell(within) {
    const block = Math.floor(within / this.#block);
    const g = block < this.#blocks ? this.#order(block) : this.#blocks;
    return (this.#block * g + (within % this.#block) + this.#rotation) % this.#n;
  }
}

/**
 * Slot of each position of a window.
 *
 * @param {Philox} philox
 * @param {bigint} number of the window
 * @param {number} length positions that it has
 * @param {WindowOptions} options
 * @returns {Int32Array}
 */
export function slotsOf(philox, number, length, { lanes, block }) {
  const found = new Int32Array(length);
  const whole = length - (length % (block * lanes));
  const perLane = whole / lanes;
  for (let v = 0; v < lanes && perLane > 0; v++) {
    const order = permutation(philox, perLane, WINDOW, number, v);
    for (let k = 0; k < perLane; k++) {
      const i = order(k);
      found[k * lanes + v] = Math.floor(i / block) * block * lanes + block * v + (i % block);
    }
  }
  const order = permutation(philox, length - whole, WINDOW, number, lanes);
  for (let u = whole; u < length; u++) found[u] = whole + order(u - whole);
  return found;
}
