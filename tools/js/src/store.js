/** A store: open it, ask what it holds, read cells. */

import { StoreError, broken, unknownName } from "./errors.js";
import { Genes } from "./genes.js";
import { parse } from "./json.js";
import { Label } from "./labels.js";
import { readManifest } from "./manifest.js";
import { Part } from "./part.js";
import { relied } from "./relied.js";
import { violations } from "./schema.js";
import * as schemas from "./schemas.js";
import { StoredStrings } from "./strings.js";
import { Table } from "./table.js";
import { ChunkCache, StoredArray, each } from "./zarr.js";

/** @typedef {import("./types.js").ArrayEntry} ArrayEntry */
/** @typedef {import("./types.js").Manifest} Manifest */
/** @typedef {import("./types.js").SourceRecord} SourceRecord */
/** @typedef {import("./types.js").StringsEntry} StringsEntry */
/** @typedef {import("./places/place.js").Place} Place */
/** @typedef {import("./part.js").CellRecord} CellRecord */

/**
 * A cell as it was read. `measured` is the number of genes that its source measured: of the other genes nothing is known,
 * which is not the same as a count of 0 ([SRC-6]).
 *
 * @typedef {object} Cell
 * @property {CellRecord} record
 * @property {string} source name
 * @property {string} barcode
 * @property {string | null} split
 * @property {number} totalCounts of all columns of its source; where it was too large for its place, the sum of the entries
 * @property {number} nGenes likewise
 * @property {boolean} lowerBound the figures are sums of entries, and columns of the source were left out of the store ([CEL-8])
 * @property {Int32Array} genes ascending
 * @property {Float64Array} counts above 0
 * @property {number} measured
 * @property {Record<string, string | null>} labels
 */

/**
 * Open a store: reads the root alone, and refuses what cannot be read rightly.
 *
 * @param {Place} place
 * @returns {Promise<Store>}
 */
