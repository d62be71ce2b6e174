/** Level 3 of records: shards, sources, codes, order and splits, in one pass over the cells of each part. */

import { Philox } from "../sampling/philox.js";
import { Sha256 } from "../sha256.js";
import { blocks } from "./columns.js";

/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("../part.js").Part} Part */
/** @typedef {import("../types.js").CodesPlace} CodesPlace */
/** @typedef {import("./findings.js").Findings} Findings */
/** @typedef {import("./sources.js").FoundSource} FoundSource */

const ORDER = 9;
const SPLIT = 10;
const MISSING = -1;
const TOO_LARGE = -3;

/**
 * What the records of a part say.
 *
 * @typedef {object} Cells
 * @property {Int32Array} rowEnd
 * @property {Int32Array} source numbered in the part
 * @property {Int32Array} sourceRow
 * @property {Int32Array} totalCounts
 * @property {Int32Array} nGenes
 * @property {Map<string, Int32Array>} codes of each label of the part
 * @property {Int32Array | undefined} split
 * @property {BigInt64Array} content
 */

/**
 * @param {Part} part
 * @param {Findings} findings
 * @returns {Promise<Cells | undefined>}
 */
export async function readCells(part, findings) {
  const { entry, store, nCells: n } = part;
  const where = entry.index.path;
  return findings.guard(where, async () => {
    const fields = Array.from(entry.fields, () => new Int32Array(n));
    const [extent] = entry.index.chunk.slice(1);
    const some = 64 * extent;
    for (let start = 0; start < n; start += some) {
      const stop = Math.min(start + some, n);
      const data = /** @type {Int32Array} */ (
        await part.index.read([
          [0, fields.length],
          [start, stop],
        ])
      );
      fields.forEach((field, f) => field.set(data.subarray(f * (stop - start), (f + 1) * (stop - start)), start));
    }
    const codesOf = async (/** @type {CodesPlace} */ place) =>
      place.array ? /** @type {Int32Array} */ (await store.array(place.array).all()) : fields[place.field ?? 0];
    const codes = /** @type {Map<string, Int32Array>} */ (new Map());
    for (const [name, place] of Object.entries(entry.labels)) codes.set(name, await codesOf(place));
    const content = new BigInt64Array(n);
    await blocks(store, entry.content, n, (value, i) => {
      content[i] = value;
    });
    const [rowEnd, source, sourceRow, totalCounts, nGenes] = fields;
    return {
      rowEnd,
      source: source.map((s) => s - entry.sources.first),
      sourceRow,
      totalCounts,
      nGenes,
      codes,
      split: entry.split && (await codesOf(entry.split)),
      content,
    };
  });
}

/**
 * Check the records of a part; what the sources' records say of them needs the sources.
 *
 * @param {Part} part
 * @param {Cells} cells
 * @param {FoundSource[] | undefined} sources
 * @param {Findings} findings
 * @returns {Promise<boolean>} whether its counts can be found
 */
export async function checkRecords(part, cells, sources, findings) {
  const where = part.entry.index.path;
  const shardRows = await findings.guard(part.entry.shard_rows.path, () => part.shardRows());
  const right = shardRows !== undefined && checkEnds(part, cells.rowEnd, shardRows, findings);
  const taken = sources?.map(({ record }) => new Uint8Array(record.n_rows)) ?? [];
  const { n } = part.entry.sources;
  let known = true;
  for (let cell = 0; cell < part.nCells; cell++) {
    const row = part.start + cell;
    const source = cells.source[cell];
    if (source < 0 || source >= n) {
      findings.add(
        "CEL-5",
        where,
        `row ${row} is of source ${source + part.entry.sources.first}, which is not of its part`,
      );
      known = false;
      continue;
    }
    const sourceRow = cells.sourceRow[cell];
    if (sourceRow < 0 || (sources && sourceRow >= taken[source].length)) {
      findings.add(
        "CEL-5",
        where,
        `row ${row} has the source_row ${sourceRow}, its source has ${taken[source]?.length} rows`,
      );
    } else if (sources && taken[source][sourceRow]++) {
      findings.add(
        "CEL-6",
        where,
        `row ${row} is row ${sourceRow} of source ${source + part.entry.sources.first}, as one before`,
      );
    }
    for (const [name, figure] of /** @type {const} */ ([
      ["total_counts", cells.totalCounts[cell]],
      ["n_genes", cells.nGenes[cell]],
    ])) {
      if (figure < 0 && figure !== TOO_LARGE) findings.add("CEL-7", where, `row ${row} has the ${name} ${figure}`);
    }
    if (cells.content[cell] < 0n)
      findings.add("CEL-10", part.entry.content.path, `row ${row} has ${cells.content[cell]}, expected 63 bits`);
  }
  for (const [name, codes] of cells.codes) {
    const count = part.store.label(name).nCategories;
    checkCodes(codes, count, "LAB-7", `label ${JSON.stringify(name)}`, part.start, findings);
  }
  if (cells.split)
    checkCodes(cells.split, part.store.manifest.splits?.names.length ?? 0, "SPL-3", "the split", part.start, findings);
  if (sources) {
    const counted = new Array(n).fill(0);
    for (const source of cells.source) counted[source]++;
    sources.forEach(({ record }, s) => {
      if (record.n_cells !== counted[s])
        findings.add(
          "SRC-11",
          `source ${part.entry.sources.first + s}`,
          `n_cells is ${record.n_cells}, found ${counted[s]}`,
        );
    });
    if (known) checkOrder(part, cells, sources, findings);
  }
  return right && known;
}

