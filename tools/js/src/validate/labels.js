/** Level 3 of labels and ontologies; counts of cells are compared where the cells are read. */

import { compareBytes } from "../strings.js";
import { asNumbers } from "../zarr.js";
import { checkStrings } from "./strings.js";

/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("./findings.js").Findings} Findings */

/**
 * @param {Store} store
 * @param {Findings} findings
 */
export async function checkLabels(store, findings) {
  for (const label of store.labels.values()) {
    const where = `label ${JSON.stringify(label.name)}`;
    const categories = await checkStrings(label.strings, findings);
    if (categories === undefined) continue;
    checkCategories(categories, store.parts.length, where, findings);
    const { ontology } = label.entry;
    if (ontology !== undefined) await checkOntology(store, ontology, categories, where, findings);
  }
}

/**
 * @param {string[]} categories
 * @param {number} nParts
 * @param {string} where
 * @param {Findings} findings
 */
function checkCategories(categories, nParts, where, findings) {
  if (new Set(categories).size !== categories.length) findings.add("LAB-2", where, "a category stands twice");
  // each append may begin a sorted run of its own
  const falls = categories.filter((text, i) => i > 0 && compareBytes(categories[i - 1], text) > 0).length;
  if (falls > nParts - 1)
    findings.add(
      "LAB-2",
      where,
      `its categories are not sorted: they fall ${falls} times in a store of ${nParts} parts`,
    );
}

/**
 * @param {Store} store
 * @param {import("../types.js").OntologyEntry} entry
 * @param {string[]} categories
 * @param {string} where
 * @param {Findings} findings
 */
async function checkOntology(store, entry, categories, where, findings) {
  const ids = await checkStrings(store.strings(entry.id), findings);
  const names = await checkStrings(store.strings(entry.name), findings);
  const read = await findings.guard(where, async () => ({
    edges: /** @type {Int32Array} */ (await store.array(entry.edges).all()),
    closure: /** @type {Int32Array} */ (await store.array(entry.closure).all()),
    offsets: asNumbers(await store.array(entry.closure_offsets).all(), entry.closure_offsets.path),
    terms: /** @type {Int32Array} */ (await store.array(entry.category_terms).all()),
  }));
  if (!ids || !names || !read) return;
  ids.forEach((id, i) => {
    if (i > 0 && compareBytes(ids[i - 1], id) >= 0)
      findings.add("LAB-11", where, `the ids are not distinct and sorted: ${ids[i - 1]}, ${id}`);
    if (names[i] === "") findings.add("LAB-11", where, `${id} has no name`);
  });
  for (const prefix of new Set(ids.map((id) => id.split(":")[0]))) {
    if (!Object.hasOwn(entry.releases, prefix))
      findings.add("LAB-17", where, `releases does not give that of ${prefix}`);
  }
  const stray = read.closure.find((node) => node < 0 || node >= ids.length);
  if (stray !== undefined) findings.add("LAB-13", where, `the closure names the node ${stray} of ${ids.length}`);
  const parents = checkEdges(read.edges, ids.length, where, findings);
  if (parents) checkClosure(parents, read.closure, read.offsets, where, findings);
  checkTerms(read.terms, categories, ids, names, where, findings);
}

/**
 * @param {Int32Array} edges
 * @param {number} t
 * @param {string} where
 * @param {Findings} findings
 * @returns {number[][] | undefined} parents of each node
 */
function checkEdges(edges, t, where, findings) {
  const n = edges.length / 2;
  const parents = Array.from({ length: t }, () => /** @type {number[]} */ ([]));
  for (let k = 0; k < n; k++) {
    const [child, parent] = [edges[k], edges[n + k]];
    if (!(child >= 0 && child < t && parent >= 0 && parent < t)) {
      findings.add("LAB-12", where, `edge ${k} joins ${child} and ${parent} of ${t} nodes`);
      return undefined;
    }
    const falls = k > 0 && (edges[k - 1] - child || edges[n + k - 1] - parent) >= 0;
    if (falls) findings.add("LAB-12", where, `edges are not distinct and sorted at ${k}`);
    parents[child].push(parent);
  }
  const state = new Uint8Array(t); // 1: on the way, 2: done
  for (let start = 0; start < t; start++) {
    const stack = [start];
    while (stack.length > 0) {
      const node = stack[stack.length - 1];
      if (state[node] === 0) {
        state[node] = 1;
        for (const parent of parents[node]) {
          if (state[parent] === 1) {
            findings.add("LAB-12", where, `edges lead from node ${parent} back to it`);
            return undefined;
          }
          if (state[parent] === 0) stack.push(parent);
        }
      } else {
        state[node] = 2;
        stack.pop();
      }
    }
  }
  return parents;
}

/**
 * @param {number[][]} parents
 * @param {Int32Array} closure
 * @param {Float64Array} offsets
 * @param {string} where
 * @param {Findings} findings
 */
function checkClosure(parents, closure, offsets, where, findings) {
  const t = parents.length;
  if (offsets[0] !== 0 || offsets[t] !== closure.length) {
    findings.add(
      "LAB-13",
      where,
      `closure_offsets runs from ${offsets[0]} to ${offsets[t]}, expected 0 to ${closure.length}`,
    );
    return;
  }
  for (let node = 0; node < t; node++) {
    const reached = new Set([node]);
    for (const at of reached) for (const parent of parents[at]) reached.add(parent);
    const expected = [...reached].sort((a, b) => a - b);
    const found = closure.subarray(offsets[node], offsets[node + 1]);
    if (found.length !== expected.length || expected.some((at, i) => at !== found[i])) {
      findings.add(
        "LAB-13",
        where,
        `the closure of node ${node} is ${found.join(", ")}, expected ${expected.join(", ")}`,
      );
    }
  }
}

/**
 * @param {Int32Array} terms
 * @param {string[]} categories
 * @param {string[]} ids
 * @param {string[]} names
 * @param {string} where
 * @param {Findings} findings
 */
function checkTerms(terms, categories, ids, names, where, findings) {
  const taken = new Set();
  for (const [c, node] of terms.entries()) {
    if (node === -1) continue;
    if (node < -1 || node >= ids.length) {
      findings.add("LAB-14", where, `category ${c} has the node ${node} of ${ids.length}`);
      continue;
    }
    if (taken.has(node)) findings.add("LAB-14", where, `two categories have the node ${node}`);
    taken.add(node);
    if (![names[node], `${names[node]} (${ids[node]})`].includes(categories[c])) {
      findings.add(
        "LAB-16",
        where,
        `category ${JSON.stringify(categories[c])} is the term ${ids[node]}, ${JSON.stringify(names[node])}`,
      );
    }
  }
}
