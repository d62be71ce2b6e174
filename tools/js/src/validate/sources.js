/** Level 3 of sources: records, columns, what was measured. */

import { StoreError } from "../errors.js";
import { parseWithProblems } from "../json.js";
import { violations } from "../schema.js";
import * as schemas from "../schemas.js";
import { asNumbers } from "../zarr.js";
import { checkStrings, eachString } from "./strings.js";

/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("../part.js").Part} Part */
/** @typedef {import("../types.js").SourceRecord} SourceRecord */
/** @typedef {import("./findings.js").Findings} Findings */

/**
 * A source of a part as it was found; `measured` is what its columns say.
 *
 * @typedef {{record: SourceRecord, measured: Uint8Array}} FoundSource
 */

/** @typedef {{taxa: Int32Array, resolved: Uint8Array}} KnownGenes */

/**
 * @param {Store} store
 * @param {KnownGenes | undefined} known
 * @param {Findings} findings
 * @returns {Promise<(FoundSource[] | undefined)[]>} of each part
 */
export async function checkSources(store, known, findings) {
  const names = new Set();
  const found = [];
  for (const part of store.parts) found.push(await ofPart(store, part, names, known, findings));
  return found;
}

/**
 * @param {Store} store
 * @param {Part} part
 * @param {Set<string>} names
 * @param {KnownGenes | undefined} known
 * @param {Findings} findings
 */
async function ofPart(store, part, names, known, findings) {
  const { sources } = part.entry;
  const path = sources.records.bytes.path;
  const texts = await checkStrings(store.strings(sources.records), findings);
  await eachString(store.strings(sources.var_names), findings);
  const read = await findings.guard(path, async () => ({
    offsets: asNumbers(await store.array(sources.var_offsets).all(), sources.var_offsets.path),
    genes: /** @type {Int32Array} */ (await store.array(sources.var_gene).all()),
    measured: /** @type {Uint8Array} */ (await part.measured.all()),
  }));
  if (!texts || !read) return undefined;
  const records = texts.map((text, s) => recordOf(text, `source ${sources.first + s}`, findings));
  for (const record of records) {
    if (record === undefined) continue;
    if (names.has(record.name)) findings.add("SRC-2", path, `two sources are called ${JSON.stringify(record.name)}`);
    names.add(record.name);
    checkColumns(record, store, findings);
  }
  const { offsets, genes, measured } = read;
  if (
    offsets[0] !== 0 ||
    offsets[sources.n] !== genes.length ||
    offsets.some((at, s) => s > 0 && at < offsets[s - 1])
  ) {
    findings.add("SRC-9", sources.var_offsets.path, `does not rise from 0 to ${genes.length}`);
    return undefined;
  }
  const found = /** @type {FoundSource[]} */ ([]);
  records.forEach((record, s) => {
    const where = `source ${sources.first + s}`;
    const columns = genes.subarray(offsets[s], offsets[s + 1]);
    const own = new Uint8Array(sources.n_genes);
    for (const gene of columns) {
      if (gene < -1 || gene >= sources.n_genes)
        findings.add("SRC-10", where, `a column is gene ${gene} of ${sources.n_genes}`);
      else if (gene >= 0) own[gene] = 1;
    }
    const stated = measured.subarray(s * sources.n_genes, (s + 1) * sources.n_genes);
    const differs = own.findIndex((flag, gene) => flag !== stated[gene]);
    if (differs >= 0)
      findings.add(
        "SRC-5",
        where,
        `measured of gene ${differs} is ${stated[differs]}, its columns say ${own[differs]}`,
      );
    if (record === undefined) return;
    found[s] = { record, measured: own };
    checkFigures(record, columns, known, where, findings);
  });
  return found.length === sources.n && !found.includes(/** @type {any} */ (undefined)) ? found : undefined;
}

/**
 * @param {string} text
 * @param {string} where
 * @param {Findings} findings
 * @returns {SourceRecord | undefined}
 */
function recordOf(text, where, findings) {
  try {
    const { value, problems } = parseWithProblems(new TextEncoder().encode(text));
    for (const { requirement, message } of problems) findings.add(requirement, where, message);
    const broken = violations(value, schemas.source);
    for (const violation of broken) findings.add("SRC-1", `${where}${violation.where}`, violation.message);
    return broken.length === 0 ? value : undefined;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    findings.add("SRC-1", where, error.message);
    return undefined;
  }
}

/**
 * @param {SourceRecord} record
 * @param {Store} store
 * @param {Findings} findings
 */
function checkColumns({ name: source, columns }, store, findings) {
  const where = `source ${JSON.stringify(source)}`;
  const names = columns.map(({ name }) => name);
  for (const name of names) {
    if (!store.manifest.obs.some((column) => column.name === name))
      findings.add("SRC-4", where, `the store has no column ${JSON.stringify(name)}`);
  }
  if (new Set(names).size !== names.length) findings.add("SRC-4", where, "a column stands twice");
  for (const { name, categories = [] } of columns) {
    if (new Set(categories).size !== categories.length) {
      findings.add("SRC-4", where, `a category of the column ${JSON.stringify(name)} stands twice`);
    }
  }
}

/**
 * Figures of a record that its columns show ([SRC-11]); those of its cells are compared where these are read.
 *
 * @param {SourceRecord} record
 * @param {Int32Array} columns
 * @param {KnownGenes | undefined} known
 * @param {string} where
 * @param {Findings} findings
 */
function checkFigures(record, columns, known, where, findings) {
  const say = (/** @type {string} */ what) => findings.add("SRC-11", where, what);
  if (columns.length !== record.n_vars)
    findings.add("SRC-9", where, `has ${columns.length} columns, its n_vars is ${record.n_vars}`);
  const leftOut = columns.filter((gene) => gene === -1).length;
  if (leftOut !== record.n_left_out) say(`n_left_out is ${record.n_left_out}, ${leftOut} columns are left out`);
  if (record.n_cells > record.n_rows) say(`n_cells ${record.n_cells} is above n_rows ${record.n_rows}`);
  if (record.n_resolved > record.n_vars) say(`n_resolved ${record.n_resolved} is above n_vars ${record.n_vars}`);
  if (record.path !== undefined && /[/\\]/.test(record.path))
    findings.add("MAN-7", where, `path ${JSON.stringify(record.path)} is more than a last segment`);
  const kept = columns.filter((gene) => gene >= 0);
  const merged = kept.length - new Set(kept).size;
  if (leftOut === 0 ? merged !== record.n_merged : merged > record.n_merged)
    say(`n_merged is ${record.n_merged}, found ${merged}`);
  if (record.organisms.some((taxon, i) => i > 0 && taxon <= record.organisms[i - 1]))
    say(`organisms ${record.organisms} do not ascend`);
  if (known === undefined) return;
  const resolved = kept.reduce((n, gene) => n + known.resolved[gene], 0);
  if (record.n_resolved < resolved || record.n_resolved > resolved + leftOut)
    say(`n_resolved is ${record.n_resolved}, found ${resolved}`);
  const own = [...new Set(Array.from(kept, (gene) => known.taxa[gene]))].sort((a, b) => a - b);
  const lacking = own.filter((taxon) => !record.organisms.includes(taxon));
  if (lacking.length > 0 || (leftOut === 0 && own.length !== record.organisms.length)) {
    say(`organisms are ${record.organisms}, its columns have ${own}`);
  }
}
