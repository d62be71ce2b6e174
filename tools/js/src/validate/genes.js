/** Level 3 of the genes, and what the content hash needs of them. */

import { Sha256 } from "../sha256.js";
import { compareBytes } from "../strings.js";
import { checkStrings } from "./strings.js";

/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("./findings.js").Findings} Findings */

const CONTROL = /[\u0000-\u001f\u007f]/;
const ENSEMBL_VERSION = /^ENS[A-Z]*G[0-9]{11}\.[0-9]+$/;

/**
 * @param {Store} store
 * @param {Findings} findings
 * @returns {Promise<{ids: string[], taxa: Int32Array, resolved: Uint8Array} | undefined>}
 */
export async function checkGenes(store, findings) {
  const { genes } = store;
  const { entry } = genes;
  const where = entry.id.bytes.path.replace(/\/[^/]*\/[^/]*$/, "");
  const [ids, symbols] = [await checkStrings(genes.id, findings), await checkStrings(genes.symbol, findings)];
  await checkStrings(genes.biotype, findings);
  const read = await findings.guard(where, async () => ({
    taxa: await genes.taxa(),
    resolved: /** @type {Uint8Array} */ (await store.array(entry.resolved).all()),
    byId: /** @type {Int32Array} */ (await store.array(entry.by_id).all()),
  }));
  if (!ids || !symbols || !read) return undefined;
  const { taxa, resolved, byId } = read;
  const names = new Set();
  ids.forEach((id, gene) => {
    const name = `${taxa[gene]}\t${id}`;
    if (names.has(name))
      findings.add("GEN-2", where, `two genes have the taxon ${taxa[gene]} and the id ${JSON.stringify(id)}`);
    names.add(name);
    if (id === "" || CONTROL.test(id)) findings.add("GEN-2", where, `gene ${gene} has the id ${JSON.stringify(id)}`);
    if (taxa[gene] < 0) findings.add("GEN-4", where, `gene ${gene} has the taxon ${taxa[gene]}`);
    if (resolved[gene] > 1)
      findings.add("GEN-5", where, `gene ${gene}: resolved is ${resolved[gene]}, expected 0 or 1`);
    if (resolved[gene] === 1 && ENSEMBL_VERSION.test(id)) findings.add("GEN-5", where, `the id ${id} has a version`);
    if (symbols[gene] === "") findings.add("GEN-6", where, `gene ${gene} (${id}) has no symbol`);
  });
  checkOrder(ids, taxa, byId, where, findings);
  const counted = new Map();
  for (const taxon of taxa) counted.set(taxon, (counted.get(taxon) ?? 0) + 1);
  for (const { taxon, n_genes: n } of entry.organisms) {
    if ((counted.get(taxon) ?? 0) !== n)
      findings.add("GEN-8", where, `${n} genes of taxon ${taxon}, found ${counted.get(taxon) ?? 0}`);
    counted.delete(taxon);
  }
  for (const [taxon, n] of counted)
    findings.add("GEN-8", where, `${n} genes are of taxon ${taxon}, which organisms does not list`);
  const lines = ids.map((id, gene) => `${taxa[gene]}\t${id}\n`);
  for (const [requirement, stated, some] of /** @type {const} */ ([
    ["GEN-12", entry.index_digest, lines],
    ["GEN-13", entry.set_digest, [...lines].sort(compareBytes)],
  ])) {
    const digest = new Sha256();
    for (const line of some) digest.update(line);
    const found = digest.hex();
    if (found !== stated) findings.add(requirement, where, `expected ${stated}, found ${found}`);
  }
  return { ids, taxa, resolved };
}

/**
 * @param {string[]} ids
 * @param {Int32Array} taxa
 * @param {Int32Array} byId
 * @param {string} where
 * @param {Findings} findings
 */
function checkOrder(ids, taxa, byId, where, findings) {
  const seen = new Uint8Array(ids.length);
  for (const [i, gene] of byId.entries()) {
    if (gene < 0 || gene >= ids.length || seen[gene]++) {
      findings.add("GEN-7", where, `by_id is no permutation: ${gene} at ${i}`);
      return;
    }
    const before = byId[i - 1];
    if (
      i > 0 &&
      (taxa[before] > taxa[gene] || (taxa[before] === taxa[gene] && compareBytes(ids[before], ids[gene]) > 0))
    ) {
      findings.add("GEN-7", where, `by_id does not sort: gene ${before} comes before ${gene}`);
      return;
    }
  }
}

/**
 * key(t, id) of each gene ([CEL-9]), in pieces of 16 bits, lowest first.
 *
 * @param {string[]} ids
 * @param {Int32Array} taxa
 * @returns {Uint16Array}
 */
export function contentKeys(ids, taxa) {
  const keys = new Uint16Array(4 * ids.length);
  ids.forEach((id, gene) => {
    const digest = new Sha256().update(`${taxa[gene]}\t${id}`).digest();
    for (let i = 0; i < 4; i++) keys[4 * gene + i] = digest[2 * i] | (digest[2 * i + 1] << 8);
  });
  return keys;
}
