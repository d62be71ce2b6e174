/** A validator: levels 1 to 4, every finding with the number of its statement ([CNF-1] to [CNF-3]). */

import { Store } from "../store.js";
import { checkRecords, checkSplits, checkTotals, readCells } from "./cells.js";
import { checkColumns } from "./columns.js";
import { checkCounts } from "./counts.js";
import { checkElements, checkFiles, checkHierarchy } from "./files.js";
import { Findings } from "./findings.js";
import { checkGenes } from "./genes.js";
import { checkLabels } from "./labels.js";
import { checkNeighbourTables } from "./neighbours.js";
import { checkRoot } from "./root.js";
import { checkSources } from "./sources.js";
import { checkTables } from "./tables.js";

/** @typedef {import("../places/place.js").Place} Place */

/**
 * @typedef {object} Verdict
 * @property {boolean} valid
 * @property {number} level at which was checked
 * @property {import("./findings.js").Finding[]} findings
 * @property {{requirement: string, message: string}[]} unchecked statements of the level that were not checked, and why
 */

/** Statements that a store does not show to anyone who has nothing but the store. */
const BEYOND = /** @type {const} */ ([
  [1, "MAN-7", "that nothing says when, where or by whom it was written shows only for a source's path"],
  [3, "SRC-3", "the sources' files are not at hand"],
  [3, "SRC-4", "the sources' files are not at hand"],
  [3, "CEL-12", "the sources' files are not at hand"],
  [3, "GEN-5", "the reference is not at hand"],
  [3, "GEN-6", "the reference is not at hand"],
]);

/**
 * Check a store at a level.
 *
 * @param {Place} place
 * @param {number} level 1 to 4
 * @returns {Promise<Verdict>}
 */
export async function validate(place, level) {
  const bytes = await place.get("/zarr.json");
  const findings = new Findings();
  if (bytes === undefined) findings.add("ZAR-1", "zarr.json", "there is none, so there is no store");
  for (const [from, requirement, why] of BEYOND) if (from <= level) findings.leave(requirement, why);
  const manifest = bytes && checkRoot(bytes, findings);
  if (manifest !== undefined) {
    const store = new Store(place, manifest);
    if (level >= 2) await checkHierarchy(store, findings);
    if (level >= 3) await checkData(store, level, findings);
  }
  const all = findings.all();
  return { valid: all.length === 0, level, findings: all, unchecked: findings.unchecked };
}

/**
 * @param {Store} store
 * @param {number} level
 * @param {Findings} findings
 */
async function checkData(store, level, findings) {
  const digests = await checkFiles(store, findings);
  await checkElements(store, findings);
  const genes = await checkGenes(store, findings);
  await checkLabels(store, findings);
  const sources = await checkSources(store, genes, findings);
  await checkColumns(store, findings);
  const parts = [];
  for (const [i, part] of store.parts.entries()) {
    const cells = await readCells(part, findings);
    if (cells === undefined) continue;
    parts.push(cells);
    if (!(await checkRecords(part, cells, sources[i], findings))) continue;
    await checkCounts(
      part,
      { cells, sources: sources[i], genes, digests: digests.get(part.entry.entries.path) ?? [] },
      findings,
    );
    const known = sources[i];
    if (known) await findings.guard(part.entry.index.path, () => checkSplits(store, part, cells, known, findings));
  }
  const whole = parts.length === store.parts.length ? parts : undefined;
  if (whole) await checkTotals(store, whole, findings);
  await checkNeighbourTables(store, findings);
  if (level >= 4) await checkTables(store, whole, findings);
}
