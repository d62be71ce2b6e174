/** Strings as UTF-8 bytes and where each begins ([ZAR-22], [ZAR-23]). */

import { broken } from "./errors.js";
import { StoredArray, asNumbers } from "./zarr.js";

/** @typedef {import("./types.js").StringsEntry} StringsEntry */

export class StoredStrings {
  /** @type {Promise<string[]> | undefined} */
  #all;

  /**
   * @param {StringsEntry} entry
   * @param {(entry: import("./types.js").ArrayEntry) => StoredArray} array
   */
  constructor(entry, array) {
    this.bytes = array(entry.bytes);
    this.offsets = array(entry.offsets);
    this.length = this.offsets.length - 1;
  }

  /**
   * All strings; kept.
   *
   * @returns {Promise<string[]>}
   */
  all() {
    this.#all ??= this.slice(0, this.length);
    return this.#all;
  }

  /**
   * Strings from one number to another, its end excluded.
   *
   * @param {number} start
   * @param {number} stop
   * @param {{letFill?: boolean}} [options] the fill value is no UTF-8 either
   * @returns {Promise<string[]>}
   */
  async slice(start, stop, options) {
    const path = this.offsets.path;
    const offsets = asNumbers(await this.offsets.slice(start, stop + 1), path);
    const m = this.bytes.length;
    if (start === 0 && offsets[0] !== 0) throw broken("ZAR-23", `${path}: begins with ${offsets[0]}, expected 0`);
    if (stop === this.length && offsets[stop - start] !== m) {
      throw broken("ZAR-23", `${path}: ends with ${offsets[stop - start]}, expected ${m}`);
    }
    for (let i = 0; i < offsets.length - 1; i++) {
      if (offsets[i] > offsets[i + 1]) throw broken("ZAR-23", `${path}: string ${start + i} ends before it begins`);
    }
    const [first, last] = [offsets[0], offsets[offsets.length - 1]];
    if (first < 0 || last > m) throw broken("ZAR-23", `${path}: a string lies beyond the ${m} bytes`);
    const bytes = await this.bytes.read([[first, last]], options);
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return Array.from({ length: stop - start }, (_, i) => {
      try {
        return decoder.decode(bytes.subarray(offsets[i] - first, offsets[i + 1] - first));
      } catch {
        throw broken("ZAR-23", `${this.bytes.path}: string ${start + i} is not UTF-8`);
      }
    });
  }

  /**
   * Strings by number: a few, or all where that costs less.
   *
   * @param {readonly number[]} numbers
   * @returns {Promise<string[]>}
   */
  async pick(numbers) {
    if (this.#all !== undefined || this.length <= 4096) {
      const all = await this.all();
      return numbers.map((number) => all[number]);
    }
    const found = /** @type {string[]} */ ([]);
    await Promise.all(numbers.map(async (number, i) => ([found[i]] = await this.slice(number, number + 1))));
    return found;
  }
}

/**
 * Order of strings: by their bytes in UTF-8 ([CNV-3]), which is not that of UTF-16 code units.
 *
 * @param {string} a
 * @param {string} b
 */
export function compareBytes(a, b) {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) {
      // surrogates stand for code points above all others
      const [high, other] = [x >= 0xd800 && x < 0xe000, y >= 0xd800 && y < 0xe000];
      return high === other ? x - y : high ? 1 : -1;
    }
  }
  return a.length - b.length;
}