export async function openStore(place) {
  const manifest = await readManifest(place);
  for (const { requirement, where, message } of relied(manifest)) {
    if (/^(tables|neighbours)\//.test(where)) continue; // a table is refused when it is opened, not the store
    throw broken(requirement, `${place.name}/zarr.json:scformat/${where}: ${message}`, "bad-manifest");
  }
  return new Store(place, manifest);
}

export class Store {
  /** @type {Map<string, StoredArray>} */
  #arrays = new Map();
  /** @type {Map<string, StoredStrings>} */
  #strings = new Map();
  #cache = new ChunkCache();
  /** @type {Promise<SourceRecord[]> | undefined} */
  #sources;
  /** @type {Map<string, Promise<Table>>} */
  #tables = new Map();

  /**
   * @param {Place} place
   * @param {Manifest} manifest that was checked
   */
  constructor(place, manifest) {
    this.place = place;
    this.manifest = manifest;
    this.nCells = manifest.n_cells;
    this.parts = manifest.parts.map((entry) => new Part(this, entry));
    this.genes = new Genes(this);
    /** @type {Map<string, Label>} */
    this.labels = new Map(manifest.labels.map((entry) => [entry.name, new Label(this, entry)]));
  }

  /** @param {ArrayEntry} entry */
  array(entry) {
    let found = this.#arrays.get(entry.path);
    if (found === undefined) {
      found = new StoredArray(this.place, entry, this.#cache);
      this.#arrays.set(entry.path, found);
    }
    return found;
  }

  /** @param {StringsEntry} entry */
  strings(entry) {
    let found = this.#strings.get(entry.offsets.path);
    if (found === undefined) {
      found = new StoredStrings(entry, (array) => this.array(array));
      this.#strings.set(entry.offsets.path, found);
    }
    return found;
  }

  /** Records of all sources, in their order. @returns {Promise<SourceRecord[]>} */
  sources() {
    this.#sources ??= this.#readSources();
    return this.#sources;
  }

  async #readSources() {
    const found = /** @type {SourceRecord[]} */ ([]);
    for (const part of this.parts) {
      const { records } = part.entry.sources;
      for (const [s, text] of (await this.strings(records).all()).entries()) {
        const where = `${records.bytes.path}: record ${s}`;
        const record = parse(new TextEncoder().encode(text), where);
        const [violation] = violations(record, schemas.source);
        if (violation) throw broken("SRC-1", `${where}${violation.where}: ${violation.message}`);
        found.push(record);
      }
    }
    return found;
  }

  /** @param {string} name */
  label(name) {
    const found = this.labels.get(name);
    if (found === undefined) throw unknownName("label", name, [...this.labels.keys()]);
    return found;
  }

  /**
   * A sampling table by its name. Reads nothing that grows with the cells ([TAB-11]).
   *
   * @param {string} name
   * @returns {Promise<Table>}
   */
  table(name) {
    let found = this.#tables.get(name);
    if (found === undefined) {
      const entry = this.manifest.tables.find((table) => table.name === name);
      if (entry === undefined)
        return Promise.reject(
          unknownName(
            "table",
            name,
            this.manifest.tables.map((table) => table.name),
          ),
        );
      found = Table.open(this, entry);
      found.catch(() => this.#tables.delete(name));
      this.#tables.set(name, found);
    }
    return found;
  }

  /**
   * Part of a row ([PRT-2]).
   *
   * @param {number} row
   */
  partOf(row) {
    if (!Number.isSafeInteger(row) || row < 0 || row >= this.nCells) {
      throw new StoreError("out-of-range", `row ${row} is not in the store: it has the rows 0 to ${this.nCells - 1}`);
    }
    return /** @type {Part} */ (this.parts.findLast((part) => part.start <= row));
  }

  /**
   * Record of a cell.
   *
   * @param {number} row
   * @returns {Promise<CellRecord>}
   */
  async record(row) {
    const part = this.partOf(row);
    return (await part.records(row - part.start, row - part.start + 1))[0];
  }

  /**
   * Categories of labels for a cell; null where a label is missing.
   *
   * @param {CellRecord} record
   * @param {readonly string[]} [names] all labels by default
   * @returns {Promise<Record<string, string | null>>}
   */
  async labelsOf(record, names = [...this.labels.keys()]) {
    const part = this.partOf(record.row);
    const found = await Promise.all(
      names.map(async (name) => {
        const label = this.label(name);
        const place = Object.hasOwn(part.entry.labels, name) ? part.entry.labels[name] : undefined;
        const code = await part.code(place, record, label.nCategories, `label ${name}`, "LAB-7");
        return code < 0 ? null : (await label.strings.pick([code]))[0];
      }),
    );
    // no plain assignment: a label may be called __proto__
    return Object.fromEntries(names.map((name, i) => [name, found[i]]));
  }

  /**
   * Split of a cell; null where it is in none.
   *
   * @param {CellRecord} record
   */
  async splitOf(record) {
    const names = this.manifest.splits?.names ?? [];
    const part = this.partOf(record.row);
    const code = await part.code(part.entry.split, record, names.length, "the split", "SPL-3");
    return code < 0 ? null : names[code];
  }

  /**
   * Obs columns of a cell; null where a value is missing.
   *
   * @param {CellRecord} record
   * @returns {Promise<Record<string, string | number | bigint | boolean | null>>}
   */
  async obsOf(record) {
    const part = this.partOf(record.row);
    const columns = this.manifest.obs;
    const values = await Promise.all(
      columns.map(async (column) =>
        column.label === undefined
          ? part.value(column, record.row - part.start)
          : (await this.labelsOf(record, [column.label]))[column.label],
      ),
    );
    return Object.fromEntries(columns.map(({ name }, i) => [name, values[i]]));
  }

  /**
   * Read cells, in any order and repeated as asked.
   *
   * @param {readonly number[]} rows
   * @returns {Promise<Cell[]>}
   */
  async read(rows) {
    for (const row of rows) this.partOf(row);
    const sources = await this.sources();
    const found = /** @type {Cell[]} */ ([]);
    await each(
      rows.length,
      async (i) => {
        const part = this.partOf(rows[i]);
        const record = await this.record(rows[i]);
        const cell = rows[i] - part.start;
        const [counts, barcodes, labels, split, measured] = await Promise.all([
          part.counts(record),
          part.barcode.slice(cell, cell + 1),
          this.labelsOf(record),
          this.splitOf(record),
          part.nMeasured(record.source),
        ]);
        found[i] = {
          record,
          source: sources[record.source].name,
          barcode: barcodes[0],
          split,
          ...figures(record, counts, sources[record.source]),
          ...counts,
          measured,
          labels,
        };
      },
      8,
    );
    return found;
  }
}

/** What stands in a record for a number of 2^31 or more ([CEL-7]). */
const TOO_LARGE = -3;

/**
 * @param {CellRecord} record
 * @param {{counts: Float64Array}} cell
 * @param {SourceRecord} source
 */
function figures({ totalCounts, nGenes }, { counts }, source) {
  const summed = totalCounts === TOO_LARGE || nGenes === TOO_LARGE;
  return {
    totalCounts: totalCounts === TOO_LARGE ? counts.reduce((a, b) => a + b, 0) : totalCounts,
    nGenes: nGenes === TOO_LARGE ? counts.length : nGenes,
    lowerBound: summed && source.n_left_out > 0,
  };
}
