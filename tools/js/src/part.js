/** A part: an immutable run of cells. Its records, codes, counts and columns, by number of the cell in the part. */

import { StoreError, broken } from "./errors.js";
import { decodeCell } from "./entries.js";
import { asNumbers } from "./zarr.js";

/** @typedef {import("./types.js").PartEntry} PartEntry */
/** @typedef {import("./types.js").CodesPlace} CodesPlace */
/** @typedef {import("./store.js").Store} Store */

/**
 * @typedef {object} CellRecord
 * @property {number} row
 * @property {number} source over the store
 * @property {number} sourceRow
 * @property {number} totalCounts -3: too large for its place
 * @property {number} nGenes
 * @property {Int32Array} fields all of them
 * @property {[number, number]} entries first and last (excluded) in the array of the part
 */

export class Part {
  /** @type {Promise<Float64Array> | undefined} */
  #shardRows;
  /** @type {Map<number, Promise<number>>} */
  #measuredGenes = new Map();

  /**
   * @param {Store} store
   * @param {PartEntry} entry
   */
  constructor(store, entry) {
    this.store = store;
    this.entry = entry;
    this.start = entry.start;
    this.nCells = entry.n_cells;
    this.nGenes = entry.sources.n_genes;
    this.entries = store.array(entry.entries);
    this.index = store.array(entry.index);
    this.barcode = store.strings(entry.barcode);
    this.measured = store.array(entry.sources.measured);
    this.stats = store.array(entry.sources.stats);
  }

  /** First cell of each shard, and the number of cells ([CNT-9]). */
  shardRows() {
    this.#shardRows ??= this.#readShardRows();
    return this.#shardRows;
  }