/**
 * @param {Int32Array} codes
 * @param {number} n
 * @param {string} requirement
 * @param {string} what
 * @param {number} start
 * @param {Findings} findings
 */
function checkCodes(codes, n, requirement, what, start, findings) {
  codes.forEach((code, cell) => {
    if (code < MISSING || code >= n)
      findings.add(requirement, what, `row ${start + cell} has the code ${code}, expected -1 to ${n - 1}`);
  });
}

/**
 * @param {Part} part
 * @param {Int32Array} rowEnd
 * @param {Float64Array} shardRows
 * @param {Findings} findings
 */
function checkEnds(part, rowEnd, shardRows, findings) {
  const { path } = part.entry.index;
  const perShard = part.entry.entries.shard[1];
  let total = 0;
  for (let k = 0; k < shardRows.length - 1; k++) {
    let before = 0;
    for (let cell = shardRows[k]; cell < shardRows[k + 1]; cell++) {
      if (rowEnd[cell] < before || rowEnd[cell] > perShard) {
        findings.add(
          "CNT-11",
          path,
          `row ${part.start + cell} ends at ${rowEnd[cell]}, after ${before} in a shard of ${perShard}`,
        );
        return false;
      }
      before = rowEnd[cell];
    }
    total += before;
  }
  if (total !== part.entry.n_entries)
    findings.add("CNT-11", path, `the part has ${total} entries, its n_entries is ${part.entry.n_entries}`);
  return true;
}

/**
 * @param {Part} part
 * @param {Cells} cells
 * @param {FoundSource[]} sources
 * @param {Findings} findings
 */
function checkOrder(part, cells, sources, findings) {
  const { kind, by = [] } = part.entry.order;
  const philox = new Philox(part.store.manifest.seed);
  const seeds = sources.map(({ record }) =>
    Number.parseInt(record.sha256.slice(0, 8).match(/../g)?.reverse().join("") ?? "0", 16),
  );
  const columns = by.map((name) => cells.codes.get(name)).filter((codes) => codes !== undefined);
  if (cells.split) columns.push(cells.split);
  const keys = [0n, 0n];
  for (let cell = 0; cell < part.nCells; cell++) {
    const [now, then] = [cell % 2, 1 - (cell % 2)];
    if (kind !== "source") keys[now] = philox.u64(ORDER, BigInt(cells.sourceRow[cell]), seeds[cells.source[cell]]);
    if (cell === 0) continue;
    const place = cells.source[cell - 1] - cells.source[cell] || cells.sourceRow[cell - 1] - cells.sourceRow[cell];
    if (kind === "source") {
      if (place > 0)
        findings.add(
          "ORD-1",
          part.entry.index.path,
          `row ${part.start + cell} comes after one that is behind it in the sources`,
        );
      continue;
    }
    const codes =
      kind === "stratified" ? columns.reduce((found, column) => found || column[cell - 1] - column[cell], 0) : 0;
    const byKey = keys[then] < keys[now] ? -1 : keys[then] > keys[now] ? 1 : 0;
    if (codes > 0 || (codes === 0 && byKey > 0)) {
      findings.add(
        kind === "shuffled" ? "ORD-3" : "ORD-4",
        part.entry.index.path,
        `row ${part.start + cell} comes after one that sorts behind it`,
      );
    } else if (codes === 0 && byKey === 0 && place > 0) {
      findings.add(
        "ORD-5",
        part.entry.index.path,
        `row ${part.start + cell} comes after one that is behind it in the sources`,
      );
    }
  }
}

/**
 * Cells of each category, of each term and of each split, over all parts ([LAB-4], [LAB-15], [SPL-4]).
 *
 * @param {Store} store
 * @param {Cells[]} parts
 * @param {Findings} findings
 */
