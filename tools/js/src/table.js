/** Sampling tables: strata, masses, alias table, and which rows a stratum has. */

import { StoreError, broken } from "./errors.js";
import { ofTable } from "./manifest.js";
import { aliasOf, atTemperature, bitsOf } from "./sampling/masses.js";
import { violations } from "./schema.js";
import * as schemas from "./schemas.js";
import { sha256 } from "./sha256.js";
import { asNumbers } from "./zarr.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("./types.js").TableEntry} TableEntry */
/** @typedef {import("./sampling/independent.js").Strata} Strata */

const WHOLE = 2 ** 32;

/**
 * Digest of the cells that a table is over ([TAB-9]).
 *
 * @param {import("./types.js").Manifest} manifest
 * @param {number} nRows
 */
export function cellsDigest(manifest, nRows) {
  const parts = manifest.parts.filter((part) => part.start < nRows);
  return sha256(parts.map((part) => `${part.index.sha256}\t${part.content.sha256}\n`).join(""));
}

export class Table {
  #store;
  /** @type {Map<number, Promise<{starts: Float64Array, before: Float64Array}>>} */
  #runs = new Map();

  /**
   * @param {Store} store
   * @param {TableEntry} entry
   * @param {Strata} strata
   * @param {Float64Array} offsets
   * @param {Int32Array} codes one row a key
   */
  constructor(store, entry, strata, offsets, codes) {
    this.#store = store;
    this.entry = entry;
    this.name = entry.name;
    this.strata = strata;
    this.offsets = offsets;
    this.codes = codes;
  }

  /**
   * Open a table of a store: its strata, and nothing that grows with the cells.
   *
   * @param {Store} store
   * @param {TableEntry} entry
   */
  static async open(store, entry) {
    const [violation] = violations(entry, schemas.table);
    const name = JSON.stringify(entry.name);
    if (violation) throw broken("TAB-6", `table ${name}${violation.where}: ${violation.message}`, "bad-manifest");
    for (const { where, entry: array, shape, dtypes } of ofTable(`table ${name}`, entry)) {
      if (!dtypes.includes(array.dtype) || array.shape.some((n, axis) => shape[axis] !== null && shape[axis] !== n)) {
        throw broken(
          "TAB-6",
          `${where}: ${array.dtype}[${array.shape}], expected ${dtypes.join(" or ")}[${shape.map((n) => n ?? "any")}]`,
          "bad-manifest",
        );
      }
    }
    if ((entry.rows === undefined) === (entry.run_start === undefined || entry.run_length === undefined)) {
      throw broken("TAB-6", `table ${name}: expected either rows, or run_start and run_length`, "bad-manifest");
    }
    const ends = store.manifest.parts.some((part) => part.start + part.n_cells === entry.n_rows);
    if (!ends || cellsDigest(store.manifest, entry.n_rows) !== entry.cells) {
      throw broken("TAB-14", `table ${name} was made for other cells than the store's`, "other-cells");
    }
    const numbers = async (/** @type {import("./types.js").ArrayEntry} */ array) =>
      asNumbers(await store.array(array).all(), array.path);
    const [counts, masses, threshold, alias, offsets, codes] = await Promise.all([
      numbers(entry.counts),
      store.array(entry.masses).all(),
      numbers(entry.threshold),
      store.array(entry.alias).all(),
      numbers(entry.offsets),
      store.array(entry.codes).all(),
    ]);
    const strata = { n: entry.n_strata, bits: entry.bits, counts, masses: [...masses], threshold, alias };
    refuse(strata, offsets, name);
    return new Table(store, entry, strata, offsets, codes);
  }

  /**
   * The strata at a temperature ([TAB-5]).
   *
   * @param {number} temperature
   * @returns {Strata}
   */
  at(temperature) {
    if (temperature === 1) return this.strata;
    const masses = atTemperature(this.strata.masses, temperature);
    return { ...this.strata, masses, ...aliasOf(masses) };
  }

  /** Probability of each stratum. */
  probabilities() {
    const whole = 2 ** this.entry.bits;
    return this.strata.masses.map((q) => Number(q) / whole);
  }

  /**
   * Share of each category of a label that the table is made by; undefined where it is not. A named missing category that
   * is none of the label's comes last.
   *
   * @param {string} label
   * @returns {Float64Array | undefined}
   */
  sharesOf(label) {
    const key = this.entry.keys.findIndex(({ name, kind }) => kind === "label" && name === label);
    if (key < 0) return undefined;
    const n = this.#store.label(label).nCategories;
    const shares = new Float64Array(n + 1);
    this.probabilities().forEach((share, c) => {
      const code = this.codes[key * this.strata.n + c];
      if (code < -1 || code >= n)
        throw broken("TAB-6", `table ${this.name}: the code ${code} of label ${label}, expected -1 to ${n - 1}`);
      shares[code < 0 ? n : code] += share;
    });
    return shares;
  }