  async #readShardRows() {
    const { path } = this.entry.shard_rows;
    const found = asNumbers(await this.store.array(this.entry.shard_rows).all(), path);
    const right = found[0] === 0 && found[found.length - 1] === this.nCells;
    if (!right || found.some((first, k) => k > 0 && first <= found[k - 1])) {
      throw broken("CNT-9", `${path}: does not rise strictly from 0 to ${this.nCells}`);
    }
    return found;
  }

  /**
   * Records of cells side by side.
   *
   * @param {number} start
   * @param {number} stop
   * @returns {Promise<CellRecord[]>}
   */
  async records(start, stop) {
    const shardRows = await this.shardRows();
    const nFields = this.entry.fields.length;
    const before = Math.max(start - 1, 0);
    const width = stop - before;
    const data = /** @type {Int32Array} */ (
      await this.index.read([
        [0, nFields],
        [before, stop],
      ])
    );
    const perShard = this.entry.entries.shard[1];
    const { first, n } = this.entry.sources;
    return Array.from({ length: stop - start }, (_, i) => {
      const cell = start + i;
      const at = cell - before;
      const shard = shardOf(shardRows, cell);
      const begin = cell === shardRows[shard] ? 0 : data[at - 1];
      const end = data[at];
      if (begin < 0 || end < begin || end > perShard) {
        throw broken(
          "CNT-11",
          `${this.index.path}: the entries of row ${this.start + cell} run from ${begin} to ${end} in a shard of ${perShard}`,
        );
      }
      const fields = Int32Array.from({ length: nFields }, (_, field) => data[field * width + at]);
      if (fields[1] < first || fields[1] >= first + n) {
        throw broken(
          "CEL-5",
          `${this.index.path}: row ${this.start + cell} is of source ${fields[1]}, the part has ${first} to ${first + n - 1}`,
        );
      }
      return {
        row: this.start + cell,
        source: fields[1],
        sourceRow: fields[2],
        totalCounts: fields[3],
        nGenes: fields[4],
        fields,
        entries: /** @type {[number, number]} */ ([shard * perShard + begin, shard * perShard + end]),
      };
    });
  }

  /**
   * Counts of a cell: genes ascending, each once, with values above 0.
   *
   * @param {CellRecord} record
   */
  async counts({ row, entries: [start, stop] }) {
    const data = /** @type {Uint16Array} */ (
      await this.entries.read(
        [
          [0, 2],
          [start, stop],
        ],
        { letFill: true },
      )
    );
    const n = stop - start;
    return decodeCell(data.subarray(0, n), data.subarray(n), this.nGenes, `row ${row}`);
  }

  /**
   * Code of a label or of the split for a cell.
   *
   * @param {CodesPlace | undefined} place
   * @param {CellRecord} record
   * @param {number} n codes are below it
   * @param {string} what
   * @param {string} requirement
   * @returns {Promise<number>} -1: missing
   */
  async code(place, record, n, what, requirement) {
    if (place === undefined) return -1;
    const cell = record.row - this.start;
    const code = place.array
      ? (await this.store.array(place.array).slice(cell, cell + 1))[0]
      : record.fields[place.field ?? 0];
    if (code === -2)
      throw broken(
        "ZAR-20",
        `${what} of row ${record.row}: the fill value -2: a chunk or a file is lost`,
        "lost-chunk",
      );
    if (code < -1 || code >= n)
      throw broken(requirement, `${what} of row ${record.row}: the code ${code}, expected -1 to ${n - 1}`);
    return code;
  }

  /**
   * Value of an obs column for a cell; null where it is missing.
   *
   * @param {import("./types.js").ObsColumn} column
   * @param {number} cell
   * @returns {Promise<string | number | bigint | boolean | null>}
   */
  async value(column, cell) {
    const values = Object.hasOwn(this.entry.obs, column.name) ? this.entry.obs[column.name] : undefined;
    if (values === undefined || column.label !== undefined) return null;
    const { store } = this;
    if (values.missing) {
      const [flag] = await store.array(values.missing).slice(cell, cell + 1);
      if (flag > 1)
        throw broken("CEL-16", `${values.missing.path}: ${flag} for row ${this.start + cell}, expected 0 or 1`);
      if (flag === 1) return null;
    }
    if (values.strings) return (await store.strings(values.strings).slice(cell, cell + 1))[0];
    const array = values.values ?? values.codes;
    if (array === undefined) throw new StoreError("bad-manifest", `obs column ${column.name} has no values [CEL-15]`);
    const [found] = await store.array(array).slice(cell, cell + 1);
    if (values.values) {
      if (column.kind !== "boolean") return found;
      if (found > 1) throw broken("CEL-18", `${array.path}: ${found} for row ${this.start + cell}, expected 0 or 1`);
      return found === 1;
    }
    if (column.categories === undefined)
      throw new StoreError("bad-manifest", `obs column ${column.name} has no categories [CEL-20]`);
    const categories = store.strings(column.categories);
    if (found < -1 || found >= categories.length) {
      throw broken(
        "CEL-19",
        `${array.path}: the code ${found} for row ${this.start + cell}, expected -1 to ${categories.length - 1}`,
      );
    }
    return found === -1 ? null : (await categories.pick([found]))[0];
  }

  /**
   * Genes that a source measured ([SRC-5]).
   *
   * @param {number} source over the store
   * @returns {Promise<Uint8Array>} 1 for each gene of the part that it measured
   */
  async measuredBy(source) {
    const s = source - this.entry.sources.first;
    const found = /** @type {Uint8Array} */ (
      await this.measured.read([
        [s, s + 1],
        [0, this.nGenes],
      ])
    );
    if (found.some((flag) => flag > 1)) throw broken("SRC-5", `${this.measured.path}: a flag that is neither 0 nor 1`);
    return found;
  }

  /**
   * @param {number} source over the store
   * @returns {Promise<number>} number of genes that it measured
   */
  nMeasured(source) {
    let found = this.#measuredGenes.get(source);
    if (found === undefined) {
      found = this.measuredBy(source).then((flags) => flags.reduce((a, b) => a + b, 0));
      this.#measuredGenes.set(source, found);
    }
    return found;
  }
}

/**
 * Shard of a cell ([CNT-10]).
 *
 * @param {Float64Array} shardRows
 * @param {number} cell
 */
export function shardOf(shardRows, cell) {
  let [low, high] = [0, shardRows.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (shardRows[middle] <= cell) low = middle;
    else high = middle;
  }
  return low;
}
