/** The epoch plan ([SAM-30], [SAM-31]): every cell once an epoch. */

import { StoreError } from "../errors.js";
import { Philox } from "./philox.js";
import { StratumCells, slotsOf, windowOptions } from "./window.js";

export class Epoch {
  #n;
  #philox;
  #options;
  #number = -1n;
  #cells = new Float64Array(0);

  /**
   * @param {number} n cells
   * @param {number | bigint | string} seed
   * @param {Partial<import("./window.js").WindowOptions>} [options]
   */
  constructor(n, seed, options) {
    if (n === 0) throw new StoreError("nothing-to-draw", "there are no cells to draw");
    this.#n = n;
    this.#philox = new Philox(seed);
    this.#options = windowOptions(options);
  }

  /**
   * Numbers of cells, 0 to n - 1.
   *
   * @param {readonly bigint[]} positions
   * @returns {Float64Array}
   */
  draw(positions) {
    const n = BigInt(this.#n);
    const { window } = this.#options;
    const windows = BigInt(Math.ceil(this.#n / window));
    return Float64Array.from(positions, (t) => {
      const epoch = t / n;
      const u = Number(t % n);
      const nth = Math.floor(u / window);
      this.#turnTo(
        epoch * windows + BigInt(nth),
        t - BigInt(u - nth * window),
        Math.min(window, this.#n - nth * window),
      );
      return this.#cells[u - nth * window];
    });
  }

  /**
   * Positions of a finite pass over an epoch, of one rank ([SAM-31]).
   *
   * @param {{epoch: bigint, rank: number, ranks: number, batch: number, step: number}} where
   * @returns {{positions: bigint[], padding: boolean[]}}
   */
  step({ epoch, rank, ranks, batch, step }) {
    const n = BigInt(this.#n);
    const first = BigInt(step) * BigInt(batch * ranks) + BigInt(rank);
    const within = Array.from({ length: batch }, (_, y) => first + BigInt(ranks * y));
    return {
      positions: within.map((u) => epoch * n + (u < n ? u : n - 1n)),
      padding: within.map((u) => u >= n),
    };
  }

  /**
   * @param {bigint} number
   * @param {bigint} start position that the window begins with
   * @param {number} length
   */
  #turnTo(number, start, length) {
    if (number === this.#number) return;
    const cells = new Float64Array(length);
    new StratumCells(this.#philox, 0, this.#n, this.#options.block).run(start, length, (i, k) => {
      cells[i] = k;
    });
    cells.sort();
    this.#cells = Float64Array.from(slotsOf(this.#philox, number, length, this.#options), (slot) => cells[slot]);
    this.#number = number;
  }
}