  /**
   * Rows of cells that are numbered in their strata ([TAB-7]).
   *
   * @param {Int32Array} stratum
   * @param {Float64Array} cell
   * @returns {Promise<number[]>}
   */
  async rows(stratum, cell) {
    const found = await (this.entry.rows
      ? this.#fromRows(stratum, cell, this.entry.rows)
      : this.#fromRuns(stratum, cell));
    const wrong = found.find((row) => !(row >= 0 && row < this.entry.n_rows));
    if (wrong !== undefined) throw broken("TAB-8", `table ${this.name}: row ${wrong} of ${this.entry.n_rows}`);
    return found;
  }

  /** All rows of the table, ascending. */
  async allRows() {
    const { entry } = this;
    const found = new Float64Array(entry.n_cells);
    if (entry.rows) {
      found.set(Array.from(await this.#store.array(entry.rows).all(), Number));
    } else {
      let at = 0;
      const [starts, lengths] = await this.#runArrays(0, entry.run_start?.shape[0] ?? 0);
      starts.forEach((start, i) => {
        for (let k = 0; k < lengths[i]; k++) found[at++] = start + k;
      });
      if (at !== entry.n_cells)
        throw broken("TAB-7", `table ${this.name}: its runs have ${at} rows, expected ${entry.n_cells}`);
    }
    return found.sort();
  }

  /**
   * @param {Int32Array} stratum
   * @param {Float64Array} cell
   * @param {import("./types.js").ArrayEntry} entry
   */
  async #fromRows(stratum, cell, entry) {
    const array = this.#store.array(entry);
    const [extent] = entry.chunk;
    const chunks = /** @type {Map<number, any>} */ (new Map());
    const at = Array.from(stratum, (c, i) => this.offsets[c] + cell[i]);
    for (const chunk of new Set(at.map((n) => Math.floor(n / extent)))) {
      const start = chunk * extent;
      chunks.set(chunk, await array.slice(start, Math.min(start + extent, array.length)));
    }
    return at.map((n) => Number(chunks.get(Math.floor(n / extent))[n % extent]));
  }

  /**
   * @param {Int32Array} stratum
   * @param {Float64Array} cell
   */
  async #fromRuns(stratum, cell) {
    const runs = new Map();
    for (const c of new Set(stratum)) runs.set(c, await this.#runsOf(c));
    return Array.from(stratum, (c, i) => {
      const { starts, before } = runs.get(c);
      let [low, high] = [0, starts.length];
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (before[middle] <= cell[i]) low = middle;
        else high = middle;
      }
      return starts[low] + cell[i] - before[low];
    });
  }

  /** @param {number} c */
  #runsOf(c) {
    let found = this.#runs.get(c);
    if (found === undefined) {
      found = this.#runArrays(this.offsets[c], this.offsets[c + 1]).then(([starts, lengths]) => {
        const before = new Float64Array(lengths.length);
        let total = 0;
        lengths.forEach((length, i) => {
          before[i] = total;
          total += length;
        });
        if (total !== this.strata.counts[c]) {
          throw broken(
            "TAB-7",
            `table ${this.name}: the runs of stratum ${c} have ${total} rows, expected ${this.strata.counts[c]}`,
          );
        }
        return { starts, before };
      });
      this.#runs.set(c, found);
    }
    return found;
  }

  /**
   * @param {number} start
   * @param {number} stop
   */
  async #runArrays(start, stop) {
    const { run_start: first, run_length: length } = this.entry;
    if (first === undefined || length === undefined)
      throw new StoreError("bad-manifest", `table ${this.name} has no runs`);
    return Promise.all(
      [first, length].map(async (entry) => asNumbers(await this.#store.array(entry).slice(start, stop), entry.path)),
    );
  }
}

/**
 * Refuse strata that draws cannot rely on ([TAB-1], [TAB-4], [TAB-7]).
 *
 * @param {Strata} strata
 * @param {Float64Array} offsets
 * @param {string} name
 */
function refuse({ n, bits, counts, masses, threshold, alias }, offsets, name) {
  const say = (/** @type {string} */ requirement, /** @type {string} */ what) =>
    broken(requirement, `table ${name}: ${what}`);
  if (bits !== bitsOf(n)) throw say("TAB-1", `${bits} bits for ${n} strata, expected ${bitsOf(n)}`);
  const total = masses.reduce((a, b) => a + b, 0n);
  if (total !== 2n ** BigInt(bits)) throw say("TAB-1", `the masses sum to ${total}, expected 2^${bits}`);
  masses.forEach((q, c) => {
    if (q < 0n || counts[c] < 0 || (q > 0n && counts[c] === 0))
      throw say("TAB-1", `stratum ${c} has the mass ${q} and ${counts[c]} cells`);
  });
  if (threshold.some((x) => x < 0 || x > WHOLE)) throw say("TAB-6", "a threshold is not from 0 to 2^32");
  if (alias.some((c) => c < 0 || c >= alias.length)) throw say("TAB-6", `an alias is not below ${alias.length}`);
  alias.forEach((c, j) => {
    if (threshold[j] < WHOLE && (c >= n || masses[c] === 0n))
      throw say("TAB-4", `column ${j} leads to stratum ${c}, which has no mass`);
    if (threshold[j] > 0 && (j >= n || masses[j] === 0n)) throw say("TAB-4", `column ${j} has a threshold and no mass`);
  });
  if (offsets[0] !== 0 || offsets.some((at, i) => i > 0 && at < offsets[i - 1]))
    throw say("TAB-7", "the offsets do not rise from 0");
}
