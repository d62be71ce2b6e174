/** Level 4: sampling tables. */

import { violations } from "../schema.js";
import * as schemas from "../schemas.js";
import { aliasOf, bitsOf } from "../sampling/masses.js";
import { Sha256 } from "../sha256.js";
import { cellsDigest } from "../table.js";
import { asNumbers } from "../zarr.js";

/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("../types.js").TableEntry} TableEntry */
/** @typedef {import("../types.js").ArrayEntry} ArrayEntry */
/** @typedef {import("./cells.js").Cells} Cells */
/** @typedef {import("./findings.js").Findings} Findings */

const MOST_STRATA = 2 ** 30;

/**
 * @param {Store} store
 * @param {Cells[] | undefined} parts
 * @param {Findings} findings
 */
export async function checkTables(store, parts, findings) {
  for (const entry of store.manifest.tables) {
    const where = `table ${JSON.stringify(entry.name)}`;
    // level 1 said what is wrong with the entry itself
    const runs = entry.run_start !== undefined && entry.run_length !== undefined;
    if (violations(entry, schemas.table).length === 0 && runs === (entry.rows === undefined))
      await findings.guard(where, () => checkTable(store, entry, parts, where, findings));
  }
}

/**
 * @param {Store} store
 * @param {TableEntry} entry
 * @param {Cells[] | undefined} parts
 * @param {string} where
 * @param {Findings} findings
 */
async function checkTable(store, entry, parts, where, findings) {
  const say = (/** @type {string} */ requirement, /** @type {string} */ what) => findings.add(requirement, where, what);
  if (!store.manifest.parts.some((part) => part.start + part.n_cells === entry.n_rows)) {
    say("TAB-9", `n_rows is ${entry.n_rows}, and no part of the store ends there`);
  }
  const cells = cellsDigest(store.manifest, entry.n_rows);
  if (cells !== entry.cells) say("TAB-9", `cells is ${entry.cells}, expected ${cells}`);
  const counted = entry.n_cells + entry.n_missing + entry.n_left_out;
  if (counted > entry.n_rows)
    say("TAB-16", `n_cells, n_missing and n_left_out are ${counted} together, n_rows is ${entry.n_rows}`);
  const names = entry.rows ? ["rows"] : ["run_start", "run_length"];
  const arrays = /** @type {Record<string, BigInt64Array | Int32Array>} */ ({});
  for (const name of ["codes", "counts", "masses", "threshold", "alias", "offsets", ...names]) {
    arrays[name] = await store.array(/** @type {any} */ (entry)[name]).all();
  }
  checkDigest(entry, arrays, names, say);
  const counts = asNumbers(/** @type {BigInt64Array} */ (arrays.counts), where);
  const masses = [.../** @type {BigInt64Array} */ (arrays.masses)];
  checkMasses(entry, masses, counts, say);
  checkAlias(entry, masses, arrays, say);
  const rows = rowsOf(entry, arrays, counts, store.nCells, where, say);
  if (rows && parts) await checkKeys(store, entry, /** @type {Int32Array} */ (arrays.codes), rows, parts, say);
}

/** @typedef {(requirement: string, what: string) => void} Say */

/**
 * @param {TableEntry} entry
 * @param {Record<string, BigInt64Array | Int32Array>} arrays
 * @param {string[]} names
 * @param {Say} say
 */
function checkDigest(entry, arrays, names, say) {
  const digest = new Sha256().update(`scformat table 1\ncells ${entry.cells}\n`);
  for (const name of ["counts", "masses", "threshold", "alias", "offsets", ...names]) {
    const values = arrays[name];
    const wide = values instanceof BigInt64Array ? values : BigInt64Array.from(values, BigInt);
    digest.update(`${name} ${wide.length}\n`).update(new Uint8Array(wide.buffer, wide.byteOffset, wide.byteLength));
  }
  const found = digest.hex();
  if (found !== entry.sha256) say("TAB-10", `expected ${entry.sha256}, found ${found}`);
}

/**
 * @param {TableEntry} entry
 * @param {bigint[]} masses
 * @param {Float64Array} counts
 * @param {Say} say
 */
function checkMasses(entry, masses, counts, say) {
  const { n_strata: k, bits } = entry;
  if (k < 1 || k > MOST_STRATA || bits !== bitsOf(k))
    say("TAB-1", `${bits} bits for ${k} strata, expected ${bitsOf(k)}`);
  const total = masses.reduce((a, b) => a + b, 0n);
  if (total !== 2n ** BigInt(bits)) say("TAB-1", `the masses sum to ${total}, expected 2^${bits}`);
  masses.forEach((q, c) => {
    if (q < 0n || (q > 0n && counts[c] <= 0)) say("TAB-1", `stratum ${c} has the mass ${q} and ${counts[c]} cells`);
  });
  const cells = counts.reduce((a, b) => a + b, 0);
  if (cells !== entry.n_cells) say("TAB-16", `n_cells is ${entry.n_cells}, the strata have ${cells}`);
}