export async function checkTotals(store, parts, findings) {
  for (const label of store.labels.values()) {
    const where = `label ${JSON.stringify(label.name)}`;
    const found = new Array(label.nCategories).fill(0);
    for (const { codes } of parts)
      for (const code of codes.get(label.name) ?? []) if (code >= 0 && code < found.length) found[code]++;
    await findings.guard(where, async () => {
      const stated = await label.counts();
      stated.forEach((n, c) => {
        if (n !== found[c]) findings.add("LAB-4", where, `category ${c} has ${found[c]} cells, its count is ${n}`);
      });
      const graph = await label.ontology();
      if (graph === undefined) return;
      const below = new Array(graph.id.length).fill(0);
      found.forEach((n, c) => {
        const node = graph.categoryTerms[c];
        if (node >= 0) for (const above of graph.atOrAbove(node)) below[above] += n;
      });
      graph.counts.forEach((n, node) => {
        if (n !== below[node])
          findings.add("LAB-15", where, `${graph.id[node]} has ${below[node]} cells at or below it, its count is ${n}`);
      });
    });
  }
  const { splits } = store.manifest;
  if (splits === undefined) return;
  const found = new Array(splits.names.length).fill(0);
  for (const { split } of parts) for (const code of split ?? []) if (code >= 0) found[code]++;
  splits.counts.forEach((n, s) => {
    if (n !== found[s])
      findings.add("SPL-4", `split ${JSON.stringify(splits.names[s])}`, `has ${found[s]} cells, its count is ${n}`);
  });
}

/**
 * Thresholds of shares ([SPL-7]): sums of the shortest decimals, exactly.
 *
 * @param {readonly number[]} shares
 * @returns {bigint[]}
 */
export function thresholds(shares) {
  const decimals = shares.map((share) => {
    const [digits, exponent = "0"] = String(share).split("e");
    const [whole, fraction = ""] = digits.split(".");
    return { value: BigInt(whole + fraction), places: fraction.length - Number(exponent) };
  });
  const places = Math.max(...decimals.map((decimal) => decimal.places));
  const one = 10n ** BigInt(places);
  let total = 0n;
  return decimals.map(({ value, places: own }, s) => {
    total += value * 10n ** BigInt(places - own);
    const found = (total << 64n) / one;
    return s === shares.length - 1 || found > 1n << 64n ? 1n << 64n : found;
  });
}

/**
 * Splits of cells by shares ([SPL-8] to [SPL-10]).
 *
 * @param {Store} store
 * @param {Part} part
 * @param {Cells} cells
 * @param {FoundSource[]} sources
 * @param {Findings} findings
 */
export async function checkSplits(store, part, cells, sources, findings) {
  const { splits } = store.manifest;
  if (splits?.shares === undefined || cells.split === undefined) return;
  const { split } = cells;
  const limits = thresholds(splits.shares);
  const philox = new Philox(splits.seed);
  /** @param {bigint} key */
  const splitOf = (key) => {
    const u = philox.u64(SPLIT, key, 0);
    return limits.findIndex((limit) => u < limit);
  };
  let keyOf = (/** @type {number} */ cell) => cells.content[cell];
  if (splits.by.length > 0) {
    const columns = /** @type {((cell: number) => string | null)[]} */ ([]);
    for (const name of splits.by) {
      const column = await valuesOf(store, cells, sources, name);
      if (column === undefined) {
        findings.leave("SPL-10", `how the values of ${JSON.stringify(name)} become text is not said`);
        return;
      }
      columns.push(column);
    }
    keyOf = (cell) => keyOfGroup(columns.map((column) => column(cell)));
  }
  const known = /** @type {Map<bigint, number>} */ (new Map());
  for (let cell = 0; cell < part.nCells; cell++) {
    const key = keyOf(cell);
    let expected = known.get(key);
    if (expected === undefined) known.set(key, (expected = splitOf(key)));
    // [SPL-11] takes repeated cells out
    if (split[cell] !== expected && !(split[cell] === MISSING && splits.duplicates_left_out)) {
      findings.add(
        "SPL-10",
        part.entry.index.path,
        `row ${part.start + cell} is in split ${split[cell]}, its group in ${expected}`,
      );
    }
  }
}

/**
 * @param {readonly (string | null)[]} values
 * @returns {bigint}
 */
export function keyOfGroup(values) {
  const digest = new Sha256();
  for (const value of values) {
    if (value === null) {
      digest.update(Uint8Array.of(0));
      continue;
    }
    const bytes = new TextEncoder().encode(value);
    const length = new DataView(new ArrayBuffer(9));
    length.setUint8(0, 1);
    length.setBigUint64(1, BigInt(bytes.length), true);
    digest.update(new Uint8Array(length.buffer)).update(bytes);
  }
  return new DataView(digest.digest().buffer).getBigUint64(0, true);
}

/**
 * Texts of a column by which cells are split: a label, the source, or a categorical column; undefined where that is not
 * certain.
 *
 * @param {Store} store
 * @param {Cells} cells
 * @param {FoundSource[]} sources
 * @param {string} name
 * @returns {Promise<((cell: number) => string | null) | undefined>}
 */
async function valuesOf(store, cells, sources, name) {
  const label = store.labels.get(name);
  const column = store.manifest.obs.find((other) => other.name === name);
  if (label !== undefined && (column === undefined || column.label === name)) {
    const categories = await label.categories();
    const codes = cells.codes.get(name);
    return (cell) => (codes === undefined || codes[cell] < 0 ? null : categories[codes[cell]]);
  }
  if (label !== undefined) return undefined;
  if (name === "source" && column === undefined) return (cell) => sources[cells.source[cell]].record.name;
  return undefined;
}