/**
 * @param {TableEntry} entry
 * @param {bigint[]} masses
 * @param {Record<string, BigInt64Array | Int32Array>} arrays
 * @param {Say} say
 */
function checkAlias(entry, masses, { threshold, alias }, say) {
  if (masses.reduce((a, b) => a + b, 0n) !== 2n ** BigInt(entry.bits) || masses.some((q) => q < 0n)) return;
  const expected = aliasOf(masses);
  const j = expected.alias.findIndex(
    (column, i) => column !== alias[i] || expected.threshold[i] !== Number(threshold[i]),
  );
  if (j >= 0)
    say(
      "TAB-4",
      `column ${j} is (${threshold[j]}, ${alias[j]}), expected (${expected.threshold[j]}, ${expected.alias[j]})`,
    );
}

/**
 * Rows of each stratum, checked.
 *
 * @param {TableEntry} entry
 * @param {Record<string, BigInt64Array | Int32Array>} arrays
 * @param {Float64Array} counts
 * @param {number} nCells
 * @param {string} where
 * @param {Say} say
 * @returns {Int32Array | undefined} stratum of each row of the table, or -1
 */
function rowsOf(entry, arrays, counts, nCells, where, say) {
  const offsets = asNumbers(/** @type {BigInt64Array} */ (arrays.offsets), where);
  const k = entry.n_strata;
  const first = Array.from(entry.rows ? arrays.rows : arrays.run_start, Number);
  const lengths = entry.rows ? undefined : Array.from(arrays.run_length, Number);
  if (offsets[0] !== 0 || offsets[k] !== first.length || offsets.some((at, c) => c > 0 && at < offsets[c - 1])) {
    say("TAB-7", `the offsets do not rise from 0 to ${first.length}`);
    return undefined;
  }
  const limit = Math.min(entry.n_rows, nCells);
  const stratum = new Int32Array(limit).fill(-1);
  for (let c = 0; c < k; c++) {
    let [total, end] = [0, -1];
    for (let i = offsets[c]; i < offsets[c + 1]; i++) {
      const [start, length] = [first[i], lengths?.[i] ?? 1];
      if (length < 1 || start < 0 || start + length > limit) {
        say(length < 1 ? "TAB-7" : "TAB-8", `stratum ${c} has the ${length} rows from ${start} of ${limit}`);
        return undefined;
      }
      if (start < end || (lengths && start === end && i > offsets[c]))
        say("TAB-7", `the runs or rows of stratum ${c} are not maximal and ascending at row ${start}`);
      for (let row = start; row < start + length; row++) {
        if (stratum[row] >= 0) {
          say("TAB-8", `row ${row} is in the strata ${stratum[row]} and ${c}`);
          return undefined;
        }
        stratum[row] = c;
      }
      total += length;
      end = start + length;
    }
    if (total !== counts[c]) say("TAB-7", `stratum ${c} has ${total} rows, its count is ${counts[c]}`);
  }
  return stratum;
}

/**
 * Cells of strata have the codes of their strata ([TAB-15]).
 *
 * @param {Store} store
 * @param {TableEntry} entry
 * @param {Int32Array} codes
 * @param {Int32Array} stratum
 * @param {Cells[]} parts
 * @param {Say} say
 */
async function checkKeys(store, entry, codes, stratum, parts, say) {
  const k = entry.n_strata;
  const split = entry.split === undefined ? -1 : (store.manifest.splits?.names.indexOf(entry.split) ?? -1);
  if (entry.split !== undefined && split < 0) say("TAB-15", `there is no split ${JSON.stringify(entry.split)}`);
  const keys = /** @type {{key: TableEntry["keys"][number], of: Int32Array, named: number}[]} */ ([]);
  for (const [i, key] of entry.keys.entries()) {
    if (key.kind !== "label") continue;
    if (!store.labels.has(key.name)) {
      say("TAB-15", `there is no label ${JSON.stringify(key.name)}`);
      continue;
    }
    // cells without a value are of the category that is named for them: the label's own, or none of its categories
    const named =
      typeof key.missing === "string" ? (await store.label(key.name).categories()).indexOf(key.missing) : -2;
    keys.push({ key, of: codes.subarray(i * k, (i + 1) * k), named });
  }
  store.parts.forEach((part, p) => {
    const own = keys.map(({ key }) => parts[p].codes.get(key.name));
    for (let cell = 0; cell < part.nCells && part.start + cell < stratum.length; cell++) {
      const c = stratum[part.start + cell];
      if (c < 0) continue;
      if (split >= 0 && parts[p].split?.[cell] !== split)
        say("TAB-15", `row ${part.start + cell} of stratum ${c} is not in the split ${entry.split}`);
      keys.forEach(({ key, of, named }, i) => {
        const code = own[i]?.[cell] ?? -1;
        if (code === -1 ? named === -2 || of[c] !== named : code !== of[c]) {
          say(
            "TAB-15",
            `row ${part.start + cell} of stratum ${c} has the code ${code} of ${JSON.stringify(key.name)}, the stratum ${of[c]}`,
          );
        }
      });
    }
  });
}
